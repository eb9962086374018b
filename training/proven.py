"""A sealed bundle is among the others only once it has passed its own self-test."""

import shutil
from pathlib import Path

from inspector.contract.bundle import Bundle, Manifest, read_bundle, write_bundle
from inspector.contract.errors import BundleError, TrainingError
from inspector.contract.sums import sync
from inspector.runtime.loader import require_sensible, unfit_forms


def proven(draft: Path, manifest: Manifest, into: Path) -> Bundle:
    """Seal the draft, test it as a station will, and put it into the folder of bundles.

    Raises TrainingError where one of its models does not pass: nothing is left there then.
    """
    trial = into / f".trial-{manifest.name}"
    shutil.rmtree(trial, ignore_errors=True)
    bundle = write_bundle(draft, manifest, trial)
    faults = [f"{name}: cannot be packed: {fault}" for name, fault in unfit_forms(bundle) if fault]
    folder = into / bundle.id
    if not faults and not folder.exists():
        bundle.folder.rename(folder)
        sync(into)
    shutil.rmtree(trial)
    if faults:
        raise TrainingError(
            f"{faults[0]} (where a picture was changed since the job began, the same command "
            f"begins anew with it)"
        )
    return read_bundle(folder)


def refused_everywhere(bundle: Bundle) -> str | None:
    """Why no station takes it, None where nothing is known against it: a plan that does without a
    proof may have limits that let most defects pass.
    """
    try:
        require_sensible(bundle)
    except BundleError as error:
        return f"no station takes {error}"
    return None
