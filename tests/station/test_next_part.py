"""Where the next part is there too early, or the station ends: over a real mosquitto."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from inspector.bench import MemoryCamera, NoArchive, NoPublisher
from inspector.clock import SystemClock
from inspector.contract.bundle import Bundle
from inspector.contract.errors import DeviceTimeout
from inspector.contract.result import InspectionResult
from inspector.contract.trigger import TriggerMessage
from inspector.delivery.broker import MqttSettings
from inspector.delivery.journal import Journal, JournalSettings
from inspector.delivery.trigger_mqtt import MqttTrigger, MqttTriggerSettings
from inspector.devices.trigger_interval import IntervalSettings, IntervalTrigger
from inspector.runtime.loader import open_runtime
from inspector.station import ending
from inspector.station.cycle import Gear, Job
from inspector.station.ending import ENDING_S, give_what_waits
from inspector.station.loop import Order, Station
from inspector.station.ports import Frame, Part, Trigger
from inspector.station.recipe import Recipe
from inspector.station.state import Event
from tests.brokers import Mosquitto
from tests.support import GREY, make_bundle, picture, until

TOPIC = "plant/line/station/trigger"


class Bug(Exception):  # noqa: N818 - one of ours
    """What nobody has thought of."""


class Belt:
    """A live camera that has no frame until it is told to."""

    restarts = 0

    def __init__(self, *, simulated: bool = False) -> None:
        self.simulated = simulated
        self.asked = threading.Event()
        self.shows = threading.Event()
        self._real = MemoryCamera([picture(GREY, seed=seed) for seed in range(4)])

    def open(self) -> None: ...

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:
        self.asked.set()
        if not self.shows.wait(timeout_s):
            raise DeviceTimeout("nothing")
        return self._real.grab(not_before=not_before, timeout_s=timeout_s)

    def close(self) -> None: ...


class Meanwhile(ThreadPoolExecutor):
    """Something happens when a frame is in hand and the model begins."""

    def __init__(self) -> None:
        super().__init__(1)
        self.happens: Callable[[], None] = lambda: None

    def submit(self, *args: Any, **words: Any) -> Future[Any]:
        self.happens()
        return super().submit(*args, **words)


@dataclass
class Plant:
    """A station on its thread, and the line's controller that tells it of parts."""

    journal: Journal
    trigger: Trigger
    camera: Belt
    station: Station
    meanwhile: Meanwhile
    tell: Callable[[str], None]
    """Returns when the station has sorted it."""
    thread: threading.Thread = field(init=False)

    def run(self, job: Job) -> None:
        for event in (Event.SELECT_AUTOMATIC, Event.PREPARE_RECIPE, Event.START_CONTINUOUS):
            assert self.station.offer(Order(event, "test", job))
        self.thread = threading.Thread(target=self._work)
        self.thread.start()
        assert until(lambda: self.station.pulse.state.value == "CONTINUOUS_EXECUTION")

    def _work(self) -> None:
        with suppress(Bug):
            self.station.run()

    def end(self) -> None:
        self.station.stop()
        self.camera.shows.set()
        self.thread.join()

    def rows(self, count: int) -> list[dict[str, Any]]:
        assert until(lambda: self.journal.last_seq() >= count)
        return [json.loads(payload) for _, payload in self.journal.after(0, limit=100)]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    bundle: Bundle = make_bundle(tmp_path_factory.mktemp("bundles"))
    recipe = Recipe(name="tiny", bundle=bundle.id, deadline_ms=5_000, frame_timeout_ms=5_000)
    return Job(recipe, open_runtime(bundle))


@contextmanager
def plant(
    folder: Path,
    job: Job,
    trigger: Trigger,
    tell: Callable[[str], None] = lambda _: None,
    *,
    simulated: bool = False,
    journal: type[Journal] = Journal,
) -> Iterator[Plant]:
    store = journal(JournalSettings(path=folder / "journal.db", disk_free_min_mb=0))
    camera, meanwhile = Belt(simulated=simulated), Meanwhile()
    gear = Gear("test", "boot", camera, store, NoArchive(), NoPublisher(), SystemClock())
    station = Station(replace(gear, attester=meanwhile), trigger)
    made = Plant(store, trigger, camera, station, meanwhile, tell)
    made.run(job)
    try:
        yield made
    finally:
        made.end()
        store.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[MqttTrigger, Callable[[str], None]]]:
    """A trigger that listens, and how the line's controller tells it of a part."""
    with Mosquitto(tmp_path) as broker:
        broker.start()
        trigger = MqttTrigger(
            MqttTriggerSettings(wait_max_ms=5_000),
            MqttSettings(host="127.0.0.1", port=broker.port),
            topic=TOPIC,
            client_id="inspector-trigger",
        )
        trigger.start()
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()

        def tell(id_: str) -> None:
            client.publish(TOPIC, TriggerMessage(id=id_).to_json(), qos=1).wait_for_publish(5.0)
            before = trigger.status.refused.get("malformed", 0)
            client.publish(TOPIC, b"what comes behind it", qos=1).wait_for_publish(5.0)
            assert until(lambda: trigger.status.refused.get("malformed", 0) > before)

        try:
            assert until(lambda: trigger.trouble is None)
            yield trigger, tell
        finally:
            client.disconnect()
            client.loop_stop()
            trigger.stop()


Line = tuple[MqttTrigger, Callable[[str], None]]


def test_a_part_is_not_judged_by_a_picture_that_came_after_the_next_part(
    line: Line, job: Job, tmp_path: Path
) -> None:
    trigger, tell = line
    with plant(tmp_path, job, trigger, tell) as made:
        tell("T-1")
        assert made.camera.asked.wait(20.0)
        tell("T-2")
        made.camera.shows.set()
        first, second = made.rows(2)
        tell("T-3")
        third = made.rows(3)[2]
    assert (first["trigger"]["id"], first["evaluation"], first["cause"]) == (
        "T-1", "UNDEFINED", "trigger",
    )  # fmt: skip
    assert first["reason"] == (
        "trigger T-2 came before this part's picture: it may show another part"
    )
    assert second["reason"] == "it came while part 1 was in work"
    assert (third["trigger"]["id"], third["evaluation"]) == ("T-3", "OK")


def test_a_part_whose_picture_was_there_first_is_judged_though_the_next_comes_meanwhile(
    line: Line, job: Job, tmp_path: Path
) -> None:
    trigger, tell = line
    with plant(tmp_path, job, trigger, tell) as made:
        made.camera.shows.set()
        made.meanwhile.happens = lambda: tell("T-2")
        tell("T-1")
        first, second = made.rows(2)
    assert (first["trigger"]["id"], first["evaluation"]) == ("T-1", "OK")
    assert second["reason"] == "it came while part 1 was in work"


def test_a_duplicate_and_what_is_no_trigger_announce_no_part(
    line: Line, job: Job, tmp_path: Path
) -> None:
    trigger, tell = line  # what it sends behind each is malformed
    with plant(tmp_path, job, trigger, tell) as made:
        tell("T-1")
        assert made.camera.asked.wait(20.0)
        tell("T-1")
        made.camera.shows.set()
        (only,) = made.rows(1)
    assert only["evaluation"] == "OK"
    assert trigger.status.refused == {"duplicate": 1, "malformed": 2}


def test_a_picture_of_a_file_shows_its_own_part_whatever_comes_meanwhile(
    line: Line, job: Job, tmp_path: Path
) -> None:
    trigger, tell = line
    with plant(tmp_path, job, trigger, tell, simulated=True) as made:
        tell("T-1")
        assert made.camera.asked.wait(20.0)
        tell("T-2")
        made.camera.shows.set()
        assert made.rows(2)[0]["evaluation"] == "OK"


def test_a_part_is_not_judged_by_a_picture_that_came_after_the_next_beat(
    job: Job, tmp_path: Path
) -> None:
    with plant(tmp_path, job, IntervalTrigger(IntervalSettings(period_ms=60_000))) as made:
        made.camera.shows.set()
        assert made.rows(1)[0]["evaluation"] == "OK"
    folder = tmp_path / "quick"
    folder.mkdir()
    with plant(folder, job, IntervalTrigger(IntervalSettings(period_ms=100))) as made:
        assert made.camera.asked.wait(20.0)
        time.sleep(0.15)  # the next beat has gone by
        made.camera.shows.set()
        first = made.rows(1)[0]
    assert (first["evaluation"], first["cause"]) == ("UNDEFINED", "trigger")
    assert first["reason"].startswith("the next beat, 100 ms after its own, came before this part")


def test_what_was_accepted_has_its_verdict_when_the_station_ends(
    line: Line, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "ENDING_S", 60.0)  # whatever a busy disk takes
    trigger, tell = line
    with plant(tmp_path, job, trigger, tell) as made:
        made.camera.shows.set()

        def ends() -> None:
            tell("T-2")
            tell("T-3")
            made.station.stop()

        made.meanwhile.happens = ends
        tell("T-1")
        made.thread.join(30.0)
        rows = made.rows(3)
        tell("T-4")
        last = made.station.message()
    assert [(row["trigger"]["id"], row["evaluation"]) for row in rows] == [
        ("T-1", "OK"), ("T-2", "UNDEFINED"), ("T-3", "UNDEFINED"),
    ]  # fmt: skip
    assert {row["reason"] for row in rows[1:]} == {"it waited when the station ended"}
    assert last.tally.triggers == sum(last.tally.verdicts.values()) == last.seq == 3
    assert last.trigger is not None
    assert last.trigger.refused["not_executing"] == 1


class Full(Journal):
    """It gets no more room once it has a row."""

    def put(self, result: InspectionResult) -> None:
        super().put(result)
        self._db.execute("PRAGMA max_page_count = 1")


def test_what_cannot_be_recorded_at_the_end_is_counted(
    line: Line, job: Job, tmp_path: Path
) -> None:
    trigger, tell = line
    with plant(tmp_path, job, trigger, tell, journal=Full) as made:
        made.camera.shows.set()

        def ends() -> None:
            for number in range(2, 10):
                tell(f"T-{number}")
            made.station.stop()

        made.meanwhile.happens = ends
        tell("T-1")
        made.thread.join(30.0)
        last = made.station.message()
        assert made.journal.last_seq() == last.seq
    assert "could not be recorded" in last.cause, last
    assert last.tally.unrecorded == 1
    assert last.trigger is not None
    assert last.seq + 1 + last.trigger.refused["not_executing"] == 9


def test_what_waits_when_the_program_fails_is_counted(line: Line, job: Job, tmp_path: Path) -> None:
    trigger, tell = line
    with plant(tmp_path, job, trigger, tell) as made:
        made.camera.shows.set()

        def fails() -> None:
            tell("T-2")
            raise Bug

        made.meanwhile.happens = fails
        tell("T-1")
        made.thread.join(30.0)
        assert made.journal.last_seq() == 0
    assert trigger.status.refused["not_executing"] == 1


class Slow(SystemClock):
    """Every look at it is a second later."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_an_end_takes_its_time_and_no_more_and_what_is_left_is_counted(line: Line) -> None:
    trigger, tell = line
    trigger.restart()
    for number in range(5):
        tell(f"T-{number}")
    given: list[Part | None] = []
    give_what_waits(trigger, Slow(), lambda: given.append(trigger.wait(0.0)))
    assert 1 <= len(given) <= ENDING_S
    trigger.pause()
    assert trigger.status.refused["not_executing"] == 5 - len(given)
