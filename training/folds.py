"""Every part is in the golden set once: k folds, grouped by part and twins, stratified by class.

A single golden set of a few hundred parts tells two plans apart only where they differ much; k of
them, of different parts, tell more, and how much the figures scatter.
"""

import hashlib
from collections import Counter, defaultdict
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.errors import ConfigError, DataError
from training.dataset import Sample, SplitName
from training.job import part_numbers
from training.plan import SplitRule
from training.scan import Images
from training.split import split_by_part


class Fold(NamedTuple):
    """Which of how many."""

    number: int
    """From 0."""
    of: int


def folds_by_part(
    samples: tuple[Sample, ...], parts: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold of each sample, 0 to folds - 1; a part and its twins are never in two.

    parts: equal numbers for pictures of one part and for twins. Groups go, the largest first and
    equals in an order drawn from seed and names alone, to the fold that has the least of their
    classes. Splits that the data names do not count. Raises ConfigError where folds are fewer than
    2, DataError where a class has fewer parts than there are folds.
    """
    if folds < 2:
        raise ConfigError(f"folds {folds}: must be at least 2")
    groups: dict[int, list[int]] = defaultdict(list)
    for i, part in enumerate(parts):
        groups[int(part)].append(i)
    _require_parts(samples, groups, folds)
    total = Counter(sample.label for sample in samples)
    have = [Counter[str]() for _ in range(folds)]

    def drawn(part: int) -> tuple[int, str]:
        name = samples[groups[part][0]].name
        digest = hashlib.sha256(f"{seed}/fold/{name}".encode()).hexdigest()
        return -len(groups[part]), digest

    chosen = np.zeros(len(samples), np.int64)
    for part in sorted(groups, key=drawn):
        labels = Counter(samples[i].label for i in groups[part])

        def filled(fold: int, labels: Counter[str] = labels) -> tuple[float, int]:
            share = sum(n * have[fold][label] / total[label] for label, n in labels.items())
            return share, sum(have[fold].values())

        fold = min(range(folds), key=filled)
        have[fold].update(labels)
        chosen[groups[part]] = fold
    return chosen


def split_by_fold(images: Images, rule: SplitRule, fold: Fold, seed: int) -> tuple[SplitName, ...]:
    """The split of each sample where the golden set is one fold; the rest goes by the rule.

    Raises DataError where the rest is too little for training, validation and calibration.
    """
    folds = folds_by_part(images.samples, part_numbers(images), fold.of, seed)
    marked = tuple(
        replace(sample, split="golden" if folds[i] == fold.number else None)
        for i, sample in enumerate(images.samples)
    )
    return split_by_part(marked, images.report.twins, rule, seed)


def _require_parts(samples: tuple[Sample, ...], groups: dict[int, list[int]], folds: int) -> None:
    for label in sorted({sample.label for sample in samples}):
        parts = sum(any(samples[i].label == label for i in group) for group in groups.values())
        if parts < folds:
            raise DataError(
                f"class {label!r} has {parts} part(s) that differ; {folds} folds need at least "
                f"{folds}, one for each golden set: take fewer folds, or --folds 1"
            )
