"""Messages that wait to be looked at, taken from their topics in turn."""

from collections import deque
from collections.abc import Sequence

from inspector.delivery.inbound import Message


class Fair:
    """A flood on one topic keeps nobody else's message out, and nobody else's waiting for it."""

    def __init__(self, topics: Sequence[str], each_max: int) -> None:
        self.overflowed = 0
        """Dropped, since `each_max` of their topic waited already."""
        self._each_max = each_max
        self._waiting: dict[str, deque[Message]] = {topic: deque() for topic in topics}
        self._turns = deque(topics)

    def put(self, message: Message) -> None:
        """Where there is no room for it, it is dropped and counted."""
        queue = self._waiting.get(message.topic)
        if queue is None or len(queue) >= self._each_max:
            self.overflowed += 1
        else:
            queue.append(message)

    def take(self) -> Message | None:
        for _ in range(len(self._turns)):
            queue = self._waiting[self._turns[0]]
            self._turns.rotate(-1)
            if queue:
                return queue.popleft()
        return None

    def clear(self) -> None:
        for queue in self._waiting.values():
            queue.clear()

    def __bool__(self) -> bool:
        return any(self._waiting.values())
