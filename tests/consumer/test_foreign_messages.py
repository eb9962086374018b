"""What others send to `inspector subscribe`, or leave on its topics: it costs one message."""

import csv
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from inspector.consumer.heard import read_row
from inspector.consumer.ledger import Row
from inspector.consumer.settings import SubscribeSettings
from inspector.consumer.sinks import open_sink
from inspector.consumer.station import Followed
from inspector.contract.consumer import replayed
from inspector.contract.topics import Place
from tests.brokers import Listener, Mosquitto
from tests.consumer.lines import (
    PLACE,
    Subscription,
    line,
    name_twice,
    stored_in_sqlite,
    write_consumer,
)
from tests.consumer.odd import ODD, OTHERWISE
from tests.delivery.results import result
from tests.fuzz import mutate
from tests.support import until

STATE: dict[str, Any] = {"station": "s", "state": "READY", "seq": 1, "consumers": []}
RESULT: dict[str, Any] = {"station": "s", "seq": 1, "result_id": "r-1", "reason": ""}
REFUSAL: dict[str, Any] = {
    "station": "station", "boot": "b", "consumer": "historian", "about": "ack", "id": None,
    "outcome": "refused", "reason": "another journal", "first": None, "last": 0, "acknowledged": 0,
}  # fmt: skip
CHANGES: tuple[dict[str, Any], ...] = (
    *({"seq": seq} for seq in (True, "1", 1.5, None, -1, [1], 2**63, 2**62 + 1)),
    {"consumers": None, "result_id": None},
    {"consumers": ["historian"], "result_id": ""},
    {"consumers": [{"name": "historian", "acknowledged": "1"}], "result_id": "r" * 129},
    {"consumers": [{"name": [], "acknowledged": 1}], "result_id": "r\n"},
    {"state": {}, "station": []},
)
GARBAGE = (
    b"\0",
    b"7",
    b"[]",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"seq":1e999}',
    b'{"seq":' + b"9" * 5_000 + b"}",
    b'{"station":"s","seq":1,"result_id":"r","reason":"\\ud800"}',
    json.dumps(RESULT).encode("utf-16"),
    *(json.dumps({**one, **change}).encode() for one in (STATE, RESULT) for change in CHANGES),
)


def test_what_was_left_on_a_stations_topics_ends_nothing_and_holds_no_other_station_up(
    tmp_path: Path,
) -> None:
    sick = [f"sick-{number}" for number in range(len(GARBAGE))]
    sink = {"kind": "sqlite", "path": "got.db"}
    with (
        Mosquitto(tmp_path) as broker,
        line(tmp_path, broker.start().port) as station,
        Listener(broker.port, "nothing") as anybody,
    ):
        for name, payload in zip(sick, GARBAGE, strict=True):
            place = Place.of("plant/line", name)
            mine = place.consumer("historian")
            for topic in (place.state, place.result, mine.replayed, mine.reply):
                anybody.publish(topic, payload.replace(b'"s"', f'"{name}"'.encode()), retain=True)
        settings = write_consumer(tmp_path, broker.port, sink, stations=["station", *sick])
        for rows in (20, 40):
            subscription = Subscription(settings)
            station.put(20)
            assert until(lambda rows=rows: station.acknowledged() == rows)  # type: ignore[misc]
            code, said = subscription.end()
            assert code == 3, said
            assert "Traceback" not in said
            assert said.count("UNREADABLE: 4 messages") == len(sick), said
        assert stored_in_sqlite(tmp_path / "got.db") == station.payloads()


@pytest.mark.parametrize("topic", [PLACE.result, PLACE.consumer("historian").reply])
def test_what_no_station_retains_is_not_taken_from_what_is_retained(
    tmp_path: Path, topic: str
) -> None:
    """It may have been true once, and comes again with each connection."""
    left = result(1, result_id="another").to_json()
    with (
        Mosquitto(tmp_path) as broker,
        line(tmp_path, broker.start().port) as station,
        Listener(broker.port, "nothing") as anybody,
    ):
        payload = left if topic == PLACE.result else json.dumps(REFUSAL).encode()
        anybody.publish(topic, payload, retain=True)
        settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"})
        subscription = Subscription(settings)
        assert until(lambda: (tmp_path / "got").exists())
        station.put(10)
        assert until(lambda: station.acknowledged() == 10)
        code, said = subscription.end()
        assert (code, "it was retained" in said) == (3, True), said
        assert (tmp_path / "got").read_bytes().splitlines() == station.payloads()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "sqlite"])
def test_rows_of_a_version_to_come_are_kept_with_all_they_say_and_acknowledged(
    tmp_path: Path, kind: str
) -> None:
    settings_of = {"kind": kind, "path": "got"}
    with Mosquitto(tmp_path) as broker, line(tmp_path, broker.start().port) as station:
        for write in (*(write for write, _ in ODD.values()), *OTHERWISE):
            station.record_as(write)
        station.put(1)
        count = len(station.payloads())
        settings = write_consumer(tmp_path, broker.port, settings_of)
        code, said = Subscription(settings, "--expect", str(count)).wait()
        assert code == 0, said
        assert f"ODD: {len(ODD)} results" in said
        assert until(lambda: station.acknowledged() == count)
        payloads = station.payloads()
    path = tmp_path / "got"
    if kind == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        odd = [{name: json.loads(row[name]) for name in odd} for row, (_, odd) in _each(rows)]
        assert odd == [odd for _, odd in ODD.values()]
    elif kind == "jsonl":
        kept = path.read_bytes().splitlines()
        assert [json.loads(each) for each in kept] == [json.loads(each) for each in payloads]
        assert kept[: len(ODD)] == payloads[: len(ODD)]
        return
    else:
        assert stored_in_sqlite(path) == payloads
        with closing(sqlite3.connect(path)) as db:
            db.row_factory = sqlite3.Row
            rows = [dict(row) for row in db.execute("SELECT * FROM result ORDER BY seq")]
        for row, (_, odd) in _each(rows):
            assert {name for name in odd if row[name] is not None} == set()
    assert [int(row["seq"]) for row in rows] == list(range(1, count + 1))
    assert {row["bundle"] for row in rows[: len(ODD)]} == {"tiny-0123456789ab"}, "the others stand"


def _each(rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Any]]:
    return list(zip(rows[: len(ODD)], ODD.values(), strict=True))


def test_rows_that_cannot_be_read_become_a_gap_that_is_told_and_hold_nothing_up(
    tmp_path: Path,
) -> None:
    unreadable = (
        lambda _: b"\xff",
        lambda ours: json.dumps(ours).encode("utf-16"),
        lambda ours: json.dumps({**ours, "seq": str(ours["seq"])}).encode(),
        lambda ours: json.dumps(ours).replace("0.01", "1e999").encode(),
    )
    with Mosquitto(tmp_path) as broker, line(tmp_path, broker.start().port) as station:
        station.record_as(unreadable[0])  # also the first row a new consumer hears of
        station.put(3)
        for write in unreadable:
            station.record_as(write)
        station.put(4)
        settings = write_consumer(tmp_path, broker.port, {"kind": "sqlite", "path": "got"})
        subscription = Subscription(settings)
        assert until(lambda: station.acknowledged() == 12)
        code, said = subscription.end()
        assert code == 3, said
        for gap in ("GAP: 1 to 1 are gone", "GAP: 5 to 8 are gone"):
            assert said.count(gap) == 2, f"once when it was found, once at the end: {said}"
        payloads = station.payloads()
        assert stored_in_sqlite(tmp_path / "got") == [*payloads[1:4], *payloads[8:]]


def test_a_result_id_stored_before_the_start_costs_one_message_and_another_station_may_have_it(
    tmp_path: Path,
) -> None:
    sent = name_twice(tmp_path, {"kind": "sqlite", "path": "got.db"})
    assert sorted(stored_in_sqlite(tmp_path / "got.db")) == sorted(sent)


def _followed(folder: Path) -> tuple[SubscribeSettings, Followed]:
    settings = SubscribeSettings.model_validate(
        {
            "consumer": "historian",
            "topic_root": "plant/line",
            "stations": ["station"],
            "mqtt": {"host": "127.0.0.1"},
            "sink": {"kind": "sqlite", "path": folder / "got.db"},
        }
    )
    return settings, Followed(settings, "station", None)


def test_what_is_read_can_be_stored_and_acknowledged_whatever_was_done_to_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")  # of each message that cannot be read
    settings, _ = _followed(tmp_path)
    sink = open_sink(settings.sink)
    random_ = random.Random(7)  # noqa: S311 - to be repeated, not to be secret
    good = [result(1).to_json(), *(write(json.loads(result(1).to_json())) for write in OTHERWISE)]
    stored = 0
    for number in range(2_000):
        payload = mutate(random_, good)
        _, followed = _followed(tmp_path)  # which has heard of no row before
        topic = random_.choice(followed.topics())
        if topic == PLACE.consumer("historian").replayed:
            payload = replayed("station", "historian", "r", 1, payload)
        for row in followed.take(topic, payload, float(number)):
            # a number and a name of its own, since the store has each once
            named = row.cells | {"seq": number, "result_id": str(number)}
            sink.write(Row(row.station, number, str(number), row.payload, named, row.odd))
            followed.stored = {"seq": row.seq, "result_id": row.result_id}
            assert followed.acknowledgement() is not None
            stored += 1
    sink.commit()
    sink.close()
    assert len(stored_in_sqlite(tmp_path / "got.db")) == stored > 100


def test_of_a_station_with_another_journal_nothing_is_taken_asked_for_or_acknowledged(
    tmp_path: Path,
) -> None:
    settings, _ = _followed(tmp_path)
    followed = Followed(settings, "station", {"seq": 1, "result_id": "station-boot-1"})
    assert followed.acknowledgement() is not None
    mine = PLACE.consumer("historian")
    followed.take(mine.reply, json.dumps(REFUSAL).encode(), 0.0)
    assert followed.contradicted is None  # it may have been somebody else's
    asked = followed.request(0.0)
    assert asked is not None
    other = json.loads(result(1).to_json()) | {"result_id": "station-other-1"}
    row = replayed(
        "station", "historian", json.loads(asked[1])["id"], 1, json.dumps(other).encode()
    )
    assert followed.take(mine.replayed, row, 0.0) == []
    assert followed.contradicted
    followed.restart(1.0)  # by the next connection all is said again
    assert followed.take(PLACE.result, result(2).to_json(), 1.0) == []
    assert followed.take(PLACE.result, result(4).to_json(), 1.0) == []
    assert (followed.request(100.0), followed.acknowledgement()) == (None, None)


def test_an_error_nobody_thought_of_costs_the_message_and_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, followed = _followed(tmp_path)

    def forgetful(payload: bytes, station: str) -> Row:
        if b'"seq":2,' in payload:
            raise ZeroDivisionError("the next version's mistake")
        return read_row(payload, station)

    monkeypatch.setattr("inspector.consumer.station.read_row", forgetful)
    taken = [followed.take(PLACE.result, result(seq).to_json(), 0.0) for seq in (1, 2, 2, 3)]
    assert [[row.seq for row in rows] for rows in taken] == [[1], [], [], []]
    assert (followed.unreadable, len(caplog.records)) == (2, 1), caplog.text
    assert PLACE.result in caplog.text
    assert "forgetful" in caplog.text, "where it happened"
    request = followed.request(10.0)
    assert request is not None
    assert json.loads(request[1])["from"] == json.loads(request[1])["to"] == 2, "it is missing"
