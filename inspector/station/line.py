"""The line's signal: what one medium shows, on a thread of its own, so that the station never
waits for a network beyond the part's deadline.

At rest it rejects. A verdict stands for `pulse_ms`, and no longer than until the next part is in
work. What was written too late is taken back at once; what could not be written ends the
connection, and the first thing told on the next one is the rest.
"""

import logging
import threading
from collections.abc import Mapping
from types import MappingProxyType

from inspector.contract.errors import DeviceError, DeviceTimeout
from inspector.contract.status import LineStatus
from inspector.station.echo import NOTHING_ASKED, Asked, Echoes
from inspector.station.ports import Clock, Part
from inspector.station.signal import REST, LineDriver, Signal
from inspector.station.spread import Buckets

TEND_S = 0.1
"""How often a medium is looked after, and the longest that a heartbeat stays the same."""
HEAR_S = 0.02
"""How often the controller is listened to while it owes something."""
STILL_S = 1.0
"""A pipeline that has not moved for so long shows no more than the rest."""
GRACE_S = 1.0
"""A line that is gone for so long, while the station executes, is a fault."""
BACKOFF_S = (0.1, 2.0)
STOP_S = 5.0

log = logging.getLogger(__name__)


class NoLine:
    """ports.LineSignal of a station whose result on MQTT is the release."""

    status = None
    trouble = None
    latencies: Mapping[str, Buckets] = MappingProxyType({})

    def rest(self, *, ready: bool, fault: bool) -> None: ...

    def busy(self, part: Part) -> None: ...

    def acquired(self) -> None: ...

    def show(self, part: Part, *, passes: bool, by: float) -> None: ...

    def require(self) -> None: ...

    def moved(self) -> None: ...


NO_LINE = NoLine()


class LineOutput:
    """ports.LineSignal by a driver. The station says what is to be seen, the thread shows it."""

    def __init__(
        self, driver: LineDriver, *, pulse_ms: int, clock: Clock, asked: Asked = NOTHING_ASKED
    ) -> None:
        self._driver = driver
        self._pulse_s = pulse_ms / 1000
        self._clock = clock
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._changed = threading.Condition()
        # guarded by the condition
        self._echoes = Echoes(asked)
        self._wanted = REST
        self._ready = self._fault = False
        self._shown: Signal | None = None
        """What the line has; None where nobody knows."""
        self._told: Signal | None = None
        """The last verdict it had in time."""
        self._by = float("inf")
        self._pulse_ends = float("inf")
        self._trouble: str | None = "not started"
        self._down_since = clock.monotonic()
        self._was_there = False
        """Since the station began to execute."""
        self._failures = 0
        self._stopping = False
        self._moves = 0
        self._moved_at = clock.monotonic()

    # --- the station's thread ---

    @property
    def status(self) -> LineStatus:
        with self._changed:
            return LineStatus(
                kind=self._driver.kind,
                trouble=self._trouble,
                failures=self._failures,
                echo=self._echoes.status,
            )

    @property
    def trouble(self) -> str | None:
        return self._trouble or self._echoes.fault

    @property
    def latencies(self) -> Mapping[str, Buckets]:
        return self._echoes.latencies

    def rest(self, *, ready: bool, fault: bool) -> None:
        with self._changed:
            if ready and not self._ready:
                self._was_there = self._trouble is None
            self._ready, self._fault = ready, fault
            if fault:
                self._echoes.forget()
            # of a single part the verdict would be over before any machine has seen it
            runs_out = self._wanted.done and self._wanted is self._told and not fault
            if not runs_out:
                self._want(self._at_rest())

    def busy(self, part: Part) -> None:
        with self._changed:
            self._want(Signal(ready=self._ready, busy=True, fault=self._fault, part=part))

    def acquired(self) -> None:
        with self._changed:
            part = self._wanted.part
            self._want(Signal(ready=self._ready, busy=True, acquired=True, part=part))

    def show(self, part: Part, *, passes: bool, by: float) -> None:
        with self._changed:
            self._require_no_fault()
            if self._trouble is not None:
                if passes or self._was_there:
                    raise DeviceError(f"line signal: {self._trouble}")
                return  # not there yet, so it rejects
            failures = self._failures
            verdict = Signal(ready=self._ready, acquired=True, done=True, passes=passes, part=part)
            self._want(verdict)
            self._by = by
            self._changed.wait_for(
                lambda: self._told is verdict or self._failures != failures,
                max(0.0, by - self._clock.monotonic()),
            )
            if self._told is verdict:
                return
            self._want(self._at_rest())
            if self._failures != failures:
                raise DeviceError(f"line signal: {self._trouble or 'lost while it was told'}")
            raise DeviceTimeout("line signal: it had not the verdict by the deadline")

    def require(self) -> None:
        with self._changed:
            if not self._fault:  # in ERROR the first cause stays: another waits
                self._require_no_fault()
            gone_s = self._clock.monotonic() - self._down_since
            gone = self._trouble is not None and self._was_there and gone_s > GRACE_S
            if gone and self._ready:
                raise DeviceError(f"line signal: {self._trouble}")

    def moved(self) -> None:
        self._moves += 1
        self._moved_at = self._clock.monotonic()

    # --- whoever starts and stops it ---

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Show the rest of a station that is not there, and let go."""
        with self._changed:
            self._stopping = True
            self._want(REST)
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    # --- the line's thread ---

    def _want(self, signal: Signal) -> None:
        self._wanted = signal
        self._by = self._pulse_ends = float("inf")
        self._changed.notify_all()

    def _require_no_fault(self) -> None:
        """Raises DeviceError where the controller did wrong, once each."""
        fault, self._echoes.fault = self._echoes.fault, None
        if fault is not None:
            raise DeviceError(fault)

    def _at_rest(self) -> Signal:
        return Signal(ready=self._ready, fault=self._fault, part=self._wanted.part)

    def _run(self) -> None:
        wait_s, longest_s = BACKOFF_S
        while True:
            if self._connect() and self._serve():
                wait_s = BACKOFF_S[0]
            self._driver.close()
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, wait_s):
                    return
            wait_s = min(longest_s, 2.0 * wait_s)

    def _connect(self) -> bool:
        try:
            self._driver.open()
            self._driver.write(REST)
        except DeviceError as error:
            self._lost(error)
            return False
        self._found()
        return True

    def _serve(self) -> bool:
        """Until the line is lost or `stop`; whether it has ever shown anything."""
        wrote = False
        tend_at = self._clock.monotonic()
        while True:
            signal = self._next()
            try:
                if signal is not None:
                    since = self._clock.monotonic()
                    self._driver.write(signal)
                    self._wrote(signal, since)
                    wrote = True
                elif self._stopping:
                    return wrote
                if self._clock.monotonic() >= tend_at:
                    self._driver.tend(self._moves)
                    tend_at = self._clock.monotonic() + TEND_S
                self._hear()
            except DeviceError as error:
                self._lost(error)
                return wrote

    def _next(self) -> Signal | None:
        """What is to be shown and is not, waiting a moment for it; None: nothing."""
        with self._changed:
            now = self._clock.monotonic()
            most_s = HEAR_S if self._echoes.owed else TEND_S
            wait_s = min(most_s, max(0.0, self._pulse_ends - now))
            self._changed.wait_for(
                lambda: self._wanted is not self._shown or self._stopping, wait_s
            )
            now = self._clock.monotonic()
            if self._wanted.done and self._shown is self._wanted and now >= self._pulse_ends:
                self._want(self._at_rest())
            moves = now - self._moved_at <= STILL_S
            if self._wanted.ready and not moves:
                self._want(Signal(fault=self._fault, part=self._wanted.part))
            elif self._ready and not self._wanted.ready and moves and not self._stopping:
                self._want(self._at_rest())
            return self._wanted if self._wanted is not self._shown else None

    def _hear(self) -> None:
        if not self._echoes.asks:
            return
        now = self._clock.monotonic()
        heard = self._driver.hear()
        with self._changed:
            for each in heard:
                self._echoes.take(each)
            self._echoes.overdue(now)

    def _wrote(self, signal: Signal, since: float) -> None:
        with self._changed:
            now = self._clock.monotonic()
            self._shown = signal
            if signal is self._wanted and signal.done and now <= self._by:
                self._told, self._pulse_ends = signal, now + self._pulse_s
                if signal.part is not None:
                    passes = signal.passes
                    self._echoes.told(signal.part, passes=passes, since=since, now=now)
            elif signal.passes:
                self._want(self._at_rest())  # too late: nobody waits for it any more
            self._changed.notify_all()

    def _found(self) -> None:
        with self._changed:
            self._trouble = None
            self._was_there = True
            self._shown = REST
            log.info("line signal %s: there", self._driver.kind)
            self._changed.notify_all()

    def _lost(self, error: DeviceError) -> None:
        """No pass outlives the connection it was shown on."""
        with self._changed:
            if self._trouble is None or self._trouble == "not started":
                self._down_since = self._clock.monotonic()
                log.warning("line signal %s: %s", self._driver.kind, error)
            self._failures += self._trouble is None
            self._trouble, self._shown = str(error), None
            self._want(self._at_rest())
