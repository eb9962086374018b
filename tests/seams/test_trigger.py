"""What every trigger promises, tried on each one we ship: with a real broker, with pictures."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from inspector.bench import MemoryCamera
from inspector.contract.errors import ConfigError, DeviceError
from inspector.contract.image import Image
from inspector.contract.trigger import TriggerMessage
from inspector.delivery.broker import MqttSettings
from inspector.delivery.trigger_mqtt import MqttTrigger, MqttTriggerSettings
from inspector.devices.trigger_command import CommandTrigger, CommandTriggerSettings
from inspector.devices.trigger_continuous import ContinuousSettings, ContinuousTrigger
from inspector.devices.trigger_interval import IntervalSettings, IntervalTrigger
from inspector.devices.trigger_part_present import PartPresentSettings, PartPresentTrigger
from inspector.station.inbox import Answer
from inspector.station.ports import Frame, Part, Trigger
from tests.brokers import Mosquitto
from tests.support import picture, until

TOPIC = "plant/line/station/trigger"


@dataclass
class Rig:
    """A trigger, and how a part comes to it."""

    kind: str
    trigger: Trigger
    comes: Callable[[], None]
    """A part is there."""
    quiet: bool = True
    """Nothing comes by itself."""
    ends: list[Callable[[], object]] = field(default_factory=list)


class Stage:
    """A live camera in front of which parts are put and taken away."""

    simulated = False
    restarts = 0

    def __init__(self) -> None:
        self.grey = 100
        self._sequence = 0

    def open(self) -> None: ...

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:  # noqa: ARG002 - it is there
        time.sleep(0.005)
        self._sequence += 1
        return Frame(self.view(), max(time.monotonic(), not_before), self._sequence)

    def view(self) -> Image:
        image = picture(100, width=64, height=48, seed=self._sequence)
        image[12:36, 16:48] = self.grey
        return image

    def close(self) -> None: ...


def _shown() -> Image:
    stage = Stage()
    stage.grey = 220
    return stage.view()


SHOWN = _shown()
"""A part lies there."""
QUIET = pytest.mark.parametrize("rig", ["mqtt", "part_present", "command"], indirect=True)
"""Those to which nothing comes by itself."""


@pytest.fixture(params=["interval", "continuous", "mqtt", "part_present", "command"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    make: dict[str, Callable[[Path], Rig]] = {
        "interval": interval,
        "continuous": continuous,
        "mqtt": mqtt,
        "part_present": part_present,
        "command": command,
    }
    made = make[request.param](tmp_path)
    yield made
    for end in made.ends:
        end()


def interval(tmp_path: Path) -> Rig:
    return Rig("interval", IntervalTrigger(IntervalSettings(period_ms=20)), lambda: None, False)


def continuous(tmp_path: Path) -> Rig:
    return Rig("continuous", ContinuousTrigger(ContinuousSettings()), lambda: None, False)


def mqtt(tmp_path: Path) -> Rig:
    broker = Mosquitto(tmp_path).start()
    trigger = MqttTrigger(
        MqttTriggerSettings(wait_max_ms=5_000),
        MqttSettings(host="127.0.0.1", port=broker.port),
        topic=TOPIC,
        client_id="inspector-trigger",
    )
    trigger.start()
    assert until(lambda: trigger.trouble is None)
    line = paho.Client(CallbackAPIVersion.VERSION2)
    line.connect("127.0.0.1", broker.port)
    line.loop_start()
    count = iter(range(1_000_000))

    def comes() -> None:
        message = TriggerMessage(id=f"T{next(count)}").to_json()
        line.publish(TOPIC, message, qos=1).wait_for_publish(5.0)
        time.sleep(0.1)  # from the broker to the station

    return Rig(
        "mqtt", trigger, comes, ends=[line.disconnect, line.loop_stop, trigger.stop, broker.kill]
    )


def part_present(tmp_path: Path) -> Rig:
    stage = Stage()
    cv2.imwrite(str(tmp_path / "empty.png"), stage.view())
    settings = PartPresentSettings(empty=tmp_path / "empty.png", still_ms=50)
    trigger = PartPresentTrigger(settings, stage)

    def comes() -> None:
        stage.grey = 100
        trigger.wait(0.3)  # the one before has left
        stage.grey = 220

    return Rig("part_present", trigger, comes)


def command(tmp_path: Path) -> Rig:
    trigger = CommandTrigger(CommandTriggerSettings())
    asking: list[threading.Thread] = []

    def comes() -> None:
        asking.append(threading.Thread(target=trigger.ask, args=("P",)))
        asking[-1].start()
        time.sleep(0.05)

    def end() -> None:
        for thread in asking:
            thread.join()

    return Rig("command", trigger, comes, ends=[end])


def part_of(rig: Rig, timeout_s: float = 5.0) -> Part:
    part = rig.trigger.wait(timeout_s)
    assert part is not None
    return part


def test_parts_are_numbered_from_one_without_gaps_each_for_one_that_came(rig: Rig) -> None:
    rig.trigger.restart()
    for sequence in range(1, 4):
        before = time.monotonic()
        rig.comes()
        part = part_of(rig)
        assert part.sequence == sequence
        assert before <= part.seen_at <= time.monotonic()
        assert part.refused is None
        if rig.quiet:
            assert rig.trigger.wait(0.1) is None, "it was told once"
        rig.trigger.done(part, None)
    assert rig.trigger.missed == 0


@QUIET
def test_a_part_is_overtaken_by_nothing_while_nothing_comes(rig: Rig) -> None:
    rig.trigger.restart()
    for _ in range(2):
        rig.comes()
        part = part_of(rig)
        assert rig.trigger.overtaken(part, time.monotonic(), SHOWN) is None
        rig.trigger.done(part, None)


def test_a_part_in_work_is_overtaken_when_the_next_one_comes(rig: Rig) -> None:
    rig.trigger.restart()
    rig.comes()
    part = part_of(rig)
    before = time.monotonic() if rig.quiet else part.seen_at - 1.0  # it may be seen late
    told = {"mqtt": "trigger T1", "interval": "the next beat, 20 ms after its own,"}
    if rig.kind in told:  # else none can come, or it is not seen
        rig.comes()
    time.sleep(0.05)
    assert rig.trigger.overtaken(part, before, SHOWN) is None
    assert rig.trigger.overtaken(part, time.monotonic(), SHOWN) == told.get(rig.kind)
    rig.trigger.done(part, None)


def test_at_the_end_only_what_was_accepted_is_handed_out_and_none_to_be_judged(rig: Rig) -> None:
    rig.trigger.restart()
    if rig.kind == "mqtt":
        rig.comes()
        rig.comes()
    waits = rig.trigger.end()
    assert waits == (2 if rig.kind == "mqtt" else 0)
    if rig.quiet and rig.kind != "part_present":  # nobody looks then
        rig.comes()
    given = [rig.trigger.wait(0.0) for _ in range(waits)]
    assert [part and part.refused for part in given] == ["it waited when the station ended"] * waits
    if rig.quiet:
        assert rig.trigger.wait(0.0) is None


def test_who_asked_for_a_part_is_told_that_the_station_ends() -> None:
    trigger = CommandTrigger(CommandTriggerSettings())
    trigger.restart()
    answers: list[Answer] = []
    asks = threading.Thread(target=lambda: answers.append(trigger.ask("P1")))
    asks.start()
    assert until(lambda: trigger.ask("P2").reason == "another part is in work")
    assert trigger.end() == 0
    asks.join()
    assert answers == [Answer("refused", "the station has stopped")]


@QUIET
def test_a_wait_ends_in_time_when_nothing_comes(rig: Rig) -> None:
    rig.trigger.restart()
    start = time.monotonic()
    assert rig.trigger.wait(0.1) is None
    assert time.monotonic() - start < 1.0


@QUIET
def test_what_came_before_the_start_or_after_the_end_is_no_part(rig: Rig) -> None:
    rig.trigger.pause()
    if rig.kind != "part_present":  # nobody looks then
        rig.comes()
    rig.trigger.restart()
    assert rig.trigger.wait(0.1) is None
    rig.comes()
    rig.trigger.pause()
    rig.trigger.pause()
    if rig.kind != "part_present":  # what still lies there at the start is one to inspect
        rig.trigger.restart()
        assert rig.trigger.wait(0.1) is None


def test_it_says_what_it_is_to_any_thread(rig: Rig) -> None:
    said: list[tuple[str, str | None]] = []
    asks = threading.Thread(
        target=lambda: said.append((rig.trigger.status.kind, rig.trigger.trouble))
    )
    asks.start()
    asks.join()
    assert said == [(rig.kind, None)]


def test_a_command_gets_its_parts_verdict_or_why_there_is_none() -> None:
    trigger = CommandTrigger(CommandTriggerSettings())
    assert "does not execute" in trigger.ask("P1").reason
    trigger.restart()
    answers: list[Answer] = []
    asks = threading.Thread(target=lambda: answers.append(trigger.ask("P1")))
    asks.start()
    part = trigger.wait(5.0)
    assert part is not None
    assert part.part_id == "P1"
    assert trigger.ask("P2") == Answer("refused", "another part is in work")
    trigger.done(part, None)
    asks.join()
    assert answers == [Answer("failed", "part 1 was not recorded: it is rejected")]


def test_a_camera_that_shows_nothing_is_said(tmp_path: Path) -> None:
    stage = Stage()
    cv2.imwrite(str(tmp_path / "empty.png"), stage.view()[:40])
    trigger = PartPresentTrigger(PartPresentSettings(empty=tmp_path / "empty.png"), stage)
    assert trigger.wait(0.1) is None
    assert trigger.trouble is not None
    assert "the empty scene" in trigger.trouble
    assert trigger.status.trouble == trigger.trouble


def test_a_camera_that_is_gone_is_a_fault(tmp_path: Path) -> None:
    class Gone(Stage):
        def grab(self, *, not_before: float, timeout_s: float) -> Frame:
            raise DeviceError(f"unplugged {not_before} {timeout_s}")

    cv2.imwrite(str(tmp_path / "empty.png"), Stage().view())
    trigger = PartPresentTrigger(PartPresentSettings(empty=tmp_path / "empty.png"), Gone())
    with pytest.raises(DeviceError, match="unplugged"):
        trigger.wait(0.1)


def test_without_a_picture_of_the_empty_scene_it_says_how_to_take_one(tmp_path: Path) -> None:
    settings = PartPresentSettings(empty=tmp_path / "empty.png")
    with pytest.raises(ConfigError, match=r"trigger\.empty.*commission STATION\.TOML --empty"):
        PartPresentTrigger(settings, MemoryCamera([picture(100)]))
