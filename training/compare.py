"""Several plans on the same seeds and folds: which is better, by how much, and is it luck?

Each run is the chain of release.py up to the judging, in one work folder: what plans share (the
same teacher for several students) is computed once, and a killed comparison goes on where it was.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from inspector.contract.strict import Strict
from inspector.contract.table import csv_table
from inspector.contract.whole import write_whole
from training.answers import answers_of
from training.comparable import require_comparable
from training.compare_html import write_html
from training.comparison import METRICS, Comparison, Outcome, Row, comparison_of
from training.dataset import Dataset
from training.evaluate import escape_at_overkill, overkill_at_escape
from training.folds import Fold
from training.job import Job, part_numbers
from training.judging import network_of
from training.plan import Plan
from training.release import Judged, read_sights, train_and_judge
from training.screen import clock_text
from training.second_look import Said, doubts_of, table_of
from training.second_look_html import page_of
from training.workable import require_workable

TOLD = "found"
ASKED = ("student", "teacher")
"""Who is asked which labels are doubtful: other forms of a student are no second opinion."""
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


class Found(Strict):
    """What came out of a round, plan by plan."""

    seed: int
    fold: int
    outcomes: tuple[Outcome, ...]
    parts: dict[str, str]
    """Picture's name -> name of its part."""


class Asked(NamedTuple):
    """What is compared on what."""

    entries: Sequence[Entry]
    dataset: Dataset
    seeds: Sequence[int]
    folds: int
    against: str | None = None
    """The plan that the others are held to; None: each is held to each."""

    @property
    def rounds(self) -> list[Round]:
        return [Round(seed, k) for seed in self.seeds for k in range(self.folds)]

    def table(self, found: Sequence[Found]) -> Comparison:
        """Of the rounds that are done."""
        parts: dict[str, str] = {}
        for each in found:
            parts |= each.parts
        outcomes = [outcome for each in found for outcome in each.outcomes]
        wanted = len(self.rounds) * len(self.entries)
        # by what was trained: a teacher that plans share has one opinion
        asked = {each.row.trained: each.said for each in outcomes if each.row.role in ASKED}
        doubts = doubts_of(asked.values(), self.dataset.samples, parts)
        layout = self.dataset.layout
        return comparison_of(
            outcomes, parts, doubts, layout, self.seeds, self.folds, wanted, self.against
        )


def compare(asked: Asked, show: Callable[[Comparison], None]) -> Comparison:
    """Every plan on every seed and fold; `show` is called after each round of all plans.

    Raises ConfigError, DataError or TrainingError in words.
    """
    found: list[Found] = []
    for each in work_through(asked, asked.rounds):
        found.append(each)
        table = asked.table(found)
        show(table)
    return table


def work_through(asked: Asked, rounds: Sequence[Round]) -> Iterator[Found]:
    """Train and judge every plan in these rounds.

    Raises ConfigError, DataError or TrainingError in words.
    """
    entries, dataset, folds = asked.entries, asked.dataset, asked.folds
    _require(asked)
    fingerprints = _fingerprints(entries, dataset)
    began, done, wanted = time.monotonic(), 0, len(rounds) * len(entries)
    for each in rounds:
        outcomes: list[Outcome] = []
        parts: dict[str, str] = {}
        for entry in entries:
            job = _job(entry, each.seed)
            started = time.monotonic()
            where = _where(entry.plan.name, *each, folds)
            job.screen.say(f"run {done + 1}/{wanted} starts: {where}")
            data = fingerprints[entry.plan.tiles is not None]
            judged = train_and_judge(job, dataset, data, _fold(each, folds))
            mine = outcomes_of(job.plan, judged, *each)
            outcomes += mine
            parts |= _parts(judged)
            done += 1
            left = (time.monotonic() - began) / done * (wanted - done)
            job.screen.say(_line(mine, folds, done, wanted, time.monotonic() - started, left))
        yield Found(seed=each.seed, fold=each.fold, outcomes=tuple(outcomes), parts=parts)


def read_for(asked: Asked) -> None:
    """The pictures as the first round needs them: what several processes need not each do.

    Raises ConfigError or DataError in words.
    """
    _require(asked)
    fingerprints = _fingerprints(asked.entries, asked.dataset)
    first = asked.rounds[0]
    for entry in asked.entries:
        data = fingerprints[entry.plan.tiles is not None]
        read_sights(_job(entry, first.seed), asked.dataset, data, _fold(first, asked.folds))


def tell(found: Found, folder: Path) -> None:
    """One of several processes has done a round."""
    name = f"{TOLD}-{found.seed}-{found.fold}.json"
    write_whole(folder / name, found.model_dump_json().encode())


def told(folders: Sequence[Path]) -> list[Path]:
    """A file of each round that the processes that work in these folders have done."""
    return [path for folder in folders for path in folder.glob(f"{TOLD}-*.json")]


def read_told(files: Sequence[Path], rounds: Sequence[Round]) -> list[Found]:
    """What they say, in the order of the rounds."""
    found = [Found.model_validate_json(path.read_bytes()) for path in files]
    return sorted(found, key=lambda each: rounds.index(Round(each.seed, each.fold)))


def _require(asked: Asked) -> None:
    """Raises ConfigError for what would stop or spoil the comparison later."""
    require_comparable([entry.plan for entry in asked.entries], asked.dataset, asked.folds)
    for entry in asked.entries:
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
                "picture_escape_at_overkill": escape_at_overkill(parts.by_picture, FIXED),
                "overkill_at_escape": overkill_at_escape(parts, FIXED),
            },
            unknown=report.unknown,
        )
        shares = dict(zip(names, golden.probabilities.tolist(), strict=True))
        told = dict(zip(names, right.tolist(), strict=True))
        outcomes.append(Outcome(row, told, Said(data.labels, shares)))
    return outcomes


def write_comparison(found: Comparison, folder: Path, dataset: Dataset) -> None:
    """compare.json, compare.html, and compare.csv with one row a model and run; second_look.html
    and second_look.csv with the labels that are doubtful.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "compare.json", found.model_dump_json(indent=1).encode())
    heads = ["plan", "role", "seed", "fold", "architecture", "parameters", "latency_ms", "golden"]
    lines: list[list[object]] = [[*heads, *METRICS]]
    for row in found.rows:
        figures = [f"{row.figures[name]:.6f}" for name in METRICS]
        lines.append([*(getattr(row, head) for head in heads), *figures])
    write_whole(folder / "compare.csv", csv_table(lines))
    write_html(found, folder / "compare.html")
    samples = {sample.name: sample for sample in dataset.samples}
    write_whole(folder / "second_look.csv", table_of(found.doubts))
    write_whole(folder / "second_look.html", page_of(found.doubts, samples, found.judged))


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
