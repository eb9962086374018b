"""Nobody takes the streams or the exports of all others, by many of them or by going away."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from starlette.exceptions import HTTPException

from inspector.delivery.journal import Journal, JournalSettings
from inspector.hmi.routes_live import EXPORTS_MAX
from inspector.hmi.stream import ACCOUNT_MAX, SESSION_MAX, STREAMS_MAX, Seat, Streams
from tests.delivery.results import result
from tests.hmi.plant import Client, Pages
from tests.support import until

EXPORT = "/api/stations/far/export"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Of a station that is not there, with a journal."""
    folder = tmp_path_factory.mktemp("pages")
    journal = Journal(JournalSettings(path=folder / "journal.db", disk_free_min_mb=0))
    for seq in (1, 2, 3):
        journal.put(result(seq))
        journal.release(seq)
    journal.close()
    mqtt = {"host": "127.0.0.1", "port": 9}
    found = Pages(
        folder, {"station": "far", "topic_root": "plant", "journal": "journal.db", "mqtt": mqtt}
    )
    try:
        yield found.start()
    finally:
        found.kill()


@pytest.fixture(scope="module")
def admin(pages: Pages) -> Client:
    found = Client(pages.port)
    assert found.accept(pages.first_token(), "admin").status == 200
    return found


@pytest.mark.parametrize("reset", [True, False])
def test_exports_that_nobody_waits_for_any_more_cost_nobody_theirs(
    pages: Pages, admin: Client, *, reset: bool
) -> None:
    head = f"GET {EXPORT} HTTP/1.1\r\nHost: 127.0.0.1:{pages.port}\r\nCookie: {admin.cookie}\r\n"
    for _ in range(20 * EXPORTS_MAX):
        with socket.create_connection(("127.0.0.1", pages.port), 90.0) as one:
            if reset:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.sendall(head.encode() + b"\r\n")
    # what is at work still ends, and each of them has given back its turn
    assert until(lambda: {admin.ask("GET", EXPORT).status for _ in range(4)} == {200})
    assert admin.ask("GET", EXPORT).body.count(b"\r\n") == 1 + 3


class Opened:
    """One stream, as a tab has it."""

    def __init__(self, client: Client) -> None:
        self.connection = client.connect()
        self.connection.request("GET", "/api/stream", headers={"Cookie": client.cookie})
        self.answer = self.connection.getresponse()
        self.status = self.answer.status

    def ends(self) -> bool:
        """Reads on to its end; False where it goes on for a minute."""
        until_s = time.monotonic() + 60.0
        while time.monotonic() < until_s:
            if self.answer.readline() == b"":
                return True
        return False

    def close(self) -> None:
        self.connection.close()


def count(admin: Client) -> int:
    """Streams that are open, as the page of the system says."""
    found: int = admin.ask("GET", "/api/system").json()["streams"]
    return found


def test_a_session_gives_away_its_own_oldest_and_an_account_leaves_the_rest_to_others(
    pages: Pages, admin: Client
) -> None:
    words = {"name": "wall", "role": "viewer"}
    link = admin.ask("POST", "/api/accounts", words).json()["link"]
    sessions = [Client(pages.port)]
    assert sessions[0].accept(link.partition("#")[2]).status == 200
    per_account = ACCOUNT_MAX // SESSION_MAX
    while len(sessions) <= per_account:
        sessions.append(Client(pages.port))
        assert sessions[-1].log_in("wall").status == 200
    with ExitStack() as stack:

        def opened(client: Client) -> Opened:
            found = Opened(client)
            stack.callback(found.close)
            return found

        tabs = [opened(sessions[0]) for _ in range(SESSION_MAX + 1)]
        assert [each.status for each in tabs] == [200] * len(tabs)
        assert tabs[0].ends()
        assert count(admin) == SESSION_MAX
        others = [opened(each) for each in sessions[1:per_account] for _ in range(SESSION_MAX)]
        assert [each.status for each in others] == [200] * len(others)
        last = opened(sessions[-1])
        assert (last.status, last.answer.read()) == (429, b'{"error":"too_many"}')
        again = opened(sessions[1])
        assert again.status == 200, "a tab that was opened anew, while its old stream stands"
        assert others[0].ends()
        assert opened(admin).status == 200
        assert count(admin) == ACCOUNT_MAX + 1
        again.close()
        assert until(lambda: opened(sessions[-1]).status == 200)
    assert until(lambda: count(admin) == 0)


def test_when_all_are_taken_who_has_one_may_open_it_anew_and_nobody_else() -> None:
    streams = Streams({})
    with ExitStack() as stack:
        seats = [Seat(session=f"s{n}", account=f"a{n}") for n in range(STREAMS_MAX)]
        for each in seats:
            stack.enter_context(streams.seated(each))
        with pytest.raises(HTTPException), streams.seated(Seat(session="new", account="new")):
            pass
        stack.enter_context(streams.seated(Seat(session="s7", account="a7")))
        assert [each.session for each in seats if each.given_away] == ["s7"]
        assert streams.open == STREAMS_MAX
    assert streams.open == 0
