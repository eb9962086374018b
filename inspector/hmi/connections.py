"""Who may hold a connection, and for how long, before anybody has said who they are.

uvicorn counts connections, and times one only after its first answer: silent ones would stand for
ever, and once they are enough everybody else is turned away. Here each address has so many and no
more, from the moment they are taken, and each is waited for so long: for its request, for the
body, for somebody who reads the answer. Nothing here ends a stream that is read.
"""

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from inspector.hmi.whose import read_address, whose

CONNECTIONS_MAX = 512
PEER_MAX = 128
"""Of one address, IPv6 by its /64; a terminal server's thirty browsers fit in it twice."""
HEAD_S = 10.0
"""For a request's whole head, and before it for TLS to agree."""
BODY_S = 60.0
"""For its whole body, which the guard keeps to 64 kB."""
READ_S = 60.0
"""For the other side to read what is written: what has not moved for so long has gone."""
LEAVING_MAX = 32
"""Sent away and not yet closed, which takes asyncio a moment: a storm must not fill the process's
table of files with them."""

Where = tuple[str, int]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Listening(socket.socket):
    """Takes no more than that of anybody; the event loop's thread uses it.

    Where there is no room, whoever has been silent longest makes it: so they who fill it do not
    even keep out who comes from their own address.
    """

    def __init__(self, family: socket.AddressFamily, proxies: Iterable[str] = ()) -> None:
        """proxies: addresses and networks with many browsers behind each: only all count."""
        super().__init__(family, socket.SOCK_STREAM)
        self._proxies: tuple[Network, ...] = tuple(map(ipaddress.ip_network, proxies))
        self._count: Counter[bytes] = Counter()
        self._silent: dict[Where, _Held] = {}
        """Who has not asked for anything yet, the oldest first."""
        self._leaving: set[_Held] = set()

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises ConnectionAbortedError for one too many, which asyncio takes for one that left."""
        found, whence = super().accept()
        held = _Held(found, whence[:2], self._left)
        proxied = any(held.address in each for each in self._proxies)
        room = True
        if self._count[held.whose] >= PEER_MAX and not proxied:
            room = self._make_room(held.whose)
        elif self._count.total() >= CONNECTIONS_MAX:
            room = self._make_room(None)
        self._count[held.whose] += 1
        if not room:
            held.close()
            raise ConnectionAbortedError
        self._silent[held.where] = held
        return held, whence

    def heard(self, where: Where) -> None:
        """It has asked for something, and stays."""
        self._silent.pop(where, None)

    def _make_room(self, whose: bytes | None) -> bool:
        """Of one address, or of all (None)."""
        if len(self._leaving) >= LEAVING_MAX:
            return False
        for held in self._silent.values():
            if whose is None or held.whose == whose:
                del self._silent[held.where]
                self._count[held.whose] -= 1
                self._leaving.add(held)
                with suppress(OSError):
                    held.shutdown(socket.SHUT_RDWR)  # asyncio sees its end, and closes it
                return True
        return False

    def _left(self, held: "_Held") -> None:
        if held in self._leaving:
            self._leaving.remove(held)
            return
        if self._silent.get(held.where) is held:
            del self._silent[held.where]
        self._count[held.whose] -= 1
        self._count += Counter()  # without those of whom there are none


class _Held(socket.socket):
    """One that was taken, until it is closed."""

    def __init__(self, found: socket.socket, where: Where, left: Callable[["_Held"], None]) -> None:
        super().__init__(found.family, found.type, found.proto, fileno=found.detach())
        self.where = where
        self.address = read_address(where[0])
        self.whose = whose(self.address)
        self._left: Callable[[_Held], None] | None = left

    def close(self) -> None:
        super().close()
        left, self._left = self._left, None
        if left is not None:
            left(self)


class Loop(asyncio.SelectorEventLoop):
    """asyncio's, except that TLS waits no longer than HTTP does."""

    async def create_server(self, *args: Any, **words: Any) -> asyncio.Server:
        if words.get("ssl") is not None:
            words |= {"ssl_handshake_timeout": HEAD_S, "ssl_shutdown_timeout": HEAD_S}
        return await super().create_server(*args, **words)


class Patient(H11Protocol):
    """uvicorn's, whose patience ends: its own timer runs only between two requests."""

    listening: Listening
    _since: object = None
    _end: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._end)
        _cancel(self._unread)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        _cancel(self._unread)
        self._unread = self.loop.call_later(READ_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._unread)

    def _look(self) -> None:
        """From when each piece is waited for, not from when some of it last came."""
        waits_for = "its end" if self.transport.is_closing() else self.conn.their_state
        if waits_for is self._since:
            return
        self._since = waits_for
        if waits_for is not h11.IDLE and self.client is not None:
            self.listening.heard(self.client)
        _cancel(self._end)
        limits: dict[object, float] = {"its end": READ_S, h11.IDLE: HEAD_S, h11.SEND_BODY: BODY_S}
        if waits_for in limits:
            self._end = self.loop.call_later(limits[waits_for], self.transport.abort)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
