"""A bundle becomes a runtime: verified, opened, warmed up, tested on this very machine."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from inspector.contract.bundle import SUMS, Bundle, Golden, Manifest, Trust, read_bundle
from inspector.contract.errors import BundleError, ConfigError, ModelError
from inspector.contract.image import Image, decode, fit
from inspector.contract.outputs import (
    Outputs,
    acceptable,
    expected_of,
    golden_parts,
    joined,
    scored,
)
from inspector.contract.status import ModelStatus
from inspector.contract.strict import Name
from inspector.contract.variant import FLOAT, Wanted
from inspector.contract.verdict import Evaluation, Prediction, judge
from inspector.runtime.choice import resolve
from inspector.runtime.cpu import read_cpu
from inspector.runtime.fitness import require_sense
from inspector.runtime.model import ModelRuntime
from inspector.runtime.onnx import OnnxRuntime
from inspector.runtime.settings import AS_JUDGED, RuntimeSettings
from inspector.runtime.variants import choose_variant

log = logging.getLogger(__name__)


def load_runtime(
    bundles: Path,
    bundle_id: Name,
    settings: RuntimeSettings = AS_JUDGED,
    trust: Trust | None = None,
    wanted: Wanted = "auto",
) -> ModelRuntime:
    """The bundle `bundle_id` below `bundles`, fit for service. Raises BundleError in words, and
    ConfigError where what the settings ask for is not installed.
    """
    return open_runtime(find_bundle(bundles, bundle_id, trust), settings, wanted)


def find_bundle(bundles: Path, bundle_id: Name, trust: Trust | None = None) -> Bundle:
    """Verified, and sensible. Raises BundleError, with the bundles there are where it is not."""
    folder = bundles / bundle_id
    if not folder.is_dir() and bundles.is_dir():
        there = sorted(each.name for each in bundles.iterdir() if (each / SUMS).is_file())
        raise BundleError(
            f"bundle {folder}: there is no such folder; there are: {', '.join(there) or 'none'}"
        )
    bundle = read_bundle(folder, trust)
    require_sensible(bundle)
    return bundle


def require_sensible(bundle: Bundle) -> None:
    """Hold each of its forms to the golden pictures, as every station does. Raises BundleError."""
    for each in forms(bundle):
        try:
            require_sense(each.manifest)
        except BundleError as error:
            raise BundleError(f"bundle {bundle.id}: {each.variant}: {error}") from None


def open_runtime(
    bundle: Bundle, settings: RuntimeSettings = AS_JUDGED, wanted: Wanted = "auto"
) -> ModelRuntime:
    """Open a verified bundle and hold it to its golden pictures. Raises BundleError, ConfigError.

    With kind "auto" one that fails in what was recorded is tried as training judged it. Its own
    model is tested also where a variant suits this machine: it must be there to fall back to. A
    variant that answers otherwise than expected here does not serve, and `running` says so; one
    that is not what the manifest says makes the bundle a damaged one.
    """
    runtime, named = _open_own(bundle, settings)
    variant, why, missing = choose_variant(bundle.manifest.variants, read_cpu(), wanted)
    running = ModelStatus(variant=FLOAT, reason=why, fell_back=missing)
    if variant is not None:
        other = new_runtime(bundle.of(variant), named)
        try:
            runtime = tested(other, bundle.of(variant))
            running = ModelStatus(variant=variant.name, reason=why)
        except BundleError as error:
            reason = f"{variant.name} is not what it was where it was made: {error}"
            running = ModelStatus(variant=FLOAT, reason=reason, fell_back=True)
    runtime.running = running.model_copy(update={"golden_error": runtime.golden_error})
    running = runtime.running
    level = logging.WARNING if running.fell_back else logging.INFO
    log.log(level, "bundle %s: runs %s: %s", bundle.id, running.variant, running.reason)
    return runtime


def _open_own(bundle: Bundle, settings: RuntimeSettings) -> tuple[ModelRuntime, RuntimeSettings]:
    """Its own model, tested, and in what it runs. Raises BundleError, ConfigError."""
    named, why = resolve(settings, bundle.id)
    log.info("bundle %s: runs in %s: %s", bundle.id, named.words, why)
    try:
        return tested(new_runtime(bundle, named), bundle), named
    except (BundleError, ConfigError) as error:
        judged = (AS_JUDGED.kind, AS_JUDGED.provider)
        if settings.kind != "auto" or (named.kind, named.provider) == judged:
            raise
        log.error("bundle %s: %s instead: %s", bundle.id, AS_JUDGED.words, error)
        return tested(new_runtime(bundle, AS_JUDGED), bundle), AS_JUDGED


def forms(bundle: Bundle) -> Iterator[Bundle]:
    """The bundle with its own model, and with each variant in the place of that."""
    yield bundle
    yield from map(bundle.of, bundle.manifest.variants)


def unfit_forms(bundle: Bundle) -> Iterator[tuple[str, str | None]]:
    """Each of its models, and what is wrong with it on this machine; None where nothing is."""
    for each in forms(bundle):
        try:
            self_test(OnnxRuntime(each), each)
        except BundleError as error:
            yield each.variant, str(error)
        else:
            yield each.variant, None


def new_runtime(bundle: Bundle, settings: RuntimeSettings) -> ModelRuntime:
    """Opened and warmed up, not yet tested. Raises BundleError, ConfigError."""
    if settings.kind == "openvino":
        # only here: a station without it need not load it
        from inspector.runtime.openvino import OpenVinoRuntime

        return OpenVinoRuntime(bundle, settings.threads)
    return OnnxRuntime(bundle, settings.threads, settings.provider)


def tested(runtime: ModelRuntime, bundle: Bundle) -> ModelRuntime:
    """The same, if it passes its self-test. Raises BundleError."""
    runtime.golden_error = self_test(runtime, bundle)
    words = "bundle %s: self-test passed in %s, largest difference %.2g"
    log.info(words, bundle.id, runtime.engine, runtime.golden_error)
    return runtime


def self_test(runtime: ModelRuntime, bundle: Bundle) -> float:
    """Judge the golden pictures; the largest difference of a probability from the expected.

    Results differ from machine to machine (instruction set, int8 kernels): within the manifest's
    tolerance that is accepted, but not where it turns a verdict. Raises BundleError.
    """
    manifest = bundle.manifest
    largest, found = 0.0, []
    for golden in manifest.golden:
        where = f"bundle {bundle.id}: self-test: {golden.file}"
        image = fit(_read(bundle, golden.file, where), manifest.image)
        try:
            outputs = runtime.outputs([image])
        except ModelError as error:
            raise BundleError(f"{where}: {error}") from None
        largest = max(largest, _require_same_outputs(golden, outputs, manifest, where))
        found.append(outputs)
    _require_same_verdicts(manifest, joined(found), f"bundle {bundle.id}: self-test")
    return largest


def _require_same_outputs(
    golden: Golden, outputs: Outputs, manifest: Manifest, where: str
) -> float:
    expected = np.array(golden.probabilities, np.float32)
    difference = float(np.abs(outputs.probabilities[0] - expected).max())
    if not difference <= manifest.tolerance:  # also true for NaN
        raise BundleError(
            f"{where}: differs by {difference:.3g} from the expected probabilities, "
            f"at most {manifest.tolerance:g} is accepted"
        )
    if outputs.novelty is None or golden.novelty is None or manifest.novelty_tolerance is None:
        return difference  # the manifest has all of them, or none
    further = abs(float(outputs.novelty[0]) - golden.novelty)
    if not further <= manifest.novelty_tolerance:  # also true for NaN
        raise BundleError(
            f"{where}: differs by {further:.3g} from the expected novelty, "
            f"at most {manifest.novelty_tolerance:g} is accepted"
        )
    return difference


def _require_same_verdicts(manifest: Manifest, outputs: Outputs, where: str) -> None:
    """outputs: a row for each golden picture."""
    limits, good = manifest.limits, acceptable(manifest)
    parts, expected_said = golden_parts(manifest, expected_of(manifest))
    _, found_said = golden_parts(manifest, outputs)
    pairs = zip(parts, scored(expected_said, good), scored(found_said, good), strict=True)
    for golden, before, after in pairs:
        if (
            _near(before.defect_score, limits.review_at, manifest.tolerance)
            or _near(before.defect_score, limits.reject_at, manifest.tolerance)
            or _near(before.novelty, limits.novelty_at, manifest.novelty_tolerance)
        ):
            continue  # so near a limit that the accepted difference may turn it
        expected, found = judge(before, limits).evaluation, judge(after, limits).evaluation
        if expected is not found or found is Evaluation.UNDEFINED:
            raise BundleError(
                f"{where}: {golden.file}: is {found.name} here ({_figures(after)}), expected "
                f"{expected.name} ({_figures(before)})"
            )


def _near(value: float | None, limit: float | None, tolerance: float | None) -> bool:
    if value is None or limit is None or tolerance is None:
        return False
    return abs(value - limit) <= tolerance


def _figures(prediction: Prediction) -> str:
    novelty = "" if prediction.novelty is None else f", novelty {prediction.novelty:.4g}"
    return f"score {prediction.defect_score:.4f}{novelty}"


def _read(bundle: Bundle, file: str, where: str) -> Image:
    try:
        return decode(bundle.read(file))
    except ValueError as error:
        raise BundleError(f"{where}: {error}") from None
