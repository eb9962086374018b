"""Which student is the smallest that holds the station's time and the plant's escape goal?

Every entrant is timed untrained first, and what is too slow is never trained. The rest is trained,
calibrated and judged by the chain of release.py; where there are more than may be tried, a sampler
that learns from what was found says which comes next (multi-objective tree-structured Parzen
estimator: Watanabe, arXiv 2304.11127; Optuna). Entrants are judged on the validation parts: the
winner's limits are proven on the calibration parts, which must have chosen nothing, and its release
is the golden set's first use.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from inspector.contract.errors import ConfigError, DataError, TrainingError
from training.answers import answers_of
from training.dataset import Dataset, SplitName
from training.evaluate import Held, escape_at_overkill, overkill_at_escape
from training.job import Job, part_numbers
from training.plan import Plan, fingerprint
from training.release import Judged, train_and_judge
from training.search_found import Tried
from training.search_journal import STUDY
from training.search_space import Entrant, contents_of_plan, plan_of, space_of
from training.workable import require_workable

TIME_MARGIN = 1.25
"""An untrained entrant this much slower than the budget is not trained: timings scatter less."""
STARTUP = 8
"""Entrants drawn at random before the sampler has learned enough."""
JUDGED_ON: SplitName = "validation"
TRIED, IN_WORK = "tried", "in work"


@dataclass(frozen=True, slots=True)
class Goals:
    """What a student must hold."""

    latency_ms: float
    escape: float
    overkill: float
    elsewhere: bool = False
    """The time is that of another machine, foretold: what students take here does not count."""

    def over(self, tried: Tried) -> tuple[float, float]:
        """By how much each is missed, relative to the goal; at most 0 is held."""
        overkill = 1.0 if tried.overkill is None else tried.overkill
        return (
            tried.latency_ms / self.latency_ms - 1.0,
            (overkill - self.overkill) / max(self.overkill, 0.01),
        )


class Study:
    """The record of a search in a file that several processes write, over Optuna's."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        goals: Goals,
        data: str,
        space: Sequence[Entrant],
        timed: str = "",
    ) -> None:
        """data: the data's fingerprint; timed: who says how long a student takes. A changed plan,
        file that it names, goal, data set or clock is another search. space: what may be tried.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = tuple(space)
        self._models = plan.search.models
        self._widths = sorted({each.width for each in space_of(plan)})
        self._shares = sorted({each.prune for each in space_of(plan)})
        self._goals = goals
        self._seed = plan.seed
        asked = [goals.latency_ms, goals.escape, goals.overkill, timed, JUDGED_ON]
        name = fingerprint(contents_of_plan(plan), asked, data)[:12]
        sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=plan.seed)
        # Its lock is a link to this path: only one that leads somewhere is ever taken for stale.
        journal = JournalFileBackend(str((folder / STUDY).resolve()))
        self._study = optuna.create_study(
            storage=JournalStorage(journal),
            sampler=sampler,
            study_name=name,
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )

    def recover(self) -> int:
        """Hand out again what a killed search had in work; how many. Only while no other works."""
        stale = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in stale:
            self._study.tell(trial.number, state=TrialState.FAIL)
            if trial.params:
                self._study.enqueue_trial(trial.params)
        return len(stale)

    def tried(self) -> tuple[Tried, ...]:
        """Every entrant once, in the order of their ends."""
        found: dict[str, Tried] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if TRIED in trial.user_attrs:
                tried = Tried.model_validate(trial.user_attrs[TRIED])
                found.setdefault(tried.name, tried)
        return tuple(found.values())

    def next(self, at_most: int) -> tuple[Trial, Entrant] | None:
        """The next entrant; None where so many were judged or are in work, or none is left."""
        while self._space:
            taken = self._taken()
            left = [each for each in self._space if str(each) not in taken]
            judged = sum(kind in ("judged", "unfit") for kind in taken.values())
            if not left or judged >= at_most:
                return None
            if len(left) + judged <= at_most:  # all of them will be tried: no need to choose
                self._study.enqueue_trial(self._params(left[0]), skip_if_exists=False)
            trial = self._study.ask()
            entrant = self._suggested(trial)
            if entrant in left:
                trial.set_user_attr(IN_WORK, str(entrant))
                return trial, entrant
            # too slow, or the sampler likes it so much that it asks again: another comes next
            self._study.tell(trial, state=TrialState.PRUNED)
            drawn = random.Random(self._seed + trial.number).choice(left)  # noqa: S311 - no secret
            self._study.enqueue_trial(self._params(drawn), skip_if_exists=False)
        return None

    def tell(self, trial: Trial, tried: Tried) -> None:
        trial.set_user_attr(TRIED, tried.model_dump(mode="json"))
        if tried.outcome != "judged" or tried.overkill is None:
            self._study.tell(trial, state=TrialState.PRUNED)
            return
        for goal, over in zip(("latency", "overkill"), self._goals.over(tried), strict=True):
            trial.set_constraint(goal, over)
        self._study.tell(trial, [tried.latency_ms, tried.overkill])

    def _suggested(self, trial: Trial) -> Entrant:
        """By their places, so that the sampler takes neighbours to be alike."""
        model = self._models[trial.suggest_int("model", 0, len(self._models) - 1)]
        width = self._widths[trial.suggest_int("width", 0, len(self._widths) - 1)]
        small = trial.suggest_categorical("precision", ("fp32", "int8")) == "int8"
        share = self._shares[0]
        if len(self._shares) > 1:
            share = self._shares[trial.suggest_int("prune", 0, len(self._shares) - 1)]
        return Entrant(model, width, "int8" if small else "fp32", share)

    def _params(self, entrant: Entrant) -> dict[str, Any]:
        return {
            "model": self._models.index(entrant.model),
            "width": self._widths.index(entrant.width),
            "precision": entrant.precision,
            **({"prune": self._shares.index(entrant.prune)} if len(self._shares) > 1 else {}),
        }

    def _taken(self) -> dict[str, str]:
        """What became of each entrant; one in work counts as judged."""
        taken = {each.name: str(each.outcome) for each in self.tried()}
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if IN_WORK in trial.user_attrs:
                taken.setdefault(trial.user_attrs[IN_WORK], "judged")
        return taken


def work_through(
    job: Job,
    dataset: Dataset,
    data: str,
    study: Study,
    goals: Goals,
    times_ms: dict[Entrant, float],
    at_most: int,
    show: Callable[[], object],
) -> None:
    """Take one entrant after the other until so many are judged, by all processes together.

    show: called after each.
    """
    while (taken := study.next(at_most)) is not None:
        trial, entrant = taken
        tried = _try(job, dataset, data, entrant, goals, times_ms[entrant])
        study.tell(trial, tried)
        job.screen.say(line_of(tried, goals))
        show()


def _try(
    job: Job, dataset: Dataset, data: str, entrant: Entrant, goals: Goals, untrained_ms: float
) -> Tried:
    plan = plan_of(job.plan, entrant, trying=True)
    its = Job(plan, job.run, job.machine, job.screen)
    try:
        require_workable(plan)  # before it is trained, not after
        judged = train_and_judge(its, dataset, data)
    except (TrainingError, ConfigError, DataError) as error:
        return _not_judged(entrant, "failed", untrained_ms, str(error))
    return judged_as(plan, judged, entrant, goals, untrained_ms)


def judged_as(
    plan: Plan, judged: Judged, entrant: Entrant, goals: Goals, untrained_ms: float
) -> Tried:
    """The figures of what ships; unfit where that is not in the entrant's precision.

    untrained_ms: of a picture with all of its tiles.
    """
    report = judged.candidate.report
    row = report.shipped_row
    if row.precision != entrant.precision:
        return _not_judged(entrant, "unfit", untrained_ms, report.shipped_because)
    held = selection_of(plan, judged, row.role)
    return Tried(
        **asdict(entrant),
        outcome="judged",
        latency_ms=untrained_ms
        if goals.elsewhere
        else row.latency_ms * (report.tiles_per_picture or 1.0),
        overkill=overkill_at_escape(held, goals.escape),
        escape=escape_at_overkill(held, goals.overkill),
        macro_recall=row.validation.macro_recall,
        parameters=row.parameters,
        macs=row.macs,
        file_bytes=row.file_bytes,
        unknown=report.unknown,
    )


def too_slow(times_ms: dict[Entrant, float], goals: Goals) -> tuple[Tried, ...]:
    """What need not be trained. times_ms: of a picture with all of its tiles."""
    slow = {e: ms for e, ms in times_ms.items() if ms > TIME_MARGIN * goals.latency_ms}
    return tuple(_not_judged(entrant, "too slow", ms) for entrant, ms in slow.items())


def _not_judged(
    entrant: Entrant, outcome: Literal["too slow", "failed", "unfit"], ms: float, why: str = ""
) -> Tried:
    return Tried(
        **asdict(entrant),
        outcome=outcome,
        latency_ms=ms,
        why=why,
    )


def selection_of(plan: Plan, judged: Judged, role: str) -> Held:
    """The model's scores of the parts that entrants are judged on."""
    data = judged.data
    numbers = part_numbers(data.images)
    return answers_of(plan, data, role, judged.answers.folder, numbers)[JUDGED_ON].held


def line_of(tried: Tried, goals: Goals) -> str:
    """A student's figures beside the goals, for the log."""
    if tried.outcome != "judged" or tried.overkill is None:
        return f"{tried.name}: {tried.outcome}: {tried.why}"
    held = "holds both" if max(goals.over(tried)) <= 0.0 else "does not hold both"
    return (
        f"{tried.name}: {tried.latency_ms:.2f} ms, overkill {100 * tried.overkill:.2f} % at escape "
        f"{100 * goals.escape:g} %: {held}"
    )
