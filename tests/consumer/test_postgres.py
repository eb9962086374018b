"""`inspector subscribe` into a real PostgreSQL."""

import json
import os
import select
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from inspector.consumer.postgres import open_postgres
from inspector.consumer.settings import PostgresSink
from inspector.contract.errors import ConfigError, RecordError
from tests.brokers import Mosquitto
from tests.consumer.lines import Subscription, line, name_twice, write_consumer
from tests.consumer.odd import ODD, OTHERWISE, as_ours_with
from tests.postgres import Postgres
from tests.support import until

psycopg = pytest.importorskip("psycopg", reason="needs the postgres extra")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as started:
        yield started


def ask(server: Postgres, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.conninfo) as db:
        return db.execute(query).fetchall()  # type: ignore[no-any-return]


def test_a_killed_server_and_a_killed_subscriber_cost_no_result_and_make_none_twice(
    tmp_path: Path, server: Postgres
) -> None:
    server.write_conninfo(tmp_path)
    sink = {"kind": "postgres", "conninfo_file": "conninfo"}
    with Mosquitto(tmp_path) as broker, line(tmp_path, broker.start().port) as station:
        settings = write_consumer(tmp_path, broker.port, sink)
        subscription = Subscription(settings)
        station.put(100)
        assert until(lambda: station.acknowledged() == 100)
        server.kill()
        station.put(100)
        code, said = subscription.wait()
        assert (code, "PostgreSQL: " in said) == (1, True), said
        assert station.acknowledged() == 100, "nothing is acknowledged that is not stored"
        server.start()
        subscription = Subscription(settings)
        assert until(lambda: station.acknowledged() == 200)
        subscription.kill()
        station.put(100)
        subscription = Subscription(settings, "--expect", "100")
        code, said = subscription.wait()
        assert code == 0, said
        rows = ask(server, "SELECT seq, payload FROM inspector_result ORDER BY seq")
        assert [seq for seq, _ in rows] == list(range(1, 301))
        assert [payload for _, payload in rows] == [json.loads(p) for p in station.payloads()]
        kinds = ask(server, "SELECT pass, captured_at, part_id FROM inspector_result LIMIT 1")[0]
        assert (kinds[0], kinds[1].year, kinds[2]) == (True, 2026, "P1")


@contextmanager
def over_tcp(server: Postgres) -> Iterator[int]:
    """A port on loopback that leads to the server's socket."""

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as behind:
                behind.connect(f"{server.folder}/.s.PGSQL.5432")
                ends = {self.request: behind, behind: self.request}
                while True:
                    for end in select.select([*ends], [], [])[0]:
                        if not (data := end.recv(65_536)):
                            return
                        ends[end].sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forward) as forwarding:
        threading.Thread(target=forwarding.serve_forever, daemon=True).start()
        yield forwarding.server_address[1]
        forwarding.shutdown()


def test_a_server_that_is_gone_without_a_word_is_noticed_within_half_a_minute(
    tmp_path: Path, server: Postgres
) -> None:
    with over_tcp(server) as port:
        path = tmp_path / "conninfo"
        path.touch(0o600)
        path.write_text(f"host=127.0.0.1 port={port} user=inspector dbname=postgres\n", "utf-8")
        sink: Any = open_postgres(PostgresSink(kind="postgres", conninfo_file=path, table="far"))
        with closing(sink), socket.socket(fileno=os.dup(sink._db.fileno())) as end:
            idle, pause, tries, silent_ms = (
                end.getsockopt(socket.IPPROTO_TCP, each)
                for each in (
                    socket.TCP_KEEPIDLE,
                    socket.TCP_KEEPINTVL,
                    socket.TCP_KEEPCNT,
                    socket.TCP_USER_TIMEOUT,
                )
            )
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert idle + pause * tries <= 30, "where it owes an answer"
    assert 0 < silent_ms <= 30_000, "where it owes an acknowledgement"


def test_a_role_that_may_only_read_and_write_the_table_is_enough_where_it_is_there(
    tmp_path: Path, server: Postgres
) -> None:
    """As an administrator makes it: who may make no tables in the schema was refused."""
    server.write_conninfo(tmp_path)
    sink = {"kind": "postgres", "conninfo_file": "conninfo", "table": "least"}
    with Mosquitto(tmp_path) as broker, line(tmp_path, broker.start().port) as station:
        settings = write_consumer(tmp_path, broker.port, sink)
        subscription = Subscription(settings)
        station.put(10)
        assert until(lambda: station.acknowledged() == 10)
        subscription.kill()
        with psycopg.connect(server.conninfo) as db:
            db.execute("CREATE ROLE historian LOGIN")
            db.execute("GRANT SELECT, INSERT ON least TO historian")
        conninfo = server.conninfo.replace("user=inspector", "user=historian")
        (tmp_path / "conninfo").write_text(conninfo + "\n", encoding="utf-8")
        station.put(10)
        code, said = Subscription(settings, "--expect", "10").wait()
        assert code == 0, said
        assert ask(server, "SELECT count(*), max(seq) FROM least") == [(20, 20)]
    other = write_consumer(tmp_path, broker.port, {**sink, "table": "not_there"})
    code, said = Subscription(other).wait()
    assert (code, "permission denied for schema" in said) == (1, True), said


def test_a_row_of_which_the_server_refuses_a_piece_is_kept_whole_in_its_payload(
    tmp_path: Path, server: Postgres
) -> None:
    conninfo = tmp_path / "conninfo"
    conninfo.write_text(server.conninfo + "\n", encoding="utf-8")
    conninfo.chmod(0o600)
    refused = (
        as_ours_with(captured_at="2026-W01-1T00:00:00+00:00"),  # Python's calendar alone
        as_ours_with(note="\0"),  # no column asks for it, and jsonb refuses it
        as_ours_with(captured_at="2026-W01-1T00:00:00+00:00", note="\0"),
    )
    with Mosquitto(tmp_path) as broker, line(tmp_path, broker.start().port) as station:
        for write in (*(write for write, _ in ODD.values()), *OTHERWISE, *refused):
            station.record_as(write)
        station.put(1)
        count = len(station.payloads())
        sink = {"kind": "postgres", "conninfo_file": "conninfo", "table": "odd"}
        settings = write_consumer(tmp_path, broker.port, sink)
        code, said = Subscription(settings, "--expect", str(count)).wait()
        assert code == 0, said
        assert said.count("is not stored as it is") == 1, said
        assert until(lambda: station.acknowledged() == count)
        payloads = station.payloads()
    query = "SELECT payload, to_jsonb(odd) FROM odd ORDER BY seq"
    rows = ask(server, query)
    kept = [json.loads(row) if isinstance(row, str) else row for row, _ in rows]
    assert kept == [json.loads(each) for each in payloads]
    for (_, columns), (_, odd) in zip(rows[: len(ODD)], ODD.values(), strict=True):
        assert {name for name in odd if columns[name] is not None} == set()
        assert columns["bundle"] == "tiny-0123456789ab", "the others stand"
    dated, noted, both = (columns for _, columns in rows[-4:-1])
    assert [each["seq"] for each in (dated, noted, both)] == list(range(count - 3, count))
    assert [each["bundle"] is None for each in (dated, noted, both)] == [True, False, True]


def test_a_result_id_stored_before_the_start_costs_one_message_and_another_station_may_have_it(
    tmp_path: Path, server: Postgres
) -> None:
    server.write_conninfo(tmp_path)
    sent = name_twice(tmp_path, {"kind": "postgres", "conninfo_file": "conninfo", "table": "named"})
    rows = ask(server, "SELECT payload FROM named ORDER BY station DESC, seq")
    assert [payload for (payload,) in rows] == [json.loads(each) for each in sent]


def test_without_the_extra_it_says_which_one_is_missing(tmp_path: Path) -> None:
    conninfo = tmp_path / "conninfo"
    conninfo.write_text("host=/nowhere\n", encoding="utf-8")
    settings = write_consumer(tmp_path, 1, {"kind": "postgres", "conninfo_file": "conninfo"})
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from inspector.cli import main\n"
        f"sys.exit(main(['subscribe', {str(settings)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert 'pip install "inspector[postgres]"' in done.stderr


SECRET = ("Geheim", "42", "heim")
CANNOT_BE = "cannot be one \\(perhaps a piece of the password\\)"
NO_STRING = "its first line is no connection string"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("host=127.0.0.1 port=1 user=historian password=Geheim 42!x", NO_STRING),
        ("host=127.0.0.1 port=1 user=historian password='Geheim42", NO_STRING),
        ("host=127.0.0.1 port=1 user=historian password=x Geheim=42", NO_STRING),
        ("Geheim42", NO_STRING),
        ("", NO_STRING),
        ("postgresql://historian:Geheim%42x%zz@127.0.0.1:1/quality", NO_STRING),
        ("postgresql://historian:Geheim@42@127.0.0.1:1/quality", CANNOT_BE),
        ("postgresql://historian:Geheim/42@127.0.0.1:1/quality", CANNOT_BE),
        ("postgresql://historian:4242/Geheim@127.0.0.1:1/quality", CANNOT_BE),
        ("postgresql://historian@Geheim:42@127.0.0.1:1/quality", CANNOT_BE),
        ("postgresql://historian:Geheim,42/x@127.0.0.1:1/quality", CANNOT_BE),
    ],
)
def test_a_connection_string_that_may_be_misread_is_refused_without_a_word_of_it(
    tmp_path: Path, line: str, says: str
) -> None:
    path = tmp_path / "conninfo"
    path.touch(0o600)
    path.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=says) as error:
        open_postgres(PostgresSink(kind="postgres", conninfo_file=path))
    said = str(error.value).replace(str(path), "")
    assert not any(piece in said for piece in ("historian", *SECRET)), said


@pytest.mark.parametrize(
    "line",
    [
        r"host=127.0.0.1 port=1 user=historian password='Geheim 4\'2@\\x'",
        "postgresql://historian:Geheim%404%2F2@127.0.0.1:1/quality",
        "postgresql://historian:Geheim42@127.0.0.1:1,127.0.0.1:1/quality",
        "postgresql://historian:Geheim#42@[::1]:1/quality",
    ],
)
def test_one_that_can_be_read_is_tried_and_its_password_not_told(tmp_path: Path, line: str) -> None:
    path = tmp_path / "conninfo"
    path.touch(0o600)
    path.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"PostgreSQL: .*port 1 failed") as error:
        open_postgres(PostgresSink(kind="postgres", conninfo_file=path))
    assert not any(piece in str(error.value) for piece in SECRET)


def test_a_connection_string_that_others_may_read_ends_the_start(
    tmp_path: Path, server: Postgres
) -> None:
    server.write_conninfo(tmp_path)
    (tmp_path / "conninfo").chmod(0o640)
    sink = {"kind": "postgres", "conninfo_file": "conninfo"}
    code, said = Subscription(write_consumer(tmp_path, 1, sink)).wait()
    assert code == 78
    assert "sink.conninfo_file" in said
    assert "others may read it: chmod 600" in said
