"""From the journal's rows to the broker's acknowledgements. The courier's thread owns it.

A row is sent at most once a connection, and again on the next one if its acknowledgement did not
come. The cursor is the last row up to which all were acknowledged.
"""

import logging
from collections import deque
from collections.abc import Callable

from inspector.contract.errors import RecordError
from inspector.delivery.connection import Acknowledgement, Connection
from inspector.delivery.cursors import COURIER, Cursors
from inspector.delivery.pace import Pace
from inspector.delivery.reader import JournalReader
from inspector.delivery.release import Released

log = logging.getLogger(__name__)

SAVE_EVERY_S = 0.25
SAVE_AGAIN_S = 5.0  # after the disk refused
REFUSED_PAUSE_S = 1.0
REFUSED_PAUSE_MAX_S = 30.0
# A backlog leaves the processor to the thread that inspects: 100,000 results in 35 s at best
RESULTS_PER_S = 3_000.0
BURST_S = 0.04
BACKLOG_ROWS = 32
"""More than these waiting is no news: it may wait for the part in work."""


def idle() -> bool:
    """Of a station for which no backlog needs to rest."""
    return False


class Outbox:
    def __init__(
        self, rows: JournalReader, cursors: Cursors, released: Released, topic: str
    ) -> None:
        self._rows = rows
        self._released = released
        self._cursors = cursors
        self._topic = topic
        self.cursor = cursors.register(COURIER)
        self._saved = self.cursor
        self._save_at = 0.0
        self._save_failed = False
        self._read = self.cursor  # the last row taken from the journal
        self._ready: deque[tuple[int, bytes]] = deque()
        self._exhausted = False  # the journal had nothing behind _read when last asked
        self._in_flight: dict[int, tuple[int, float]] = {}  # message: row, sent at
        self._received: set[int] = set()  # acknowledged beyond the cursor
        self._refusals = 0
        self._paused_until = 0.0
        self._pace = Pace(RESULTS_PER_S, BURST_S)
        self._held_back = False
        self.told = max(self.cursor, released.final)
        """Up to which row anybody may have seen results: by a start before this one, too."""
        self.sent = 0
        self.missing = 0
        """Rows deleted before they were sent: only if somebody removed the cursors."""

    @property
    def waiting(self) -> int:
        """Rows that the broker has not acknowledged."""
        return self._released.final - self.cursor

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    def rests(self, at_work: Callable[[], bool]) -> bool:
        """Whether so much waits that the part in work goes before it: both need Python's lock."""
        return self.waiting > BACKLOG_ROWS and at_work()

    def look(self) -> None:
        """There may be new rows."""
        self._exhausted = False

    def restart(self) -> None:
        """The connection is lost: what it had not acknowledged will be sent again."""
        self._in_flight.clear()
        self._rewind()

    def send(
        self, connection: Connection, room: int, now: float, at_work: Callable[[], bool]
    ) -> None:
        """Send the next rows until `room` are in flight.

        at_work: whether a part is in work; a backlog rests then, from one row to the next.
        """
        if room < 1 or now < self._paused_until:
            return
        self._paused_until = 0.0
        flying = {seq for seq, _ in self._in_flight.values()}
        allowed = self._pace.allows(now)
        self._held_back = False
        while len(self._in_flight) < room and connection.lost is None:
            if allowed < 1 or self.rests(at_work):
                self._held_back = True
                return
            row = self._next(room)
            if row is None:
                return
            seq, payload = row
            if not self._note_final(now):
                self._rewind()
                return
            if seq in self._received or seq in flying:
                continue  # this is a rewind after a refusal
            message = connection.publish(self._topic, payload, retain=False)
            self._in_flight[message] = (seq, now)
            self._pace.take()
            allowed -= 1
            self.told = max(self.told, seq)
            self.sent += 1

    def settle(self, answer: Acknowledgement, now: float) -> bool:
        """Take the broker's answer; returns whether it was about a row, and a yes."""
        found = self._in_flight.pop(answer.message, None)
        if found is None:
            return False
        seq, _ = found
        if answer.refusal is not None:
            self._refuse(seq, answer.refusal, now)
            return False
        self._refusals = 0
        self._received.add(seq)
        while self.cursor + 1 in self._received:
            self.cursor += 1
            self._received.remove(self.cursor)
        return True

    def delivered_all(self) -> bool:
        return self.cursor >= self._released.final

    def oldest_sent_at(self) -> float | None:
        """When the row was sent that has waited longest for its acknowledgement."""
        return next((at for _, at in self._in_flight.values()), None)

    def due(self) -> float | None:
        """When there is something to do without the network: save, or end a pause."""
        times = [self._save_at] if self._saved != self.cursor else []
        if self._paused_until:
            times.append(self._paused_until)
        elif self._held_back:
            times.append(self._pace.next_at())
        return min(times, default=None)

    def save(self, now: float, *, at_once: bool = False) -> None:
        """Persist how far results are final, and the cursor at most a few times a second.

        A disk that refuses the cursor is no reason to stop delivering: rows would only be sent
        again.
        """
        if now >= self._paused_until:
            self._paused_until = 0.0
            self._note_final(now)  # the broker may be away, and a kill take back the last row's OK
        if self._saved == self.cursor or (now < self._save_at and not at_once):
            return
        try:
            self._cursors.advance(COURIER, self.cursor)
        except RecordError as error:
            if not self._save_failed:
                log.warning("%s; after a restart some results may be sent again", error)
            self._save_failed = True
            self._save_at = now + SAVE_AGAIN_S
            return
        self._save_failed = False
        self._saved = self.cursor
        self._save_at = now + SAVE_EVERY_S

    def close(self) -> None:
        self._rows.close()
        self._cursors.close()

    def _next(self, limit: int) -> tuple[int, bytes] | None:
        if not self._ready and not self._exhausted:
            # a row behind `final` may still lose its OK
            final = self._released.final
            rows = self._rows.after(self._read, limit) if self._read < final else []
            self._ready.extend(row for row in rows if row[0] <= final)
            self._exhausted = not self._ready
        if not self._ready:
            return None
        seq, payload = self._ready[0]
        if seq != self._read + 1 and not self._step_over(seq):
            return None
        if seq > self.cursor + limit:
            return None  # one slow acknowledgement holds the window, so that few go twice
        self._ready.popleft()
        self._read = seq
        return seq, payload

    def _step_over(self, seq: int) -> bool:
        """Pass over rows the journal no longer has, once all before them are acknowledged."""
        if self._in_flight or self._read != self.cursor:
            return False
        self.missing += seq - self._read - 1
        log.error("results %d to %d are no longer in the journal", self._read + 1, seq - 1)
        self.cursor = seq - 1
        return True

    def _note_final(self, now: float) -> bool:
        """Before a row may be seen: the next start must know that it was final."""
        try:
            self._released.save()
        except RecordError as error:
            if not self._save_failed:
                log.warning("%s; results wait until it can be written", error)
            self._save_failed = True
            self._paused_until = now + REFUSED_PAUSE_S
            return False
        return True

    def _refuse(self, seq: int, words: str, now: float) -> None:
        """The broker did not take it: everything unacknowledged goes again after a pause."""
        if self._refusals == 0:
            log.warning("the broker refuses result %d (%s); it is kept and sent again", seq, words)
        pause_s = min(REFUSED_PAUSE_MAX_S, REFUSED_PAUSE_S * 2.0 ** min(self._refusals, 10))
        if now >= self._paused_until:
            self._refusals += 1
            self._paused_until = now + pause_s
        self._rewind()

    def _rewind(self) -> None:
        self._read = self.cursor
        self._ready.clear()
        self._exhausted = False
