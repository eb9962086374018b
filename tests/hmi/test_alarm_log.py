"""Which alarms came and went: kept beyond the pages' end, bounded, and in nobody's way."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.hmi import alarm_log
from inspector.hmi.alarm_log import AlarmLog, Wanted
from inspector.hmi.follow import Follower
from inspector.hmi.settings import HmiSettings, StationSettings, places
from tests.hmi.plant import Pages
from tests.support import until

SINCE = "2026-11-25T08:00:00.000Z"
BEGAN = 1_795_593_600.0


class Clock:
    """Seconds since 1970, as it is told."""

    def __init__(self) -> None:
        self.now = BEGAN + 60.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., AlarmLog]]:
    made: list[AlarmLog] = []

    def make(*stations: str) -> AlarmLog:
        for each in made:
            each.close()
        made.append(AlarmLog(tmp_path, stations or ("a", "b"), clock))
        return made[-1]

    yield make
    for each in made:
        each.close()


def says(*kinds: str, boot: str = "b1", since: str = SINCE) -> dict[str, Any]:
    alarms = [{"kind": kind, "cause": "dark", "since": since} for kind in kinds]
    return {"boot": boot, "alarms": alarms}


def rows(log: AlarmLog, **wanted: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = log.rows(Wanted(**wanted))["rows"]
    return found


def test_who_restarts_the_pages_sees_begin_end_and_who_acknowledged(
    opened: Callable[..., AlarmLog], clock: Clock
) -> None:
    log = opened()
    log.heard("a", says("fault"))
    log.heard("a", says("fault"))  # said again: the same one
    (row,) = rows(log)
    assert (row["station"], row["kind"], row["cause"], row["began"]) == (
        "a",
        "fault",
        "dark",
        BEGAN,
    )
    assert row["ended"] is None
    log.acknowledge([row["id"]], "ada")
    log.acknowledge([row["id"]], "bob")
    clock.now += 60.0
    log.heard("a", says())
    log = opened()
    (kept,) = [each for each in rows(log) if each["kind"] == "fault"]
    assert (kept["ended"], kept["acknowledged_by"]) == (BEGAN + 120.0, "ada")
    log.heard("a", says("fault", boot="b2"))
    assert [each["ended"] for each in rows(log) if each["kind"] == "fault"] == [None, BEGAN + 120.0]


def test_an_alarm_that_stands_over_a_restart_is_one_and_the_time_nobody_listened_is_told(
    opened: Callable[..., AlarmLog], clock: Clock
) -> None:
    log = opened()
    log.heard("a", says("fault"))
    log.watched("b", "silent")
    clock.now += 10.0
    log.close()
    clock.now += 3_600.0
    log = opened()
    away, silent, fault = rows(log)
    assert (away["kind"], away["began"], away["ended"]) == ("pages", clock.now - 3_600.0, clock.now)
    assert silent["ended"] == clock.now - 3_600.0
    log.heard("a", says("fault"))
    assert [each for each in rows(log) if each["kind"] == "fault"] == [fault]
    assert rows(log, station="b") == [away, silent]
    assert rows(opened("b"), station="a")[-1]["ended"] is not None, "it is followed no more"


def test_a_silence_begins_once_ends_once_and_becomes_another_by_its_cause(
    opened: Callable[..., AlarmLog], clock: Clock
) -> None:
    log = opened()
    for what in (None, "silent", "silent", "offline", "offline", None, None):
        clock.now += 1.0
        log.watched("a", what, "ended")
    found = [(row["kind"], row["began"] - BEGAN, row["ended"] - BEGAN) for row in rows(log)]
    assert found == [("offline", 64.0, 66.0), ("silent", 62.0, 64.0)]


def test_a_station_that_comes_back_is_not_silent_before_its_first_heartbeat(
    opened: Callable[..., AlarmLog],
) -> None:
    words = {"station": "a", "topic_root": "plant", "mqtt": {"host": "localhost"}}
    (place,) = places(
        HmiSettings(state_folder=Path(), stations=(StationSettings.model_validate(words),))
    )
    log = opened()
    follower = Follower(place, log, 2.0)
    long_ago = time.monotonic() - 60.0
    for state, beats in (("OFFLINE", False), ("READY", False), ("READY", True)):
        follower.known.state({"state": state, "cause": "ended"})
        if beats:
            follower.known.beat(time.monotonic())
        follower._watch(long_ago)
        assert [row["kind"] for row in rows(log)] == ["offline"]
        assert (rows(log)[0]["ended"] is not None) is beats
    follower.known.beat(time.monotonic() - 3.0)
    follower._watch(long_ago)
    assert [row["kind"] for row in rows(log)] == ["silent", "offline"]
    follower._wake.close()


def test_old_ones_go_and_those_that_stand_stay(
    opened: Callable[..., AlarmLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarm_log, "ROWS_MAX", 10)
    log = opened()
    log.heard("a", says("fault"))
    for number in range(30):
        log.heard("a", says("fault", f"k{number}"))
    assert [row["kind"] for row in rows(log)] == [f"k{n}" for n in range(29, 19, -1)] + ["fault"]
    log.heard("b", says("x" * 5_000, *map(str, range(99))))
    assert len(rows(log, station="b", limit=200)) == alarm_log.AT_ONCE_MAX
    assert len(rows(log, station="b")[-1]["kind"]) == alarm_log.TEXT_MAX


def test_a_page_of_rows_goes_on_where_the_last_one_ended(opened: Callable[..., AlarmLog]) -> None:
    log = opened()
    for number in range(7):
        log.heard("a", says(f"k{number}"))
    first = log.rows(Wanted(limit=4))
    more = log.rows(Wanted(limit=4, before=first["before"]))
    assert [row["kind"] for row in first["rows"] + more["rows"]] == [
        f"k{n}" for n in range(6, -1, -1)
    ]
    assert (more["before"], more["unacknowledged"]) == (None, 7)
    log.acknowledge([first["rows"][0]["id"]], "ada")
    assert len(rows(log, unacknowledged=True)) == 6


def test_what_cannot_be_kept_stops_nobody_and_is_said(
    opened: Callable[..., AlarmLog], tmp_path: Path
) -> None:
    log = opened()
    with sqlite3.connect(tmp_path / "alarms.db") as db:
        db.execute("ALTER TABLE alarm RENAME TO gone")
    log.heard("a", says("fault"))
    assert "no such table" in (log.trouble or "")
    with sqlite3.connect(tmp_path / "alarms.db") as db:
        db.execute("ALTER TABLE gone RENAME TO alarm")
    log.heard("a", says("fault"))
    assert (log.trouble, len(rows(log))) == (None, 1)


@pytest.mark.parametrize(
    "since", ["", "yesterday", "2026-11-25", "9999-01-01T00:00:00Z", "0001-01-01T00:00:00Z"]
)
def test_a_begin_that_makes_no_sense_is_when_it_was_heard(
    opened: Callable[..., AlarmLog], clock: Clock, since: str
) -> None:
    log = opened()
    log.heard("a", says("fault", since=since))
    assert rows(log)[0]["began"] == clock.now


@pytest.mark.parametrize("port", ["the same", "another"])
def test_pages_that_are_started_a_second_time_are_refused_and_write_nothing(
    tmp_path: Path, port: str
) -> None:
    station = {"station": "a", "topic_root": "plant", "mqtt": {"host": "127.0.0.1", "port": 9}}
    first = Pages(tmp_path, station, state_folder=str(tmp_path / "hmi")).start()
    try:
        kept = sqlite3.connect(tmp_path / "hmi" / "alarms.db")
        query = "SELECT kind, ended FROM alarm"
        assert until(lambda: kept.execute(query).fetchall() == [("broker", None)])
        again = tmp_path / "again"
        again.mkdir()
        listen = {"port": first.port} if port == "the same" else {}
        second = Pages(again, station, state_folder=str(tmp_path / "hmi"), listen=listen)
        command = [sys.executable, "-m", "inspector.cli", "hmi", str(second.settings)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60.0)
        words = "Address already in use" if port == "the same" else "one state_folder, one hmi"
        assert words in done.stderr
        assert done.returncode == (78 if port == "the same" else 1)
        assert kept.execute(query).fetchall() == [("broker", None)]
        kept.close()
    finally:
        first.kill()
