"""The station: one thread that owns state, job and devices, and takes orders between parts."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from inspector.contract.errors import DeviceError, EndOfStream, RecordError, StateError
from inspector.contract.result import InspectionResult
from inspector.contract.status import StateMessage
from inspector.station.alarm import Rules, keep_nothing
from inspector.station.busy import Busy
from inspector.station.cycle import Gear, Inspected, Job, inspect_part
from inspector.station.ending import give_what_waits
from inspector.station.exchange import JobExchange
from inspector.station.figures import Figures
from inspector.station.inbox import ORDERS_MAX, Inbox, Order
from inspector.station.ports import Frame, Shadow, Trigger
from inspector.station.record import deadline_of
from inspector.station.state import EXECUTING, MOVES, Event, State, allowed, move
from inspector.station.tally import Tally
from inspector.station.voice import Pulse, Voice

__all__ = ["ORDERS_MAX", "Order", "Station"]

STATE_EVERY_S = 2.0
OPEN_S = 5.0  # how long a camera may take to open before that is a silence
WAIT_S = 0.1  # how long an order or a stop may lie before it is seen

log = logging.getLogger(__name__)


class Station:
    """One camera position. `run` belongs to one thread; `offer` and `stop` may be called by any."""

    def __init__(
        self,
        gear: Gear,
        trigger: Trigger,
        exchange: JobExchange | None = None,
        shadow: Shadow | None = None,
        rules: Rules | None = None,
        first_fault: str | None = None,
        keep_fault: Callable[[str | None], None] = keep_nothing,
    ) -> None:
        """first_fault: begin in ERROR with this cause, until RESET or HALT.

        keep_fault: called with the cause of ERROR when it is entered, with None when it is left.
        """
        self._gear = gear
        self._trigger = trigger
        self._exchange = exchange
        self._shadow = shadow
        self._rules = rules or Rules()
        self._first_fault = first_fault
        self._keep_fault = keep_fault
        self._inbox = Inbox()
        self._ending = threading.Event()
        self._tally = Tally()
        self._voice = Voice(gear)
        self.busy = Busy(gear.clock, self._voice.beat_on)
        self._state = State.PREOPERATIONAL
        self._cause = "started"
        self._since: datetime = gear.clock.utc()
        self._told_at = float("-inf")
        self._job: Job | None = None
        self._camera_is_open = False
        self._last: Frame | None = None  # kept while the camera is closed: it may repeat its pixels
        self._newest: int | None = None  # number of the newest frame since the camera was opened
        self._seq = gear.journal.next_seq() - 1
        self.pulse = Pulse(float("-inf"), 0, self._state, self._cause, "not started")
        """Replaced as a whole at every step: any thread may read it."""
        self.snapshot = self.message()
        """The newest state that was told: any thread may read it."""

    def offer(self, order: Order) -> bool:
        """Leave an order for the next gap between two parts. False where too many wait already."""
        return self._inbox.put(order)

    def figures(self) -> Figures:
        """What was measured on the way: any thread may ask."""
        return Figures.of(self._tally, self._gear.line, self._job)

    def stop(self) -> None:
        """Let `run` return after the part in work."""
        self._ending.set()

    def run(self) -> None:
        """Inspect until `stop`, or until a finite source has ended.

        A world that is broken ends in ERROR, which stays until RESET or HALT; what is not in
        the error tree is our own fault and is raised.
        """
        try:
            if self._first_fault is not None:
                self._enter(move(self._state, Event.FAULT), self._first_fault)
            while not self._ending.is_set():
                self.busy.over()
                self._moved()
                self._take_order()
                self._swap_job()
                self._next_part()
                self._voice.tell_alarms()
                self._tell_in_time()
            give_what_waits(self._trigger, self._gear.clock, self._next_part)
        finally:
            self._inbox.close()
            if self._exchange is not None:
                self._exchange.close()
            self._trigger.pause()
            self._close_camera()

    def message(self) -> StateMessage:
        """What the station is doing; once `run` has returned, any thread may ask."""
        return StateMessage(
            station=self._gear.station,
            boot=self._gear.boot,
            state=self._state.value,
            cause=self._cause,
            since=self._since,
            withheld=self.pulse.withheld,
            recipe=self._job.recipe.name if self._job else None,
            bundle=self._job.runtime.bundle_id if self._job else None,
            model=self._job.runtime.running if self._job else None,
            seq=self._seq,
            tally=self._tally.counts(self._gear, self._trigger),
            bundles=self._exchange.status if self._exchange else None,
            shadow=self._shadow.status if self._shadow else None,
            trigger=self._trigger.status,
            line=self._gear.line.status,
            consumers=self._gear.publisher.consumers,
        )

    # --- orders and states ---

    def _take_order(self) -> None:
        """Follow one order; while there is nothing to inspect, wait a moment for one."""
        order = self._inbox.take(0.0 if self._state in EXECUTING else WAIT_S)
        if order is None:
            return
        try:
            after = move(self._state, order.event)
            self._prepare(order)
        except StateError as error:
            log.warning("refused: %s (%s)", error, order.cause)
            order.answer("refused", f"{error}; allowed now: {', '.join(allowed(self._state))}")
        except (DeviceError, RecordError) as error:
            self._fault(error)
            order.answer("failed", str(error))
        else:
            before = self._state
            self._enter(after, order.cause)
            order.answer("done", f"{order.event}: from {before} to {after}")

    def _prepare(self, order: Order) -> None:
        """What has to be true before the state is. Raises DeviceError, RecordError."""
        match order.event:
            case Event.PREPARE_RECIPE:
                if order.job is None:
                    raise StateError("PREPARE_RECIPE needs a recipe and its bundle")
                self._open_camera()
                self._job = self._exchange.newest(order.job) if self._exchange else order.job
            case Event.START_SINGLE | Event.START_CONTINUOUS:
                self._open_camera()  # it may have given up since
                self._trigger.restart()
            case Event.UNPREPARE_RECIPE | Event.HALT:
                self._close_camera()
                self._job = None
            case Event.RESET:
                self._close_camera()
                self._job = None
                self._seq = self._gear.journal.next_seq() - 1

    def _swap_job(self) -> None:
        """Between two parts a reloaded bundle takes over; the one it replaces goes back."""
        job = self._exchange.take(self._job, self._last) if self._exchange else None
        if job is not None:
            self._job = job
            log.info("bundle %s serves from the next part on", job.runtime.bundle_id)
            self._tell()

    def _enter(self, state: State, cause: str) -> None:
        if state is State.ERROR:
            self._voice.alarms.set("fault", cause)
            self._keep_fault(cause)
        elif self._state is State.ERROR:
            self._voice.alarms.clear("fault")
            self._keep_fault(None)
        if state in (State.PREOPERATIONAL, State.HALTED):  # RESET or HALT: a person has seen it
            self._voice.alarms.clear("not_judgeable")
            self._tally.unjudged_in_a_row = 0
        if state not in EXECUTING:
            self._trigger.pause()
        self._gear.line.rest(ready=state in EXECUTING, fault=state is State.ERROR)
        self._state, self._cause = state, cause
        self._since = self._gear.clock.utc()
        log.info("%s: %s", state, cause)
        self._voice.tell_alarms()
        self._moved()
        self._tell()

    def _fault(self, error: Exception) -> None:
        """Into ERROR; a fault found while there is one keeps the first cause."""
        log.error("fault: %s", error)
        self._close_camera()
        if (self._state, Event.FAULT) in MOVES:
            self._enter(move(self._state, Event.FAULT), str(error))

    # --- parts ---

    def _next_part(self) -> None:
        """If one comes; what the line's controller did with the last is of interest anyhow."""
        try:
            if self._state is not State.HALTED:  # which knows no fault: it is one with the reset
                self._gear.line.require()
            part = self._trigger.wait(WAIT_S) if self._state in EXECUTING else None
        except EndOfStream as error:
            self._end(error)
            return
        except DeviceError as error:
            self._fault(error)
            return
        if part is None or self._job is None:
            self._gear.journal.rest()
            return
        self._tally.trigger()
        result: InspectionResult | None = None
        reserve_ms, trigger = self._tally.reserve_ms, self._trigger
        deadline_s = deadline_of(part, self._job.recipe) / 1000
        self.busy.until(part.seen_at + deadline_s, self._job.runtime.under_way)
        try:
            inspected = inspect_part(
                part, self._job, self._gear, self._last, reserve_ms, self._moved, trigger.overtaken
            )
        except EndOfStream as error:
            self._tally.withdraw()
            self._end(error)
        except RecordError as error:
            self._tally.unrecorded += 1
            self._fault(RecordError(f"part {part.sequence} could not be recorded: {error}"))
        else:
            result = inspected.result
            self._count(inspected, self._job)
            if inspected.fault:
                self._fault(inspected.fault)
            elif self._state is State.SINGLE_EXECUTION:
                self._enter(move(self._state, Event.JOB_DONE), "one part inspected")
        self._trigger.done(part, result)

    def _end(self, error: EndOfStream) -> None:
        """A finite source has shown its last."""
        self._enter(move(self._state, Event.STOP), str(error))
        self._ending.set()

    def _count(self, inspected: Inspected, job: Job) -> None:
        """Into the figures; and to the shadow, now that it costs the part nothing."""
        result, tally = inspected.result, self._tally
        tally.add(inspected)
        self._seq = result.seq
        frame, last = inspected.frame, self._last
        if frame is not None and (last is None or frame.sequence > last.sequence):
            if self._newest is not None:
                tally.frames_missed += frame.sequence - self._newest - 1
            self._last, self._newest = frame, frame.sequence
        self._voice.tell_of(inspected)
        tally.line_stops += self._voice.watch_unjudged(
            tally.unjudged_in_a_row, self._rules.unjudged_max, result.reason
        )
        if self._shadow is not None and frame is not None:
            self._shadow.offer(result, frame.image, job.recipe)

    def _moved(self) -> None:
        self._gear.line.moved()
        executing = self._state in EXECUTING
        self.pulse = self._voice.moved(
            self._state, self._cause, self._seq, self._trigger.trouble, executing=executing
        )

    # --- the world ---

    def _open_camera(self) -> None:
        self.busy.until(self._gear.clock.monotonic() + OPEN_S)
        self._gear.camera.open()
        self._camera_is_open = True

    def _close_camera(self) -> None:
        if self._camera_is_open:
            self._camera_is_open = False
            self._newest = None
            self._gear.camera.close()

    def _tell_in_time(self) -> None:
        self._tally.clock_jumps += self._voice.clock_jumped()
        if self._gear.clock.monotonic() - self._told_at >= STATE_EVERY_S:
            self._tell()

    def _tell(self) -> None:
        self._told_at = self._gear.clock.monotonic()
        self.snapshot = self.message()
        self._gear.publisher.offer_state(self.snapshot.to_json())
