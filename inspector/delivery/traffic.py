"""Everything that goes over one connection after the other, in order of importance.

State and alarm first, then results, then the shadow's, then rows that a consumer asked for
again. What the broker has not acknowledged never exceeds the connection's `in_flight_max`.
"""

from collections import deque
from collections.abc import Callable

from inspector.delivery.board import Board
from inspector.delivery.connection import Connection
from inspector.delivery.consumers import Consumers
from inspector.delivery.inbound import Inbound
from inspector.delivery.outbox import Outbox

TAKEN_A_TURN = 64  # a consumer that floods us must not hold up results
REPLAY_SHARE = 0.5  # of the window: the rest is free for a result at any moment


class Traffic:
    """The courier's thread owns it."""

    def __init__(
        self,
        board: Board,
        outbox: Outbox,
        consumers: Consumers,
        shadow: deque[bytes],
        shadow_topic: str,
        say: Callable[[str], None],
    ) -> None:
        self._board = board
        self.outbox = outbox
        self.consumers = consumers
        self._shadow = shadow
        self._shadow_topic = shadow_topic
        self._say = say
        topics = consumers.topics()
        self.inbound = Inbound(topics, queue_max=4 * TAKEN_A_TURN) if topics else None
        self.acknowledged = 0

    def send(
        self, connection: Connection, now: float, at_work: Callable[[], bool], *, ending: bool
    ) -> None:
        """What the window has room for. ending: the state comes last, and nothing but results."""
        if not ending:
            self.send_board(connection, now)
            self._send_shadow(connection)
        others = self._board.in_flight + self.consumers.in_flight
        self.outbox.send(connection, connection.in_flight_max - others, now, at_work)
        if not ending:
            free = connection.in_flight_max - self.in_flight
            most = max(1, int(REPLAY_SHARE * connection.in_flight_max)) - self.consumers.in_flight
            self.consumers.send(connection, min(free, most), now)

    def send_board(self, connection: Connection, now: float) -> None:
        others = self.outbox.in_flight + self.consumers.in_flight
        self._board.send(connection, connection.in_flight_max - others, now)

    @property
    def in_flight(self) -> int:
        return self.outbox.in_flight + self._board.in_flight + self.consumers.in_flight

    @property
    def shadow_waits(self) -> bool:
        return bool(self._shadow)

    def settle(self, connection: Connection, now: float) -> None:
        """What the broker has answered, and what has come."""
        while connection.acknowledged:
            answer = connection.acknowledged.popleft()
            if self._board.settle(answer):
                if answer.refusal is not None:
                    self._say(f"the state was refused: {answer.refusal}")
            elif not self.consumers.settle(answer) and self.outbox.settle(answer, now):
                self.acknowledged += 1
        for _ in range(TAKEN_A_TURN):
            if self.inbound is None or not self.inbound.received:
                break
            message = self.inbound.received.popleft()
            self.consumers.take(message.topic, message.payload, retained=message.retain)

    def restart(self) -> None:
        """The connection is lost: what was not acknowledged goes again."""
        self.outbox.restart()
        self._board.restart()
        self.consumers.restart()
        if self.inbound is not None:
            self.inbound.received.clear()

    def oldest_sent_at(self) -> float | None:
        """When the message was sent that has waited longest for its acknowledgement."""
        times = [each.oldest_sent_at() for each in (self.outbox, self._board, self.consumers)]
        return min((at for at in times if at is not None), default=None)

    def due(self) -> float | None:
        """When there is something to do without the network."""
        if self.inbound is not None and self.inbound.received:
            return 0.0
        times = (self.outbox.due(), self.consumers.due())
        return min((at for at in times if at is not None), default=None)

    def save(self, now: float, *, at_once: bool = False) -> None:
        self.outbox.save(now, at_once=at_once)
        self.consumers.save(now, at_once=at_once)
        self.consumers.look(now)

    def _send_shadow(self, connection: Connection) -> None:
        """One a turn: results come first. Nobody waits for its acknowledgement."""
        if self._shadow and self.in_flight < connection.in_flight_max:
            connection.publish(self._shadow_topic, self._shadow.popleft(), retain=False)
