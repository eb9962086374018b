"""Several plans on the same seeds and folds: which is better, by how much, and is it luck?

Each run is the chain of release.py up to the judging, in one work folder: what plans share (the
same teacher for several students) is computed once, and a killed comparison goes on where it was.
"""

import csv
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from inspector.contract.errors import ConfigError
from inspector.contract.whole import write_whole
from training.compare_html import write_html
from training.comparison import METRICS, Comparison, Outcome, Row, comparison_of
from training.dataset import Dataset
from training.evaluate import escape_at_overkill, overkill_at_escape
from training.folds import Fold
from training.job import Job, part_numbers
from training.judging import answers_of, network_of
from training.plan import Plan
from training.release import Judged, read_sights, train_and_judge
from training.screen import clock_text
from training.workable import require_workable

FIXED = 0.05
"""Overkill and escape rate at which plans are compared whatever limits they chose."""


class Entry(NamedTuple):
    """A plan, and how a job for it with another seed is made."""

    plan: Plan
    job: Callable[[Plan], Job]


class Round(NamedTuple):
    """In which every plan is trained once."""

    seed: int
    fold: int


def require_comparable(plans: Sequence[Plan]) -> None:
    """Raises ConfigError where a table of them would mislead."""
    first = plans[0]
    for i, plan in enumerate(plans):
        if plan.name in (each.name for each in plans[:i]):
            raise ConfigError(
                f"compare: two plans are called {plan.name!r}; in the table name says "
                f"which is which"
            )
        for key, ours, theirs in (
            ("good", sorted(plan.good), sorted(first.good)),
            (
                "split.near_duplicate_at",
                plan.split.near_duplicate_at,
                first.split.near_duplicate_at,
            ),
        ):
            if ours != theirs:
                raise ConfigError(
                    f"compare: {key} is {theirs} in plan {first.name!r} and {ours} in "
                    f"{plan.name!r}: it must be the same, or they are judged on different parts"
                )


def compare(
    entries: Sequence[Entry],
    dataset: Dataset,
    seeds: Sequence[int],
    folds: int,
    show: Callable[[Comparison], None],
) -> Comparison:
    """Every plan on every seed and fold; `show` is called after each round of all plans.

    Raises ConfigError, DataError or TrainingError in words.
    """
    outcomes: list[Outcome] = []
    parts: dict[str, str] = {}
    rounds = rounds_of(seeds, folds)
    wanted = len(rounds) * len(entries)
    for some in work_through(entries, dataset, rounds, folds):
        for mine, judged in some:
            outcomes += mine
            parts |= _parts(judged)
        found = comparison_of(outcomes, parts, dataset.layout, seeds, folds, wanted)
        show(found)
    return found


def rounds_of(seeds: Sequence[int], folds: int) -> list[Round]:
    return [Round(seed, k) for seed in seeds for k in range(folds)]


def work_through(
    entries: Sequence[Entry], dataset: Dataset, rounds: Sequence[Round], folds: int
) -> Iterator[list[tuple[list[Outcome], Judged]]]:
    """Train and judge every plan in these rounds; of each round, what came out, plan by plan.

    Raises ConfigError, DataError or TrainingError in words.
    """
    _require(entries)
    fingerprints = _fingerprints(entries, dataset)
    began, done, wanted = time.monotonic(), 0, len(rounds) * len(entries)
    for each in rounds:
        found = []
        for entry in entries:
            job = _job(entry, each.seed)
            started = time.monotonic()
            where = _where(entry.plan.name, *each, folds)
            job.screen.say(f"run {done + 1}/{wanted} starts: {where}")
            data = fingerprints[entry.plan.tiles is not None]
            judged = train_and_judge(job, dataset, data, _fold(each, folds))
            mine = outcomes_of(job.plan, judged, *each)
            found.append((mine, judged))
            done += 1
            left = (time.monotonic() - began) / done * (wanted - done)
            job.screen.say(_line(mine, folds, done, wanted, time.monotonic() - started, left))
        yield found


def read_for(entries: Sequence[Entry], dataset: Dataset, first: Round, folds: int) -> None:
    """The pictures as the first round needs them: what several processes need not each do.

    Raises ConfigError or DataError in words.
    """
    _require(entries)
    fingerprints = _fingerprints(entries, dataset)
    for entry in entries:
        data = fingerprints[entry.plan.tiles is not None]
        read_sights(_job(entry, first.seed), dataset, data, _fold(first, folds))


def _require(entries: Sequence[Entry]) -> None:
    """Raises ConfigError for what would stop or spoil the comparison later."""
    require_comparable([entry.plan for entry in entries])
    for entry in entries:
        require_workable(entry.plan)


def _fingerprints(entries: Sequence[Entry], dataset: Dataset) -> dict[bool, str]:
    """Masks and boxes count only where a plan of tiles reads them."""
    kinds = {entry.plan.tiles is not None for entry in entries}
    return {marks: dataset.fingerprint(marks=marks) for marks in kinds}


def _job(entry: Entry, seed: int) -> Job:
    export = entry.plan.export.model_copy(update={"variants": ()})  # none is compared
    return entry.job(entry.plan.model_copy(update={"seed": seed, "export": export}))


def _fold(each: Round, folds: int) -> Fold | None:
    return Fold(each.fold, folds) if folds > 1 else None


def outcomes_of(plan: Plan, judged: Judged, seed: int, fold: int) -> list[Outcome]:
    """Each model of a run on its golden set."""
    data, report = judged.data, judged.candidate.report
    numbers = part_numbers(data.images)
    outcomes = []
    for model in report.models:
        answers = answers_of(plan, data, model.role, judged.answers.folder, numbers)
        golden = answers["golden"]
        figures, parts = model.golden, golden.held
        right = golden.probabilities.argmax(axis=1) == parts.targets
        names = [data.images.samples[i].name for i in golden.rows]
        row = Row(
            plan=report.name,
            role=model.role,
            seed=seed,
            fold=fold,
            trained=judged.trained[network_of(model.role)].fitted.key,
            architecture=model.architecture,
            parameters=model.parameters,
            latency_ms=model.latency_ms * (report.tiles_per_picture or 1.0),
            golden=len(names),
            others=sum(sum(data.pictures(s).values()) for s in data.rows if s != "golden"),
            figures={
                "accuracy": figures.accuracy,
                "balanced_accuracy": figures.balanced_accuracy,
                "macro_recall": figures.macro_recall,
                "macro_f1": figures.macro_f1,
                "auroc": figures.auroc,
                "escape": figures.escape.rate,
                "overkill": figures.overkill.rate,
                "escape_at_overkill": escape_at_overkill(parts, FIXED),
                "overkill_at_escape": overkill_at_escape(parts, FIXED),
            },
        )
        outcomes.append(Outcome(row, dict(zip(names, right.tolist(), strict=True))))
    return outcomes


def write_comparison(found: Comparison, folder: Path) -> None:
    """compare.json, compare.html, and compare.csv with one row a model and run."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "compare.json", found.model_dump_json(indent=1).encode())
    heads = ["plan", "role", "seed", "fold", "architecture", "parameters", "latency_ms", "golden"]
    with (folder / "compare.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*heads, *METRICS])
        for row in found.rows:
            figures = [f"{row.figures[name]:.6f}" for name in METRICS]
            rows.writerow([*(getattr(row, head) for head in heads), *figures])
    write_html(found, folder / "compare.html")


def _parts(judged: Judged) -> dict[str, str]:
    """Of each picture, the name of its part's first: the same whatever the plan makes of it."""
    images = judged.data.images
    first: dict[int, str] = {}
    pairs = zip(images.samples, part_numbers(images).tolist(), strict=True)
    return {sample.name: first.setdefault(number, sample.name) for sample, number in pairs}


def _where(plan: str, seed: int, fold: int, folds: int) -> str:
    return f"{plan}, seed {seed}" + (f", fold {fold + 1}/{folds}" if folds > 1 else "")


def _line(
    mine: list[Outcome], folds: int, done: int, wanted: int, seconds: float, left: float
) -> str:
    """One finished run, for the log."""
    row = next(each.row for each in mine if each.row.role == "student")
    where = _where(row.plan, row.seed, row.fold, folds)
    figures = ", ".join(
        f"{METRICS[name]} {100 * row.figures[name]:.2f} %"
        for name in ("accuracy", "macro_recall", "auroc", "escape_at_overkill")
    )
    return (
        f"run {done}/{wanted}: {where}: {figures}; {clock_text(seconds)}, "
        f"about {clock_text(left)} left"
    )
