"""Hot reload: another bundle takes over between two parts, or the old one goes on and says why.

The loader's thread watches the bundles' folder and takes requests. A candidate is verified (every
byte, and the signature where the station has a key), opened, warmed up, held to its golden
pictures on this machine, to the recipe, and to the recipe's deadline; only then it is offered to
the station. Whatever fails, the serving bundle is not touched.

**The folder.** The file `current` in it names the bundle its stations shall serve by (`inspector
bundle use` writes it whole). A bundle that is still being copied is not looked at before its files
have stayed as they are from one look to the next; a wish is tried once, and again when the pointer
or a file of the bundle has changed. The recipe wins where it is newer: when a station starts with a
recipe, or with another bundle in it, for the first time, the pointer it finds is not followed.

**A recipe's change** (`revise`) goes the same way: it is checked, for other regions with the
serving bundle opened anew, tested and timed; the revision is on disk before it is offered.

**Trial.** For TRIAL_S after the swap a bundle is on trial: if the process does not end in order
meanwhile, the next start goes back to the bundle before, and says so.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue

from inspector.contract.errors import BundleError, ConfigError
from inspector.contract.revision import RecipeChange
from inspector.contract.variant import Wanted
from inspector.runtime.fitness import require_quick, require_suits
from inspector.runtime.folder import BundleSettings, Wish, is_name, read_wish
from inspector.runtime.loader import load_runtime
from inspector.runtime.memory import give_back_memory
from inspector.runtime.model import ModelRuntime
from inspector.runtime.revise import Revisions, revised_job
from inspector.runtime.served import Served
from inspector.runtime.serving import TRIAL_S, Serving, Take, at_its_start
from inspector.runtime.settings import AS_JUDGED, RuntimeSettings
from inspector.runtime.signature import trust_in
from inspector.station.cycle import Job
from inspector.station.exchange import JobExchange
from inspector.station.recipe import Recipe

LOOK_S = 1.0
REQUESTS_MAX = 4
STOP_S = 20.0

Done = Callable[[bool, str], None]
"""Told on the loader's thread what became of a request: whether it serves now, and why not."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    bundle_id: str | None
    """None: the one before."""
    by: str
    mark: str | None = None
    """Of the wish it follows, where it follows one."""
    change: RecipeChange | None = None
    """The serving bundle stays, the recipe does not."""
    done: Done | None = None


class Reloader:
    """Owns the candidate, and the record of what serves. `job` is what the station shall serve by;
    `offer` and `rollback` may be called by any thread.
    """

    def __init__(
        self,
        settings: BundleSettings,
        *,
        record: Path,
        revisions: Revisions,
        exchange: JobExchange,
        runtime: RuntimeSettings = AS_JUDGED,
        wanted: Wanted = "auto",
        look_s: float = LOOK_S,
        trial_s: float = TRIAL_S,
    ) -> None:
        """Raises ConfigError where the public key cannot be used."""
        self._settings = settings
        self._trust = trust_in(settings.public_key)
        self._exchange = exchange
        self._runtime = runtime
        self._wanted = wanted
        self._look_s = look_s
        self._requests: Queue[_Request] = Queue(REQUESTS_MAX)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._seen: Wish | None = None
        self._now = Serving(
            settings.folder,
            self._open,
            record=record,
            revisions=revisions,
            exchange=exchange,
            trial_s=trial_s,
        )

    @property
    def serving(self) -> Job | None:
        """`job`, or None where no recipe was prepared yet."""
        return self._now.job

    @property
    def job(self) -> Job:
        """The recipe last prepared with the bundle that serves it now."""
        if self._now.job is None:
            raise ConfigError("no recipe is prepared")
        return self._now.job

    def prepare(self, written: Recipe, take: Take = at_its_start) -> Job:
        """As `Serving.prepare`: loads. Raises BundleError, ConfigError."""
        return self._now.prepare(written, take)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self, *, in_order: bool = True) -> None:
        """An end in order ends the trial too: what serves was not what ended the process."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_S)
        if in_order and self._now.lock.acquire(timeout=STOP_S):
            self._now.end_trial()
            self._now.lock.release()

    def offer(self, bundle_id: str, by: str, done: Done | None = None) -> bool:
        """Ask for a bundle of the folder. False where too many requests wait already."""
        return self._ask(_Request(bundle_id, by, done=done))

    def rollback(self, by: str, done: Done | None = None) -> bool:
        """Ask for the bundle that served before. False where too many requests wait already."""
        return self._ask(_Request(None, by, done=done))

    def revise(self, change: RecipeChange, by: str, done: Done | None = None) -> bool:
        """Ask for another recipe with the same bundle. False where too many requests wait."""
        return self._ask(_Request(None, by, done=done, change=change))

    def _ask(self, request: _Request) -> bool:
        try:
            self._requests.put_nowait(request)
        except Full:
            return False
        return True

    # --- the loader's thread ---

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                request = self._requests.get(timeout=self._look_s)
            except Empty:
                found = self._look()
                if found is None:
                    self._now.end_trial_in_time()
                    continue
                request = found
            with self._now.lock:
                self._serve(request)

    def _look(self) -> _Request | None:
        """The folder's wish, once it has not changed from one look to the next."""
        wish = read_wish(self._settings.folder) if self._settings.watch else None
        settled, self._seen = wish == self._seen, wish
        handled = self._now.served.handled if self._now.served else ""
        if wish is None or not settled or wish.mark == handled:
            return None
        return _Request(wish.bundle, "the file current", mark=wish.mark)

    def _serve(self, request: _Request) -> None:
        served, job = self._now.served, self._now.job
        if served is None or job is None:  # a station that began in ERROR
            self._answer(request, "no recipe is prepared", taken=False)
            return
        if request.change is not None:
            del job
            self._revise(request.change, request, served)
            return
        if request.mark is not None:
            served = served.model_copy(update={"handled": request.mark})
        wanted = served.previous if request.bundle_id is None else request.bundle_id
        if wanted == served.serving:
            self._now.remember(job.recipe, served)
            self._answer(request, f"bundle {wanted} serves already", taken=True)
            return
        reason = self._try(wanted, request, served)
        if reason is not None:
            words = f"{wanted or 'rollback'}, asked for by {request.by}: {reason}"
            log.error("bundle refused, %s goes on: %s", served.serving, words)
            self._now.refused(job.recipe, served, words)
        else:
            self._now.taken(self.job, served)
        del job
        give_back_memory()
        self._answer(request, reason or f"bundle {wanted} serves", taken=reason is None)

    def _try(self, wanted: str | None, request: _Request, served: Served) -> str | None:
        """Load a candidate and have the station take it; why it does not serve, or None."""
        job = self.job
        serving = job.runtime
        try:
            if wanted is None:
                raise BundleError("there is no bundle before this one")
            runtime = self._open(wanted)
            candidate = Job(job.recipe.model_copy(update={"bundle": wanted}), runtime)
            if isinstance(serving, ModelRuntime):
                require_suits(runtime, serving, job.recipe, back=request.bundle_id is None)
            latency = require_quick(runtime, job.recipe, self._exchange.frame_size)
        except (BundleError, ConfigError) as error:
            return str(error)
        except Exception as error:
            # what others made has found a hole in our checks: it is refused, not the line stopped
            log.exception("bundle %s", wanted)
            return f"{type(error).__name__}: {error}"
        # before the station has it: its first part may be what the process dies of
        self._now.foresee(job.recipe, self._now.on_trial(candidate, served))
        taken = self._now.offer(candidate)
        if taken is None:
            return self._now.untaken()
        log.info(
            "bundle %s replaces %s, asked for by %s: p99 %.1f ms, n=%d",
            wanted,
            serving.bundle_id,
            request.by,
            latency.p99_ms,
            latency.n,
        )
        self._now.job = taken
        return None

    def _revise(self, change: RecipeChange, request: _Request, served: Served) -> None:
        try:
            words, taken = self._changed(change, request.by, served), True
            log.info("recipe: %s, asked for by %s", words, request.by)
        except (BundleError, ConfigError) as error:
            words, taken = str(error), False
            log.error("recipe not changed, asked for by %s: %s", request.by, error)
        except Exception as error:  # as _try: refused, not the line stopped
            log.exception("recipe, asked for by %s", request.by)
            words, taken = f"{type(error).__name__}: {error}", False
        give_back_memory()
        self._answer(request, words, taken=taken)

    def _changed(self, change: RecipeChange, by: str, served: Served) -> str:
        """What has become of the recipe, in words. Raises BundleError, ConfigError."""
        now, holds = self._now, self._now.revision
        written = now.written or self.job.recipe
        if change.based_on != holds:
            raise ConfigError(
                f"revision {holds} of the recipe holds, this was made from {change.based_on}: look "
                "at what holds now"
            )
        if served.on_trial:
            raise ConfigError(f"bundle {served.serving} is on trial for a minute: ask again then")
        candidate, words = revised_job(self.job, change, self._open, self._exchange.frame_size)
        if change.only_check:
            return f"would be taken: {words}"
        running = candidate.runtime.running
        revision = now.revisions.add(written, change, by, running.variant)
        taken = now.offer(candidate)
        if taken is None:
            why = now.untaken()
            try:
                now.revisions.take_back(written, revision)
            except ConfigError as error:
                raise ConfigError(f"{why}, but its next start will: {error}") from None
            raise BundleError(why)
        now.revised(taken, revision.number, served)
        return f"{written.name}, revision {revision.number}: {words}; why: {change.why}"

    def _open(self, bundle_id: str) -> ModelRuntime:
        if not is_name(bundle_id):
            raise BundleError(f"{bundle_id!r} is no bundle's name")
        folder = self._settings.folder
        return load_runtime(folder, bundle_id, self._runtime, self._trust, self._wanted)

    def _answer(self, request: _Request, words: str, *, taken: bool) -> None:
        if request.done is not None:
            request.done(taken, words)
