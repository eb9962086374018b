"""What a station says of itself as it goes: heartbeat, alarms, log lines that do not flood."""

import logging
from dataclasses import dataclass

from inspector.contract.status import AlarmMessage, Heartbeat
from inspector.station.alarm import Alarms
from inspector.station.cycle import Gear
from inspector.station.state import State

BEAT_EVERY_S = 0.2  # at most half a second apart is promised, and a turn may take 0.2 s
SAY_EVERY_S = 10.0
JUMP_S = 1.0
STOPS_LINE = ("fault", "not_judgeable")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pulse:
    """The station as it was when its thread last moved on. Any thread may read the newest."""

    at: float
    """time.monotonic()"""
    turns: int
    state: State
    cause: str
    withheld: str | None
    """Why no part would pass now; None where a good one would."""


class Voice:
    """Used by the station's thread alone: it says something only while that moves on."""

    def __init__(self, gear: Gear) -> None:
        self._gear = gear
        self.alarms = Alarms(gear.clock.utc)
        self._beats = 0
        self._beat_at = float("-inf")
        self._turns = 0
        self._withheld: str | None = None
        self._executed = False
        self._said_at = float("-inf")
        self._unsaid = 0
        self._apart_s = self._apart()

    def moved(self, state: State, cause: str, seq: int, *, executing: bool) -> Pulse:
        """The thread has come this far."""
        now = self._gear.clock.monotonic()
        self._turns += 1
        begins, self._executed = executing and not self._executed, executing
        beats = now - self._beat_at >= BEAT_EVERY_S
        if not executing:
            self._withheld = f"{state}: {cause}"
        elif begins or beats:  # it asks the disk: not at every step
            shortage = self._gear.journal.shortage()
            self._withheld = None if shortage is None else f"journal: {shortage}"
        if beats:
            self._beat(now, state, seq)
            self._watch_consumers()
        return Pulse(now, self._turns, state, cause, self._withheld)

    def tell_alarms(self) -> None:
        """Where they have changed."""
        if self.alarms.changed:
            alarms = self.alarms.all()
            message = AlarmMessage(
                station=self._gear.station,
                boot=self._gear.boot,
                line_stop=any(each.kind in STOPS_LINE for each in alarms),
                alarms=alarms,
            )
            self._gear.publisher.offer_alarm(message.to_json())

    def watch_unjudged(self, in_a_row: int, at_most: int, reason: str) -> bool:
        """Too many in a row ask the line to stop; one that can be judged takes that back.

        Not only RESET does: whoever has put it right starts the line, and the next part shows it.
        Returns whether this part was the one too many.
        """
        if in_a_row == 0:
            self.alarms.clear("not_judgeable")
        if in_a_row < at_most:
            return False
        cause = f"{in_a_row} parts in a row could not be judged; the last: {reason}"
        is_new = self.alarms.set("not_judgeable", cause)
        if is_new:
            log.error("the line should stop: %s", cause)
        return is_new

    def _watch_consumers(self) -> None:
        """A consumer that may lose rows has lost some: until it acknowledges what came after."""
        lost = self._gear.journal.lost()
        if lost is None:
            self.alarms.clear("rows_lost")
        else:
            self.alarms.set("rows_lost", lost)

    def say(self, text: str, **context: object) -> None:
        """Not once a part: a camera that is away would fill the disk with its log."""
        now = self._gear.clock.monotonic()
        if now - self._said_at < SAY_EVERY_S:
            self._unsaid += 1
            return
        before = f" (and {self._unsaid} before it)" if self._unsaid else ""
        log.warning("%s%s", text, before, extra=context)
        self._said_at, self._unsaid = now, 0

    def clock_jumped(self) -> bool:
        """Whether the wall's clock was set since this was asked last. Nothing is decided by it."""
        before, self._apart_s = self._apart_s, self._apart()
        if abs(self._apart_s - before) < JUMP_S:
            return False
        log.warning("the wall clock was set by %+.0f s", self._apart_s - before)
        return True

    def _apart(self) -> float:
        clock = self._gear.clock
        return clock.utc().timestamp() - clock.monotonic()

    def _beat(self, now: float, state: State, seq: int) -> None:
        self._beats += 1
        self._beat_at = now
        beat = Heartbeat(
            station=self._gear.station,
            boot=self._gear.boot,
            beat=self._beats,
            state=state.value,
            seq=seq,
        )
        self._gear.publisher.beat(beat.to_json())
