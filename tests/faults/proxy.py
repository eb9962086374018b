"""A TCP proxy before the broker that does what networks do on a bad day."""

import random
import select
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Self

CHUNK = 65_536
LOOK_S = 0.02
DRIP_S = 0.002
DELAY_S = 0.3
MODES = ("resets", "blackholes", "drips", "delays", "cuts", "refuses")
"""resets: every connection, again and again. blackholes: connections stay, nothing comes through.
drips: one byte at a time. delays: everything comes so much later. cuts: a piece of what is sent
comes through, then a reset, so that packets end in their middle. refuses: hangs up, and at once on
who comes again.
"""


class Proxy:
    """Loopback only; `mode` may be changed at any time and holds for connections that are there."""

    def __init__(self, broker_port: int, seed: int = 0) -> None:
        self.mode = "passes"
        self.connections = 0
        self._broker_port = broker_port
        self._chance = random.Random(seed)  # noqa: S311
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(5.0)
        self._listener.close()

    def _accept(self) -> None:
        self._listener.settimeout(LOOK_S)
        while not self._ended.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            if self.mode == "refuses":
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self._broker_port), 2.0)
            except OSError:
                return
            with broker, suppress(OSError):
                for each in (client, broker):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._carry(client, broker)

    def _carry(self, client: socket.socket, broker: socket.socket) -> None:
        """Both ways, until one side ends or the mode ends it."""
        other = {client: broker, broker: client}
        late: deque[tuple[float, socket.socket, bytes]] = deque()
        reset_at = float("inf")
        while not self._ended.is_set() and self.mode != "refuses":
            now = time.monotonic()
            if self.mode == "resets":
                reset_at = min(reset_at, now + self._chance.uniform(0.0, 0.3))
                if now >= reset_at:
                    _reset(client, broker)
            while late and late[0][0] <= now:
                _, to, data = late.popleft()
                to.sendall(data)
            if self.mode == "blackholes":
                time.sleep(LOOK_S)
                continue
            ready, _, _ = select.select(list(other), [], [], LOOK_S / 4 if late else LOOK_S)
            for source in ready:
                data = source.recv(1 if self.mode == "drips" else CHUNK)
                if not data:
                    return
                if self.mode == "delays":
                    late.append((now + DELAY_S, other[source], data))
                elif late:  # healed: behind what is still on its way, no later
                    late.append((late[-1][0], other[source], data))
                else:
                    self._pass_on(source, other[source], data)

    def _pass_on(self, source: socket.socket, to: socket.socket, data: bytes) -> None:
        if self.mode == "drips":
            time.sleep(DRIP_S)
        if self.mode == "cuts" and len(data) > 1 and self._chance.random() < 0.3:
            to.sendall(data[: self._chance.randrange(1, len(data))])
            _reset(source, to)
        else:
            to.sendall(data)


def _reset(*sockets: socket.socket) -> None:
    """RST instead of FIN. Raises ConnectionResetError, so that it ends here too."""
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.close()
    raise ConnectionResetError
