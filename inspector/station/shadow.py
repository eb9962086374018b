"""A second bundle judges the same parts, on a thread of its own and without a say.

The station shows it a part after the verdict has left. It holds at most `queue_max` frames: where
it is slower than the line, parts are dropped and counted, and the line does not wait.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue

from inspector.contract.errors import ConfigError, ModelError
from inspector.contract.image import Image
from inspector.contract.result import NAMES, EvaluationName, InspectionResult
from inspector.contract.shadow import Opinion, ShadowMessage
from inspector.contract.status import ShadowStatus
from inspector.contract.verdict import WORST_FIRST
from inspector.station.judging import Job, Judged, judge_image
from inspector.station.ports import Clock, Runtime
from inspector.station.recipe import Recipe
from inspector.station.spread import spread
from inspector.station.stopwatch import Stopwatch

LOOK_S = 0.2
STOP_S = 5.0
TIMED = 1_000
NICE = 10  # what the shadow computes must wait for what the line needs

Keep = Callable[[ShadowMessage, Image], None]
"""Called on the shadow's thread for each disagreement."""
Note = Callable[[InspectionResult, str], None]
"""Called on the shadow's thread for each part it judged, with its bundle."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Shown:
    result: InspectionResult
    image: Image
    recipe: Recipe


def _forget(_result: InspectionResult, _bundle: str) -> None:
    """Nobody counts."""


class ShadowJudge:
    """ports.Shadow. It uses the limits of its own bundle: a recipe's were made for another."""

    def __init__(
        self, runtime: Runtime, *, queue_max: int, clock: Clock, keep: Keep, note: Note = _forget
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._keep = keep
        self._note = note
        self._queue: Queue[_Shown] = Queue(queue_max)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._job: Job | None = None
        self._shown: Recipe | None = None
        self._dropped = 0  # written by who offers
        # written by the shadow's thread
        self._judged = 0
        self._disagreements = 0
        self._failed = 0
        self._judge_ms: deque[float] = deque(maxlen=TIMED)

    @property
    def status(self) -> ShadowStatus:
        return ShadowStatus(
            bundle=self._runtime.bundle_id,
            judged=self._judged,
            disagreements=self._disagreements,
            dropped=self._dropped,
            failed=self._failed,
            judge_ms=spread(self._judge_ms.copy()),
        )

    def offer(self, result: InspectionResult, image: Image, recipe: Recipe) -> None:
        """A part was judged; one whose frame could not be judged at all has nothing to compare."""
        if not result.regions or self._stopping.is_set():
            return
        try:
            self._queue.put_nowait(_Shown(result, image, recipe))
        except Full:
            self._dropped += 1

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """What waits still is judged, for a few seconds at most."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    # --- the shadow's thread ---

    def _run(self) -> None:
        with suppress(OSError, AttributeError):  # Linux counts niceness by thread
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            try:
                shown = self._queue.get(timeout=LOOK_S)
            except Empty:
                if self._stopping.is_set():
                    return
                continue
            self._judge(shown)

    def _judge(self, shown: _Shown) -> None:
        started_at = self._clock.monotonic()
        try:
            watch = Stopwatch(self._clock, started_at)
            judged = judge_image(shown.image, self._job_for(shown.recipe), watch)
        except (ModelError, ValueError, ConfigError) as error:
            self._failed += 1
            if self._failed == 1:
                log.warning("shadow %s: cannot judge: %s", self._runtime.bundle_id, error)
            return
        self._judge_ms.append((self._clock.monotonic() - started_at) * 1_000)
        self._judged += 1
        self._note(shown.result, self._runtime.bundle_id)
        if NAMES[judged.verdict.evaluation] != _evaluation(shown.result):
            self._disagreements += 1
            self._keep(self._message(shown.result, judged), shown.image)

    def _job_for(self, recipe: Recipe) -> Job:
        if self._job is None or self._shown is not recipe:  # another, or a revision of it
            changes = {"bundle": self._runtime.bundle_id, "limits": None}
            self._job = Job(recipe.model_copy(update=changes), self._runtime)
            self._shown = recipe
        return self._job

    def _message(self, result: InspectionResult, judged: Judged) -> ShadowMessage:
        return ShadowMessage(
            station=result.station,
            boot=result.boot,
            number=self._disagreements,
            judged=self._judged,
            result_id=result.result_id,
            seq=result.seq,
            part=result.part.id,
            captured_at=result.captured_at,
            serving=Opinion(
                bundle=result.bundle,
                evaluation=_evaluation(result),
                label=result.label,
                score=result.score,
            ),
            shadow=Opinion(
                bundle=self._runtime.bundle_id,
                evaluation=NAMES[judged.verdict.evaluation],
                label=judged.label,
                score=judged.score,
            ),
            image=result.result_id,
        )


def _evaluation(result: InspectionResult) -> EvaluationName:
    """What the model said: a verdict that was withheld (late, no room) is no opinion of its."""
    names = [NAMES[evaluation] for evaluation in WORST_FIRST]
    return min((region.evaluation for region in result.regions), key=names.index)
