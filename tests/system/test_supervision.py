"""A running station is asked, watched and restarted as a plant does it: real processes."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inspector.contract.bundle import Bundle
from inspector.contract.foreign import MESSAGE_BYTES_MAX
from inspector.delivery.journal import JournalReader
from tests.brokers import Listener, Mosquitto
from tests.support import (
    evaluations_in,
    free_port,
    make_bundle,
    run_inspector,
    start_station,
    until,
    write_station,
)

GONE = {"kind": "opencv", "url": "rtsp://127.0.0.1:1/x", "reopen_tries": 1}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@contextmanager
def running(path: Path, **popen: Any) -> Iterator[subprocess.Popen[bytes]]:
    station = start_station(path, **popen)
    try:
        yield station
    finally:
        station.kill()
        station.wait()


def log(path: Path) -> str:
    return (path.parent / "station.log").read_text(encoding="utf-8")


def says(path: Path, words: str) -> bool:
    return until(lambda: words in log(path), timeout_s=60.0)


def command(path: Path, *action: str) -> str:
    done = run_inspector("command", path, *action)
    return f"{done.returncode} {done.stdout}{done.stderr}"


def rows(path: Path) -> int:
    journal = path.parent / "journal.db"
    if not journal.exists():
        return 0
    with JournalReader(journal) as reader:
        return reader.last_seq()


def test_an_error_is_left_by_a_command_and_survives_a_restart_until_then(
    bundle: Bundle, tmp_path: Path
) -> None:
    path = write_station(tmp_path, bundle, camera=GONE, recipe={"frame_timeout_ms": 100})
    with running(path) as station:
        assert says(path, " ERROR: ")
        assert "0 done" in command(path, "status")
        refused = command(path, "start")
        assert refused.startswith("1 refused: START_CONTINUOUS is not allowed while ERROR")
        assert "allowed now: RESET, HALT" in refused
        station.send_signal(signal.SIGTERM)
        assert station.wait(60.0) == 0
    path = write_station(tmp_path, bundle, camera={"loop": True})
    before = rows(path)
    with running(path):
        assert until(lambda: "ERROR: " in command(path, "status"))
        status = command(path, "status")
        assert "given up after 1 tries" in status, "the first cause"
        assert "no part would pass: ERROR" in status
        assert rows(path) == before
        assert command(path, "reset").startswith("0 done: RESET: from ERROR to PREOPERATIONAL")
        assert command(path, "select").startswith("0 done: PREPARE_RECIPE: from INITIALIZED")
        assert command(path, "start").startswith("0 done")
        assert until(lambda: rows(path) > before + 5)
        assert "good parts pass" in command(path, "status")
        assert command(path, "stop").startswith("0 done: STOP")
        stopped = rows(path)
        assert command(path, "single").startswith("0 done")
        assert until(lambda: rows(path) == stopped + 1)
        assert command(path, "halt").startswith("0 done")
        assert "1 refused" in command(path, "start")
    assert "command reset (cli-" in log(path)
    assert f"by {os.environ.get('USER') or 'root'} (process" in log(path)


def test_a_station_that_is_not_there_does_not_answer(bundle: Bundle, tmp_path: Path) -> None:
    answer = command(write_station(tmp_path, bundle), "status")
    assert answer.startswith("1 ")
    assert "no station answers there" in answer


def talk(path: Path, message: bytes) -> dict[str, Any]:
    """As any program would, by way of the folder: a socket's path is short."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20.0)
            client.connect("command.sock")
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)
            reply = b""
            while more := client.recv(65_536):
                reply += more
    finally:
        os.chdir(here)
    assert reply.count(b"\n") == 1
    answer: dict[str, Any] = json.loads(reply)
    return answer


def test_the_door_is_its_owners_alone_and_answers_every_message_once(
    bundle: Bundle, tmp_path: Path
) -> None:
    path = write_station(tmp_path, bundle, autostart=False)
    with running(path):
        door = tmp_path / "command.sock"
        assert until(door.exists)
        assert stat.S_IMODE(door.stat().st_mode) == 0o600
        good = talk(path, b'{"schema":1,"id":"a","action":"status"}')
        assert (good["id"], good["outcome"], good["state"]) == ("a", "done", "PREOPERATIONAL")
        for message in (b"", b"halt", b"\x00" * 100, b"{" * MESSAGE_BYTES_MAX * 2):
            try:
                bad = talk(path, message)
            except (BrokenPipeError, ConnectionResetError):
                continue  # it hung up on what was too long
            assert (bad["id"], bad["outcome"]) == (None, "refused")
        assert talk(path, b'{"schema":1,"id":"b","action":"halt"}')["state"] == "HALTED"


def test_a_bundle_is_reloaded_and_taken_back_by_command(tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    first, second = make_bundle(bundles), make_bundle(bundles, notice="the second")
    path = write_station(tmp_path, first, camera={"loop": True})
    with running(path):
        assert until(lambda: rows(path) > 5)
        assert command(path, "reload", second.id).startswith(f"0 done: bundle {second.id} serves")
        assert command(path, "rollback").startswith(f"0 done: bundle {first.id} serves")
        assert "1 refused" in command(path, "reload", "none-0123456789ab")
        assert "command reload: needs NAME" in command(path, "reload")
        assert "good parts pass" in command(path, "status")


def test_a_select_within_the_trial_goes_on_with_the_new_bundle_and_a_refused_one_changes_nothing(
    tmp_path: Path,
) -> None:
    bundles = tmp_path / "bundles"
    first, second = make_bundle(bundles), make_bundle(bundles, notice="the second")
    path = write_station(tmp_path, first, camera={"loop": True})

    def served() -> dict[str, Any]:
        file = json.loads((tmp_path / "journal.db.bundles").read_bytes())
        found: dict[str, Any] = file["recipes"]["tiny"]
        return found

    with running(path):
        assert until(lambda: rows(path) > 5)
        assert command(path, "reload", second.id).startswith("0 done")
        for action in ("stop", "select", "start"):
            assert command(path, action).startswith("0 done")
        there = served()
        assert (there["serving"], there["previous"]) == (second.id, first.id)
        assert there["refused"] is None
        write_station(tmp_path, second, camera={"loop": True})  # the recipe names another bundle
        refused = command(path, "select")
        assert refused.startswith("1 refused: PREPARE_RECIPE is not allowed while CONTINUOUS")
        assert served() == there
        assert command(path, "rollback").startswith(f"0 done: bundle {first.id} serves")
    assert "did not end in order" not in log(path)


def test_a_crash_loop_ends_in_error_and_waits_for_a_person(bundle: Bundle, tmp_path: Path) -> None:
    rules = {"restarts_max": 3, "restarts_within_min": 10.0}
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port) as listener:
        path = write_station(
            tmp_path, bundle, camera={"loop": True}, rules=rules, mqtt={"port": broker.port}
        )

        def newest(topic: str) -> dict[str, Any]:
            found = listener.payloads(f"plant/line/test/{topic}")
            return json.loads(found[-1]) if found else {}

        for _ in range(3):
            before = rows(path)
            with running(path):
                assert until(lambda before=before: rows(path) > before)  # type: ignore[misc]
        killed_at = rows(path)
        with running(path):
            assert until(lambda: newest("state").get("state") == "ERROR")
            assert newest("state")["cause"].startswith("crash loop: 3 starts within 10 minutes")
            assert until(lambda: newest("alarm").get("line_stop") is True)
            assert until(lambda: newest("heartbeat").get("state") == "ERROR")
            assert rows(path) == killed_at
            for action in ("reset", "select", "start"):
                assert command(path, action).startswith("0 done")
            assert until(lambda: rows(path) > killed_at)
            assert until(lambda: newest("alarm").get("line_stop") is False)
            assert until(lambda: newest("heartbeat").get("state") == "CONTINUOUS_EXECUTION")


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10.0) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def metrics(port: int) -> dict[tuple[str, ...], float]:
    """(name, label values...) -> value"""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(get(port, "/metrics")[1])
        for sample in family.samples
    }


def heed_hang_ups() -> None:
    """Also where the tests themselves were started to outlive their terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_station_that_is_told_to_end_while_it_starts_has_not_crashed(
    tmp_path: Path, told: signal.Signals
) -> None:
    slow = make_bundle(tmp_path / "bundles", work=500)  # its self-test takes a second or two
    path = write_station(tmp_path, slow, camera={"loop": True}, rules={"restarts_max": 2})
    begun = tmp_path / "starts.json"
    for _ in range(2):
        begun.unlink(missing_ok=True)
        station = start_station(path, preexec_fn=heed_hang_ups)
        try:
            assert until(begun.exists)
            station.send_signal(told)
            assert station.wait(20.0) == (130 if told is signal.SIGINT else 0)
        finally:
            station.kill()
            station.wait()
        assert json.loads(begun.read_bytes())["starts_s"] == []
    assert "Traceback" not in (tmp_path / "station.log").read_text()


def ignore_hang_ups() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@pytest.mark.parametrize("nohup", [False, True], ids=["by hand", "with nohup"])
def test_the_end_of_its_terminal_ends_a_station_in_order_but_not_with_nohup(
    bundle: Bundle,
    tmp_path: Path,
    nohup: bool,  # noqa: FBT001 - pytest's
) -> None:
    path = write_station(tmp_path, bundle, camera={"loop": True})
    station = start_station(path, preexec_fn=ignore_hang_ups if nohup else heed_hang_ups)
    try:
        assert until(lambda: len(evaluations_in(tmp_path)) > 3)
        station.send_signal(signal.SIGHUP)
        if nohup:
            before = len(evaluations_in(tmp_path))
            assert until(lambda: len(evaluations_in(tmp_path)) > before + 10)
            station.terminate()
        assert station.wait(30.0) == 0
        assert json.loads((tmp_path / "starts.json").read_bytes())["starts_s"] == []
    finally:
        station.kill()
        station.wait()


def test_the_health_page_knows_whether_a_pass_is_permitted_and_the_ledger_agrees(
    bundle: Bundle, tmp_path: Path
) -> None:
    port = free_port()
    path = write_station(
        tmp_path,
        bundle,
        camera={"loop": True},
        metrics={"port": port},
        log={"format": "json"},
        recipe={"attest": {"brightness": {"max": 255.0}}},
    )
    with running(path) as station:
        assert until(lambda: get(port, "/readyz") == (200, "ok\n"), 60.0), log(path)
        assert get(port, "/livez") == (200, "ok\n")
        assert get(port, "/etc/passwd")[0] == 404
        assert until(lambda: rows(path) > 50)
        assert command(path, "stop").startswith("0 done")
        assert get(port, "/readyz") == (503, "READY: stop by root" + get(port, "/readyz")[1][19:])
        assert get(port, "/livez") == (200, "ok\n")
        found = metrics(port)
        parts = sum(value for key, value in found.items() if key[0] == "inspector_parts_total")
        triggers = found["inspector_triggers_total",]
        assert triggers == parts == rows(path) > 50
        assert found["inspector_journal_rows",] == rows(path)
        assert found["inspector_state", "READY"] == 1.0
        assert found["inspector_pass_permitted",] == 0.0
        assert found["inspector_part_latency_seconds_count", "total"] == parts
        assert found["inspector_journal_commit_seconds_count",] == parts
        assert found["inspector_commands_total", "stop", "done"] == 1.0
        assert found["inspector_mqtt_connected",] == 0.0
        assert 0.0 < found["inspector_attestation_ratio", "brightness"] < 1.0
        assert 0.0 <= found["inspector_golden_max_abs_error",] <= bundle.manifest.tolerance
        assert found["inspector_journal_oldest_unacknowledged_seconds", "courier"] >= 0.0
        station.send_signal(signal.SIGTERM)
        assert station.wait(60.0) == 0
    events = [json.loads(line) for line in log(path).splitlines()]
    assert {"time", "level", "logger", "message"} <= set(events[0])


def test_an_event_about_a_part_names_it_in_the_log(bundle: Bundle, tmp_path: Path) -> None:
    path = write_station(tmp_path, bundle, log={"format": "json"})
    (tmp_path / "pictures" / "part000.png").write_bytes(b"broken")
    assert start_station(path).wait(60.0) == 0
    events = [json.loads(line) for line in log(path).splitlines()]
    (about,) = [event for event in events if "seq" in event]
    assert (about["seq"], about["part"], about["bundle"]) == (1, "part000", bundle.id)
    assert "UNDEFINED" in about["message"]


def test_systemd_hears_that_the_pipeline_moves_and_not_when_it_stands(
    bundle: Bundle, tmp_path: Path
) -> None:
    address = f"inspector-test-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{address}")
        listener.settimeout(60.0)
        path = write_station(tmp_path, bundle, camera={"loop": True})
        environment = {**os.environ, "NOTIFY_SOCKET": f"@{address}", "WATCHDOG_USEC": "2000000"}
        with running(path, env=environment) as station:
            heard = [listener.recv(4_096).decode()]
            while heard.count("WATCHDOG=1") < 3:
                heard.append(listener.recv(4_096).decode())
            assert heard[0] == "READY=1"
            assert "STATUS=CONTINUOUS_EXECUTION: autostart" in heard
            station.send_signal(signal.SIGTERM)
            assert station.wait(60.0) == 0
            while heard[-1] != "STOPPING=1":
                heard.append(listener.recv(4_096).decode())


HANG = """
import sys, threading, time
from pathlib import Path
from inspector.runtime import onnx
real, sign = onnx.OnnxRuntime.predict, Path(sys.argv[1]).with_name("hang")
def predict(self, images):
    if threading.current_thread().name == "station" and sign.exists():
        time.sleep(3600)
    return real(self, images)
onnx.OnnxRuntime.predict = predict
from inspector.daemon import run
sys.exit(run(Path(sys.argv[1])))
"""

DIE = """
import sys
from pathlib import Path
from inspector.delivery import archive
archive.ImageArchive._keep = lambda *_: 1 / 0
from inspector.daemon import run
sys.exit(run(Path(sys.argv[1])))
"""


@contextmanager
def spoilt(path: Path, code: str, **popen: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The real daemon in a process of its own, with one thing in it broken."""
    with (path.parent / "station.log").open("ab") as file:
        station = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=file, stderr=file, **popen
        )
    try:
        yield station
    finally:
        station.kill()
        station.wait()


def test_a_model_that_never_returns_ends_heartbeat_watchdog_and_readiness(
    bundle: Bundle, tmp_path: Path
) -> None:
    port = free_port()
    address = f"inspector-hang-{os.getpid()}-{tmp_path.name}"
    with (
        Mosquitto(tmp_path).start() as broker,
        Listener(broker.port) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(f"\0{address}")
        path = write_station(
            tmp_path,
            bundle,
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": 100},
            mqtt={"port": broker.port},
            metrics={"port": port},
            # until then it may be a slow model, and the heart beats on
            recipe={"deadline_ms": 800, "frame_timeout_ms": 700},
        )
        environment = {**os.environ, "NOTIFY_SOCKET": f"@{address}", "WATCHDOG_USEC": "2000000"}
        with spoilt(path, HANG, env=environment):

            def beats() -> int:
                return len(listener.payloads("plant/line/test/heartbeat"))

            assert until(lambda: beats() > 3, 60.0), log(path)
            assert until(lambda: get(port, "/readyz")[0] == 200)
            (tmp_path / "hang").touch()
            assert until(lambda: "the pipeline has not moved for" in get(port, "/readyz")[1])
            time.sleep(1.0)  # what was still on its way
            systemd.setblocking(False)
            with suppress(BlockingIOError):
                while systemd.recv(4_096):  # what was sent while it moved
                    continue
            last = beats()
            assert not until(lambda: beats() > last, timeout_s=2.0)
            with pytest.raises(BlockingIOError):
                systemd.recv(4_096)


def test_a_dead_archive_ends_the_process_in_words(bundle: Bundle, tmp_path: Path) -> None:
    path = write_station(tmp_path, bundle, camera={"loop": True})
    with spoilt(path, DIE) as station:
        assert station.wait(60.0) == 1
    assert "ended: dead: archive" in log(path)
    assert "ZeroDivisionError" in log(path)
