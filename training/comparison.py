"""What a comparison found, as data (compare.json): runs, means and scatter, paired tests."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.strict import Strict
from training.paired import Difference, Parts, caveat, difference, holm, part_test
from training.report import code_text, machine_text
from training.second_look import Doubt, Said

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "auroc": "AUROC",
    "escape": "escape at limits",
    "overkill": "overkill at limits",
    "escape_at_overkill": "escape at 5 % overkill",
    "picture_escape_at_overkill": "the same by picture",
    "overkill_at_escape": "overkill at 5 % escape",
}
"""Shares, measured on each run's golden set."""
TESTED = ("accuracy", "macro_recall", "macro_f1", "auroc", "escape_at_overkill")


class Row(Strict):
    """One model of one run."""

    plan: str
    role: str
    seed: int
    fold: int
    trained: str
    """Key of the stage that trained it: equal where plans share a network."""
    architecture: str
    parameters: int
    latency_ms: float
    """Of a picture: of a tile times the tiles of a golden picture, where it is judged in tiles."""
    golden: int
    """Pictures of the golden set."""
    others: int
    """Pictures that trained it or chose something for it."""
    figures: dict[str, float]
    """By the names of METRICS."""
    unknown: tuple[str, ...] = ()
    """Of what networks that the plan takes over have learned: the figures may flatter."""


class Contender(Strict):
    """One model of one plan over all runs."""

    name: str
    plan: str
    role: str
    teacher: str | None
    """Name of the contender that taught it; None for a teacher, and for one without."""
    architecture: str
    runs: int
    parameters: int
    latency_ms: float
    """Mean of the runs' medians."""
    latency_ms_sd: float
    mean: dict[str, float]
    sd: dict[str, float]
    """Over runs; 0 where there is one."""


class Pair(Strict):
    """Two contenders on the runs both have: the second less the first."""

    first: str
    second: str
    differences: dict[str, Difference]
    p_holm: dict[str, float | None]
    """Of each metric, adjusted over the pairs of students, or those of teacher and student."""
    parts: Parts


class Comparison(Strict):
    """All that was found."""

    data: str
    machine: str
    code: str
    seeds: tuple[int, ...]
    folds: int
    """1: each seed splits anew by the plan's own rule."""
    wanted: int
    """Runs when it is finished."""
    rows: tuple[Row, ...]
    contenders: tuple[Contender, ...]
    pairs: tuple[Pair, ...]
    caveat: str
    judged: int
    """Pictures that a model judged which had not learned from them."""
    doubts: tuple[Doubt, ...]
    """Those whose label such models contradict."""

    @property
    def unknown(self) -> tuple[str, ...]:
        """That of the rows, each once with the plans that it is of."""
        plans: dict[str, dict[str, None]] = {}
        for row in self.rows:
            for words in row.unknown:
                plans.setdefault(words, {})[row.plan] = None
        return tuple(f"{', '.join(mine)}: {words}" for words, mine in plans.items())


class Outcome(NamedTuple):
    """A row, which pictures of its golden set were told right, and what was said of each."""

    row: Row
    right: dict[str, bool]
    said: Said


def comparison_of(
    outcomes: Sequence[Outcome],
    parts: Mapping[str, str],
    doubts: tuple[Doubt, ...],
    data: str,
    seeds: Sequence[int],
    folds: int,
    wanted: int,
    against: str | None = None,
) -> Comparison:
    """parts: picture's name -> name of its part. against: the plan that the others are held to;
    None: each is held to each.
    """
    models, teachers = _models(outcomes)
    contenders = tuple(_contender(name, mine, teachers) for name, mine in models.items())
    students = [contender.name for contender in contenders if contender.role == "student"]
    asked = [(a, b) for a, b in combinations(students, 2) if against in (None, a, b)]
    pairs = _pairs([(b, a) if b == against else (a, b) for a, b in asked], models, parts)
    taught = [(teachers[name], name) for name in students if name in teachers]
    pairs += _pairs(taught, models, parts)
    runs = min(contender.runs for contender in contenders)
    return Comparison(
        data=data,
        machine=machine_text(),
        code=code_text(),
        seeds=tuple(seeds),
        folds=folds,
        wanted=wanted,
        rows=tuple(outcome.row for outcome in outcomes),
        contenders=contenders,
        pairs=pairs,
        caveat=caveat(runs, len(seeds), folds),
        judged=len({name for outcome in outcomes for name in outcome.right}),
        doubts=doubts,
    )


Run = tuple[int, int]
"""Seed and fold."""
Models = dict[str, dict[Run, Outcome]]
"""Runs of each contender."""


def _models(outcomes: Sequence[Outcome]) -> tuple[Models, dict[str, str]]:
    """And who taught each contender: shared by plans it is one, named by the first of them.

    A compressed student was taught by the original.
    """
    by_model: dict[tuple[str, str], dict[Run, Outcome]] = {}
    for outcome in outcomes:
        row = outcome.row
        by_model.setdefault((row.plan, row.role), {})[row.seed, row.fold] = outcome
    models: Models = {}
    called: dict[tuple[str, ...], str] = {}
    above: dict[tuple[str, str], str] = {}
    for (plan, role), runs in by_model.items():
        name = plan if role == "student" else f"{plan} {role.removeprefix('student-')}"
        if role in ("teacher", "original"):
            keys = role, *(outcome.row.trained for outcome in runs.values())
            above[plan, role] = called.setdefault(keys, name)
            if above[plan, role] != name:
                continue
        models[name] = runs
    teachers = {}
    for name, runs in models.items():
        row = next(iter(runs.values())).row
        taught = above.get((row.plan, "teacher"))
        if row.role.startswith("student"):
            taught = above.get((row.plan, "original"), taught)
        if taught and taught != name:
            teachers[name] = taught
    return models, teachers


def _pairs(
    names: Sequence[tuple[str, str]], models: Models, parts: Mapping[str, str]
) -> tuple[Pair, ...]:
    """All pairs that ask one question: Holm's adjustment is over them."""
    differences = [_differences(models[a], models[b]) for a, b in names]
    adjusted = {metric: holm([each[metric].p for each in differences]) for metric in TESTED}
    return tuple(
        Pair(
            first=a,
            second=b,
            differences=differences[i],
            p_holm={metric: adjusted[metric][i] for metric in TESTED},
            parts=_part_test(models[a], models[b], parts),
        )
        for i, (a, b) in enumerate(names)
    )


def _contender(name: str, runs: dict[Run, Outcome], teachers: Mapping[str, str]) -> Contender:
    rows = [outcome.row for outcome in runs.values()]
    times = np.array([row.latency_ms for row in rows])
    figures = {metric: np.array([row.figures[metric] for row in rows]) for metric in METRICS}
    return Contender(
        name=name,
        plan=rows[0].plan,
        role=rows[0].role,
        teacher=teachers.get(name),
        architecture=rows[0].architecture,
        runs=len(rows),
        parameters=rows[0].parameters,
        latency_ms=float(times.mean()),
        latency_ms_sd=_sd(times),
        mean={metric: float(values.mean()) for metric, values in figures.items()},
        sd={metric: _sd(values) for metric, values in figures.items()},
    )


def _differences(first: dict[Run, Outcome], second: dict[Run, Outcome]) -> dict[str, Difference]:
    runs = [run for run in first if run in second]
    rows = [(first[run].row, second[run].row) for run in runs]
    ratio = float(np.mean([a.golden / a.others for a, _ in rows]))
    return {
        metric: difference(
            [a.figures[metric] for a, _ in rows], [b.figures[metric] for _, b in rows], ratio
        )
        for metric in TESTED
    }


def _part_test(
    first: dict[Run, Outcome], second: dict[Run, Outcome], parts: Mapping[str, str]
) -> Parts:
    judged = [
        (parts[name], right, second[run].right[name])
        for run, outcome in first.items()
        if run in second
        for name, right in outcome.right.items()
        if name in second[run].right
    ]
    names, ours, theirs = zip(*judged, strict=True)
    _, numbers = np.unique(names, return_inverse=True)
    return part_test(numbers, np.array(ours), np.array(theirs))


def _sd(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
