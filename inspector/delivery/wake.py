"""Wakes a thread that waits for the network."""

import select
import socket
from contextlib import suppress


class Wake:
    """Any thread calls it; one thread waits on `out` beside its connection's socket."""

    def __init__(self) -> None:
        self._in, self.out = socket.socketpair()
        self._in.setblocking(False)
        self.out.setblocking(False)

    def __call__(self) -> None:
        """Never blocks."""
        with suppress(OSError):  # full: it is awake already; closed: it has ended
            self._in.send(b"\0")

    def wait(self, timeout_s: float) -> None:
        """Until somebody calls, or for so long. For the one thread, while it has no connection."""
        poll = select.poll()
        poll.register(self.out, select.POLLIN)
        if poll.poll(1_000 * timeout_s):
            self.drain()

    def drain(self) -> None:
        with suppress(BlockingIOError):
            while len(self.out.recv(4_096)) == 4_096:
                pass

    def close(self) -> None:
        self._in.close()
        self.out.close()
