"""Networks that are handed on must not be judged by parts that they have learned.

A teacher tells its student what it remembers, and a student that starts from one remembers itself:
limits chosen on such parts, and figures of them, would promise what new parts do not hold.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from inspector.contract.bundle import file_sha256
from inspector.contract.errors import DataError
from training.dataset import Sample, SplitName
from training.handover import HANDED, OLD
from training.job import Data
from training.plan import Plan
from training.running import DIGEST, SPLIT

LEARNED: tuple[SplitName, ...] = ("train", "validation")
"""Weights are fitted to the one, and the best of their epochs is chosen by the other."""
HELD_BACK: tuple[SplitName, ...] = ("calibration", "golden")


def require_unlearned(plan: Plan, data: Data, say: Callable[[str], None]) -> None:
    """Raises DataError where what limits and figures stand on was learned by a network that the
    plan takes over; says so where its release did not write down what it learned.
    """
    held = {file_sha256(sample.image): sample for sample in _held_back(data)}
    for key, folder in _taken_over(plan):
        learned = learned_by(folder)
        if learned is None:
            say(
                f"  {key} {str(folder)!r}: its {SPLIT} is not there, or of an older program, and "
                f"does not say which pictures it learned: should parts that are held back here "
                f"be among them, they flatter"
            )
            continue
        known = [sample.name for digest, sample in held.items() if digest in learned]
        if known:
            raise DataError(
                f"plan: {key} {str(folder)!r}: has learned {len(known)} of the {len(held)} "
                f"pictures that are calibration or golden here ({known[0]}): its figures and "
                f"limits would flatter. Give the data a split column that keeps its sets "
                f"({folder / SPLIT} has them; inspector-train collect keeps them), or train anew"
            )


def learned_by(networks: Path) -> set[str] | None:
    """SHA-256 of each picture's file that a folder of networks was trained on; None where it does
    not say.
    """
    try:
        with (networks / SPLIT).open(newline="", encoding="utf-8") as file:
            learned = {row[DIGEST] for row in csv.DictReader(file) if row["split"] in LEARNED}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error):
        return None
    return learned or None  # no release learns from nothing


def _held_back(data: Data) -> Iterator[Sample]:
    """Each picture once, also where its tiles are what is judged."""
    seen: set[str] = set()
    for name in HELD_BACK:
        for i in data.rows[name]:
            sample = data.images.samples[i]
            if sample.name not in seen:
                seen.add(sample.name)
                yield sample


def _taken_over(plan: Plan) -> Iterator[tuple[str, Path]]:
    if plan.teacher and plan.teacher.handed:
        yield HANDED, Path(plan.teacher.handed)
    if plan.student.old:
        yield OLD, Path(plan.student.old.networks)
