"""A registered consumer that stays away until the journal is nearly full: both rules, for real."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from inspector.delivery.journal import ConsumerSettings, Journal, JournalSettings
from tests.brokers import Listener, Mosquitto
from tests.delivery.results import result
from tests.support import free_port, make_bundle, start_station, until, write_station

BASE = "plant/line/test"
ACK = f"{BASE}/consumer/historian/ack"


def newest(listener: Listener, what: str) -> dict[str, Any]:
    payloads = listener.payloads(f"{BASE}/{what}")
    return json.loads(payloads[-1]) if payloads else {}


def station_at(folder: Path, port: int, full: float, **changes: Any) -> Path:
    """Its journal is filled so far with rows that the consumer has not acknowledged."""
    consumer = {"name": "historian", **changes.pop("consumer", {})}
    settings = JournalSettings(path=folder / "journal.db", size_max_mb=4, disk_free_min_mb=0)
    journal = Journal(settings)
    journal.register([ConsumerSettings.model_validate(consumer)])
    while journal.retention.share() < full:
        row = result(journal.next_seq(), padding=1_000)
        journal.put(row.model_copy(update={"station": "test"}))
        journal.release(journal.last_seq())
    journal.close()
    return write_station(
        folder,
        make_bundle(folder / "bundles"),
        camera={"loop": True},
        trigger={"kind": "interval", "period_ms": 16},
        journal={"size_max_mb": 4, "keep_days": 0.0, "disk_free_min_mb": 0},
        mqtt={"port": port},
        consumers=[consumer],
        **changes,
    )


def test_nothing_passes_the_state_names_the_consumer_and_its_acknowledgement_ends_it(
    tmp_path: Path,
) -> None:
    page = free_port()
    with Mosquitto(tmp_path) as broker:
        settings = station_at(tmp_path, broker.start().port, 0.88, metrics={"port": page})
        with Listener(broker.port) as listener:
            station = start_station(settings)
            try:
                words = "results wait for consumer historian, which has acknowledged up to 0"
                assert until(lambda: words in str(newest(listener, "state").get("withheld")), 60.0)
                assert until(lambda: not newest(listener, "result")["pass"])
                assert words in newest(listener, "result")["reason"]
                (consumer,) = newest(listener, "state")["consumers"]
                assert (consumer["name"], consumer["acknowledged"]) == ("historian", 0)
                assert consumer["lag"] > 100
                text = urllib.request.urlopen(f"http://127.0.0.1:{page}/metrics").read().decode()
                assert 'inspector_journal_acknowledged_seq{consumer="historian"} 0.0' in text
                assert 'inspector_journal_lag_rows{consumer="historian"}' in text
                row = newest(listener, "result")
                ack = {key: row[key] for key in ("station", "seq", "result_id")}
                listener.publish(ACK, json.dumps({"schema": 1, **ack}).encode())
                assert until(lambda: newest(listener, "state")["withheld"] is None, 60.0)
                assert until(lambda: newest(listener, "result")["evaluation"] == "OK")
            finally:
                station.kill()
                station.wait()


def test_one_that_may_lose_rows_stops_nothing_and_the_alarm_says_which_are_gone(
    tmp_path: Path,
) -> None:
    with Mosquitto(tmp_path) as broker:
        settings = station_at(tmp_path, broker.start().port, 0.84, consumer={"may_lose": True})
        with Listener(broker.port) as listener:
            station = start_station(settings)
            try:
                assert until(lambda: bool(newest(listener, "alarm").get("alarms")), 60.0)
                (alarm,) = newest(listener, "alarm")["alarms"]
                assert alarm["kind"] == "rows_lost"
                assert "consumer historian stayed away: results 1 to" in alarm["cause"]
                assert newest(listener, "alarm")["line_stop"] is False
                assert until(lambda: newest(listener, "state")["consumers"][0]["lost"] > 0)
                assert newest(listener, "state")["withheld"] is None
                row = newest(listener, "result")
                ack = {key: row[key] for key in ("station", "seq", "result_id")}
                listener.publish(ACK, json.dumps({"schema": 1, **ack}).encode())
                assert until(lambda: newest(listener, "alarm")["alarms"] == [], 60.0)
            finally:
                station.kill()
                station.wait()
