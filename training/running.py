"""The bundle that runs now, with what its release left beside it: where the next one starts.

DIR/bundles/BUNDLE/     what stations run
DIR/networks/BUNDLE/    its networks, and split.csv: which picture was in which set, its file's hash
"""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from inspector.contract.bundle import Bundle, file_sha256, read_bundle
from inspector.contract.errors import ConfigError, DataError
from inspector.contract.whole import write_whole
from training.dataset import SPLITS, Dataset, SplitName
from training.handover import FACTS, read_networks
from training.job import Data
from training.plan import Plan, fingerprint
from training.plan_networks import Old

SPLIT = "split.csv"
DIGEST = "sha256"
_HEADS = ("image", "label", "split", DIGEST)


class Running(NamedTuple):
    bundle: Bundle
    networks: Path


def running_bundle(folder: Path) -> Running:
    """A bundle where its release left it. Raises BundleError, or ConfigError without networks."""
    bundle = read_bundle(folder)
    networks = networks_of(bundle)
    if not (networks / FACTS).is_file():
        raise ConfigError(
            f"--from-bundle {folder}: its networks are not in {networks}: name the bundle where "
            f"its release left it, DIR/bundles/{bundle.id}"
        )
    return Running(bundle, networks)


def networks_of(bundle: Bundle) -> Path:
    """Where its release left its networks, if the bundle lies where its release left it."""
    return bundle.folder.resolve().parent.parent / "networks" / bundle.id


def require_same_product(plan: Plan, bundle: Bundle) -> None:
    """Raises ConfigError where stations would not take the one for the other."""
    manifest = bundle.manifest
    for key, ours, theirs in (
        ("name", plan.name, manifest.name),
        ("good", sorted(plan.good), sorted(manifest.good)),
    ):
        if ours != theirs:
            raise ConfigError(f"plan: {key} {ours!r}: bundle {bundle.id} has {theirs!r}")


def starting_from(plan: Plan, running: Running, dataset: Dataset) -> Plan:
    """The plan with the running student as its start, and as a teacher of what it knew.

    Raises ConfigError where the plan names another start, is for another product or measures no
    novelty any more, DataError where the data has lost a class (no station would take that bundle),
    or does not say which pictures are held back: the running student has learned some of them.
    """
    require_same_product(plan, running.bundle)
    if running.bundle.manifest.limits.novelty_at and not plan.quality.novelty_overkill_at_most:
        raise ConfigError(
            f"plan: quality.novelty_overkill_at_most 0: {running.bundle.id} measures novelty, and "
            f"no station that runs it takes a bundle that does not"
        )
    if plan.student.old:
        raise ConfigError("plan: student.old: names a start already; leave it or --from-bundle out")
    lost = sorted(set(running.bundle.manifest.labels) - set(dataset.labels))
    if lost:
        raise DataError(
            f"{dataset.layout}: has no class {lost[0]!r}, which {running.bundle.id} has"
        )
    if any(sample.split is None for sample in dataset.samples):
        raise DataError(
            f"{dataset.layout}: does not name the set of every picture: what {running.bundle.id} "
            f"trained on could be its golden set now; inspector-train collect keeps them apart"
        )
    read_networks(running.networks, "student", "--from-bundle")
    student = plan.student.model_copy(update={"old": Old(networks=str(running.networks))})
    return plan.model_copy(update={"student": student})


def write_split(data: Data, networks: Path) -> None:
    """Leave which picture was in which set, and the SHA-256 of its file: names change."""
    rows = {
        (sample.name, sample.label, split, sample.image)
        for split in SPLITS
        for sample in (data.images.samples[i] for i in data.rows[split])
    }
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_HEADS)
    writer.writerows((*row, file_sha256(image)) for *row, image in sorted(rows))
    write_whole(networks / SPLIT, text.getvalue().encode())


def read_split(running: Running) -> dict[tuple[str, str], SplitName]:
    """The set of each (picture's name, label). Raises DataError where it is not this bundle's."""
    path = running.networks / SPLIT
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row["image"], row["label"], row["split"]) for row in csv.DictReader(file)]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}): which parts were golden is not known; repeat the "
            f"release, which leaves it"
        ) from None
    found: dict[tuple[str, str], SplitName] = {}
    for name, label, split in rows:
        if split not in SPLITS:
            raise DataError(f"{path}: split {split!r}: must be one of {', '.join(SPLITS)}")
        found[name, label] = split
    golden = sorted(key for key, split in found.items() if split == "golden")
    if fingerprint(golden) != running.bundle.manifest.data.golden_sha256:
        raise DataError(f"{path}: its golden set is not that of bundle {running.bundle.id}")
    return found
