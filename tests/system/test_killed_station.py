"""kill -9 in mid-run: what was recorded arrives, and no number comes a second time."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from inspector.delivery.journal import JournalReader
from tests.brokers import Listener, Mosquitto
from tests.support import make_bundle, start_station, until, write_station

RESULT, STATE = "plant/line/test/result", "plant/line/test/state"


def rows(folder: Path) -> list[dict[str, object]]:
    with JournalReader(folder / "journal.db") as journal:
        return [json.loads(payload) for _, payload in journal.after(0, 100_000)]


def received(listener: Listener) -> list[dict[str, object]]:
    """First receipts, as a consumer sees them that drops a result_id it has seen."""
    messages = [json.loads(payload) for payload in listener.payloads(RESULT)]
    return list({message["result_id"]: message for message in messages}.values())


def states(listener: Listener) -> list[str]:
    return [json.loads(payload)["state"] for payload in listener.payloads(STATE)]


def at_least(listener: Listener, count: int) -> Callable[[], bool]:
    return lambda: len(received(listener)) >= count


def lives(listener: Listener, count: int) -> Callable[[], bool]:
    """Whether results of so many starts have come."""
    return lambda: len({row["boot"] for row in received(listener)}) >= count


def station_at(folder: Path, port: int, period_ms: int = 10) -> Path:
    return write_station(
        folder,
        make_bundle(folder / "bundles"),
        camera={"loop": True},
        trigger={"kind": "interval", "period_ms": period_ms},
        mqtt={"port": port, "backoff_min_s": 0.1, "backoff_max_s": 0.5},
    )


def end(station: subprocess.Popen[bytes], folder: Path) -> None:
    """As systemd does it."""
    station.send_signal(signal.SIGTERM)
    log = folder / "station.log"
    assert station.wait(30.0) == 0, log.read_text(encoding="utf-8")


def test_a_killed_station_loses_nothing_and_uses_no_number_twice(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        settings = station_at(tmp_path, broker.start().port)
        with Listener(broker.port) as listener:
            for kill in range(1, 5):
                station = start_station(settings)
                try:
                    assert until(lives(listener, kill))  # rows of the one before may be late
                    assert until(at_least(listener, 40 * kill))
                finally:
                    station.kill()
                    station.wait()
                assert until(lambda: states(listener)[-1:] == ["OFFLINE"])
            station = start_station(settings)
            before = len(rows(tmp_path))
            assert until(at_least(listener, before + 10))
            end(station, tmp_path)
            recorded = rows(tmp_path)
            assert until(at_least(listener, len(recorded)))
            got = received(listener)
        assert [row["seq"] for row in recorded] == list(range(1, len(recorded) + 1))
        assert got == recorded, "each as it was recorded, in order, once per result_id"
        assert len({row["boot"] for row in recorded}) == 5


def test_a_killed_station_is_offline_for_who_comes_later(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        station = start_station(station_at(tmp_path, broker.start().port))
        try:
            with Listener(broker.port) as listener:
                assert until(lambda: "CONTINUOUS_EXECUTION" in states(listener))
        finally:
            station.kill()
            station.wait()
        with Listener(broker.port, STATE, name="late") as late:
            assert until(lambda: states(late) == ["OFFLINE"])
            assert late.messages[0].retain
            assert json.loads(late.messages[0].payload)["cause"] == "the connection was lost"


def test_a_station_that_is_told_to_end_says_goodbye_after_its_last_result(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        station = start_station(station_at(tmp_path, broker.start().port))
        try:
            with Listener(broker.port) as listener:
                assert until(at_least(listener, 30))
                end(station, tmp_path)
                assert until(at_least(listener, len(rows(tmp_path))))
                assert until(lambda: states(listener)[-1] == "OFFLINE")
                last = [message.topic for message in listener.messages][-2:]
        finally:
            station.kill()
            station.wait()
        assert last == [RESULT, STATE]
        final = json.loads(listener.payloads(STATE)[-1])
        assert final["cause"] != "the connection was lost"
        assert final["seq"] == len(rows(tmp_path))
