"""From the journal's rows to an edge node's DDATA, and how far that counts as received.

Nobody acknowledges a Sparkplug message. The broker's answer to a mark behind some rows says that
it has them, nothing says that a host has. So the cursor follows the marks only after
`overlap_s`, within which it must have become known that a host was gone; what was sent later than
that goes again, as historical, once all are back. A host may see a row twice.

Where connections end or rebirths are asked for sooner than that, again and again, a row counts as
received once the broker has had it `TIMES`: else what goes again would only ever become more.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from inspector.contract.errors import RecordError
from inspector.contract.result import row_of
from inspector.contract.status import ConsumerStatus
from inspector.delivery.cursors import Cursors
from inspector.delivery.pace import Pace
from inspector.delivery.reader import JournalReader
from inspector.delivery.release import Released
from inspector.delivery.sparkplug_connection import EdgeConnection
from inspector.delivery.sparkplug_metrics import Row, time_ms
from inspector.delivery.sparkplug_settings import SPARKPLUG, SparkplugSettings
from inspector.delivery.stored import stored_ms

log = logging.getLogger(__name__)

UNMARKED_MAX = 256
"""Rows sent and not yet known to be with the broker."""
LIVE_LAG = 50
"""A row with so many behind it is no news, but history."""
READ = 100
TIMES = 3
BURST_S = 0.05
SAVE_EVERY_S = 1.0
AGAIN_S = 5.0  # after the disk refused
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """One result: as JSON, and since when it holds."""

    row: Row
    at_ms: int


Emit = Callable[[Part, bool], None]
"""Sends one part; whether it is history."""


class Rows:
    """The edge node's thread owns it; `status` is replaced as a whole, so any thread may look."""

    def __init__(
        self,
        settings: SparkplugSettings,
        rows: JournalReader,
        cursors: Cursors,
        released: Released,
    ) -> None:
        self._rows = rows
        self._cursors = cursors
        self._released = released
        self._overlap_s = settings.overlap_s
        self._pace = Pace(settings.history_per_s, burst_s=BURST_S)
        self.cursor = self._saved = cursors.register(SPARKPLUG, rows.last_seq())
        self._save_at = self._look_at = self._paused_until = 0.0
        self._save_failed = False
        self._ready: deque[tuple[int, bytes]] = deque()
        self._live_after = 0
        """The birth has told of everything up to here: what comes of it now is history."""
        self._marks: dict[int, tuple[int, float]] = {}  # number: last row before it, sent at
        self._held: deque[tuple[int, float]] = deque()  # row, when the broker had it
        self._reached: list[int] = []
        """Up to which row the broker has had them, the farthest times."""
        self._repeated_at = float("-inf")
        self._repeat_owed = False
        self.sent_seq = self.passed_seq = self.cursor
        """The last row sent, and up to which one the broker has them, on this connection."""
        self.missing = 0
        """Rows deleted before they were sent, only with may_lose, or spoilt by a disk."""
        self.resent = 0
        self._most_sent = self.cursor
        self.status: tuple[ConsumerStatus, ...] = ()
        self.look(0.0)

    @property
    def waiting(self) -> int:
        """Final rows not yet sent on this connection."""
        return max(0, self._released.final - self.sent_seq)

    def newest(self) -> Part | None:
        """The last final row, for a birth; from here on what is not newer is history."""
        final = self._released.final
        self._live_after = final
        payload = self._rows.row(final) if final else None
        return self._part(final, payload) if payload is not None and self._note_final() else None

    def restart(self) -> None:
        """The connection or the host is lost: what may not have arrived goes again."""
        self._rewind()

    def repeat(self) -> None:
        """A host asked for a rebirth, so it has missed something: the same, once in `overlap_s`.

        One asked for sooner is owed, and nothing is let go of until then.
        """
        self._repeat_owed = True

    def send(self, connection: EdgeConnection, emit: Emit, now: float) -> None:
        """What the window, the socket and the pace have room for."""
        if now < self._paused_until:
            return
        history = self._pace.allows(now)
        while connection.lost is None and not connection.congested:
            if self.sent_seq - self.passed_seq >= UNMARKED_MAX:
                return
            row = self._next()
            if row is None:
                return
            seq, payload = row
            historical = seq <= self._live_after or self._released.final - seq >= LIVE_LAG
            if historical and history < 1:
                return
            if not self._note_final():
                self._paused_until = now + AGAIN_S
                return
            if historical:
                self._pace.take()
                history -= 1
            part = self._part(seq, payload)
            if part is not None:
                emit(part, historical)
            elif seq > self._most_sent:
                log.error("result %d is left out: a disk has spoilt its row in the journal", seq)
                self.missing += 1
            self._ready.popleft()
            self.sent_seq = seq
            self.resent += seq <= self._most_sent
            self._most_sent = max(self._most_sent, seq)

    def mark(self, connection: EdgeConnection, topic: str, now: float) -> None:
        """Once at a time: what comes meanwhile is marked by the next one."""
        if not self._marks and self.sent_seq > self.passed_seq and connection.lost is None:
            self._marks[connection.mark(topic)] = (self.sent_seq, now)

    def settle(self, connection: EdgeConnection, now: float) -> None:
        """The broker's answers, and what was held for long enough."""
        while connection.passed:
            found = self._marks.pop(connection.passed.popleft(), None)
            if found is not None:
                self.passed_seq = max(self.passed_seq, found[0])
                self._held.append((found[0], now))
        if self._repeat_owed and now - self._repeated_at >= self._overlap_s:
            self._repeat_owed, self._repeated_at = False, now
            self._rewind()
        while self._held and now - self._held[0][1] >= self._overlap_s:
            self.cursor = max(self.cursor, self._held.popleft()[0])

    def marked_at(self) -> float | None:
        """Since when the broker owes an answer."""
        return next((at for _, at in self._marks.values()), None)

    def all_passed(self) -> bool:
        """Whether the broker has every final row."""
        return self.passed_seq >= self._released.final

    def due(self, now: float) -> float | None:
        """When there is something to do without the network."""
        times = [self._save_at] if self._saved != self.cursor else []
        if self._repeat_owed:
            times.append(self._repeated_at + self._overlap_s)
        if self._held:
            times.append(self._held[0][1] + self._overlap_s)
        if self.waiting:
            times.append(max(self._paused_until, self._pace.next_at(), now + 0.005))
        return min(times, default=None)

    def save(self, now: float, *, at_once: bool = False) -> None:
        """Persist the cursor; a disk that refuses is no reason to stop: rows would go twice."""
        if self._saved == self.cursor or (now < self._save_at and not at_once):
            return
        try:
            self._cursors.advance(SPARKPLUG, self.cursor)
            self._saved, self._save_failed = self.cursor, False
            self._save_at = now + SAVE_EVERY_S
        except RecordError as error:
            self._complain(f"{error}; after a restart some results may be sent again")
            self._save_at = now + AGAIN_S

    def look(self, now: float) -> None:
        """Bring `status` up to date, once a second."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        last = self._rows.last_seq()
        first = self._rows.first_seq() or last + 1
        self.status = (
            ConsumerStatus(
                name=SPARKPLUG,
                acknowledged=self.cursor,
                lag=max(0, last - self.cursor),
                oldest_unacknowledged_s=self._rows.waits_s(self.cursor),
                lost=max(0, first - 1 - self.cursor),
                replayed=self.resent,
            ),
        )

    def close(self) -> None:
        self._rows.close()
        self._cursors.close()

    def _next(self) -> tuple[int, bytes] | None:
        """The row to send now; it stays until it was sent."""
        final = self._released.final
        if not self._ready and self.sent_seq < final:
            found = self._rows.after(self.sent_seq, READ)
            self._ready.extend(row for row in found if row[0] <= final)
        if not self._ready:
            return None
        seq, _ = self._ready[0]
        if seq != self.sent_seq + 1:
            log.error("results %d to %d are no longer in the journal", self.sent_seq + 1, seq - 1)
            self.missing += max(0, seq - 1 - max(self.sent_seq, self._most_sent))
            self.sent_seq = seq - 1
            self._most_sent = max(self._most_sent, seq - 1)
        return self._ready[0]

    def _part(self, seq: int, payload: bytes) -> Part | None:
        """None where a disk has spoilt it."""
        row = row_of(payload)
        if row is None:
            return None
        at_ms = time_ms(row.get("captured_at"))
        if at_ms is None:  # no frame came: when it was stored is the nearest that is known
            at_ms = stored_ms(self._rows.stored_at(seq), seq)
        return Part(row, at_ms)

    def _note_final(self) -> bool:
        """Before a row may be seen: the next start must know that it was final."""
        try:
            self._released.save()
        except RecordError as error:
            self._complain(f"{error}; results wait until it can be written")
            return False
        return True

    def _complain(self, words: str) -> None:
        if not self._save_failed:
            log.warning("sparkplug: %s", words)
        self._save_failed = True

    def _rewind(self) -> None:
        """Back to the cursor, which the rows have reached that went often enough."""
        self._reached = sorted([*self._reached, self.passed_seq], reverse=True)[:TIMES]
        if len(self._reached) == TIMES:
            self.cursor = max(self.cursor, self._reached[-1])
        self._marks.clear()
        self._live_after = max(self._live_after, self._most_sent)
        self._held.clear()
        self._ready.clear()
        self.sent_seq = self.passed_seq = self.cursor
