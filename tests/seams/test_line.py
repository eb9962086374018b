"""What every line signal promises, tried on each one we ship, with a real broker and a real PLC.

GPIO is not among them: it needs a chip, or the kernel's gpio-sim, and stands untested.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inspector.clock import SystemClock
from inspector.contract.errors import ConfigError, DeviceError, DeviceTimeout
from inspector.contract.strict import parse
from inspector.delivery.broker import MqttSettings
from inspector.delivery.line_mqtt import MqttLine, MqttLineSettings
from inspector.devices.line_gpio import GpioLine, GpioLineSettings
from inspector.devices.line_modbus import ModbusLine, ModbusLineSettings
from inspector.station.line import GRACE_S, STILL_S, LineOutput
from inspector.station.ports import Part
from inspector.station.signal import LineDriver
from tests.brokers import Listener, Mosquitto
from tests.plc import Plc
from tests.support import until

TOPIC = "plant/line/station/line"
PULSE_MS = 300
SOON_S = 10.0


@dataclass
class Rig:
    """A signal, the other side, and what that sees."""

    driver: LineDriver
    other: Mosquitto | Plc
    sees: Callable[[], dict[str, Any]]
    line: LineOutput
    moves: threading.Event
    """The pipeline moves as long as it is not set."""

    def shows(self, **levels: bool) -> bool:
        return until(lambda: all(self.sees()[name] is on for name, on in levels.items()))


@pytest.fixture(params=["mqtt", "modbus"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    listener: Listener | None = None
    if request.param == "modbus":
        plc = Plc().start()
        other: Mosquitto | Plc = plc
        settings = ModbusLineSettings(host="127.0.0.1", port=plc.port, timeout_ms=200)
        driver: LineDriver = ModbusLine(settings)
        sees: Callable[[], dict[str, Any]] = plc.coils
    else:
        broker = Mosquitto(tmp_path).start()
        other = broker
        listener = Listener(broker.port, TOPIC)
        mqtt = MqttSettings(host="127.0.0.1", port=broker.port, protocol="5", keepalive_s=2)
        driver = mqtt_line(mqtt)

        def sees() -> dict[str, Any]:
            nothing: dict[str, Any] = defaultdict(lambda: None)
            return json.loads(listener.payloads(TOPIC)[-1]) if listener.messages else nothing

    line = LineOutput(driver, pulse_ms=PULSE_MS, clock=SystemClock())
    hangs = threading.Event()
    ended = threading.Event()

    def move() -> None:
        while not ended.wait(0.02):
            if not hangs.is_set():
                line.moved()

    mover = threading.Thread(target=move)
    mover.start()
    line.start()
    assert until(lambda: line.trouble is None)
    yield Rig(driver, other, sees, line, hangs)
    line.stop()
    ended.set()
    mover.join()
    if listener is not None:
        listener.__exit__()
    other.kill()


def mqtt_line(mqtt: MqttSettings) -> MqttLine:
    return MqttLine(
        MqttLineSettings(timeout_ms=300),
        mqtt,
        topic=TOPIC,
        echo_topic="plant/line/station/echo",
        client_id="inspector-line",
        station="station",
        boot="boot",
    )


def part(sequence: int) -> Part:
    return Part(sequence, f"P{sequence}", time.monotonic(), trigger_id=f"T{sequence}")


def show(rig: Rig, sequence: int, *, passes: bool, within_s: float = SOON_S) -> float:
    """Show one part's verdict; how long that took, in seconds."""
    shown = part(sequence)
    rig.line.busy(shown)
    rig.line.acquired()
    start = time.monotonic()
    rig.line.show(shown, passes=passes, by=start + within_s)
    return time.monotonic() - start


def test_at_rest_it_rejects_whatever_the_state(rig: Rig) -> None:
    assert rig.shows(reject=True, done=False, ready=False, fault=False)
    assert not rig.sees()["pass"]
    rig.line.rest(ready=True, fault=False)
    assert rig.shows(ready=True, reject=True)
    rig.line.rest(ready=False, fault=True)
    assert rig.shows(ready=False, fault=True, reject=True)
    assert rig.line.status.kind == rig.driver.kind


def test_a_pass_is_a_pulse_for_one_part_and_a_reject_is_a_verdict_too(rig: Rig) -> None:
    rig.line.rest(ready=True, fault=False)
    rig.line.busy(part(1))
    assert rig.shows(busy=True, reject=True)
    rig.line.acquired()
    assert rig.shows(busy=True, acquired=True)
    took_s = show(rig, 1, passes=True)
    assert took_s < 1.0
    assert rig.shows(**{"pass": True, "done": True, "reject": False, "busy": False})
    assert rig.shows(**{"pass": False, "done": False, "reject": True, "ready": True})
    show(rig, 2, passes=False)
    assert rig.shows(**{"pass": False, "done": True, "reject": True})
    assert rig.shows(done=False, reject=True)


def test_a_verdict_runs_out_when_the_station_stops_and_is_over_at_once_in_error(rig: Rig) -> None:
    rig.line.rest(ready=True, fault=False)
    show(rig, 1, passes=True)
    rig.line.rest(ready=False, fault=False)
    assert rig.shows(**{"pass": True})
    assert rig.shows(**{"pass": False, "reject": True, "ready": False})
    rig.line.rest(ready=True, fault=False)
    assert rig.shows(ready=True)
    rig.line._pulse_s = 600.0
    show(rig, 2, passes=True)
    rig.line.rest(ready=False, fault=True)
    assert rig.shows(**{"pass": False, "reject": True, "fault": True})


def test_the_next_part_ends_a_pass_before_its_time(rig: Rig) -> None:
    rig.line.rest(ready=True, fault=False)
    show(rig, 1, passes=True)
    rig.line.busy(part(2))
    assert rig.shows(**{"pass": False, "busy": True, "reject": True})


def test_the_other_side_that_stands_still_never_holds_the_station_nor_leaves_a_pass(
    rig: Rig,
) -> None:
    rig.line.rest(ready=True, fault=False)
    show(rig, 1, passes=True)
    rig.other.pause()
    start = time.monotonic()
    with pytest.raises(DeviceTimeout, match="by the deadline"):
        show(rig, 2, passes=True, within_s=0.1)
    assert time.monotonic() - start < 0.5
    assert until(lambda: rig.line.trouble is not None)
    with pytest.raises(DeviceError):
        show(rig, 3, passes=True)
    rig.other.resume()
    assert until(lambda: rig.line.trouble is None)
    # what it had in its queue may come first: it is taken back
    assert rig.shows(**{"pass": False, "reject": True})
    time.sleep(2 * PULSE_MS / 1000)
    assert rig.sees()["pass"] is False
    assert rig.line.status.failures >= 1


def test_a_lost_line_is_a_fault_of_an_executing_station_and_rejoined(rig: Rig) -> None:
    rig.line.rest(ready=True, fault=False)
    rig.line.require()
    rig.other.kill()
    assert until(lambda: rig.line.trouble is not None)
    assert until(lambda: _requires(rig.line) is not None, GRACE_S + 5.0)
    with pytest.raises(DeviceError):
        rig.line.show(part(1), passes=False, by=time.monotonic() + SOON_S)
    # a station that is started again waits for it: it rejects, and that is no new fault
    rig.line.rest(ready=False, fault=True)
    rig.line.rest(ready=True, fault=False)
    rig.line.require()
    rig.line.show(part(2), passes=False, by=time.monotonic() + SOON_S)
    rig.other.start()
    assert until(lambda: rig.line.trouble is None)
    # a subscriber of the test's may take longer to come back: no pass is kept for it
    assert until(lambda: show(rig, 3, passes=True) < SOON_S and rig.sees()["pass"] is True)


def _requires(line: LineOutput) -> str | None:
    try:
        line.require()
    except DeviceError as error:
        return str(error)
    return None


def test_a_pipeline_that_hangs_is_not_ready_until_it_moves_again(rig: Rig) -> None:
    rig.line.rest(ready=True, fault=False)
    assert rig.shows(ready=True)
    rig.moves.set()
    assert rig.shows(ready=False, reject=True)
    rig.moves.clear()
    assert rig.shows(ready=True, reject=True)
    assert STILL_S <= 1.0


def test_a_stop_shows_the_rest_of_a_station_that_is_not_there(rig: Rig) -> None:
    rig.line.rest(ready=True, fault=False)
    show(rig, 1, passes=True)
    rig.line.stop()
    assert rig.shows(**{"ready": False, "pass": False, "reject": True, "done": False})
    assert not rig.line.alive()


def test_the_plcs_heartbeat_moves_with_the_pipeline_alone_and_names_the_part() -> None:
    with Plc() as plc:
        settings = ModbusLineSettings(host="127.0.0.1", port=plc.port, timeout_ms=5_000)
        line = LineOutput(ModbusLine(settings), pulse_ms=PULSE_MS, clock=SystemClock())
        line.start()
        assert until(lambda: line.trouble is None)
        beats = set()

        def beats_with_the_pipeline() -> bool:
            line.moved()
            beats.add(plc.registers()[0])
            return len(beats) >= 4

        def stands_still() -> bool:
            before = plc.registers()[0]
            time.sleep(0.5)
            return plc.registers()[0] == before

        def shown() -> bool:
            line.moved()  # one that stands still shows no verdict: a station moves all the time
            with suppress(DeviceTimeout):
                line.show(part(70_000), passes=False, by=time.monotonic() + 2.0)
                return True
            return False

        assert until(beats_with_the_pipeline)
        assert until(stands_still)
        line.rest(ready=True, fault=False)
        assert until(shown)
        assert plc.registers()[1] == 70_000 - 65_536
        line.stop()


def test_a_pass_that_a_killed_station_left_behind_is_taken_back_at_the_start() -> None:
    with Plc() as plc:
        plc.set_pass()
        assert plc.coils()["pass"]
        line = LineOutput(
            ModbusLine(ModbusLineSettings(host="127.0.0.1", port=plc.port)),
            pulse_ms=PULSE_MS,
            clock=SystemClock(),
        )
        line.start()
        assert until(lambda: not plc.coils()["pass"])
        line.stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_over_mqtt_a_pass_is_never_kept_and_a_lost_station_is_not_ready(
    tmp_path: Path, protocol: str
) -> None:
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port, TOPIC) as listener:
        mqtt = MqttSettings.model_validate(
            {"host": "127.0.0.1", "port": broker.port, "protocol": protocol}
        )
        line = LineOutput(mqtt_line(mqtt), pulse_ms=2_000, clock=SystemClock())
        line.start()
        assert until(lambda: line.trouble is None)
        line.moved()
        line.rest(ready=True, fault=False)
        line.busy(part(1))
        line.show(part(1), passes=True, by=time.monotonic() + SOON_S)
        assert until(lambda: any(b'"pass":true' in each for each in listener.payloads(TOPIC)[-1:]))
        told = json.loads(listener.payloads(TOPIC)[-1])
        assert (told["sequence"], told["part"], told["trigger"]) == (1, "P1", "T1")
        with Listener(broker.port, TOPIC, name="comes later") as late:
            assert until(lambda: len(late.messages) == 1)
            assert not json.loads(late.payloads(TOPIC)[0])["pass"]
        # as the kernel does when a process is killed: no goodbye
        connection = line._driver._connection  # type: ignore[attr-defined]
        connection._socket.shutdown(2)
        assert until(lambda: not json.loads(listener.payloads(TOPIC)[-1])["pass"])
        line.stop()


def test_without_its_extra_a_signal_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymodbus.client", None)
    with pytest.raises(ConfigError, match=r"pip install 'inspector\[modbus\]'"):
        ModbusLine(ModbusLineSettings(host="127.0.0.1"))
    monkeypatch.setitem(__import__("sys").modules, "gpiod", None)
    wires: dict[str, Any] = {"pass": 1, "heartbeat": 2}
    with pytest.raises(ConfigError, match=r"pip install 'inspector\[gpio\]'"):
        GpioLine(GpioLineSettings.model_validate(wires))


def test_a_plc_beyond_this_machine_needs_to_be_asked_for() -> None:
    with pytest.raises(ConfigError, match="anyone on its network can forge a pass"):
        parse(ModbusLineSettings, {"host": "10.0.0.7"}, "station.toml")
    parse(ModbusLineSettings, {"host": "10.0.0.7", "plaintext_beyond_loopback": True}, "x")


def test_a_chip_that_is_not_there_and_two_wires_on_one_pin_are_told() -> None:
    pytest.importorskip("gpiod", reason="needs the extra gpio")
    wires: dict[str, Any] = {"pass": 1, "heartbeat": 2, "chip": "/dev/nothing"}
    with pytest.raises(DeviceError, match="/dev/nothing"):
        GpioLine(GpioLineSettings.model_validate(wires)).open()
    with pytest.raises(ConfigError, match="two wires have the same offset"):
        GpioLine(GpioLineSettings.model_validate({"pass": 1, "heartbeat": 1}))
