"""Rows sent again to one consumer that asked for them: paced, and never before a new result."""

from collections.abc import Callable
from typing import Literal

from inspector.contract.consumer import ReplayRequest, replayed
from inspector.contract.strict import Name
from inspector.delivery.connection import Connection
from inspector.delivery.pace import Pace
from inspector.delivery.reader import JournalReader

ROWS_READ = 50
Ended = tuple[Literal["done", "failed"], str]


class Replay:
    """One request, until its last row was acknowledged by the broker or cannot be sent.

    What a connection loses before the broker has it is sent again on the next one.
    """

    def __init__(
        self, request: ReplayRequest, station: Name, consumer: Name, topic: str, pace: Pace
    ) -> None:
        self.request = request
        self.pace = pace
        self._wrap: Callable[[int, bytes], bytes] = lambda seq, row: replayed(
            station, consumer, request.id, seq, row
        )
        self._topic = topic
        self._next = request.first
        self._ready: list[tuple[int, bytes]] = []
        self._in_flight: dict[int, tuple[int, float]] = {}  # message: row, sent at

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    @property
    def unsent(self) -> bool:
        return self._next <= self.request.last

    def oldest_sent_at(self) -> float | None:
        return next((at for _, at in self._in_flight.values()), None)

    def send(
        self, connection: Connection, rows: JournalReader, room: int, now: float
    ) -> tuple[int, Ended | None]:
        """Send what room and pace allow; how many rows that was, and how it ended."""
        sent = 0
        for _ in range(min(room, self.pace.allows(now))):
            if not self.unsent or connection.lost is not None:
                break
            row = self._row(rows)
            if row is None:
                return sent, ("failed", f"row {self._next} is no longer in the journal")
            message = connection.publish(self._topic, self._wrap(self._next, row), retain=False)
            self._in_flight[message] = (self._next, now)
            self._next += 1
            self.pace.take()
            sent += 1
        done = not self.unsent and not self._in_flight
        span = f"{self.request.first} to {self.request.last}"
        return sent, ("done", f"results {span} were sent again") if done else None

    def settle(self, message: int) -> bool:
        """The broker's answer; whether it was about one of these rows."""
        return self._in_flight.pop(message, None) is not None

    def restart(self) -> None:
        """The connection is lost."""
        self._next = min((seq for seq, _ in self._in_flight.values()), default=self._next)
        self._in_flight.clear()
        self._ready.clear()

    def _row(self, rows: JournalReader) -> bytes | None:
        if not self._ready:
            self._ready = rows.after(self._next - 1, ROWS_READ)
        if not self._ready or self._ready[0][0] != self._next:
            return None
        return self._ready.pop(0)[1]
