"""A few threads, started once, for what comes in now and then.

Not one a request: where memory is refused for a moment, a new thread may end before it has begun,
and Thread.start waits for ever for its beginning.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

log = logging.getLogger(__name__)


class Hands:
    def __init__(self, name: str, count: int) -> None:
        self._room = threading.BoundedSemaphore(count)
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=name, daemon=True) for _ in range(count)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """What is in work is not waited for."""
        for _ in self._threads:
            self._work.put(None)

    def take(self, work: Callable[[], None]) -> bool:
        """Do it on one of them; False where all are at work."""
        if not self._room.acquire(blocking=False):
            return False
        self._work.put(work)
        return True

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception:
                with suppress(MemoryError):
                    log.warning("a request failed", exc_info=True)
            finally:
                del work  # it holds a connection
                self._room.release()
