"""Reviewed parts of stations become the next version of a line's data set.

What the running bundle never trained on stays so: every picture keeps the set it has (golden,
calibration, validation, train), and a new one that is, or looks like, one of those held back does
not train. What it, or the bundles before it, did learn is not held back. Other new parts are spread
over the sets by the plan's shares, a part and its twins together.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from inspector.contract.errors import ConfigError, DataError
from training.dataset import Sample, read_dataset
from training.freshness import LEARNED_BEFORE, TWIN_LEARNED, Freshness, learned_before
from training.plan import Plan
from training.review_rows import origin_of, rows_of
from training.reviewed import Reviewed, read_reviewed
from training.running import Running, read_split, require_same_product
from training.split import groups_of, split_by_part
from training.versions import (
    Collected,
    LeftOut,
    Row,
    by_class,
    newest,
    next_name,
    read_facts,
    read_rows,
    write_version,
)

BASE = "base"
Bar = Callable[[Iterable[Row], int], Iterable[Row]]


class From(NamedTuple):
    """The bundle that runs, and for the first version the data that it was made of."""

    running: Running
    data: Path | None


class Start(NamedTuple):
    """What is there before the reviews."""

    rows: list[Row]
    before: Path | None
    from_bundle: str
    tiles: bool


class Found(NamedTuple):
    """The newest version, and whether it was made now."""

    version: Path
    facts: Collected
    is_new: bool


def collect(plan: Plan, sources: Sequence[Path], into: Path, given: From | None, bar: Bar) -> Found:
    """Make the next version below `into`, or find that there is nothing new.

    given: needed for the first version. bar: passes rows on while they are read. Raises
    ConfigError, DataError, RecordError in words.
    """
    reviewed = read_reviewed(sources)
    start = _start(plan, into, given)
    rows, changed = _settle(start.rows, reviewed)
    known = {row.key for row in rows}
    left_out: list[LeftOut] = []
    unknown = [each for each in reviewed if each.key not in known]
    fresh, undecided = rows_of(unknown, left_out, tiles=start.tiles)
    before = learned_before(into, rows, given.running.networks if given else None)
    freshness = Freshness(plan.split.near_duplicate_at, left_out, before)
    both = freshness.of(rows, fresh, undecided, bar)
    both = _enough(both, start, freshness, plan, left_out)
    both = _spread(both, freshness, plan, left_out)
    added = [row for row in both if row.key and row.key not in known]
    name = next_name(start.before)
    facts = Collected(
        name=name,
        before=start.before.name if start.before else None,
        from_bundle=start.from_bundle,
        tiles=start.tiles,
        plan=plan.name,
        counts=by_class(both),
        new=by_class(added),
        stations=dict(sorted(Counter(row.key[0] for row in both if row.key).items())),
        seen=dict(Counter(row.sample.label for row in both if row.key)),
        added=tuple(row.sample.name for row in added),
        changed=tuple(changed),
        left_out=tuple(left_out),
        opinions=_opinions(reviewed),
    )
    has_all = {row.sample.name for row in rows} <= {row.sample.name for row in both}
    if start.before is not None and not added and not changed and has_all:
        return Found(start.before, facts.model_copy(update={"name": start.before.name}), False)
    into.mkdir(parents=True, exist_ok=True)
    return Found(write_version(into, facts, both), facts, True)


def _start(plan: Plan, into: Path, given: From | None) -> Start:
    """The newest version; without one, the running bundle's data with the sets it had there."""
    before = newest(into)
    if before is not None:
        if given is not None:
            if given.data is not None:
                raise ConfigError(f"{into}: has {before.name} already: --data is for the first")
            require_same_product(plan, given.running.bundle)
        facts = read_facts(before)
        if facts.plan != plan.name:
            raise DataError(f"{before}: is of {facts.plan!r}, the plan of {plan.name!r}")
        return Start(read_rows(before), before, facts.from_bundle, facts.tiles)
    if given is None or given.data is None:
        raise DataError(
            f"{into}: has no version yet: the first needs --data and --from-bundle, the running "
            f"bundle and what it was made of, so that its golden set stays golden"
        )
    bundle = given.running.bundle
    require_same_product(plan, bundle)
    split = read_split(given.running)
    rows = []
    for sample in read_dataset(given.data).samples:
        mine = split.pop((sample.name, sample.label), None)
        if mine is not None:  # what its scan left out stays out
            rows.append(Row(replace(sample, split=mine, name=_base_name(sample))))
    if split:
        name, label = next(iter(split))
        raise DataError(
            f"{given.data}: has no picture {name} of class {label}, which {bundle.id} was made of"
        )
    return Start(rows, None, bundle.id, bundle.manifest.tiles is not None)


def _base_name(sample: Sample) -> str:
    """Below a folder of its own, so that no station's name meets it."""
    steps = [step for step in Path(sample.name).parts if step not in ("..", "/")]
    return "/".join((BASE, *steps))


def _settle(rows: list[Row], reviewed: list[Reviewed]) -> tuple[list[Row], list[str]]:
    """The rows as people see them by now: a review may have been taken back since."""
    now = {each.key: each for each in reviewed}
    kept: list[Row] = []
    changed: list[str] = []
    for row in rows:
        part = now.get(row.key) if row.key else None
        was = row.sample
        if part is None or (part.label, part.severity) == (was.label, was.severity):
            kept.append(row)
        elif part.label is None:
            changed.append(f"{was.name}: taken out, its reviews: {part.standing}")
        else:
            sample = replace(was, label=part.label, severity=part.severity)
            changed.append(f"{was.name}: {_graded(was)} is now {_graded(sample)}")
            # the picture stays the one the version has
            origin = {**origin_of(part), "image_sha256": row.origin["image_sha256"]}
            kept.append(replace(row, sample=sample, origin=origin))
    return kept, changed


def _graded(sample: Sample) -> str:
    grade = sample.severity
    return sample.label if grade is None else f"{sample.label} of severity {grade:g}"


def _enough(
    rows: list[Row], start: Start, freshness: Freshness, plan: Plan, left_out: list[LeftOut]
) -> list[Row]:
    """Without the new parts of a class that has too few for every set, and without those that are
    called a new class by now: they wait for more.
    """
    classes = {row.sample.label for row in start.rows}
    shares = {"golden": plan.split.golden, "validation": plan.split.validation}
    shares |= {"train": 1.0, "calibration": plan.split.calibration}
    wanted = {split for split, share in shares.items() if share}
    samples = tuple(row.sample for row in rows)
    free: Counter[str] = Counter()
    covered: dict[str, set[str]] = {}
    for group in groups_of(samples, freshness.twins(rows)).values():
        named = {samples[i].split or "" for i in group} - {""}
        for label in {samples[i].label for i in group}:
            free[label] += not named
            covered.setdefault(label, set()).update(named)
    kept = []
    for row in rows:
        label = row.sample.label
        open_sets = sorted(wanted - covered[label])
        fixed = row.sample.split is not None and row.sample.name not in freshness.placed
        if (fixed and label in classes) or free[label] >= len(open_sets):
            kept.append(row)
            continue
        have = (
            f"{free[label]} of {label} that differ, one each is needed for {', '.join(open_sets)}"
        )
        left_out.append(LeftOut(why="too few of its class yet", part=row.sample.name, what=have))
    return kept


def _spread(
    rows: list[Row], freshness: Freshness, plan: Plan, left_out: list[LeftOut]
) -> list[Row]:
    samples = tuple(row.sample for row in rows)
    try:
        splits = split_by_part(samples, freshness.twins(rows), plan.split, plan.seed, grow=True)
    except DataError as error:
        learned = [each for each in left_out if each.why in (LEARNED_BEFORE, TWIN_LEARNED)]
        if not learned:
            raise
        first = learned[0]
        raise DataError(
            f"{error}; {first.why}: {len(learned)} (the first: {first.part}), which may be what is "
            f"missing: review more of its class"
        ) from None
    return [
        replace(row, sample=replace(row.sample, split=split))
        for row, split in zip(rows, splits, strict=True)
    ]


def _opinions(reviewed: list[Reviewed]) -> dict[str, int]:
    several = [each for each in reviewed if len(each.reviews) > 1]
    return {
        "one": sum(len(each.reviews) == 1 for each in reviewed),
        "several, agreed": sum(each.standing == "agreed" for each in several),
        "several, not agreed": sum(each.standing == "conflict" for each in several),
    }
