"""What a search may choose from, and what of it is too slow before anything is trained."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from inspector.runtime.latency import Profile, estimate_ms
from training.compress import quantize
from training.compress.ranges import ranges_of
from training.export import export_onnx, measure
from training.exported import Exported
from training.latency import operations_of
from training.models import build, settle_padding
from training.plan import Plan, with_weights_from
from training.run import write_whole

SAMPLE = 16
"""Pictures of noise that an untrained network is timed on: its time does not hang on its weights.

They calibrate its INT8 form too, for the same reason.
"""

Bar = Callable[[Iterable["Entrant"], int], Iterable["Entrant"]]


@dataclass(frozen=True, slots=True, order=True)
class Entrant:
    """One student of the space."""

    model: str
    width: int
    precision: Literal["fp32", "int8"]

    def __str__(self) -> str:
        return f"{self.model} {self.width} px {self.precision}"


def space_of(plan: Plan) -> tuple[Entrant, ...]:
    """Every student that the plan's [search] allows."""
    search = plan.search
    each = product(search.models, search.widths or (plan.image.width,), search.precisions)
    return tuple(Entrant(model, width, precision) for model, width, precision in each)


def plan_of(plan: Plan, entrant: Entrant, *, trying: bool = False) -> Plan:
    """The plan with this student; everything else as it is. Raises ConfigError where weights lack.

    trying: as it is tried, by `search.epochs` and one way to quantise, not as it is released.
    """
    search = plan.search
    height = round(plan.image.height * entrant.width / plan.image.width)
    image = plan.image.model_copy(update={"width": entrant.width, "height": height})
    weights = search.weights if search.weights in ("hub", "none") else "hub"
    changes: dict[str, object] = {"model": entrant.model, "weights": weights}
    if trying and search.epochs:
        warmup = min(plan.student.warmup_epochs, search.epochs / 2)
        changes |= {"epochs": search.epochs, "warmup_epochs": warmup}
    student = plan.student.model_copy(update=changes)
    int8 = "never" if entrant.precision == "fp32" else "if_safe"
    export = plan.export.model_copy(update={"int8": int8})
    if trying:
        quick = export.quantise.model_copy(update={"methods": ("minmax",)})
        export = export.model_copy(update={"quantise": quick, "variants": ()})
    changed = plan.model_copy(update={"image": image, "student": student, "export": export})
    changed = Plan.model_validate(changed.model_dump())  # hints and the rest must go with it
    return (
        changed if search.weights == weights else with_weights_from(changed, Path(search.weights))
    )


class Stopwatch:
    """How long an untrained student of each kind takes, found once and kept in a file."""

    def __init__(self, kept: Path, image: ImageSpec, profile: Profile | None = None) -> None:
        """profile: of the station that is meant; else it is measured on this machine."""
        self._kept = kept
        self._image = image
        self._profile = profile
        self.ms: dict[str, float] = {}
        if kept.exists():
            self.ms = json.loads(kept.read_text(encoding="utf-8"))

    def time_all(self, entrants: Iterable[Entrant], bar: Bar) -> dict[Entrant, float]:
        """Milliseconds of one picture, one thread, onnxruntime.

        Raises ConfigError for a model that timm does not have or that gives no defect map.
        """
        wanted = tuple(entrants)
        missing = [each for each in wanted if str(each) not in self.ms]
        for entrant in bar(missing, len(missing)):
            self.ms[str(entrant)] = self._time(entrant)
            write_whole(self._kept, json.dumps(self.ms, indent=1).encode())
        return {each: self.ms[str(each)] for each in wanted}

    def _time(self, entrant: Entrant) -> float:
        height = round(self._image.height * entrant.width / self._image.width)
        spec = self._image.model_copy(update={"width": entrant.width, "height": height})
        network = build(entrant.model, "none", classes=2)
        settle_padding(network, spec)
        shape = (SAMPLE, spec.height, spec.width, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        with TemporaryDirectory() as name, torch.no_grad():
            path = Path(name) / "model.onnx"
            model, noise = Exported(network.eval(), [0], 2), [torch.from_numpy(pixels)]
            model.learn_map(noise, noise)
            export_onnx(model, spec, path)
            if entrant.precision == "int8":
                path = _quantised(path, pixels)
            if self._profile is not None:
                return estimate_ms(operations_of(path), self._profile)
            (timing,) = measure([path], pixels)
        return timing.median_ms


def read_profile(path: Path) -> Profile:
    """What `inspector bench --profile` wrote on a station. Raises ConfigError in words."""
    try:
        return Profile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"--profile {path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        what = error.errors()[0]
        where = ".".join(map(str, what["loc"])) or "the file"
        words = f"is not what `inspector bench --profile` writes: {where}: {what['msg']}"
        raise ConfigError(f"--profile {path}: {words}") from None


def _quantised(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Beside it, as a station with VNNI runs it."""
    prepared, small = path.with_name("prepared.onnx"), path.with_name("int8.onnx")
    quantize.prepare(path, prepared)
    rows = np.arange(len(pixels))
    ranges = ranges_of(prepared, pixels, rows, quantize.QUANTIZED, ["minmax"], [])["minmax"]
    form = quantize.FORMS["int8-vnni"]
    quantize.build(prepared, small, ranges, form, per_channel=True)
    return small


def require_rates(latency_ms: float, escape: float) -> None:
    """Raises ConfigError in words."""
    if not latency_ms > 0.0:
        raise ConfigError(f"search: --latency-ms {latency_ms:g}: must be above 0")
    if not 0.0 < escape < 1.0:
        raise ConfigError(f"search: --escape {escape:g}: must be above 0 and below 100 %")
