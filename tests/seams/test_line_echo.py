"""The controller's word about each verdict, over every medium that leads both ways."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inspector.clock import SystemClock
from inspector.contract.echo import EchoMessage
from inspector.contract.errors import ConfigError, DeviceError
from inspector.contract.status import EchoStatus
from inspector.contract.strict import parse
from inspector.delivery.broker import MqttSettings
from inspector.delivery.line_mqtt import MqttLine, MqttLineSettings
from inspector.devices.line_modbus import ModbusLine, ModbusLineSettings
from inspector.linesim.plc import ModbusView
from inspector.station.line import LineOutput
from inspector.station.ports import Part
from inspector.station.signal import Signal
from tests.brokers import Listener, Mosquitto
from tests.plc import Plc
from tests.support import free_port, until

ECHO = "plant/line/station/echo"
PROMPT = {"echo_max_ms": 200, "eject_max_ms": 400}
PATIENT = {"echo_max_ms": 10_000, "eject_max_ms": 10_000}


@dataclass
class Rig:
    line: LineOutput
    say: Callable[[int, str, bool], None]
    """sequence, verdict, ejected"""

    def show(self, sequence: int, *, passes: bool) -> None:
        part = Part(sequence, f"P{sequence}", time.monotonic(), trigger_id=f"T{sequence}")
        self.line.moved()
        self.line.busy(part)
        self.line.show(part, passes=passes, by=time.monotonic() + 5.0)

    @property
    def echo(self) -> EchoStatus:
        assert self.line.status.echo is not None
        return self.line.status.echo

    def fault(self) -> str:
        found: list[str] = []

        def faults() -> bool:
            try:
                self.line.require()
            except DeviceError as error:
                found.append(str(error))
            return bool(found)

        assert until(faults, 10.0)
        return found[0]


@pytest.fixture(params=["mqtt", "modbus"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Any], Rig]]:
    ends: list[Callable[[], None]] = []

    def over_mqtt(asked: dict[str, int]) -> Rig:
        broker = Mosquitto(tmp_path).start()
        listener = Listener(broker.port)
        driver = mqtt_line(broker.port, asked)
        settings = MqttLineSettings.model_validate(asked)
        ends.extend([listener.__exit__, broker.kill])

        def say(sequence: int, verdict: Any, ejected: bool) -> None:  # noqa: FBT001
            words = {"boot": "boot", "sequence": sequence, "verdict": verdict, "ejected": ejected}
            listener.publish(ECHO, EchoMessage.model_validate(words).to_json())

        return Rig(LineOutput(driver, pulse_ms=100, clock=SystemClock(), asked=settings), say)

    def over_modbus(asked: dict[str, int]) -> Rig:
        plc = Plc().start()
        plc.echo(9, "pass")  # of a station that was there before
        settings = ModbusLineSettings.model_validate(
            {"host": "127.0.0.1", "port": plc.port, **asked}
        )
        ends.append(plc.kill)
        line = LineOutput(ModbusLine(settings), pulse_ms=100, clock=SystemClock(), asked=settings)
        return Rig(line, lambda sequence, verdict, ejected: plc.echo(sequence, verdict, ejected))

    def make(asked: dict[str, int]) -> Rig:
        made = (over_mqtt if request.param == "mqtt" else over_modbus)(asked)
        ends.insert(0, made.line.stop)
        made.line.start()
        assert until(lambda: made.line.trouble is None)
        made.line.rest(ready=True, fault=False)
        return made

    yield make
    for end in ends:
        end()


def mqtt_line(port: int, asked: dict[str, int]) -> MqttLine:
    return MqttLine(
        MqttLineSettings.model_validate(asked),
        MqttSettings(host="127.0.0.1", port=port),
        topic="plant/line/station/line",
        echo_topic=ECHO,
        client_id="inspector-line",
        station="station",
        boot="boot",
    )


def test_every_verdict_is_echoed_and_the_station_never_waits_for_it(
    rig: Callable[[Any], Rig],
) -> None:
    at = rig(PATIENT)
    start = time.monotonic()
    for sequence, passes in ((65_535, True), (65_536, False), (65_540, True)):
        at.show(sequence, passes=passes)
        at.say(sequence, "pass" if passes else "reject", False)
        assert until(lambda: not at.line._echoes._told[sequence].echo_by)  # noqa: B023
    assert time.monotonic() - start < 5.0, "well below what an echo may take"
    at.say(65_536, "reject", True)
    assert until(lambda: at.echo.ejected == 1)
    at.line.require()
    assert (at.echo.echoes, at.echo.mismatches, at.line._echoes.owed) == (3, 0, False)
    assert at.echo.echo_ms is not None
    assert 0.0 < at.echo.echo_ms.p50 < 5_000.0
    assert at.line.latencies["echo"].cumulated()[-1][1] == 3


def test_a_wrong_echo_withholds_the_next_pass_and_is_a_fault_at_once(
    rig: Callable[[Any], Rig],
) -> None:
    at = rig(PATIENT)
    at.show(1, passes=False)
    at.say(1, "pass", False)
    assert until(lambda: at.line.trouble is not None)
    with pytest.raises(DeviceError, match=r"acted on pass for part 1 \(P1\), told reject"):
        at.show(2, passes=True)
    at.line.require()  # said once
    assert at.echo.mismatches == 1


@pytest.mark.parametrize("found", ["before it", "in it"])
def test_a_wrong_echo_beside_another_error_is_a_fault_once_that_is_left(
    rig: Callable[[Any], Rig], found: str
) -> None:
    at = rig(PATIENT)
    at.show(1, passes=False)
    if found == "in it":
        at.line.rest(ready=False, fault=True)  # the camera is gone
    at.say(1, "pass", False)
    assert until(lambda: at.echo.mismatches == 1)
    at.line.rest(ready=False, fault=True)
    at.line.require()  # the first cause stays
    at.line.rest(ready=False, fault=False)  # a person has seen that one
    assert at.fault() == "line controller: it acted on pass for part 1 (P1), told reject"


def test_a_missing_echo_and_a_part_not_seen_to_leave_are_faults(rig: Callable[[Any], Rig]) -> None:
    at = rig(PROMPT)
    at.show(1, passes=True)
    assert at.fault() == "line controller: no echo within 200 ms: part 1 (P1), told pass"
    at.show(2, passes=False)
    at.line._echoes._told[2].echo_by = None  # a busy machine may take longer to say it
    assert "not seen to leave within 400 ms: part 2 (P2)" in at.fault()
    assert (at.echo.missing, at.echo.not_ejected) == (1, 1)


def test_what_is_no_echo_of_this_boot_is_counted_and_settles_nothing(tmp_path: Path) -> None:
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port) as listener:
        kept = EchoMessage(boot="boot", sequence=1, verdict="pass").to_json()
        listener.publish(ECHO, kept, retain=True)
        asked = MqttLineSettings.model_validate(PATIENT)
        line = LineOutput(
            mqtt_line(broker.port, PATIENT), pulse_ms=100, clock=SystemClock(), asked=asked
        )
        line.start()
        assert until(lambda: line.trouble is None)
        at = Rig(line, lambda *_: None)
        at.show(1, passes=True)
        other = json.loads(kept) | {"boot": "yesterday"}
        listener.publish(ECHO, json.dumps(other).encode())
        listener.publish(ECHO, b"{}")
        listener.publish(ECHO, b"x" * 70_000)
        listener.publish(ECHO, EchoMessage(boot="boot", sequence=9, verdict="reject").to_json())
        reasons = {"retained": 1, "stale": 1, "malformed": 1, "oversized": 1, "unasked": 1}
        assert until(lambda: at.echo.refused == reasons), at.echo
        assert (at.echo.echoes, line._echoes.owed) == (0, True)
        line.require()
        line.stop()


def test_an_echo_that_was_said_while_the_plc_was_not_reached_is_read_afterwards() -> None:
    with Plc() as plc:
        settings = ModbusLineSettings.model_validate(
            {"host": "127.0.0.1", "port": plc.port, "timeout_ms": 200, **PATIENT}
        )
        line = LineOutput(ModbusLine(settings), pulse_ms=100, clock=SystemClock(), asked=settings)
        line.start()
        assert until(lambda: line.trouble is None)
        at = Rig(line, lambda *_: None)
        at.show(1, passes=True)
        said = threading.Thread(target=plc.echo, args=(1, "pass"))
        plc.pause()
        said.start()
        assert until(lambda: line.trouble is not None)
        plc.resume()
        said.join()
        assert until(lambda: at.echo.echoes == 1)
        line.stop()


@pytest.mark.parametrize(("register", "echoes"), [(10, 10), (10, 11), (10, 6), (0, 1)])
def test_a_station_never_takes_what_it_writes_for_the_controllers_word(
    register: int, echoes: int
) -> None:
    words = {"host": "127.0.0.1", "register": register, "echo_register": echoes}
    with pytest.raises(ConfigError, match="overlap with the station's own"):
        parse(ModbusLineSettings, {**words, **PROMPT}, "station.toml")
    for apart in (register + 2, register + 40):
        parse(ModbusLineSettings, {**words, "echo_register": apart, **PROMPT}, "station.toml")


def test_registers_for_echoes_that_nothing_asks_for_are_refused() -> None:
    words = {"host": "127.0.0.1", "echo_register": 20}
    with pytest.raises(ConfigError, match="nothing reads it without echo_max_ms or eject_max_ms"):
        parse(ModbusLineSettings, words, "station.toml")


@pytest.mark.parametrize("second", [True, False])
def test_a_verdict_that_overtakes_its_own_busy_never_stands_beside_another_parts_number(
    second: bool,  # noqa: FBT001
) -> None:
    settings = ModbusLineSettings(host="127.0.0.1", port=free_port())
    plc = ModbusView(settings, "127.0.0.1")
    plc.start()
    driver = ModbusLine(settings)
    driver.open()
    for sequence, passes in ((1, not second), (2, second)):
        driver.write(Signal(done=True, passes=passes, part=Part(sequence, None, 0.0)))
    driver.close()
    plc.stop()
    verdicts = {(shown.sequence, shown.passes) for shown in plc.news if shown.done}
    assert verdicts == {(1, not second), (2, second)}
