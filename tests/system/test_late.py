"""A verdict that comes too late passes nobody, wherever the time was lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inspector.delivery.journal import JournalReader
from tests.brokers import Listener, Mosquitto
from tests.support import GREY, make_bundle, until, write_pictures, write_station

RESULT, STATE = "plant/line/test/result", "plant/line/test/state"


def test_a_disk_too_slow_for_the_deadline_turns_every_ok_into_a_late_reject_on_mqtt_too(
    tmp_path: Path,
) -> None:
    """Each fsync of the real daemon really takes 300 ms; the deadline is 250 ms."""
    if not shutil.which("strace"):
        pytest.skip("needs the Debian package strace")
    write_pictures(tmp_path / "pictures", [GREY] * 6)
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port) as listener:
        path = write_station(
            tmp_path,
            make_bundle(tmp_path / "bundles"),
            mqtt={"port": broker.port},
            recipe={"deadline_ms": 250, "frame_timeout_ms": 200},
            drain_s=20.0,
        )
        inject = "inject=fsync,fdatasync:delay_enter=300000"
        strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fsync,fdatasync"]
        station = [sys.executable, "-m", "inspector.cli", "run", str(path)]
        done = subprocess.run(
            [*strace, "-e", inject, *station], capture_output=True, text=True, timeout=120
        )
        if "ptrace" in done.stderr:
            pytest.skip("strace is not permitted here")
        assert done.returncode == 0, done.stderr
        with JournalReader(tmp_path / "journal.db") as journal:
            rows: list[dict[str, Any]] = [json.loads(each) for _, each in journal.after(0, 100)]
        assert until(lambda: len(listener.payloads(RESULT)) >= len(rows))
        sent = [json.loads(each) for each in listener.payloads(RESULT)]
        told = json.loads(listener.payloads(STATE)[-1])
    assert len(rows) == 6
    assert sent == rows
    assert {(row["evaluation"], row["pass"], row["late"]) for row in rows} == {
        ("UNDEFINED", False, True)
    }
    assert any("recorded" in row["reason"] and "judged OK" in row["reason"] for row in rows)
    assert told["tally"]["late"] == told["tally"]["triggers"] == 6
    assert told["tally"]["late_commits"] >= 1
