"""`inspector line-sim` against a real station: the line as a commissioning engineer runs it."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.contract.bundle import Bundle
from inspector.linesim.plan import Dice, Plan
from tests.brokers import Listener, Mosquitto
from tests.support import free_port, make_bundle, run_inspector, until, write_station
from tests.system.test_line import Hall


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def hall(tmp_path: Path, bundle: Bundle) -> Iterator[Callable[..., Hall]]:
    halls: list[Hall] = []

    def make(kind: str, trigger: str = "mqtt", **line: Any) -> Hall:
        broker = Mosquitto(tmp_path).start()
        if kind == "modbus":
            line |= {"host": "127.0.0.1", "port": free_port(), "timeout_ms": 1_000}
        age_max_ms = 5_000 if kind == "mqtt" else 1_000  # over modbus some are to be too old
        triggers = {
            "mqtt": {"wait_max_ms": 5_000, "age_max_ms": age_max_ms},
            "interval": {"period_ms": 100},
        }
        port = free_port()
        path = write_station(
            tmp_path,
            bundle,
            camera={"loop": True},
            trigger={"kind": trigger, **triggers[trigger]},
            line={"kind": kind, "echo_max_ms": 5_000, "eject_max_ms": 5_000, **line},
            mqtt={"port": broker.port},
            metrics={"port": port},
        )
        plc: Any = None  # the simulator is the PLC
        made = Hall(tmp_path, broker, plc, Listener(broker.port), path, port)
        made.run()
        halls.append(made)
        return made

    yield make
    for made in halls:
        made.kill()
        made.listener.__exit__()
        made.broker.kill()


def simulate(hall: Hall, *words: str) -> subprocess.CompletedProcess[str]:
    generous = ("--deadline-ms", "4000", "--margin-ms", "2000", "--eject-ms", "50")
    return run_inspector("line-sim", hall.settings, *generous, *words)


def parts(said: str) -> list[str]:
    """The lines of its parts."""
    return re.findall(r"^ +\d+ sim-.*$", said, re.MULTILINE)


def expect_all(at: Hall) -> None:
    """Every trigger gets the verdict that is recorded, and every verdict its echo."""
    done = simulate(at, "--parts", "12", "--rate", "10", "--duplicate", "0.4", "--seed", "2")
    assert done.returncode == 0, done.stdout + at.log()
    lines = parts(done.stdout)
    shown = [" pass " in line for line in lines]
    assert len(shown) == 12
    assert [row["pass"] for row in at.rows()] == shown
    assert set(shown) == {True, False}
    assert "0 mismatches; 12 verdicts compared with their rows" in done.stdout
    assert re.search(r"n = 12, p50 [\d.]+ ms, p99 [\d.]+", done.stdout)
    twice = sum("trigger twice" in line for line in lines)
    assert twice > 0
    assert until(lambda: at.state()["trigger"]["refused"] == {"duplicate": twice}), at.state()
    assert until(lambda: at.state()["line"]["echo"]["ejected"] == shown.count(False))
    echo = at.state()["line"]["echo"]
    assert (echo["echoes"], echo["mismatches"], echo["missing"]) == (12, 0, 0)


def test_over_modbus_parts_whose_triggers_are_lost_or_late_are_rejected(
    hall: Callable[..., Hall],
) -> None:
    at = hall("modbus")
    errs = ("--lost", "0.2", "--late", "0.3", "--late-ms", "1500", "--duplicate", "0.3")
    words = ("--parts", "10", "--rate", "10", *errs, "--seed", "5")
    done = simulate(at, *words, "--deadline-ms", "300", "--margin-ms", "100")
    assert done.returncode in (0, 3), done.stdout  # 3: a machine too busy for 0.4 s
    lines = parts(done.stdout)
    lost = [line for line in lines if "trigger lost" in line]
    late = [line for line in lines if "trigger late" in line and line not in lost]
    twice = [line for line in lines if "trigger twice" in line and line not in lost]
    assert lost
    assert late
    assert all("no verdict: rejected" in line for line in (*lost, *late))
    stale = len(late) + sum(line in twice for line in late)
    expected = {"stale": stale, "duplicate": sum(line not in late for line in twice)}
    refused = {why: count for why, count in expected.items() if count}
    assert until(lambda: at.state()["trigger"]["refused"] == refused), at.state()
    assert "0 mismatches" in done.stdout
    triggered = len(lines) - len(lost) - len(late)
    assert len(at.rows()) == triggered
    seen = [line for line in lines if "no verdict" not in line]
    assert f"{len(seen)} verdicts compared with their rows" in done.stdout
    assert at.state()["line"]["echo"]["echoes"] == len(seen)


def restart(at: Hall) -> None:
    for action in ("reset", "select", "start"):
        assert at.command(action).outcome == "done"


def test_over_mqtt_a_wrong_echo_ends_in_error_until_a_person_has_seen_it(
    hall: Callable[..., Hall],
) -> None:
    at = hall("mqtt")
    expect_all(at)
    done = simulate(at, "--parts", "5", "--wrong-echo", "1")
    assert done.returncode == 5, done.stdout
    assert re.search(r"FAULT: line controller: it acted on \w+ for part 13 \(SIM-", done.stdout)
    assert at.command("status").state == "ERROR"
    assert at.command("status").cause.startswith("line controller: it acted on")
    assert until(lambda: at.metric("inspector_line_mismatch_total") == 1.0)
    alarm = at.listener.payloads("plant/line/test/alarm")[-1]
    assert b"line controller: it acted on" in alarm
    restart(at)
    assert until(lambda: at.metric("inspector_line_echo_seconds_count") == 12.0)
    assert at.command("status").state == "CONTINUOUS_EXECUTION"


def test_over_modbus_it_follows_a_line_whose_parts_come_by_themselves_until_it_is_interrupted(
    hall: Callable[..., Hall],
) -> None:
    at = hall("modbus", trigger="interval")
    command = [sys.executable, "-m", "inspector.cli", "line-sim", str(at.settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sim:
        assert sim.stdout is not None
        said = ""
        while len(parts(said)) < 4:
            said += sim.stdout.readline()
        sim.send_signal(signal.SIGINT)
        said += sim.stdout.read()
        assert sim.wait(20.0) == 0, said
    assert "0 triggers sent" in said
    assert re.search(r"^\d+ verdicts: [1-9]", said, re.MULTILINE)


def test_without_a_station_it_says_so_and_what_it_cannot_simulate_it_refuses(
    tmp_path: Path, bundle: Bundle
) -> None:
    with Mosquitto(tmp_path).start() as broker:
        path = write_station(tmp_path, bundle, line={"kind": "mqtt"}, mqtt={"port": broker.port})
        command = [sys.executable, "-m", "inspector.cli", "line-sim", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sim:
            assert sim.stdout is not None
            assert "waiting for the station" in sim.stdout.readline()
            time.sleep(0.2)
            sim.send_signal(signal.SIGINT)
            assert "NOT READY: nothing was heard of it" in sim.stdout.read()
            assert sim.wait(20.0) == 5
    done = run_inspector("line-sim", path)
    assert (done.returncode, "broker 127.0.0.1" in done.stderr) == (1, True)
    done = run_inspector("line-sim", path, "--lost", "1.5")
    assert (done.returncode, "lost 1.5" in done.stderr) == (78, True)
    done = run_inspector("line-sim", write_station(tmp_path, bundle))
    assert (done.returncode, "[line] kind must be" in done.stderr) == (78, True)


def test_a_seed_tells_everything_that_will_go_wrong() -> None:
    plan = Plan(late=0.3, lost=0.3, wrong_echo=0.3, jitter_ms=50, seed=7)
    first, second, other = Dice(plan), Dice(plan), Dice(plan.model_copy(update={"seed": 8}))
    fates = [first.throw() for _ in range(50)]
    assert fates == [second.throw() for _ in range(50)]
    assert fates != [other.throw() for _ in range(50)]
