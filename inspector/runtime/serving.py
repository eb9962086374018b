"""What serves now: the recipe with its bundle, the record of it on disk, and the trial of a bundle.

Shared by the loader's thread and by whoever prepares a recipe: `lock` is held by who changes it.
"""

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from inspector.contract.errors import BundleError
from inspector.contract.status import BundleStatus, LoadOutcome
from inspector.runtime.fitness import slow
from inspector.runtime.model import ModelRuntime
from inspector.runtime.revise import Revisions, for_form, warn_if_looser
from inspector.runtime.served import Record, Served, in_turn
from inspector.station.cycle import Job
from inspector.station.exchange import JobExchange
from inspector.station.recipe import Recipe

TRIAL_S = 60.0
SWAP_S = 30.0

Take = Callable[[Job], bool]
"""Has the station begin with a job. False where it refused: it goes on with what it had."""

log = logging.getLogger(__name__)


def at_its_start(_job: Job) -> bool:
    """Take: of a station that does not run yet. The order that brings its job waits for it."""
    return True


class Serving:
    def __init__(
        self,
        bundles: Path,
        open_bundle: Callable[[str], ModelRuntime],
        *,
        record: Path,
        revisions: Revisions,
        exchange: JobExchange,
        trial_s: float,
    ) -> None:
        """open_bundle: raises BundleError, ConfigError."""
        self.lock = threading.Lock()
        self.job: Job | None = None
        self.served: Served | None = None
        self.written: Recipe | None = None
        """The recipe as its file had it, when it was prepared."""
        self.revision = 0
        """Of it, that holds; 0: its file does."""
        self.otherwise: str | None = None
        """Why parts are not judged by the limits of that revision."""
        self.revisions = revisions
        self._bundles = bundles
        self._open = open_bundle
        self._record = Record(record)
        self._exchange = exchange
        self._trial_s = trial_s
        self._numbers = itertools.count(1)
        self._trial_ends_at = float("inf")
        self._loads: Counter[LoadOutcome] = Counter()

    def prepare(self, written: Recipe, take: Take = at_its_start) -> Job:
        """A recipe, as its newest revision has it, with the bundle that served it last, else its
        own. Where that one is damaged, the one before it serves, and the state says so.

        Loads, and waits for a reload under way: not for the station's thread. None begins before
        `take` has answered, and where that is False, everything is as it was: what is said to
        serve is what the station has.

        Raises BundleError or ConfigError where none can serve.
        """
        with self.lock:
            recipe, revision = self.revisions.held(written), self.revisions.newest(written)
            runtime, served = self._loaded(recipe, self._known(recipe))
            recipe, otherwise = for_form(recipe, revision, runtime)
            changes = {"bundle": runtime.bundle_id}
            job = self._numbered(Job(recipe.model_copy(update=changes), runtime))
            if (why := slow(runtime, job.recipe)) is not None:
                log.warning("%s", why)
            if otherwise is not None:
                log.warning("recipe %s, %s", recipe.name, otherwise)
            elif revision is None:
                warn_if_looser(job)
            if take(job):
                self._end_trial_of_another(recipe)
                self.job, self.written = job, written
                self.revision = revision.number if revision else 0
                self.otherwise = otherwise
                self.remember(recipe, served)
            return job

    def _known(self, recipe: Recipe) -> Served:
        """What serves it now; where this process has not served it, what its record says."""
        if self.served is not None and self.job is not None:
            now = self.job.recipe.name, self.served.commissioned
            if now == (recipe.name, recipe.bundle):
                return self.served
        return self._record.recall(recipe, self._bundles)

    def _loaded(self, recipe: Recipe, served: Served) -> tuple[ModelRuntime, Served]:
        """The first bundle that can serve it. Raises BundleError, ConfigError."""
        why: str | None = None
        if recipe.limits is not None:
            why = f"{served.serving}: the recipe has limits of its own, made for {recipe.bundle}"
        first: BundleError | None = None
        for bundle_id in in_turn(recipe, served):
            try:
                runtime = self._open(bundle_id)
            except BundleError as error:
                log.error("bundle %s cannot serve: %s", bundle_id, error)
                first = first or error
                continue
            if bundle_id != served.serving:
                previous = None if bundle_id == served.previous else served.previous
                refused = str(first or why)
                changes = {"serving": bundle_id, "previous": previous, "on_trial": False}
                served = served.model_copy(update={**changes, "refused": refused})
            return runtime, served
        raise first or BundleError(f"bundle {recipe.bundle}: cannot serve")

    def _end_trial_of_another(self, recipe: Recipe) -> None:
        """Its bundle serves no more: should the process die now, it is not to blame."""
        if self.job is not None and self.job.recipe.name != recipe.name:
            self.end_trial()

    def offer(self, candidate: Job) -> Job | None:
        """The job as the station has taken it between two parts; None: it did not in time."""
        job = self._numbered(candidate)
        return job if self._exchange.offer(job, SWAP_S) else None

    def untaken(self) -> str:
        """Why it did not."""
        if self._exchange.closed:
            return "the station is ending"
        return f"the station did not take it between two parts within {SWAP_S:.0f} s"

    def _numbered(self, job: Job) -> Job:
        return replace(job, number=next(self._numbers))

    def on_trial(self, job: Job, served: Served) -> Served:
        """What there is once another bundle serves the recipe. served: what was before."""
        changes = {"serving": job.runtime.bundle_id, "previous": served.serving, "refused": None}
        return served.model_copy(update={**changes, "on_trial": self._trial_s > 0})

    def taken(self, job: Job, served: Served) -> None:
        """Another bundle serves the recipe, on trial. served: what was before."""
        self.job = job
        self._loads["taken"] += 1
        self.remember(job.recipe, self.on_trial(job, served))
        self._trial_ends_at = time.monotonic() + self._trial_s

    def refused(self, recipe: Recipe, served: Served, words: str) -> None:
        """A bundle that was to serve does not."""
        self._loads["refused"] += 1
        self.remember(recipe, served.model_copy(update={"refused": words}))

    def revised(self, job: Job, revision: int, served: Served) -> None:
        """The recipe is another, the bundle the same: that is what is commissioned from now on."""
        self.job, self.revision, self.otherwise = job, revision, None
        self.remember(job.recipe, served.model_copy(update={"commissioned": served.serving}))

    def foresee(self, recipe: Recipe, served: Served) -> None:
        """On disk alone: what a start shall find where the process dies of what comes now."""
        self._record.keep(recipe, served)

    def remember(self, recipe: Recipe, served: Served) -> None:
        """On disk, and in what the station says."""
        self.served = served
        self._exchange.status = BundleStatus(
            loads=dict(self._loads),
            refused="; ".join(filter(None, (self.otherwise, served.refused))) or None,
            previous=served.previous,
            on_trial=served.on_trial,
            revision=self.revision,
        )
        self._record.keep(recipe, served)

    def end_trial_in_time(self) -> None:
        if time.monotonic() >= self._trial_ends_at:
            with self.lock:
                self.end_trial()

    def end_trial(self) -> None:
        self._trial_ends_at = float("inf")
        if self.job is not None and self.served is not None and self.served.on_trial:
            served = self.served.model_copy(update={"on_trial": False})
            self.remember(self.job.recipe, served)
