"""A line of its own: triggers over MQTT in, the verdict to a PLC over Modbus out, end to end."""

import json
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inspector.contract.bundle import Bundle
from inspector.contract.command import Command, Reply
from inspector.contract.trigger import TriggerMessage
from inspector.delivery.journal import Journal, JournalReader, JournalSettings
from inspector.supervise.door import ask
from tests.brokers import Listener, Mosquitto
from tests.plc import Plc
from tests.support import (
    BRIGHT,
    GREY,
    free_port,
    make_bundle,
    run_inspector,
    start_station,
    until,
    write_pictures,
    write_station,
)

RESULT, STATE = "plant/line/test/result", "plant/line/test/state"
TRIGGER = "plant/line/test/trigger"
DEADLINE_MS = 4_000  # of the line; generous, since these tests share two cores


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@dataclass
class Hall:
    """A broker, a PLC and a station between them."""

    folder: Path
    broker: Mosquitto
    plc: Plc
    listener: Listener
    settings: Path
    metrics: int
    station: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        self.station = start_station(self.settings)

    def start(self) -> None:
        self.run()
        assert until(lambda: self.plc.coils()["ready"], 60.0), self.log()
        assert until(lambda: self.state()["withheld"] is None, 60.0), self.log()

    def log(self) -> str:
        return (self.folder / "station.log").read_text(encoding="utf-8")

    def announce(self, id_: str, **words: Any) -> None:
        message = TriggerMessage(id=id_, deadline_ms=DEADLINE_MS, **words).to_json()
        client = self.listener._client
        assert until(client.is_connected)
        client.publish(TRIGGER, message, qos=1).wait_for_publish(5.0)

    def results(self) -> list[dict[str, Any]]:
        sent = [json.loads(payload) for payload in self.listener.payloads(RESULT)]
        return list({result["result_id"]: result for result in sent}.values())

    def state(self) -> dict[str, Any]:
        payloads = self.listener.payloads(STATE)
        return json.loads(payloads[-1]) if payloads else {"withheld": "", "state": ""}

    def rows(self) -> list[dict[str, Any]]:
        with JournalReader(self.folder / "journal.db") as journal:
            return [json.loads(payload) for _, payload in journal.after(0, 10_000)]

    def passes_seen(self, part: str) -> bool:
        """Announce a part, and look as a PLC's program does until the result is there."""
        seen = False
        before, of_before = len(self.results()), self.plc.registers()[1]
        self.announce(part, part_id=part)
        end = time.monotonic() + 30.0
        while time.monotonic() < end:
            seen |= self.plc.sees_pass(not_of=of_before)
            if len(self.results()) > before and self.plc.coils()["busy"] is False:
                break
        return seen | self.plc.sees_pass(not_of=of_before)

    def command(self, action: str) -> Reply:
        words = {"schema": 2, "id": "test", "action": action}
        return ask(self.folder, Command.model_validate(words))

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics") as page:
            lines = page.read().decode().splitlines()
        found = (float(each.rpartition(" ")[2]) for each in lines if each.startswith(name))
        return next(found, 0.0)

    def kill(self) -> None:
        assert self.station is not None
        self.station.kill()
        self.station.wait()


@pytest.fixture
def at(tmp_path: Path, bundle: Bundle, request: pytest.FixtureRequest) -> Iterator[Hall]:
    pulse_ms = getattr(request, "param", 300)
    with Plc() as plc, Mosquitto(tmp_path).start() as broker, Listener(broker.port) as listener:
        line = {"kind": "modbus", "host": "127.0.0.1", "port": plc.port, "timeout_ms": 500}
        port = free_port()
        path = write_station(
            tmp_path,
            bundle,
            camera={"loop": True},
            trigger={"kind": "mqtt", "wait_max_ms": 5_000},
            line={**line, "pulse_ms": pulse_ms},
            mqtt={"port": broker.port, "backoff_min_s": 0.1, "backoff_max_s": 0.5},
            metrics={"port": port},
        )
        made = Hall(tmp_path, broker, plc, listener, path, port)
        made.start()
        yield made
        made.kill()


def test_every_trigger_gets_one_verdict_and_the_plc_sees_what_the_row_says(at: Hall) -> None:
    seen = {part: at.passes_seen(part) for part in (f"P{i}" for i in range(6))}
    at.announce("P0")
    at.announce("P1")
    assert until(lambda: at.state()["trigger"]["refused"] == {"duplicate": 2})
    results = at.results()
    assert [result["trigger"] for result in results] == [
        {"id": part, "deadline_ms": DEADLINE_MS} for part in seen
    ]
    assert [result["deadline_ms"] for result in results] == [DEADLINE_MS] * 6
    assert {result["part"]["id"]: result["pass"] for result in results} == seen
    assert set(seen.values()) == {True, False}
    assert at.rows() == results
    flood(at)
    assert until(lambda: accounted(at) == 8 + 150), at.state()
    assert at.state()["trigger"]["refused"] == {"duplicate": 2 + 20}
    assert until(lambda: len(at.results()) == len(at.rows()))
    ids = [row["trigger"]["id"] for row in at.rows()]
    assert len(ids) == len(set(ids)) == at.state()["tally"]["triggers"], "exactly one verdict"
    reasons = {row["reason"] for row in at.rows() if row["evaluation"] == "UNDEFINED"}
    assert any(reason.startswith("it came while part") for reason in reasons)
    assert at.state()["tally"]["unshown"] == 0
    assert at.station is not None
    at.station.send_signal(signal.SIGTERM)
    assert at.station.wait(30.0) == 0, at.log()
    coils = at.plc.coils()
    assert (coils["ready"], coils["pass"], coils["reject"]) == (False, False, True)


def flood(at: Hall) -> None:
    """150 triggers at once, of 130 parts."""

    def announce(first: int) -> None:
        for number in range(first, first + 50):
            at.announce(f"B{number}")

    floods = [threading.Thread(target=announce, args=(first,)) for first in (0, 40, 80)]
    for each in floods:
        each.start()
    for each in floods:
        each.join()


def accounted(at: Hall) -> int:
    state = at.state()
    refused, tally = state["trigger"]["refused"], state["tally"]
    return int(sum([*refused.values(), *tally["verdicts"].values(), tally["triggers_missed"]]))


@pytest.mark.parametrize("at", [10_000], indirect=True)
def test_a_station_killed_in_the_middle_of_a_pass_lets_no_part_through(at: Hall) -> None:
    at.announce("P1", part_id="P1")
    assert until(at.plc.sees_pass, 30.0), at.log()
    at.kill()
    # the coil stands for ever, as nobody is left to take it back: the heartbeat does not
    assert at.plc.coils()["pass"]
    killed_at = time.monotonic()
    while at.plc.sees_pass():
        assert time.monotonic() - killed_at < 2.0
        time.sleep(0.01)
    time.sleep(0.6)
    assert not at.plc.sees_pass()
    before = at.rows()
    at.start()
    assert not at.plc.coils()["pass"]
    at.announce("P1", part_id="P1")
    assert until(lambda: at.state().get("trigger", {}).get("refused") == {"duplicate": 1})
    assert at.rows() == before
    assert len(before) == 1
    assert (before[0]["trigger"]["id"], before[0]["pass"]) == ("P1", True)


def test_a_pass_that_the_plc_saw_stands_after_a_kill_while_the_broker_is_away(
    tmp_path: Path, bundle: Bundle
) -> None:
    """Parts come so fast that the station never rests, and nobody but the PLC is told of them."""
    with Plc() as plc:
        line = {"kind": "modbus", "host": "127.0.0.1", "port": plc.port, "timeout_ms": 500}
        path = write_station(
            tmp_path,
            bundle,
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": 80},
            line={**line, "pulse_ms": 1_000},
        )
        station = start_station(path)
        seen: list[int] = []

        def passes() -> bool:
            (_, before), coils, (_, after) = plc.registers(), plc.coils(), plc.registers()
            seen[:] = [before] if coils["pass"] and before == after > 20 else []
            return bool(seen)

        try:
            assert until(passes, 60.0), (tmp_path / "station.log").read_text()
        finally:
            station.kill()
            station.wait()
    journal = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    rows = [json.loads(payload) for _, payload in journal.after(0, 1_000)]
    journal.close()
    (row,) = [row for row in rows if row["part"]["sequence"] == seen[0]]
    assert row["pass"], row["reason"]


def test_a_plc_or_a_broker_that_is_gone_is_said_and_nothing_passes_until_it_is_back(
    at: Hall,
) -> None:
    at.broker.kill()
    beat, _ = at.plc.registers()
    assert until(lambda: str(at.command("status").withheld).startswith("trigger: broker"))
    assert until(lambda: at.plc.registers()[0] != beat)
    assert until(lambda: at.metric("inspector_trigger_ready") == 0.0)
    at.broker.start()
    assert until(lambda: at.command("status").withheld is None)
    at.plc.kill()
    assert until(lambda: at.command("status").state == "ERROR"), at.log()
    assert "line signal: PLC 127.0.0.1" in at.command("status").cause
    at.announce("P2")
    assert until(lambda: at.metric("inspector_triggers_refused_total") == 1.0)
    for action in ("reset", "select", "start"):
        assert at.command(action).outcome == "done"
    # a line that is not there yet is waited for, and no part passes without it
    at.announce("P3", part_id="P3")
    assert until(lambda: len(at.rows()) == 1)
    assert at.rows()[0]["reason"].startswith("line signal: PLC")
    assert "judged OK" in at.rows()[0]["reason"]
    assert at.metric("inspector_line_connected") == 0.0
    assert at.metric("inspector_line_failures_total") == 1.0
    at.plc.start()
    assert until(lambda: at.command("status").withheld is None)
    assert at.command("status").state == "CONTINUOUS_EXECUTION"
    assert at.passes_seen("P4")


def test_a_command_triggers_a_part_and_its_reply_says_the_verdict(
    tmp_path: Path, bundle: Bundle
) -> None:
    path = write_station(tmp_path, bundle, trigger={"kind": "command"}, camera={"loop": True})
    station = start_station(path)
    try:
        assert until(lambda: "good parts pass" in run_inspector("command", path, "status").stdout)
        done = run_inspector("command", path, "trigger", "--part", "P-17")
        assert done.returncode == 0
        assert "done: seq 1 (P-17): OK: below review_at" in done.stdout
    finally:
        station.kill()
        station.wait()


def test_check_tries_trigger_and_line_and_leaves_a_running_station_alone(at: Hall) -> None:
    said = run_inspector("check", at.settings).stdout
    assert "line modbus: not tried, the station is running" in said
    assert "trigger: mqtt" in said
    assert at.station is not None
    assert f"is in use by the running station, process {at.station.pid}; ends at" in said
    assert "FAULT" not in said
    assert at.plc.coils()["ready"]
    text = at.settings.read_text(encoding="utf-8").replace('station = "test"', 'station = "other"')
    other = at.settings.with_name("other.toml")
    other.write_text(text, encoding="utf-8")
    said = run_inspector("check", other).stdout
    assert f"FAULT journal {at.settings.parent / 'journal.db'}: process" in said
    at.kill()
    assert "line modbus: shows reject, its rest" in run_inspector("check", at.settings).stdout
    at.plc.kill()
    at.broker.kill()
    said = run_inspector("check", at.settings).stdout
    assert "FAULT line modbus: PLC 127.0.0.1" in said
    assert "trigger mqtt: broker 127.0.0.1" in said


def test_the_picture_of_the_empty_scene_is_taken_by_the_stations_own_camera(
    tmp_path: Path, bundle: Bundle
) -> None:
    trigger = {"kind": "part_present", "empty": "empty.png", "still_ms": 0}
    path = write_station(tmp_path, bundle, trigger=trigger)
    refused = run_inspector("run", path)
    assert refused.returncode == 78
    assert "commission STATION.TOML --empty" in refused.stderr
    write_pictures(tmp_path / "pictures", [GREY] * 12)
    done = run_inspector("commission", path, "--empty", tmp_path / "empty.png")
    assert done.returncode == 0, done.stderr
    assert "the mean of 8 frames" in done.stdout
    write_pictures(tmp_path / "pictures", [GREY] * 4 + [BRIGHT] * 5 + [GREY] * 5)
    done = run_inspector("run", path)
    assert done.returncode == 0, done.stderr
    with JournalReader(tmp_path / "journal.db") as journal:
        (row,) = [json.loads(payload) for _, payload in journal.after(0, 100)]
    assert (row["evaluation"], row["label"]) == ("NOT_OK", "bright")
