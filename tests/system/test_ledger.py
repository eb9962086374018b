"""One trigger, exactly one verdict: counted by the station, found in the journal, boot by boot."""

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from inspector.contract.bundle import Bundle
from inspector.delivery.journal import JournalReader
from tests.brokers import Listener, Mosquitto
from tests.support import (
    make_bundle,
    run_inspector,
    small_disk,
    start_station,
    until,
    write_station,
)

STATE, ALARM = "plant/line/test/state", "plant/line/test/alarm"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


def rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists() or not path.stat().st_size:  # it is being made
        return []
    with JournalReader(path) as journal:
        return [json.loads(payload) for _, payload in journal.after(0, 100_000)]


def messages(listener: Listener, topic: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in listener.payloads(topic)]


def accounted(state: dict[str, Any]) -> int:
    tally = state["tally"]
    return int(sum(tally["verdicts"].values()) + tally["unrecorded"])


def test_through_kills_and_bad_frames_each_trigger_has_one_verdict(
    bundle: Bundle, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.db"
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port) as listener:
        path = write_station(
            tmp_path, bundle, camera={"loop": True}, mqtt={"port": broker.port},
            rules={"unjudged_max": 1_000},
        )  # fmt: skip
        (tmp_path / "pictures" / "part004.png").write_bytes(b"broken")
        for _ in range(3):
            before = len(rows(journal))
            station = start_station(path)
            try:
                assert until(lambda before=before: len(rows(journal)) > before + 30, 60.0)  # type: ignore[misc]
                assert until(lambda: messages(listener, STATE)[-1]["tally"]["triggers"] > 0, 60.0)
            finally:
                station.kill()
                station.wait()
        recorded = rows(journal)
        assert until(lambda: messages(listener, STATE)[-1]["state"] == "OFFLINE")
        told = messages(listener, STATE)
    boots: dict[str, list[int]] = defaultdict(list)
    for row in recorded:
        boots[row["boot"]].append(row["part"]["sequence"])
    assert len(boots) == 3
    for sequences in boots.values():
        assert sequences == list(range(1, len(sequences) + 1)), "no trigger without a verdict"
    for state in told:
        if state["state"] != "OFFLINE":
            # but for the part in work
            assert state["tally"]["triggers"] - accounted(state) in (0, 1)
            assert state["seq"] <= len(recorded)


def test_a_full_disk_is_an_error_counts_the_part_and_is_left_by_reset_once_there_is_room(
    bundle: Bundle, tmp_path: Path
) -> None:
    with (
        small_disk(tmp_path / "disk", "1m") as disk,
        Mosquitto(tmp_path).start() as broker,
        Listener(broker.port) as listener,
    ):
        journal = disk / "journal.db"
        path = write_station(
            tmp_path,
            bundle,
            camera={"loop": True},
            journal={"path": str(journal), "disk_free_min_mb": 0},
            state_folder=str(tmp_path / "state"),
            mqtt={"port": broker.port},
        )
        station = start_station(path)
        try:
            assert until(lambda: messages(listener, STATE)[-1:] != [], 60.0)
            assert until(lambda: messages(listener, STATE)[-1]["state"] == "ERROR", 60.0)
            state = messages(listener, STATE)[-1]
            assert state["tally"]["unrecorded"] == 1
            assert state["tally"]["triggers"] == accounted(state)
            assert "is full" in state["cause"]
            recorded = len(rows(journal))
            grow = ["mount", "-o", "remount,size=16m", str(disk)]
            subprocess.run(grow, check=True)
            for action in ("reset", "select", "start"):
                assert run_inspector("command", path, action).returncode == 0
            assert until(lambda: len(rows(journal)) > recorded + 5, 60.0)
            seqs = [row["seq"] for row in rows(journal)]
            assert seqs == list(range(1, len(seqs) + 1))
        finally:
            station.kill()
            station.wait()
