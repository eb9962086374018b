"""Who says nothing, or little, or reads nothing keeps nobody out, and no stream is cut."""

import asyncio
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from inspector.delivery.tls import make_server_context
from inspector.hmi import connections
from inspector.hmi.serve import bind, configure
from inspector.hmi.settings import ListenSettings
from inspector.hmi.whose import read_address, whose
from tests.certificates import make_authority
from tests.support import free_port, until

PIECES = 30
PIECE_S = 0.1
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n"
WHOLE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """What of the pages matters here: answers of every length, at once and in pieces."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    got = 0
    while scope["method"] == "POST":
        message = await receive()
        got += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = b"x" * 16_000_000 if scope["path"] == "/large" else str(got).encode()
    for _ in range(PIECES if scope["path"] == "/stream" else 0):
        await send({"type": "http.response.body", "body": b".", "more_body": True})
        await asyncio.sleep(PIECE_S)
    while scope["path"] == "/ever" and (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(
    context: ssl.SSLContext | None = None, **words: Any
) -> Iterator[tuple[int, uvicorn.Server]]:
    """As `inspector hmi` serves its pages."""
    listen = ListenSettings(port=free_port(), **words)
    bound = bind(listen)
    app: Any = application
    server = uvicorn.Server(configure(app, listen, bound, context))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        assert until(lambda: server.started)
        yield listen.port, server
    finally:
        server.should_exit = True
        thread.join()


def connected(port: int, address: str = "127.0.0.1", data: bytes = b"") -> socket.socket:
    found = socket.create_connection(("127.0.0.1", port), 90.0, (address, 0))
    found.sendall(data)
    return found


def is_served(port: int, address: str = "127.0.0.1") -> bool:
    with suppress(OSError), connected(port, address, WHOLE) as one:
        return one.recv(12) == b"HTTP/1.1 200"
    return False


def is_gone(one: socket.socket) -> bool:
    """Whether the other side has hung up; what it said before is left aside."""
    one.setblocking(False)
    try:
        while one.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


SILENT = {
    "nothing": b"",
    "half a head": HEAD,
    "a head and no body": HEAD + b"\r\n",
    "half a body": HEAD + b"\r\n" + b"x" * 20_000,
    "half a head behind a whole one": WHOLE + HEAD,
    "half a body behind a whole request": WHOLE + HEAD + b"\r\nx",
    "an answer, and half a head later": WHOLE,
}
TRICKLED = {"a head byte by byte": HEAD + b"A: ", "a body byte by byte": HEAD + b"\r\n"}


def test_who_says_nothing_or_never_comes_to_an_end_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for limit in ("HEAD_S", "BODY_S"):
        monkeypatch.setattr(connections, limit, 0.5)
    with serving() as (port, _):
        said = {**SILENT, **TRICKLED}
        held = {what: connected(port, data=data) for what, data in said.items()}
        answered = held["an answer, and half a head later"]
        assert answered.recv(12) == b"HTTP/1.1 200"
        answered.sendall(HEAD)
        gone: set[str] = set()

        def all_gone() -> bool:
            for what in TRICKLED:
                with suppress(OSError):
                    held[what].send(b"x")
            gone.update(what for what, one in held.items() if what not in gone and is_gone(one))
            return len(gone) == len(held)

        assert until(all_gone, 60.0), held.keys() - gone
        for one in held.values():
            one.close()


def test_who_never_agrees_on_tls_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ca = make_authority(tmp_path, "localhost", "nobody")
    context = make_server_context(ca / "broker.pem", ca / "broker.key", what="")
    monkeypatch.setattr(connections, "HEAD_S", 0.5)
    with (
        serving(context) as (port, _),
        connected(port) as silent,
        connected(port, data=b"\x16\x03\x01") as begun,
    ):
        assert until(lambda: is_gone(silent) and is_gone(begun), 30.0)  # asyncio's own is 60 s


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
def test_who_asks_for_much_and_reads_nothing_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(connections, "READ_S", 0.5)
    with serving() as (port, server), socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        one.connect(("127.0.0.1", port))
        one.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n" + more + b"\r\n")
        assert until(lambda: server.server_state.total_requests == 1)
        assert until(lambda: not server.server_state.connections, 60.0)


def asked(port: int, path: str, answers: dict[str, int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90.0)
    pieces = iter([b"x"] * PIECES)

    def slowly() -> Iterator[bytes]:
        for piece in pieces:
            time.sleep(PIECE_S)
            yield piece

    try:
        if path == "/upload":
            connection.request("POST", path, slowly(), {"Content-Length": str(PIECES)})
        else:
            connection.request("GET", path)
        answers[path] = len(body) if (body := connection.getresponse().read()) else 0
        answers[f"{path} says"] = int(body.removeprefix(b"." * PIECES) or 0)
    finally:
        connection.close()


def test_a_stream_and_a_slow_upload_that_last_longer_are_not_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for limit in ("HEAD_S", "READ_S"):
        monkeypatch.setattr(connections, limit, PIECES * PIECE_S / 3.0)
    monkeypatch.setattr(connections, "BODY_S", 600.0)
    answers: dict[str, int] = {}
    with serving() as (port, _):
        paths = ("/stream", "/upload")
        threads = [threading.Thread(target=asked, args=(port, each, answers)) for each in paths]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert answers["/stream"] == PIECES + 1
    assert answers["/upload says"] == PIECES


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PEER_MAX", 3)
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 6)
    monkeypatch.setattr(connections, "HEAD_S", 600.0)


def taken(port: int, address: str, wanted: int, data: bytes = b"") -> list[socket.socket]:
    """So many that were taken at first; with `data`, their first answer has come."""
    found = [connected(port, address, data) for _ in range(wanted)]
    for each in found if data else ():
        with suppress(OSError):
            each.recv(12)
    return found


def stay(held: list[socket.socket], most: int) -> bool:
    """Whether it comes to so many; the others are closed."""
    come = until(lambda: len([each for each in held if not is_gone(each)]) == most)
    for each in filter(is_gone, held):
        each.close()
    held[:] = [each for each in held if each.fileno() >= 0]
    return come


EVER = WHOLE.replace(b"/ ", b"/ever ", 1)


@pytest.mark.usefixtures("few")
def test_who_is_silent_makes_room_the_oldest_first_and_only_for_its_own_address() -> None:
    with serving() as (port, _):
        other = taken(port, "127.0.0.3", 1)
        held = taken(port, "127.0.0.2", 9)
        assert stay(held, 3)
        assert not is_gone(other[0])
        for _ in range(4):
            assert is_served(port, "127.0.0.2"), "beside as many silent ones as there may be"
            assert is_served(port, "127.0.0.4")
        assert stay(held, 2)
        held += taken(port, "127.0.0.4", 3)
        assert stay(held, 5)
        assert is_served(port, "127.0.0.5"), "beside as many silent ones of all"
        assert until(lambda: is_gone(other[0])), "the oldest of all made room"
        for each in held + other:
            each.close()


@pytest.mark.usefixtures("few")
def test_who_is_at_work_is_not_sent_away_and_its_address_gets_no_more_than_its_part() -> None:
    with serving() as (port, _):
        held = taken(port, "127.0.0.2", 5, EVER)
        assert stay(held, 3)
        assert not is_served(port, "127.0.0.2")
        held += taken(port, "127.0.0.3", 5, EVER)
        assert stay(held, 6), "another address is served beside it"
        assert not is_served(port, "127.0.0.4"), "as many as there may be"
        for each in held:
            each.close()
        for address in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            assert until(lambda: is_served(port, address))  # noqa: B023 - called at once


@pytest.mark.usefixtures("few")
def test_a_proxy_brings_everybodys_connections_and_a_stranger_beside_it_only_its_own() -> None:
    words: dict[str, Any] = {
        "behind_proxy": True,
        "proxies": ("127.0.0.8/29",),
        "origins": ("https://a",),
    }
    with serving(**words) as (port, _):
        held = taken(port, "127.0.0.9", 5, EVER)
        assert stay(held, 5)
        held += taken(port, "127.0.0.2", 5, EVER)
        assert stay(held, 6)
        for each in held:
            each.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_an_address_of_ipv6_is_counted_by_its_network(one: str, other: str, *, same: bool) -> None:
    assert (whose(read_address(one)) == whose(read_address(other))) is same
