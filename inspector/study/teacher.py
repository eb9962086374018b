"""A model without a bundle as a second opinion: a teacher, exported as a bundle's model is."""

import hashlib
from pathlib import Path

from inspector.contract.bundle import Bundle, ModelInfo
from inspector.contract.errors import BundleError, ConfigError
from inspector.contract.verdict import Limits
from inspector.runtime.onnx import OnnxRuntime, input_size
from inspector.station.judging import Job
from inspector.station.recipe import Recipe

DIGITS = 12


def teacher_job(model: Path, like: Bundle, recipe: Recipe, suspect_at: float | None) -> Job:
    """A teacher has no labels, limits or tiles of its own: those of the serving bundle are taken.

    suspect_at: from which score of the teacher a part is suspect; None: the serving bundle's
    review_at, which was found with another model's scores. Novelty is not asked. Raises ConfigError
    where the file is no such model.
    """
    try:
        data = model.read_bytes()
    except OSError as error:
        raise ConfigError(f"--teacher {model}: cannot be read: {error.strerror}") from None
    digest = hashlib.sha256(data).hexdigest()
    manifest = like.manifest
    at = manifest.limits.review_at if suspect_at is None else suspect_at
    info = ModelInfo(
        file=model.name,
        sha256=digest,
        precision="fp32",
        architecture=f"teacher {model.name}",
        parameters=manifest.model.parameters,
    )
    name = f"teacher-{digest[:DIGITS]}"
    try:
        size = input_size(data, model.name)
        image = manifest.image.model_copy(update={"height": size[0], "width": size[1]})
        limits = Limits(review_at=at, reject_at=max(at, manifest.limits.reject_at))
        changes = {
            "image": image if size[0] and size[1] else manifest.image,
            "model": info,
            "limits": limits,
        }
        sums = f"{digest}  {model.name}\n"
        bundle = Bundle(name, manifest.model_copy(update=changes), model.parent, sums)
        runtime = OnnxRuntime(bundle)
    except BundleError as error:
        raise ConfigError(f"--teacher {model}: {error}") from None
    return Job(recipe.model_copy(update={"bundle": name, "limits": None}), runtime)
