"""`inspector subscribe` into a real PostgreSQL."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Mosquitto
from tests.consumer.lines import Subscription, line, write_consumer
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
    conninfo = tmp_path / "conninfo"
    conninfo.write_text(server.conninfo + "\n", encoding="utf-8")
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
