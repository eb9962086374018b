"""What is told as it is now, not as it was: retained messages and the heartbeat.

Of each topic only the newest counts: what was offered meanwhile is replaced, never queued.
"""

import threading
from dataclasses import dataclass

from inspector.contract.channels import HEARTBEAT_EXPIRY_S
from inspector.delivery.connection import Acknowledgement, Connection


@dataclass(slots=True)
class _Note:
    payload: bytes
    offered: int
    sent: int = 0
    """Which of the offered went out on this connection; 0 for none."""
    message: int | None = None
    """The one in flight."""
    sent_at: float = 0.0


class Board:
    """Anybody offers; the courier's thread sends. Nothing here waits."""

    def __init__(self, heartbeat_topic: str) -> None:
        self._heartbeat_topic = heartbeat_topic
        self._lock = threading.Lock()
        self._notes: dict[str, _Note] = {}
        self._beat: bytes | None = None

    def offer(self, topic: str, payload: bytes) -> None:
        """Publish this retained, now and after every reconnect; a newer one replaces it."""
        with self._lock:
            note = self._notes.setdefault(topic, _Note(payload, 0))
            note.payload = payload
            note.offered += 1

    def beat(self, payload: bytes) -> None:
        """Send this once, if the broker is there just now."""
        self._beat = payload

    # --- the courier's thread ---

    @property
    def in_flight(self) -> int:
        return sum(note.message is not None for note in self._all())

    def send(self, connection: Connection, room: int, now: float) -> None:
        """The heartbeat, then what changed, at most `room` messages to be acknowledged."""
        beat, self._beat = self._beat, None
        if beat is not None:
            connection.tell(self._heartbeat_topic, beat, expiry_s=HEARTBEAT_EXPIRY_S)
        with self._lock:
            due = [
                (topic, note, note.payload, note.offered)
                for topic, note in self._notes.items()
                if note.message is None and note.sent != note.offered
            ]
        for topic, note, payload, offered in due[: max(0, room)]:
            note.message = connection.publish(topic, payload, retain=True)
            note.sent, note.sent_at = offered, now

    def settle(self, answer: Acknowledgement) -> bool:
        """Take the broker's answer; whether it was about one of these.

        One refused is not sent again before a newer one: results must not wait for it.
        """
        for note in self._all():
            if note.message == answer.message:
                note.message = None
                return True
        return False

    def is_out(self) -> bool:
        """Whether the broker has the newest of everything."""
        with self._lock:
            return all(n.message is None and n.sent == n.offered for n in self._notes.values())

    def oldest_sent_at(self) -> float | None:
        """When the one was sent that has waited longest for its acknowledgement."""
        return min((n.sent_at for n in self._all() if n.message is not None), default=None)

    def restart(self) -> None:
        """The connection is lost: everything goes again, but a heartbeat of then is no news."""
        self._beat = None
        for note in self._all():
            note.message, note.sent = None, 0

    def _all(self) -> list[_Note]:
        with self._lock:
            return list(self._notes.values())
