"""A search from its order to the winner's bundle: alone, or by several processes at once
(alongside.py), which meet in Optuna's journal.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tomli_w

from inspector.contract.errors import ConfigError, QualityGateError
from inspector.contract.whole import write_whole
from training.alongside import lend, lend_back, require_alone, shared, work_together
from training.compress.prune import require_library
from training.dataset import Dataset
from training.fit import Machine
from training.job import Job, data_of, part_numbers
from training.origin import dated
from training.plan import Plan
from training.release import Released, prepare, read_data, read_sights, release
from training.report import code_text, machine_text
from training.run import Run
from training.screen import Screen
from training.search import (
    JUDGED_ON,
    Goals,
    Study,
    judged_as,
    line_of,
    too_slow,
    work_through,
)
from training.search_found import Found, Tried, table, write_found
from training.search_html import write_html
from training.search_journal import STUDY, mend
from training.search_order import Order
from training.search_space import (
    Entrant,
    Stopwatch,
    plan_of,
    read_profile,
    require_rates,
    space_of,
)
from training.teaching import fit_teachers
from training.workable import require_workable

NAME_FILES = ("teacher", "ensemble", "student", "search")
"""Sections of a plan in which weights and folders may be named."""

MachineOf = Callable[[Plan, Path, int], Machine]


def search(order: Order, machine_of: MachineOf) -> tuple[Path, ...]:
    """Find the winner and release it: the page, the winner's plan and its bundle.

    Raises QualityGateError where none holds both budgets, or the winner not as it ships; the page
    is written all the same.
    """
    require_rates(order.latency_ms, order.escape)
    plan, dataset = order.read()
    allowed = plan.search.overkill_rate_at_most
    overkill = allowed if order.overkill is None else order.overkill
    elsewhere = order.profile is not None
    goals = Goals(order.latency_ms, order.escape, overkill, elsewhere)
    screen = Screen(quiet=order.quiet, worker=order.worker)
    order.out.mkdir(parents=True, exist_ok=True)
    folder = "work" if order.worker is None else f"work-{order.worker}"
    run = Run(order.out / folder, screen.say)
    try:
        if order.worker is None:  # of a search that was killed
            lend_back(order.out, run.work)
        machine = shared(machine_of(plan, order.plan, 1), order.jobs)
        job = Job(plan, run, machine, screen)
        return _run(order, job, dataset, goals)
    finally:
        run.close()


def _run(order: Order, job: Job, dataset: Dataset, goals: Goals) -> tuple[Path, ...]:
    data = dataset.fingerprint(marks=job.plan.tiles is not None)
    space = space_of(job.plan)
    for entrant in space:  # a name or weights that are missing stop it now
        plan_of(job.plan, entrant)
    _first_workable(job.plan, space)
    if any(entrant.prune < 1.0 for entrant in space):
        require_library()
    profile = read_profile(order.profile) if order.profile else None
    watch = Stopwatch(order.out, job.plan, profile)
    tile_ms = watch.time_all(space, lambda some, n: job.screen.bar(some, n, "timing untrained"))
    times_ms = _of_pictures(tile_ms, job, dataset, data)
    slow = too_slow(times_ms, goals)
    names = {each.name for each in slow}
    left = [entrant for entrant in space if str(entrant) not in names]
    job.screen.say(f"search: {len(slow)} of {len(space)} students are too slow untrained")
    study = _study(order, job, goals, data, left, watch.by)
    timed_by = f"foretold of {profile.machine.cpu}" if profile else "this machine"
    show = _Page(order, job, dataset, data, study, goals, slow, timed_by)
    if order.worker is not None or order.jobs == 1:
        work_through(job, dataset, data, study, goals, times_ms, order.trials, show.write)
    else:
        _share(order, job, dataset, data, left)
    if order.worker is not None:
        return ()
    found = show.write()
    for line in table(found):
        job.screen.say(line)
    job.screen.say(found.verdict())
    return _finish(order, job, dataset, found, goals, watch)


def _first_workable(plan: Plan, entrants: Iterable[Entrant]) -> Entrant:
    """The first that a release would begin with. Raises ConfigError where none is, in its words of
    the first: what is wrong with all of them is wrong with the plan.
    """
    refused: ConfigError | None = None
    for entrant in entrants:
        try:
            require_workable(plan_of(plan, entrant))
        except ConfigError as error:
            refused = refused or error
        else:
            return entrant
    raise refused or ConfigError("search: nothing to choose from")


def _of_pictures(
    tile_ms: dict[Entrant, float], job: Job, dataset: Dataset, data: str
) -> dict[Entrant, float]:
    """Times of whole pictures, of as many tiles as a report counts. Raises DataError in words."""
    if job.plan.tiles is None:
        return tile_ms
    quickest = min(tile_ms, key=lambda entrant: tile_ms[entrant])  # it is trained, if any is
    its = replace(job, plan=plan_of(job.plan, quickest, trying=True))
    tiles = read_data(its, dataset, data)[0].tiles_per_picture("golden") or 1.0
    return {entrant: ms * tiles for entrant, ms in tile_ms.items()}


def _study(
    order: Order, job: Job, goals: Goals, data: str, space: Sequence[Entrant], by: str
) -> Study:
    """The record; the first process takes over what a killed search left of it.

    Raises ConfigError where a process of that one still works.
    """
    if order.worker is None:
        require_alone(order.out)
        if mend(order.out):
            job.screen.say(
                f"search: {STUDY} did not end with a whole line (a kill, a full disk): what is "
                "missing is judged again"
            )
    study = Study(order.out, job.plan, goals, data, space, by)
    again = study.recover() if order.worker is None else 0
    if again:
        job.screen.say(f"search: {again} student(s) that a killed search had in work go on")
    return study


def _finish(
    order: Order, job: Job, dataset: Dataset, found: Found, goals: Goals, watch: Stopwatch
) -> tuple[Path, ...]:
    """The winner as a plan, and released."""
    page, best = order.out / "search.html", found.winner
    if best is None:
        raise QualityGateError(f"search: {found.verdict()}; see {page}")
    winner = next(e for e in space_of(job.plan) if str(e) == best.name)
    won = plan_of(job.plan, winner)
    path = order.out / "winner.toml"
    write_plan(won, path)
    if not order.release:
        return page, path
    listed = order.data if order.data.is_file() else order.data / "manifest.csv"
    date = dated([order.plan, listed, *(sample.image for sample in dataset.samples)])
    its = Job(won, job.run, job.machine, job.screen)
    released = release(its, dataset, order.out, date)
    _require_held(its, released, winner, goals, watch)
    return page, path, released.bundle.folder


def _require_held(
    job: Job, released: Released, winner: Entrant, goals: Goals, watch: Stopwatch
) -> None:
    """Raises QualityGateError where what ships misses a budget that the winner held when it was
    tried: it is trained longer, timed anew, and may ship in another precision.
    """
    report = released.judged.candidate.report
    ships = replace(winner, precision="fp32" if report.shipped == "student" else "int8")
    untrained_ms = watch.time(ships) * (report.tiles_per_picture or 1.0)
    held = judged_as(job.plan, released.judged, ships, goals, untrained_ms)
    line = f"search: the winner ships as {line_of(held, goals)}"
    if ships != winner:
        line += f" ({report.shipped_because})"
    if max(goals.over(held)) > 0.0:
        raise QualityGateError(f"{line}; its bundle is made: {released.bundle.folder}")
    job.screen.say(line)


def write_plan(plan: Plan, path: Path) -> None:
    """As a file that `release` reads: with every key, and files named from the root."""

    def rooted(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {k: rooted(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [rooted(each) for each in value]
        if key in ("weights", "handed", "networks", "folder") and value not in ("hub", "none"):
            return str(Path(str(value)).resolve())
        return value

    sections = plan.model_dump(mode="json", exclude_none=True).items()
    kept = {key: rooted(value) if key in NAME_FILES else value for key, value in sections}
    write_whole(path, tomli_w.dumps(kept).encode())


class _Page:
    """What is found so far, written anew after every student."""

    def __init__(
        self,
        order: Order,
        job: Job,
        dataset: Dataset,
        data: str,
        study: Study,
        goals: Goals,
        slow: tuple[Tried, ...],
        timed_by: str,
    ) -> None:
        self._order, self._job, self._study, self._goals = order, job, study, goals
        self._slow, self._timed_by = slow, timed_by
        images, split = prepare(job, dataset, data)
        rows = data_of(images, split).rows[JUDGED_ON]
        is_good = np.array([images.samples[i].label in job.plan.good for i in rows])
        parts = part_numbers(images)[rows]
        self._goods = len(np.unique(parts[is_good]))
        self._defects = len(np.unique(parts[~is_good]))

    def write(self) -> Found:
        found = Found(
            plan=self._job.plan.name,
            latency_goal_ms=self._goals.latency_ms,
            escape_goal=self._goals.escape,
            overkill_goal=self._goals.overkill,
            defects=self._defects,
            goods=self._goods,
            timed_by=self._timed_by,
            machine=machine_text(),
            code=code_text(),
            space=len(space_of(self._job.plan)),
            tried=(*self._study.tried(), *self._slow),
        )
        write_found(found, self._order.out)
        write_html(found, self._order.out / "search.html")
        return found


def _share(order: Order, job: Job, dataset: Dataset, data: str, space: Sequence[Entrant]) -> None:
    """Several processes take one student after the other. Raises TrainingError where one fails."""
    for width in sorted({each.width for each in space}):
        try:
            one = _first_workable(job.plan, (each for each in space if each.width == width))
        except ConfigError:
            continue  # each will say so itself
        its = replace(job, plan=plan_of(job.plan, one, trying=True))
        fit_teachers(read_sights(its, dataset, data))
    workers = []
    for worker in range(1, order.jobs + 1):
        lend(job.run.work, order.out / f"work-{worker}")
        workers.append(order.as_arguments(worker))
    work_together("search", workers)
    lend_back(order.out, job.run.work)
