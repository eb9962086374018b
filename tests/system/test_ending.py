"""The station ends while triggers wait: none that was accepted is forgotten."""

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from inspector.contract.command import Command
from inspector.delivery.journal import JournalReader
from inspector.delivery.ledger import read_audit
from inspector.supervise.door import ask
from tests.brokers import Listener, Mosquitto
from tests.streams import MjpegServer
from tests.support import make_bundle, run_inspector, start_station, until, write_station

STATE, TRIGGER = "plant/line/test/state", "plant/line/test/trigger"


def test_every_trigger_that_was_accepted_before_a_sigterm_has_its_row(tmp_path: Path) -> None:
    camera = MjpegServer().start()
    camera.stalled.set()  # the part in work waits for its frame
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port, STATE) as listener:
        path = write_station(
            tmp_path,
            make_bundle(tmp_path / "bundles"),
            camera={"kind": "opencv", "url": camera.url},
            trigger={"kind": "mqtt"},
            mqtt={"port": broker.port},
            recipe={"frame_timeout_ms": 2_000},
        )
        station = start_station(path)
        log = path.with_name("station.log")
        try:
            assert until(lambda: takes_parts(listener)), log.read_text(encoding="utf-8")
            for number in range(1, 5):
                listener.publish(TRIGGER, f'{{"id": "T-{number}"}}'.encode())
                time.sleep(0.4 if number == 1 else 0.0)  # the first is in work, the others wait
            listener.publish(TRIGGER, b"what comes behind them")
            assert until(lambda: "refused as malformed" in log.read_text(encoding="utf-8"))
            station.send_signal(signal.SIGTERM)
            assert station.wait(timeout=60) == 0
        finally:
            station.kill()
            station.wait()
            camera.kill()
        assert until(lambda: b"OFFLINE" in listener.payloads(STATE)[-1])
        tally = json.loads(listener.payloads(STATE)[-1])["tally"]
    with JournalReader(tmp_path / "journal.db") as journal:
        rows = [json.loads(each) for _, each in journal.after(0, 100)]
    assert [row["trigger"]["id"] for row in rows] == ["T-1", "T-2", "T-3", "T-4"]
    assert {row["evaluation"] for row in rows} == {"UNDEFINED"}
    assert tally["triggers"] == tally["verdicts"]["UNDEFINED"] == 4


def test_a_station_whose_camera_does_not_answer_yet_begins_and_ends_in_order(
    tmp_path: Path,
) -> None:
    """Its thread waited for the camera: a SIGTERM then was a crash, and the watchdog killed it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # as one that is still booting
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/stream.mjpg"
        camera = {"kind": "opencv", "url": url, "open_timeout_ms": 60_000}
        path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), camera=camera)
        station, log = start_station(path), path.with_name("station.log")
        try:
            assert until(lambda: "INITIALIZED" in log.read_text(encoding="utf-8"), timeout_s=60.0)
            assert until(lambda: "CONTINUOUS_EXECUTION" in log.read_text(encoding="utf-8"))
            station.send_signal(signal.SIGTERM)
            assert station.wait(timeout=60) == 0
        finally:
            station.kill()
            station.wait()


def test_a_trigger_that_is_answered_while_its_station_ends_stands_in_the_audit(
    tmp_path: Path,
) -> None:
    camera = MjpegServer().start()
    camera.stalled.set()  # the part in work waits for its frame
    path = write_station(
        tmp_path,
        make_bundle(tmp_path / "bundles"),
        camera={"kind": "opencv", "url": camera.url},
        trigger={"kind": "command"},
        recipe={"frame_timeout_ms": 2_000},
    )
    station = start_station(path)
    log = path.with_name("station.log")
    with ThreadPoolExecutor() as beside:
        try:
            assert until(lambda: "CONTINUOUS_EXECUTION" in log.read_text(encoding="utf-8"))
            command = Command(schema=2, id="T-1", action="trigger", part="P-1")
            reply = beside.submit(ask, tmp_path, command)
            time.sleep(0.5)
            station.send_signal(signal.SIGTERM)
            assert "P-1" in reply.result(20.0).reason
            assert station.wait(timeout=60) == 0
        finally:
            station.kill()
            station.wait()
            camera.kill()
    (row,) = [entry for _, entry, _ in read_audit(tmp_path / "journal.db")]
    assert (row.id, row.action, row.outcome) == ("T-1", "trigger", "done")


def takes_parts(listener: Listener) -> bool:
    """As the newest state tells."""
    state = json.loads((listener.payloads(STATE) or [b"{}"])[-1])
    return state.get("state") == "CONTINUOUS_EXECUTION" and state["trigger"]["trouble"] is None


def test_check_says_that_a_frame_may_come_after_the_next_beat(tmp_path: Path) -> None:
    camera = MjpegServer().start()
    try:
        path = write_station(
            tmp_path,
            make_bundle(tmp_path / "bundles"),
            camera={"kind": "opencv", "url": camera.url},
            trigger={"kind": "interval", "period_ms": 400},
        )
        done = run_inspector("check", path)
    finally:
        camera.kill()
    assert done.returncode == 0, done.stdout
    said = " ".join(done.stdout.split())
    assert "waits up to 400 ms for a frame, and the next part comes after 400 ms" in said


def test_drain_s_is_waited_once_however_many_brokers_are_silent(tmp_path: Path) -> None:
    """The edge node waited as long again: beyond TimeoutStopSec, killed, and counted as crashed."""
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port, "spBv1.0/#") as listener:
        path = write_station(
            tmp_path,
            make_bundle(tmp_path / "bundles"),
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": 50},
            mqtt={"port": broker.port, "acknowledge_timeout_s": 300.0, "keepalive_s": 600},
            sparkplug={"group": "plant"},
            drain_s=8.0,
        )
        station = start_station(path)
        log = path.with_name("station.log")
        try:
            sent = "spBv1.0/plant/DDATA/test/inspection"
            assert until(lambda: bool(listener.payloads(sent))), log.read_text(encoding="utf-8")
            broker.pause()
            time.sleep(1.0)  # what is on its way now waits to be acknowledged
            station.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert station.wait(timeout=60) == 0
            assert 7.0 < time.monotonic() - began < 15.0, log.read_text(encoding="utf-8")
        finally:
            broker.resume()
            station.kill()
            station.wait()
