"""Which parts train, validate, calibrate the limits, and which are the golden set."""

import hashlib
import math
from collections import Counter, defaultdict

from inspector.contract.errors import DataError
from training.dataset import SPLITS, Sample, SplitName
from training.plan import SplitRule


def split_by_part(
    samples: tuple[Sample, ...],
    twins: tuple[tuple[int, int], ...],
    rule: SplitRule,
    seed: int,
    *,
    grow: bool = False,
) -> tuple[SplitName, ...]:
    """The split of each sample; a part and its twins never straddle two.

    Groups go, the largest first and equals in an order drawn from seed and names alone, where
    their classes are furthest from their share. Splits that the data names are kept; a set that
    the data brings is not added to, but a train folder holds those it does not bring. With `grow`
    every set is added to, and what is named stays where it is. Raises DataError where a class is
    too small, or where the data puts a part or twins on both sides.
    """
    groups = groups_of(samples, twins)
    brought: set[SplitName | None] = set() if grow else {sample.split for sample in samples}
    targets = _targets(samples, rule, brought)
    wanted_splits = tuple(s for s in SPLITS if s in brought or any(targets[s].values()))
    open_to = _open_to(samples, groups, wanted_splits, set(SPLITS) if grow else brought)
    have = {split: Counter[str]() for split in SPLITS}
    chosen: dict[int, SplitName] = {}

    def drawn(key: int) -> tuple[bool, int, str]:
        name = samples[groups[key][0]].name
        digest = hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()
        return len(open_to[key]) > 1, -len(groups[key]), digest

    for key in sorted(groups, key=drawn):
        labels = Counter(samples[i].label for i in groups[key])

        def need(split: SplitName, labels: Counter[str] = labels) -> tuple[float, float]:
            wanted = targets[split]
            share = [n * (1.0 - have[split][c] / wanted[c]) for c, n in labels.items() if wanted[c]]
            return (sum(share) if share else -math.inf), sum(wanted.values())

        split = max(open_to[key], key=need)
        chosen[key] = split
        have[split].update(labels)
    _require_all(samples, groups, have, wanted_splits)
    by_sample = {i: chosen[key] for key, members in groups.items() for i in members}
    return tuple(by_sample[i] for i in range(len(samples)))


def _open_to(
    samples: tuple[Sample, ...],
    groups: dict[int, list[int]],
    wanted: tuple[SplitName, ...],
    brought: set[SplitName | None],
) -> dict[int, tuple[SplitName, ...]]:
    """Where each group may go. Raises DataError where the data splits a part or twins."""
    result: dict[int, tuple[SplitName, ...]] = {}
    for key, members in groups.items():
        named = {samples[i].split for i in members} - {None}
        if len(named) > 1:
            names = ", ".join(samples[i].name for i in members[:3])
            raise DataError(
                f"the data puts one part, or nearly equal pictures, into two splits: {names}; "
                f"mend it, leave the split to us, or set split.near_duplicate_at = 1"
            )
        if not named:
            result[key] = wanted
        elif named == {"train"}:
            inside: set[SplitName] = {"validation", "calibration"}
            open_here = {"train"} | (inside - brought)
            result[key] = tuple(split for split in wanted if split in open_here)
        else:
            result[key] = tuple(split for split in SPLITS if split in named)
    return result


def _targets(
    samples: tuple[Sample, ...], rule: SplitRule, brought: set[SplitName | None]
) -> dict[SplitName, dict[str, float]]:
    """Images wanted of each class in each split; 0 where the data brings its own set."""
    counts = Counter(s.label for s in samples)
    golden = 0.0 if "golden" in brought else rule.golden
    calibration = 0.0 if "calibration" in brought else rule.calibration
    validation = 0.0 if "validation" in brought else rule.validation
    shares: dict[SplitName, float] = {
        "train": (1 - golden) * (1 - calibration - validation),
        "validation": (1 - golden) * validation,
        "calibration": (1 - golden) * calibration,
        "golden": golden,
    }
    return {split: {c: n * share for c, n in counts.items()} for split, share in shares.items()}


def _require_all(
    samples: tuple[Sample, ...],
    groups: dict[int, list[int]],
    have: dict[SplitName, Counter[str]],
    wanted: tuple[SplitName, ...],
) -> None:
    """Every class in every split, or DataError."""
    for label in sorted({sample.label for sample in samples}):
        parts = sum(any(samples[i].label == label for i in group) for group in groups.values())
        for split in wanted:
            if not have[split][label]:
                raise DataError(
                    f"class {label!r} has no part for {split}: {parts} part(s) that differ, at "
                    f"least {len(wanted)} are needed, one each for {', '.join(wanted)}"
                )


def groups_of(
    samples: tuple[Sample, ...], twins: tuple[tuple[int, int], ...]
) -> dict[int, list[int]]:
    """Samples joined by part id or likeness; the key is the group's first sample."""
    leader = list(range(len(samples)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    def join(i: int, j: int) -> None:
        first, second = sorted((find(i), find(j)))
        leader[second] = first

    first_of: dict[str, int] = {}
    for i, sample in enumerate(samples):
        join(i, first_of.setdefault(sample.part, i))
    for i, j in twins:
        join(i, j)
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(samples)):
        groups[find(i)].append(i)
    return groups
