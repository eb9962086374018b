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

**Trial.** For TRIAL_S after the swap a bundle is on trial: if the process ends without a word
meanwhile, the next start goes back to the bundle before, and says so.
"""

import ctypes
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Full, Queue

from inspector.contract.errors import BundleError, ConfigError
from inspector.contract.status import BundleStatus, LoadOutcome
from inspector.contract.variant import Wanted
from inspector.runtime.fitness import require_quick, require_suits, warn_if_slow
from inspector.runtime.folder import BundleSettings, Wish, is_name, read_wish
from inspector.runtime.loader import load_runtime
from inspector.runtime.model import ModelRuntime
from inspector.runtime.served import Record, Served
from inspector.runtime.settings import AS_JUDGED, RuntimeSettings
from inspector.runtime.signature import trust_in
from inspector.station.cycle import Job
from inspector.station.exchange import JobExchange
from inspector.station.recipe import Recipe

LOOK_S = 1.0
SWAP_S = 30.0
TRIAL_S = 60.0
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
        exchange: JobExchange,
        runtime: RuntimeSettings = AS_JUDGED,
        wanted: Wanted = "auto",
        look_s: float = LOOK_S,
        trial_s: float = TRIAL_S,
    ) -> None:
        """Raises ConfigError where the public key cannot be used."""
        self._settings = settings
        self._trust = trust_in(settings.public_key)
        self._record = Record(record)
        self._exchange = exchange
        self._runtime = runtime
        self._wanted = wanted
        self._look_s = look_s
        self._trial_s = trial_s
        self._requests: Queue[_Request] = Queue(REQUESTS_MAX)
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # of what a recipe changeover and a reload both change
        self._thread: threading.Thread | None = None
        self._loads: Counter[LoadOutcome] = Counter()
        self._seen: Wish | None = None
        self._trial_ends_at = float("inf")
        self._job: Job | None = None
        self._served: Served | None = None

    @property
    def serving(self) -> Job | None:
        """`job`, or None where no recipe was prepared yet."""
        return self._job

    @property
    def job(self) -> Job:
        """The recipe last prepared with the bundle that serves it now."""
        if self._job is None:
            raise ConfigError("no recipe is prepared")
        return self._job

    def prepare(self, recipe: Recipe) -> Job:
        """A recipe with the bundle that served it last, else its own.

        Loads, and waits for a reload under way: not for the station's thread.

        Where that one is damaged, the one before it serves, and the state says so. Raises
        BundleError or ConfigError where none can.
        """
        with self._lock:
            served = self._record.recall(recipe, self._settings.folder)
            first: BundleError | None = None
            candidates = [served.serving, served.previous, recipe.bundle]
            if recipe.limits is not None:  # they hold for the bundle they were made for alone
                candidates = [recipe.bundle]
            for bundle_id in dict.fromkeys(filter(None, candidates)):
                try:
                    runtime = self._open(bundle_id)
                    job = Job(recipe.model_copy(update={"bundle": bundle_id}), runtime)
                    warn_if_slow(runtime, job.recipe)
                except BundleError as error:
                    log.error("bundle %s cannot serve: %s", bundle_id, error)
                    first = first or error
                    continue
                if bundle_id != served.serving:
                    previous = None if bundle_id == served.previous else served.previous
                    changes = {"serving": bundle_id, "previous": previous, "refused": str(first)}
                    served = served.model_copy(update=changes)
                self._remember(recipe, served)
                self._job = job
                return job
            raise first or BundleError(f"bundle {recipe.bundle}: cannot serve")

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """An end in order ends the trial too: what serves was not what ended the process."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_S)
        if self._lock.acquire(timeout=STOP_S):
            self._end_trial()
            self._lock.release()

    def offer(self, bundle_id: str, by: str, done: Done | None = None) -> bool:
        """Ask for a bundle of the folder. False where too many requests wait already."""
        return self._ask(_Request(bundle_id, by, done=done))

    def rollback(self, by: str, done: Done | None = None) -> bool:
        """Ask for the bundle that served before. False where too many requests wait already."""
        return self._ask(_Request(None, by, done=done))

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
                    self._end_trial_in_time()
                    continue
                request = found
            with self._lock:
                self._serve(request)

    def _look(self) -> _Request | None:
        """The folder's wish, once it has not changed from one look to the next."""
        wish = read_wish(self._settings.folder) if self._settings.watch else None
        settled, self._seen = wish == self._seen, wish
        handled = self._served.handled if self._served else ""
        if wish is None or not settled or wish.mark == handled:
            return None
        return _Request(wish.bundle, "the file current", mark=wish.mark)

    def _serve(self, request: _Request) -> None:
        served, job = self._served, self._job
        if served is None or job is None:  # a station that began in ERROR
            self._answer(request, "no recipe is prepared", taken=False)
            return
        if request.mark is not None:
            served = served.model_copy(update={"handled": request.mark})
        wanted = served.previous if request.bundle_id is None else request.bundle_id
        if wanted == served.serving:
            self._remember(job.recipe, served)
            self._answer(request, f"bundle {wanted} serves already", taken=True)
            return
        reason = self._try(wanted, request)
        if reason is not None:
            self._loads["refused"] += 1
            words = f"{wanted or 'rollback'}, asked for by {request.by}: {reason}"
            log.error("bundle refused, %s goes on: %s", served.serving, words)
            self._remember(job.recipe, served.model_copy(update={"refused": words}))
        else:
            self._loads["taken"] += 1
            changes = {"serving": wanted, "previous": served.serving, "refused": None}
            self._remember(
                job.recipe, served.model_copy(update={**changes, "on_trial": self._trial_s > 0})
            )
            self._trial_ends_at = time.monotonic() + self._trial_s
        del job
        _give_back_memory()
        self._answer(request, reason or f"bundle {wanted} serves", taken=reason is None)

    def _try(self, wanted: str | None, request: _Request) -> str | None:
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
        if not self._exchange.offer(candidate, SWAP_S):
            return f"the station did not take it between two parts within {SWAP_S:.0f} s"
        log.info(
            "bundle %s replaces %s, asked for by %s: p99 %.1f ms, n=%d",
            wanted,
            serving.bundle_id,
            request.by,
            latency.p99_ms,
            latency.n,
        )
        self._job = candidate
        return None

    def _open(self, bundle_id: str) -> ModelRuntime:
        if not is_name(bundle_id):
            raise BundleError(f"{bundle_id!r} is no bundle's name")
        folder = self._settings.folder
        return load_runtime(folder, bundle_id, self._runtime, self._trust, self._wanted)

    def _answer(self, request: _Request, words: str, *, taken: bool) -> None:
        if request.done is not None:
            request.done(taken, words)

    # --- the record ---

    def _remember(self, recipe: Recipe, served: Served) -> None:
        """On disk, and in what the station says."""
        self._served = served
        self._exchange.status = BundleStatus(
            loads=dict(self._loads), refused=served.refused, previous=served.previous
        )
        self._record.keep(recipe, served)

    def _end_trial_in_time(self) -> None:
        if time.monotonic() >= self._trial_ends_at:
            with self._lock:
                self._end_trial()

    def _end_trial(self) -> None:
        self._trial_ends_at = float("inf")
        if self._job is not None and self._served is not None and self._served.on_trial:
            served = self._served.model_copy(update={"on_trial": False})
            self._remember(self._job.recipe, served)


def _give_back_memory() -> None:
    """What a closed session leaves to the C library goes back to the system.

    onnxruntime's memory grows over session swaps (onnxruntime#26831): glibc keeps what was freed
    in pieces. Measured, 30 swaps of a 9 MB model: 106 MB became 140 to 163 without this, 92 with
    it; the arena switched off, or one shared allocator, did not help by themselves.
    """
    with suppress(OSError, AttributeError):  # not glibc: nothing to trim
        ctypes.CDLL(None).malloc_trim(0)
