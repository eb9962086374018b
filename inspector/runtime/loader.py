"""A bundle becomes a runtime: verified, opened, warmed up, tested on this very machine."""

import logging
from pathlib import Path

import numpy as np

from inspector.contract.bundle import SUMS, Bundle, Manifest, read_bundle
from inspector.contract.errors import BundleError, ModelError
from inspector.contract.image import Image, decode, fit
from inspector.contract.strict import Name
from inspector.contract.verdict import Evaluation, Prediction, judge
from inspector.runtime.onnx import OnnxRuntime, defect_score

log = logging.getLogger(__name__)


def load_runtime(bundles: Path, bundle_id: Name, threads: int = 1) -> OnnxRuntime:
    """The bundle `bundle_id` below `bundles`, fit for service. Raises BundleError in words."""
    return open_runtime(find_bundle(bundles, bundle_id), threads)


def find_bundle(bundles: Path, bundle_id: Name) -> Bundle:
    """Verified. Raises BundleError, with the bundles there are where this one is not."""
    folder = bundles / bundle_id
    if not folder.is_dir() and bundles.is_dir():
        there = sorted(each.name for each in bundles.iterdir() if (each / SUMS).is_file())
        raise BundleError(
            f"bundle {folder}: there is no such folder; there are: {', '.join(there) or 'none'}"
        )
    return read_bundle(folder)


def open_runtime(bundle: Bundle, threads: int = 1) -> OnnxRuntime:
    """Open a verified bundle and hold it to its golden pictures. Raises BundleError."""
    runtime = OnnxRuntime(bundle, threads)
    error = self_test(runtime, bundle)
    log.info("bundle %s: self-test passed, largest difference %.2g", bundle.id, error)
    return runtime


def self_test(runtime: OnnxRuntime, bundle: Bundle) -> float:
    """Judge the golden pictures; the largest difference of a probability from the expected.

    Results differ from machine to machine (instruction set, int8 kernels): within the manifest's
    tolerance that is accepted, but not where it turns a verdict. Raises BundleError.
    """
    manifest = bundle.manifest
    good = np.array([label in manifest.good for label in manifest.labels])
    largest = 0.0
    for golden in manifest.golden:
        where = f"bundle {bundle.id}: self-test: {golden.file}"
        image = fit(_read(bundle.folder / golden.file, where), manifest.image)
        try:
            probabilities, _ = runtime.outputs([image])
        except ModelError as error:
            raise BundleError(f"{where}: {error}") from None
        expected = np.array(golden.probabilities, np.float32)
        difference = float(np.abs(probabilities[0] - expected).max())
        if not difference <= manifest.tolerance:  # also true for NaN
            raise BundleError(
                f"{where}: differs by {difference:.3g} from the expected probabilities, "
                f"at most {manifest.tolerance:g} is accepted"
            )
        largest = max(largest, difference)
        before = defect_score(expected, good)
        after = defect_score(probabilities[0], good)
        _require_same_verdict(before, after, manifest, where)
    return largest


def _require_same_verdict(before: float, after: float, manifest: Manifest, where: str) -> None:
    limits = manifest.limits
    if any(abs(before - at) <= manifest.tolerance for at in (limits.review_at, limits.reject_at)):
        return  # so near a limit that the accepted difference may turn it
    expected, found = _evaluation(before, manifest), _evaluation(after, manifest)
    if expected is not found or found is Evaluation.UNDEFINED:
        raise BundleError(
            f"{where}: is {found.name} here (score {after:.4f}), expected {expected.name} "
            f"(score {before:.4f})"
        )


def _evaluation(score: float, manifest: Manifest) -> Evaluation:
    return judge(Prediction("", "", score), manifest.limits).evaluation


def _read(path: Path, where: str) -> Image:
    try:
        return decode(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BundleError(f"{where}: {error}") from None
