"""How a defect fares that nobody has seen: each class in turn is left out of training.

The release's own stages run without the class (same split, same plan), and then every part of it
is judged by the model that would ship. What stops them, score, review or novelty, is counted, and
what the novelty limit costs in good parts of the golden set.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from inspector.contract.errors import ConfigError, DataError
from inspector.contract.outputs import Outputs
from inspector.contract.strict import Strict
from inspector.contract.table import csv_table
from inspector.contract.verdict import Limits
from inspector.contract.whole import write_whole
from training.dataset import SPLITS, Dataset
from training.evaluate import Held, Rate, held, verdicts_of
from training.export import run_model
from training.job import Data, Job, part_numbers, without_class
from training.judging import Candidate
from training.plan import Plan
from training.plan_quality import Severities
from training.release import read_sights, train_and_judge_on
from training.sights import Sight, Sights
from training.standing import of_pictures
from training.workable import require_workable

COLUMNS = (
    "left_out",
    "parts",
    "passed",
    "passed_at_most",
    "by_score",
    "by_review",
    "by_novelty",
    "without_novelty_passed",
    "goals_alone_passed",
    "good",
    "extra_overkill",
    "extra_overkill_at_most",
    "overkill",
    "auroc_score",
    "auroc_novelty",
    "review_at",
    "reject_at",
    "novelty_at",
)


class LeftOut(Strict):
    """What became of one class that training never saw. Pictures of one part count once."""

    label: str
    model: str
    """Role of the model that would ship."""
    limits: Limits
    passed: Rate
    """Parts of the class of which a picture passes: they would have escaped."""
    passed_without_novelty: Rate
    """The same by the score's limits alone."""
    passed_by_goals_alone: Rate
    """The same by the limit that the goals need, without `quality.overkill_to_spend`."""
    by_score: int
    """Parts that do not pass, with a picture that is rejected by its score."""
    by_review: int
    """Else one in the review band."""
    by_novelty: int
    """Else novelty alone stops them."""
    extra_overkill: Rate
    """Good parts of the golden set that the goals' limit does not stop: novelty alone does, or
    what the plan has to spend."""
    overkill: Rate
    """Good parts of the golden set that anything stops."""
    auroc_score: float
    """Pictures of the class against good ones of the golden set, by defect score."""
    auroc_novelty: float
    """The same by novelty."""


def leave_out_each(
    job: Job, dataset: Dataset, classes: Sequence[str], out: Path
) -> Iterator[LeftOut]:
    """One class after the other; none named: every defect class.

    Raises DataError or ConfigError where there is nothing to learn from it, before any training.
    """
    plan = _plan_for(job.plan)
    require_workable(plan)
    job = Job(plan, job.run, job.machine, job.screen)
    sights = read_sights(job, dataset, dataset.fingerprint(marks=plan.tiles is not None))
    data = sights.own.data
    defects = sorted(set(data.labels) - set(plan.good))
    if len(defects) < 2:
        raise DataError(f"leaving a class out takes two defect classes; there is {defects[0]}")
    for label in classes:
        if label not in defects:
            raise DataError(f"--class {label!r}: must be one of {', '.join(defects)}")
    chosen = list(classes) or defects
    found = []
    for number, label in enumerate(chosen, start=1):
        job.screen.say(f"{number} of {len(chosen)}: without {label}")
        found.append(_leave_out(sights, label))
        _write(found, out)
        yield found[-1]


def _plan_for(plan: Plan) -> Plan:
    """The plan without what knows the class all the same, or would ask for it."""
    if not plan.quality.novelty_overkill_at_most:
        raise ConfigError("plan: quality.novelty_overkill_at_most 0: novelty is not measured")
    for key, used in (
        ("teacher.handed", plan.teacher and plan.teacher.handed),
        ("student.old", plan.student.old),
        ("student.unlabelled", plan.student.unlabelled),
    ):
        if used:
            raise ConfigError(f"plan: {key}: may have seen the class that is left out; remove it")
    quality = plan.quality.model_copy(update={"severity": Severities()})
    export = plan.export.model_copy(update={"variants": ()})  # none is judged here
    return plan.model_copy(update={"quality": quality, "export": export})


def _leave_out(sights: Sights, label: str) -> LeftOut:
    def without(sight: Sight) -> Sight:
        job, data, split = sight
        # Nothing is made, but every stage after it is kept under a name of its own.
        stage = job.run.stage("without", lambda _: None, 1, split, label)
        return Sight(job, without_class(data, label), stage)

    kept = sights.changed(without)
    candidate = train_and_judge_on(kept).candidate
    job, data, _ = sights.own
    # Of training's parts only some tiles were cut; a part is judged by all of its tiles.
    sets = SPLITS if data.layout is None else tuple(name for name in SPLITS if name != "train")
    rows = np.concatenate([data.rows[name] for name in sets])
    left_out = rows[[data.images.samples[i].label == label for i in rows]]
    return judge_left_out(job.plan, kept.own.data, candidate, label, np.sort(left_out))


def judge_left_out(
    plan: Plan, data: Data, candidate: Candidate, label: str, rows: NDArray[np.int64]
) -> LeftOut:
    """rows: the pictures of the class in the pixel file."""
    row = candidate.report.shipped_row
    limits, confidence, golden = row.choice.limits, plan.quality.confidence, candidate.golden
    spent = row.choice.needed_review_at
    needed = limits.review_at if spent is None else spent
    probabilities, novelty = run_model(candidate.model, data.images.pixels, rows)
    if data.layout is not None:
        said = Outputs(probabilities, None, novelty)
        rows, probabilities, novelty = of_pictures(data.layout, rows, said, data.labels, plan.good)
    nobody = np.full(len(rows), -1)
    numbers = part_numbers(data.images)[rows]
    strange = held(probabilities, nobody, data.labels, plan.good, numbers, novelty)
    passed = np.array([verdict.passes for verdict in verdicts_of(strange, limits)])
    every = np.ones(len(rows), bool)
    escaped = strange.each_part(every, passed)
    escaped_without = strange.each_part(every, strange.scores < limits.review_at)
    by_goals = strange.each_part(every, strange.scores < needed)
    rejected = strange.each_part(every, strange.scores >= limits.reject_at) & ~escaped
    # A picture below review_at escapes without novelty, so a part that does not is in review.
    reviewed = ~escaped_without & ~rejected & ~escaped
    stopped = ~escaped & ~rejected & ~reviewed
    stops = np.array([not verdict.passes for verdict in verdicts_of(golden, limits)])
    good, by_goal = ~golden.is_defect, golden.scores >= needed
    beyond = golden.each_part(good, stops) & ~golden.each_part(good, by_goal)
    return LeftOut(
        label=label,
        model=row.role,
        limits=limits,
        passed=Rate.of(int(escaped.sum()), len(escaped), confidence),
        passed_without_novelty=Rate.of(int(escaped_without.sum()), len(escaped), confidence),
        passed_by_goals_alone=Rate.of(int(by_goals.sum()), len(escaped), confidence),
        by_score=int(rejected.sum()),
        by_review=int(reviewed.sum()),
        by_novelty=int(stopped.sum()),
        extra_overkill=Rate.of(int(beyond.sum()), len(beyond), confidence),
        overkill=row.golden.overkill,
        auroc_score=_auroc(strange.scores, golden.scores, golden),
        auroc_novelty=_auroc(strange.novelty, golden.novelty, golden),
    )


def _auroc(
    strange: NDArray[np.float64] | None, usual: NDArray[np.float64] | None, golden: Held
) -> float:
    if strange is None or usual is None:
        raise ValueError("a model that measures novelty was asked for")
    good = usual[~golden.is_defect]
    is_strange = np.repeat([False, True], [len(good), len(strange)])
    return float(roc_auc_score(is_strange, np.concatenate([good, strange])))


def table(found: Sequence[LeftOut]) -> list[str]:
    """For a terminal: one line a class, and all of them together."""
    confidence = found[0].passed.confidence
    form = "{:<14}{:>24}{:>10}{:>10}{:>8}{:>8}{:>9}{:>22}{:>8}{:>8}"
    head = ("left out", "parts that pass", "w/o nov.", "by goals", "score", "review", "novelty")
    lines = [form.format(*head, "extra overkill", "AUROC", "of nov.")]
    for each in found:
        lines.append(
            form.format(
                each.label,
                _short(each.passed),
                each.passed_without_novelty.events,
                each.passed_by_goals_alone.events,
                each.by_score,
                each.by_review,
                each.by_novelty,
                _short(each.extra_overkill),
                f"{100 * each.auroc_score:.1f}",
                f"{100 * each.auroc_novelty:.1f}",
            )
        )
    n = sum(each.passed.n for each in found)
    stopped = n - sum(each.passed.events for each in found)
    shares = [1.0 - each.passed.rate for each in found]
    extra = [each.extra_overkill.rate for each in found]
    lines.append(
        f"not passed: {stopped}/{n} parts ({100 * stopped / n:.1f} %), mean of the classes "
        f"{100 * float(np.mean(shares)):.1f} %, extra overkill {100 * float(np.mean(extra)):.1f} % "
        f"on average; bounds hold with {100 * confidence:g} %"
    )
    return lines


def _short(rate: Rate) -> str:
    return f"{rate.events}/{rate.n} (<= {100 * rate.at_most:.1f} %)"


def _write(found: Sequence[LeftOut], out: Path) -> None:
    """novelty.json and novelty.csv, after each class."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps([each.model_dump(mode="json") for each in found], indent=1)
    write_whole(out / "novelty.json", text.encode())
    write_whole(out / "novelty.csv", csv_table((COLUMNS, *map(_cells, found))))


def _cells(each: LeftOut) -> list[object]:
    """In the order of COLUMNS."""
    limits = each.limits
    return [
        each.label,
        each.passed.n,
        each.passed.events,
        f"{each.passed.at_most:.4f}",
        each.by_score,
        each.by_review,
        each.by_novelty,
        each.passed_without_novelty.events,
        each.passed_by_goals_alone.events,
        each.extra_overkill.n,
        each.extra_overkill.events,
        f"{each.extra_overkill.at_most:.4f}",
        each.overkill.events,
        f"{each.auroc_score:.4f}",
        f"{each.auroc_novelty:.4f}",
        f"{limits.review_at:.4f}",
        f"{limits.reject_at:.4f}",
        f"{limits.novelty_at:.4f}",
    ]
