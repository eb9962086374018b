"""Every query of the Grafana dashboard, on a real PostgreSQL that `inspector subscribe` has filled.

Grafana itself is not here: its macros are put in as its manual says for PostgreSQL.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Mosquitto
from tests.consumer.lines import Subscription, line, write_consumer
from tests.postgres import Postgres
from tests.support import until

psycopg = pytest.importorskip("psycopg", reason="needs the postgres extra")

FOLDER = Path(__file__).parent.parent.parent / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "inspection.json").read_bytes())
PANELS: dict[str, dict[str, Any]] = {panel["title"]: panel for panel in DASHBOARD["panels"]}
NOW = datetime.now(UTC).replace(microsecond=0)
DEFECT = {"passed": False, "evaluation": "NOT_OK", "cause": "defect", "score": 0.9}
REVIEW = {"passed": False, "evaluation": "NOT_DECIDABLE", "cause": "review", "score": 0.5}
NO_FRAME = {"passed": False, "evaluation": "UNDEFINED", "cause": "no_frame", "score": None}
LATE = {"passed": False, "evaluation": "UNDEFINED", "cause": "late", "late": True, "score": 0.01}
PARTS: tuple[dict[str, Any], ...] = (*({},) * 12, *(DEFECT,) * 4, REVIEW, LATE, LATE, NO_FRAME)


def at(number: int) -> datetime | None:
    """The parts are ten seconds apart; of the last there is no picture."""
    return None if PARTS[number] is NO_FRAME else NOW - timedelta(seconds=10 * (20 - number))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    folder = tmp_path_factory.mktemp("grafana")
    with Postgres() as database, Mosquitto(folder) as broker:
        database.write_conninfo(folder)
        sink = {"kind": "postgres", "conninfo_file": "conninfo"}
        with line(folder, broker.start().port) as station:
            subscription = Subscription(write_consumer(folder, broker.port, sink))
            for number, part in enumerate(PARTS):
                station.record(captured_at=at(number), **part)
            station.record(simulated=False, captured_at=NOW)
            station.record(captured_at=NOW - timedelta(days=2))
            station.tell()
            try:
                assert until(lambda: station.acknowledged() == len(PARTS) + 2)
            finally:
                subscription.kill()
        view = (FOLDER / "view.sql").read_text(encoding="utf-8")
        for _ in range(2):  # it may be run again
            with psycopg.connect(database.conninfo) as db:
                db.execute(view)
        yield database


def expanded(query: str, simulated: str = "true") -> str:
    """As Grafana sends it for the last hour, in steps of a minute, of all stations."""
    begin, end = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    between = rf"\1 BETWEEN '{begin.isoformat()}' AND '{end.isoformat()}'"
    query = re.sub(r"\$__timeFilter\(([^)]*)\)", between, query)
    bucket = r'floor(extract(epoch from \1)/60)*60 AS "time"'
    query = re.sub(r"\$__timeGroupAlias\(([^,)]*), \$__interval\)", bucket, query)
    query = query.replace("$station", "'station', 'other'").replace("$simulated", simulated)
    assert "$" not in query, "a macro or variable that this test does not know"
    return query


def asked(server: Postgres, title: str, simulated: str = "true") -> list[dict[str, Any]]:
    """A panel's rows, by column."""
    (target,) = PANELS[title]["targets"]
    with psycopg.connect(server.conninfo) as db:
        cursor = db.execute(expanded(target["rawSql"], simulated))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_has_rows_and_the_columns_it_draws(server: Postgres, title: str) -> None:
    panel, rows = PANELS[title], asked(server, title)
    assert rows
    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["options"] in rows[0]
    if panel["targets"][0]["format"] == "time_series":
        times = [row["time"] for row in rows]
        assert times == sorted(times)
        assert times[0] >= (NOW - timedelta(hours=1)).timestamp()
        values = [v for k, v in rows[0].items() if k not in ("time", "metric")]
        assert all(isinstance(value, (int, float, Decimal)) for value in values)


def test_what_could_not_be_judged_lowers_the_yield_though_it_has_no_picture(
    server: Postgres,
) -> None:
    assert asked(server, "Parts") == [{"parts": len(PARTS)}]
    assert float(asked(server, "Yield")[0]["yield"]) == 100 * 12 / len(PARTS)
    assert asked(server, "Rejected") == [{"rejected": 8}]
    assert asked(server, "Could not be judged") == [{"undefined": 3}]
    causes = {row["cause"]: row["parts"] for row in asked(server, "Rejected, by cause")}
    assert causes == {"defect": 4, "late": 2, "review": 1, "no_frame": 1}
    over_time = asked(server, "Rejected over time, by cause")
    assert sum(row["parts"] for row in over_time) == 8


def test_results_of_pictures_from_files_are_not_mixed_with_the_cameras(server: Postgres) -> None:
    assert asked(server, "Parts", simulated="false") == [{"parts": 1}]


def test_scores_stand_beside_the_limits_that_held(server: Postgres) -> None:
    rows = asked(server, "Score and limits, $station")
    assert {(row["review from"], row["reject from"]) for row in rows} == {(0.2, 0.8)}
    assert max(row["worst"] for row in rows) == 0.9
    assert {row["p99"] for row in asked(server, "Trigger to result")} == {2.0}


def test_the_last_rejects_come_newest_first_and_say_why(server: Postgres) -> None:
    rows = asked(server, "Last rejects")
    assert [row["seq"] for row in rows] == list(range(20, 12, -1))
    assert rows[0]["cause"] == "no_frame"
    assert [row["late"] for row in asked(server, "Stations")] == [2]


def test_the_dashboards_variables_ask_and_name_what_its_queries_use(server: Postgres) -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "station", "simulated"}
    with psycopg.connect(server.conninfo) as db:
        assert db.execute(variables["station"]["query"]).fetchall() == [("station",)]
    used = {each["uid"] for panel in PANELS.values() for each in (panel["datasource"],)}
    assert used == {"${datasource}"}
