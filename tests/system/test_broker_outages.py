"""The broker absent, killed and restarted under a real station that goes on inspecting."""

import time
from pathlib import Path

from tests.brokers import Listener, Mosquitto
from tests.support import start_station, until
from tests.system.test_killed_station import at_least, end, received, rows, station_at


def test_a_broker_absent_at_the_start_gets_everything_afterwards(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        settings = station_at(tmp_path, broker.start().port)
        with Listener(broker.port) as listener:
            broker.save()  # its session, so that the broker keeps for it what comes before it does
            broker.kill()
            station = start_station(settings)
            try:
                assert until(lambda: (tmp_path / "journal.db").exists())
                assert until(lambda: len(rows(tmp_path)) >= 100)
                broker.start()
                assert until(at_least(listener, 100))
                end(station, tmp_path)
            finally:
                station.kill()
                station.wait()
            recorded = rows(tmp_path)
            assert until(at_least(listener, len(recorded)))
            assert received(listener) == recorded


def test_a_killed_broker_costs_no_result_and_no_speed(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        settings = station_at(tmp_path, broker.start().port)
        with Listener(broker.port) as listener:
            broker.save()
            station = start_station(settings)
            try:
                for _ in range(3):
                    seen = len(received(listener))
                    assert until(at_least(listener, seen + 30))
                    broker.kill()
                    before, start = len(rows(tmp_path)), time.monotonic()
                    time.sleep(1.0)
                    rate = (len(rows(tmp_path)) - before) / (time.monotonic() - start)
                    assert rate > 25.0, "100 parts a second are triggered, broker or not"
                    broker.start()
                    assert until(at_least(listener, len(rows(tmp_path))))
                end(station, tmp_path)
            finally:
                station.kill()
                station.wait()
            recorded = rows(tmp_path)
            assert until(at_least(listener, len(recorded)))
            assert received(listener) == recorded, "in order, once per result_id, none missing"
            assert [row["seq"] for row in recorded] == list(range(1, len(recorded) + 1))
