"""Triggers of the line over a real mosquitto: one accepted, one part; all else refused, counted."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from inspector.contract.trigger import TriggerMessage
from inspector.delivery.broker import MqttSettings
from inspector.delivery.journal import Journal, JournalSettings
from inspector.delivery.trigger_mqtt import MqttTrigger, MqttTriggerSettings, ids_recorded
from inspector.station.ports import Part
from tests.brokers import Mosquitto
from tests.delivery.results import result
from tests.support import GREY, free_port, picture, until

TOPIC = "plant/line/station/trigger"
PICTURE = picture(GREY)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as made:
        yield made.start()


@contextmanager
def trigger(port: int, seen: tuple[str, ...] = (), **settings: Any) -> Iterator[MqttTrigger]:
    made = MqttTrigger(
        MqttTriggerSettings(**{"wait_max_ms": 5_000, **settings}),
        MqttSettings(host="127.0.0.1", port=port, backoff_min_s=0.05, backoff_max_s=0.2),
        topic=TOPIC,
        client_id="inspector-trigger",
        seen=seen,
    )
    made.start()
    made.restart()
    try:
        yield made
    finally:
        made.stop()
    assert not made.alive()


class Line:
    """The line's controller."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def says(self, payload: bytes, **words: Any) -> None:
        self._client.publish(TOPIC, payload, qos=1, **words).wait_for_publish(5.0)

    def tells(self, id_: str, **words: Any) -> None:
        self.says(TriggerMessage(id=id_, **words).to_json())

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def parts(made: MqttTrigger, quiet_s: float = 0.3) -> list[Part]:
    """Every part it gives until it is quiet; each is done at once."""
    found = []
    while (part := made.wait(quiet_s)) is not None:
        found.append(part)
        made.done(part, None)
    return found


def ready(made: MqttTrigger) -> bool:
    return until(lambda: made.trouble is None)


def test_a_part_brings_its_id_its_deadline_and_the_triggers_id(broker: Mosquitto) -> None:
    with trigger(broker.port) as made, Line(broker.port) as line:
        assert ready(made)
        before = time.monotonic()
        line.tells("T-1", part_id="Zelle 17/ä", deadline_ms=120, sent_at=datetime.now(UTC))
        (part,) = parts(made)
    assert (part.part_id, part.trigger_id, part.deadline_ms) == ("Zelle 17/ä", "T-1", 120)
    assert before <= part.seen_at <= time.monotonic()
    assert part.refused is None


def test_what_is_retained_stale_double_or_no_trigger_is_refused_and_counted(
    broker: Mosquitto,
) -> None:
    now = datetime.now(UTC)
    with Line(broker.port) as line:
        line.says(TriggerMessage(id="kept").to_json(), retain=True)
        with trigger(broker.port, seen=("of-yesterday",)) as made:
            assert ready(made)
            line.tells("T-1")
            line.tells("T-1")
            line.tells("of-yesterday")
            line.tells("old", sent_at=now - timedelta(seconds=5))
            line.tells("ahead", sent_at=now + timedelta(days=1))
            line.says(TriggerMessage(id="to-be-kept").to_json(), retain=True)
            for junk in (
                b"", b"\xff", b"{}", b"[]", b'{"id":"a","id":"b"}', b'{"id":"a","speed":1}',
                b'{"id":"../x"}', b'{"id":"a","deadline_ms":0}', b'{"id":"a","deadline_ms":NaN}',
                b'{"id":"a","part_id":"x\\u0000"}', b"[" * 9_000,
            ):  # fmt: skip
                line.says(junk)
            line.says(bytes(100_000))
            line.tells("T-2")
            found = parts(made)
            assert until(lambda: made.status.refused.get("oversized") == 1)
            refused = made.status.refused
    assert [part.trigger_id for part in found] == ["T-1", "T-2"]
    assert refused == {
        "retained": 2, "duplicate": 2, "stale": 2, "malformed": 11, "oversized": 1,
    }  # fmt: skip
    assert made.missed == 0


def test_a_trigger_that_was_taken_is_a_duplicate_however_late_it_comes_again(
    broker: Mosquitto,
) -> None:
    with trigger(broker.port, age_max_ms=500) as made, Line(broker.port) as line:
        assert ready(made)
        sent_at = datetime.now(UTC)
        line.tells("T-1", sent_at=sent_at)
        assert [part.trigger_id for part in parts(made)] == ["T-1"]
        line.tells("T-1", sent_at=sent_at - timedelta(seconds=5))
        assert until(lambda: made.status.refused == {"duplicate": 1}), made.status


def test_a_trigger_that_must_say_when_it_was_sent_and_does_not_is_stale(broker: Mosquitto) -> None:
    with trigger(broker.port, sent_at_required=True) as made, Line(broker.port) as line:
        assert ready(made)
        line.tells("T-1")
        line.tells("T-2", sent_at=datetime.now(UTC))
        assert [part.trigger_id for part in parts(made)] == ["T-2"]
        assert made.status.refused == {"stale": 1}


def test_what_comes_while_a_part_is_in_work_is_a_part_that_must_not_be_judged(
    broker: Mosquitto,
) -> None:
    with trigger(broker.port, waiting_max=2) as made, Line(broker.port) as line:
        assert ready(made)
        line.tells("T-1")
        first = made.wait(5.0)
        assert first is not None
        for number in range(2, 6):
            line.tells(f"T-{number}")
        assert until(lambda: made.missed == 2)
        made.done(first, None)
        second, third = parts(made)
        line.tells("T-6")
        (sixth,) = parts(made)
        line.tells("T-4")  # missed, and gone by: it is no part now
        assert parts(made) == []
    assert first.refused is None
    for part, id_ in ((second, "T-2"), (third, "T-3")):
        assert (part.trigger_id, part.refused) == (id_, "it came while part 1 was in work")
    assert (sixth.trigger_id, sixth.sequence, sixth.refused) == ("T-6", 4, None)
    assert made.status.refused == {"duplicate": 1}


@pytest.mark.parametrize("waiting_max", [1, 2])
def test_a_part_whose_successor_came_before_the_station_looked_is_not_judged(
    broker: Mosquitto, waiting_max: int
) -> None:
    with trigger(broker.port, waiting_max=waiting_max) as made, Line(broker.port) as line:
        assert ready(made)
        line.tells("T-1")
        line.tells("T-2")  # where one may wait, it is missed
        line.says(b"")
        assert until(lambda: made.status.refused == {"malformed": 1})
        first, *second = parts(made)
        line.tells("T-3")
        (third,) = parts(made)
    assert made.missed == 2 - waiting_max
    assert first.refused == "another part came while it waited for the station"
    assert [part.refused for part in second] == [None] * (waiting_max - 1)
    assert third.refused is None


def test_a_trigger_that_was_missed_before_another_waits_overtakes_the_part_in_work(
    broker: Mosquitto,
) -> None:
    with trigger(broker.port, waiting_max=1) as made, Line(broker.port) as line:
        assert ready(made)
        line.tells("T-1")
        part = made.wait(5.0)
        assert part is not None
        at = time.monotonic()
        for number in range(3):
            assert made.overtaken(part, at, PICTURE) is None
            line.tells("T-1")
            line.tells(f"old-{number}", sent_at=datetime.now(UTC) - timedelta(seconds=5))
        assert until(lambda: made.status.refused == {"duplicate": 3, "stale": 3})
        assert made.overtaken(part, time.monotonic(), PICTURE) is None
        line.tells("T-2")
        line.tells("T-3")
        assert until(lambda: made.missed == 1)
        assert made.overtaken(part, at, PICTURE) is None
        assert made.overtaken(part, time.monotonic(), PICTURE) == "trigger T-2"


def test_a_trigger_that_waited_for_the_station_is_not_judged_by_a_later_picture(
    broker: Mosquitto,
) -> None:
    with trigger(broker.port, wait_max_ms=100) as made, Line(broker.port) as line:
        assert ready(made)
        line.tells("T-1")
        time.sleep(0.3)
        (part,) = parts(made)
        assert part.refused is not None
        assert part.refused.startswith("it waited")


def test_every_trigger_is_a_part_refused_or_missed_and_nothing_else(broker: Mosquitto) -> None:
    with trigger(broker.port, waiting_max=3) as made, Line(broker.port) as line:
        assert ready(made)
        for number in range(100):
            line.tells(f"T-{number}")
        time.sleep(0.2)
        made.pause()
        made.restart()
        for number in range(90, 200):
            line.tells(f"T-{number}")
        time.sleep(0.2)
        found = len(parts(made))
        assert found + made.missed + sum(made.status.refused.values()) == 210
    assert made.status.refused == {"not_executing": 3, "duplicate": 10}


def test_a_broker_that_is_away_is_said_and_rejoined(tmp_path: Path, broker: Mosquitto) -> None:
    with trigger(broker.port) as made:
        assert ready(made)
        broker.kill()
        assert until(lambda: made.trouble is not None)
        assert f"broker 127.0.0.1:{broker.port}" in str(made.status.trouble)
        start = time.monotonic()
        assert made.wait(0.1) is None
        assert time.monotonic() - start < 1.0
        broker.start()
        assert ready(made)
        with Line(broker.port) as line:
            line.tells("T-1")
            assert [part.trigger_id for part in parts(made)] == ["T-1"]


def test_a_broker_that_was_never_there_holds_nobody_up(tmp_path: Path) -> None:
    with trigger(free_port()) as made:
        start = time.monotonic()
        assert made.wait(0.05) is None
        assert time.monotonic() - start < 1.0
        assert made.trouble is not None


def test_what_had_its_verdict_before_a_restart_is_known_from_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    assert ids_recorded(path) == []
    journal = Journal(JournalSettings(path=path, disk_free_min_mb=0))
    for _ in range(120):
        journal.put(result(journal.next_seq()))
    journal.close()
    assert ids_recorded(path) == [f"T{seq}" for seq in range(1, 121)]


@pytest.mark.parametrize("spoilt", [b"\xff\x00", b"{", b"[]", b'{"trigger": 7}'])
def test_a_row_that_a_disk_has_spoilt_keeps_no_station_from_its_triggers(
    tmp_path: Path, spoilt: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(JournalSettings(path=path, disk_free_min_mb=0))
    for _ in range(3):
        journal.put(result(journal.next_seq()))
    journal.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE result SET payload = ? WHERE seq = 2", (spoilt,))
        db.commit()
    assert ids_recorded(path) == ["T1", "T3"]
    assert f"journal {path}: row 2 is no result" in caplog.text
