"""The station: one thread that owns state, job and devices, and takes orders between parts."""

import logging
import threading
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, Full, Queue

from inspector.contract.errors import DeviceError, EndOfStream, RecordError, StateError
from inspector.contract.status import StateMessage
from inspector.station.cycle import Gear, Inspected, Job, inspect_part
from inspector.station.exchange import JobExchange
from inspector.station.ports import Frame, Shadow, Trigger
from inspector.station.state import EXECUTING, MOVES, Event, State, move
from inspector.station.tally import Tally

ORDERS_MAX = 8
STATE_EVERY_S = 2.0
SAY_EVERY_S = 10.0
WAIT_S = 0.1  # how long an order or a stop may lie before it is seen

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """An event asked for from outside; PREPARE_RECIPE brings the job to prepare."""

    event: Event
    cause: str
    job: Job | None = None


class Station:
    """One camera position. `run` belongs to one thread; `offer` and `stop` may be called by any."""

    def __init__(
        self,
        gear: Gear,
        trigger: Trigger,
        exchange: JobExchange | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        self._gear = gear
        self._trigger = trigger
        self._exchange = exchange
        self._shadow = shadow
        self._orders: Queue[Order] = Queue(maxsize=ORDERS_MAX)
        self._ending = threading.Event()
        self._tally = Tally()
        self._state = State.PREOPERATIONAL
        self._cause = "started"
        self._since: datetime = gear.clock.utc()
        self._told_at = float("-inf")
        self._job: Job | None = None
        self._camera_is_open = False
        self._last: Frame | None = None
        self._seq = gear.journal.next_seq() - 1
        self._said_at = float("-inf")
        self._unsaid = 0

    def offer(self, order: Order) -> bool:
        """Leave an order for the next gap between two parts. False where too many wait already."""
        try:
            self._orders.put_nowait(order)
        except Full:
            return False
        return True

    def stop(self) -> None:
        """Let `run` return after the part in work."""
        self._ending.set()

    def run(self) -> None:
        """Inspect until `stop`, or until a finite source has ended.

        A world that is broken ends in ERROR, which stays until RESET or HALT; what is not in
        the error tree is our own fault and is raised.
        """
        try:
            while not self._ending.is_set():
                self._take_order()
                self._swap_job()
                if self._state in EXECUTING:
                    self._next_part()
                self._tell_in_time()
        finally:
            self._close_camera()

    def message(self) -> StateMessage:
        """What the station is doing; once `run` has returned, any thread may ask."""
        return StateMessage(
            station=self._gear.station,
            boot=self._gear.boot,
            state=self._state.value,
            cause=self._cause,
            since=self._since,
            recipe=self._job.recipe.name if self._job else None,
            bundle=self._job.runtime.bundle_id if self._job else None,
            seq=self._seq,
            tally=self._tally.counts(
                images_dropped=self._gear.archive.dropped,
                triggers_missed=self._trigger.missed,
            ),
            bundles=self._exchange.status if self._exchange else None,
            shadow=self._shadow.status if self._shadow else None,
        )

    # --- orders and states ---

    def _take_order(self) -> None:
        """Follow one order; while there is nothing to inspect, wait a moment for one."""
        try:
            if self._state in EXECUTING:
                order = self._orders.get_nowait()
            else:
                order = self._orders.get(timeout=WAIT_S)
        except Empty:
            return
        try:
            after = move(self._state, order.event)
            self._prepare(order)
        except StateError as error:
            log.warning("refused: %s", error)
        except (DeviceError, RecordError) as error:
            self._fault(error)
        else:
            self._enter(after, order.cause)

    def _prepare(self, order: Order) -> None:
        """What has to be true before the state is. Raises DeviceError, RecordError."""
        match order.event:
            case Event.PREPARE_RECIPE:
                if order.job is None:
                    raise StateError("PREPARE_RECIPE needs a recipe and its bundle")
                self._open_camera()
                self._job = order.job
            case Event.START_SINGLE | Event.START_CONTINUOUS:
                self._trigger.restart()
            case Event.UNPREPARE_RECIPE:
                self._close_camera()
                self._job = None
            case Event.RESET:
                self._close_camera()
                self._job = None
                self._seq = self._gear.journal.next_seq() - 1
            case Event.HALT:
                self._close_camera()
                self._job = None

    def _swap_job(self) -> None:
        """Between two parts a reloaded bundle takes over; the one it replaces goes back."""
        job = self._exchange.take(self._job, self._last) if self._exchange else None
        if job is not None:
            self._job = job
            log.info("bundle %s serves from the next part on", job.runtime.bundle_id)
            self._tell()

    def _enter(self, state: State, cause: str) -> None:
        self._state, self._cause = state, cause
        self._since = self._gear.clock.utc()
        log.info("%s: %s", state, cause)
        self._tell()

    def _fault(self, error: Exception) -> None:
        """Into ERROR; a fault found while there is one keeps the first cause."""
        log.error("fault: %s", error)
        self._close_camera()
        if (self._state, Event.FAULT) in MOVES:
            self._enter(move(self._state, Event.FAULT), str(error))

    # --- parts ---

    def _next_part(self) -> None:
        try:
            part = self._trigger.wait(WAIT_S)
        except DeviceError as error:
            self._fault(error)
            return
        if part is None or self._job is None:
            return
        self._tally.trigger()
        try:
            inspected = inspect_part(
                part, self._job, self._gear, self._last, self._tally.slowest_commit_ms
            )
        except EndOfStream as error:
            self._tally.withdraw()
            self._enter(move(self._state, Event.STOP), str(error))
            self._ending.set()
        except RecordError as error:
            self._tally.unrecorded += 1
            self._fault(RecordError(f"part {part.sequence} could not be recorded: {error}"))
        else:
            self._count(inspected)
            self._show_shadow(inspected, self._job)
            if inspected.fault:
                self._fault(inspected.fault)
            elif self._state is State.SINGLE_EXECUTION:
                self._enter(move(self._state, Event.JOB_DONE), "one part inspected")

    def _count(self, inspected: Inspected) -> None:
        result, tally = inspected.result, self._tally
        tally.verdict(result.evaluation, total_ms=inspected.total_ms, commit_ms=inspected.commit_ms)
        tally.late += inspected.late
        if inspected.released.passes is not result.passed:
            tally.late_released += 1
            log.warning("seq %d was OK, but not shown: %s", result.seq, inspected.released.reason)
        self._seq = result.seq
        frame, last = inspected.frame, self._last
        if frame is not None and (last is None or frame.sequence > last.sequence):
            tally.frames_missed += frame.sequence - last.sequence - 1 if last else 0
            self._last = frame
        if result.evaluation == "UNDEFINED":
            self._say(f"seq {result.seq} is UNDEFINED: {result.reason}")

    def _show_shadow(self, inspected: Inspected, job: Job) -> None:
        """After the verdict, so that it costs the part nothing."""
        if self._shadow is not None and inspected.frame is not None:
            self._shadow.offer(inspected.result, inspected.frame.image, job.recipe)

    def _say(self, text: str) -> None:
        """Not once a part: a camera that is away would fill the disk with its log."""
        now = self._gear.clock.monotonic()
        if now - self._said_at < SAY_EVERY_S:
            self._unsaid += 1
            return
        log.warning("%s%s", text, f" (and {self._unsaid} before it)" if self._unsaid else "")
        self._said_at, self._unsaid = now, 0

    # --- the world ---

    def _open_camera(self) -> None:
        if not self._camera_is_open:
            self._gear.camera.open()
            self._camera_is_open = True
            self._last = None

    def _close_camera(self) -> None:
        if self._camera_is_open:
            self._camera_is_open = False
            self._gear.camera.close()

    def _tell_in_time(self) -> None:
        if self._gear.clock.monotonic() - self._told_at >= STATE_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self._told_at = self._gear.clock.monotonic()
        self._gear.publisher.offer_state(self.message().to_json())
