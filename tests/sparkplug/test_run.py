"""A whole run as a plant has it: a real station, a real broker killed twice, a host of another make
that comes and goes, asks for rebirths and commands. Recorded on the wire, then held to the rules.
"""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inspector.contract.result import InspectionResult
from inspector.delivery import sparkplug_b_pb2 as proto
from tests.brokers import Mosquitto
from tests.sparkplug.oracles import Host, by_pysparkplug, node_modules
from tests.sparkplug.rules import Names, broken
from tests.sparkplug.wire import PUBLISH, Packet, Proxy, Recording
from tests.support import make_bundle, start_station, until, write_station
from tests.system.test_killed_station import end, rows

NAMES = Names(group="Plant 1", node="test", device="inspection", host="scada")
OVERLAP_S = 3.0
PERIOD_MS = 40


@dataclass(frozen=True, slots=True)
class Run:
    """What a run has left."""

    rows: dict[int, dict[str, Any]]
    recordings: list[Recording]
    host: Host
    marks: dict[str, int]
    """Rows in the journal at some moments."""
    log: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    node_modules()
    folder = tmp_path_factory.mktemp("run")
    marks: dict[str, int] = {}
    with Mosquitto(folder) as broker, Proxy(broker.start().port) as proxy:
        settings = write_station(
            folder,
            make_bundle(folder / "bundles"),
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": PERIOD_MS},
            mqtt={"port": broker.port, "backoff_min_s": 0.1, "backoff_max_s": 0.3},
            sparkplug={
                "group": NAMES.group,
                "primary_host": NAMES.host,
                "overlap_s": OVERLAP_S,
                "commands": ["stop", "start", "select", "trigger"],
                "broker": {
                    "host": "127.0.0.1",
                    "port": proxy.port,
                    "protocol": "5",
                    "backoff_min_s": 0.1,
                    "backoff_max_s": 0.3,
                },
            },
        )
        station = start_station(settings)
        try:
            assert until(lambda: (folder / "journal.db").exists() and len(rows(folder)) >= 10)
            marks["before the host"] = len(rows(folder))
            with _host(broker.port) as host:
                _live(host, folder, more=20)
                host.do("rebirth")
                assert until(lambda: len(host.of("NBIRTH")) == 2)
                _live(host, folder, more=10)
                _kill(broker, host, folder)
                _host_away(host, folder, marks)
                _command(host)
                _kill(broker, host, folder)
                end(station, folder)
                assert until(lambda: bool(host.of("NDEATH")))
                recorded = {int(str(row["seq"])): row for row in rows(folder)}
                assert until(lambda: len(host.parts()) >= len(recorded)), set(recorded) - set(
                    host.parts()
                )
        finally:
            station.kill()
            station.wait()
    log = (folder / "station.log").read_text(encoding="utf-8")
    return Run(recorded, proxy.recordings, host, marks, log)


def _host(port: int) -> Host:
    return Host(port, group=NAMES.group, node=NAMES.node, device=NAMES.device, host="scada")


def _live(host: Host, folder: Path, more: int) -> None:
    """So many parts more, and the newest of them known as current values."""
    before = len(rows(folder))
    assert until(lambda: (host.value("Part/Journal Seq") or 0) >= before + more)


def _kill(broker: Mosquitto, host: Host, folder: Path) -> None:
    births = len(host.of("DBIRTH"))
    broker.kill()
    time.sleep(0.5)
    broker.start()
    assert until(lambda: len(host.of("DBIRTH")) > births)
    _live(host, folder, more=5)


def _host_away(host: Host, folder: Path, marks: dict[str, int]) -> None:
    deaths = len(host.of("NDEATH"))
    host.do("state", online=False)
    assert until(lambda: len(host.of("NDEATH")) > deaths)
    marks["host left"] = len(rows(folder))
    time.sleep(1.0)
    marks["host back"] = len(rows(folder))
    births = len(host.of("NBIRTH"))
    host.do("state", online=True)
    assert until(lambda: len(host.of("NBIRTH")) > births)
    _live(host, folder, more=5)


def _command(host: Host) -> None:
    stop = next(
        metric["alias"]
        for metric in host.of("DBIRTH")[-1]["metrics"]
        if metric["name"] == "Device Control/Stop"
    )
    host.write(stop, "Boolean", value=True)
    assert until(lambda: host.value("Station/State") == "READY")
    host.write("Device Control/Select", "Boolean", value=True)
    assert until(lambda: host.value("Command/Done") == 2)
    host.write("Device Control/Start", "Boolean", value=True)
    assert until(lambda: host.value("Station/State") == "CONTINUOUS_EXECUTION")
    host.write("Device Control/Trigger", "String", "part-7")  # this station finds parts by itself
    assert until(lambda: host.value("Command/Refused") == 1)
    host.write("Device Control/Reset", "Boolean", value=True)  # the settings do not allow it
    assert until(lambda: host.value("Command/Refused") == 2)


def test_no_rule_of_the_specification_is_broken(run: Run) -> None:
    assert broken(run.recordings, NAMES) == []
    births = [len(_sent(each, "NBIRTH")) for each in run.recordings if each.packets]
    assert sum(births) >= 5, "two kills, a host that left and a rebirth were in it"


def test_every_part_reaches_the_host_as_the_journal_has_it(run: Run) -> None:
    received = run.host.parts()
    assert set(received) == set(run.rows)
    for seq, row in run.rows.items():
        for metrics in received[seq]:
            assert metrics["Part/Verdict"]["value"] == row["evaluation"]
            assert metrics["Part/Pass"]["value"] is row["pass"]
            assert metrics["Part/Result ID"]["value"] == row["result_id"]
            assert metrics["Part/Score"]["value"] == row["score"]
            assert metrics["Limits/Reject At"]["value"] == row["limits"]["reject_at"]


def test_parts_keep_the_time_of_their_picture_however_late_they_are_told(run: Run) -> None:
    for seq, receipts in run.host.parts().items():
        captured = InspectionResult.model_validate_json(json.dumps(run.rows[seq])).captured_at
        assert captured is not None
        for metrics in receipts:
            times = {metric["timestamp"] for metric in metrics.values()}
            assert times == {round(captured.timestamp() * 1000)}


def test_what_was_made_while_the_host_was_away_is_history_and_the_rest_was_news(run: Run) -> None:
    received = run.host.parts()
    away = [
        *range(1, run.marks["before the host"] + 1),
        *range(run.marks["host left"] + 1, run.marks["host back"] + 1),
    ]
    assert len(away) > 20
    assert all(metrics["Part/Verdict"]["historical"] for seq in away for metrics in received[seq])
    news = [seq for seq, receipts in received.items() if _is_news(receipts)]
    assert len(news) > 50


def _is_news(receipts: list[dict[str, Any]]) -> bool:
    return any(not metrics["Part/Verdict"]["historical"] for metrics in receipts)


def test_a_rebirth_keeps_its_number_and_a_connection_takes_the_next(run: Run) -> None:
    numbers = [
        next(m["value"] for m in message["metrics"] if m["name"] == "bdSeq")
        for message in run.host.of("NBIRTH")
    ]
    assert numbers[0] == numbers[1], "the rebirth"
    assert numbers[1:] == sorted(set(numbers)), "one connection after the other"


def test_a_death_is_told_for_every_life(run: Run) -> None:
    """Also for those a killed broker ended: its own will died with it, the next birth tells."""
    deaths = {m["metrics"][0]["value"] for m in run.host.of("NDEATH")}
    last = run.host.of("NBIRTH")[-1]["metrics"]
    assert next(m["value"] for m in last if m["name"] == "bdSeq") in deaths
    assert all(message["seq"] is None for message in run.host.of("NDEATH"))


def test_commands_are_followed_or_refused_in_words(run: Run) -> None:
    outcomes = [
        metric["value"]
        for message in run.host.of("DDATA")
        for metric in message["metrics"]
        if metric["name"] == "Command/Action"
    ]
    assert [each for each in outcomes if each][:5] == [
        "stop",
        "select",
        "start",
        "trigger",
        "unread",
    ]
    assert "command stop (sparkplug-" in run.log
    assert "by sparkplug Plant 1/test" in run.log
    assert "'Device Control/Reset' may not be written" in run.log


def test_units_come_with_the_birth(run: Run) -> None:
    units = {m["name"]: m["unit"] for m in run.host.of("DBIRTH")[0]["metrics"]}
    assert units["Times/Total"] == "ms"
    assert units["Counts/Yield"] == "%"
    assert units["Part/Verdict"] is None


def test_pysparkplug_reads_every_message_as_the_host_did(run: Run) -> None:
    heard = list(run.host.heard)
    lines = "".join(
        json.dumps({"topic": each["topic"], "payload": each["raw"]}) + "\n" for each in heard
    )
    answers = by_pysparkplug(lines=lines)
    assert len(answers) == len(heard)
    for message, answer in zip(heard, answers, strict=True):
        if message["kind"] == "NDEATH":
            assert answer == {"bdSeq": message["metrics"][0]["value"]}
            continue
        assert answer["seq"] == message["seq"]
        assert answer["metrics"] == [
            [m["name"], m["type"].upper(), m["value"], m["timestamp"], m["historical"]]
            for m in message["metrics"]
        ]


# --- the checker itself: it must see what is broken ---


def _sent(recording: Recording, kind: str) -> list[int]:
    return [
        i
        for i, packet in enumerate(recording.packets)
        if packet.sent and packet.kind == PUBLISH and packet.topic == NAMES.topic(kind)
    ]


def _drop(kind: str) -> Callable[[Recording], object]:
    return lambda recording: recording.packets.pop(_sent(recording, kind)[0])


def _change(kind: str, change: Callable[[proto.Payload], object]) -> Callable[[Recording], None]:
    def spoil(recording: Recording) -> None:
        at = _sent(recording, kind)[0]
        packet = recording.packets[at]
        message = proto.Payload.FromString(packet.payload)
        change(message)
        body = packet.body[: len(packet.body) - len(packet.payload)] + message.SerializeToString()
        recording.packets[at] = Packet(packet.sent, packet.kind, packet.flags, body, packet.level)

    return spoil


def _first(message: proto.Payload, **values: Any) -> None:
    for name, value in values.items():
        setattr(message.metrics[0], name, value)


SPOILT: dict[str, Callable[[Recording], object]] = {
    "no DBIRTH": _drop("DBIRTH"),
    "no NBIRTH": _drop("NBIRTH"),
    "a lost DDATA": _drop("DDATA"),
    "another bdSeq": _change("NBIRTH", lambda m: _first(m, long_value=200)),
    "seq in NDEATH": _change("NDEATH", lambda m: setattr(m, "seq", 3)),
    "an alias nobody knows": _change("DDATA", lambda m: _first(m, alias=9_999)),
    "an alias twice": _change("DBIRTH", lambda m: _first(m, alias=1)),
    "a name beside the alias": _change("DDATA", lambda m: _first(m, name="Part/Verdict")),
    "news that is history": _change(
        "DDATA", lambda m: [each.ClearField("is_historical") for each in m.metrics]
    ),
    "no time": _change("DDATA", lambda m: m.metrics[0].ClearField("timestamp")),
}


@pytest.mark.parametrize("how", SPOILT)
def test_the_checker_sees_a_spoilt_run(run: Run, how: str) -> None:
    recordings = copy.deepcopy(run.recordings)
    spoilable = [each for each in recordings if _sent(each, "NDEATH") and _sent(each, "DDATA")]
    SPOILT[how](spoilable[0])
    assert broken(recordings, NAMES) != []
