"""The station's loop: orders between parts, the first cause kept, every trigger accounted for."""

import itertools
import json
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from inspector.bench import MemoryCamera, NoArchive
from inspector.clock import SystemClock
from inspector.contract.bundle import Bundle
from inspector.contract.errors import DeviceError, DeviceTimeout
from inspector.contract.image import Image
from inspector.contract.result import InspectionResult
from inspector.contract.status import (
    AlarmMessage,
    Heartbeat,
    ModelStatus,
    StateMessage,
    TriggerStatus,
)
from inspector.contract.variant import Needs
from inspector.delivery.journal import Journal, JournalSettings
from inspector.devices.camera_opencv import OpenCvSettings, opencv_camera
from inspector.devices.camera_replay import ReplayCamera, ReplaySettings
from inspector.devices.trigger_continuous import ContinuousSettings, ContinuousTrigger
from inspector.devices.trigger_interval import IntervalSettings, IntervalTrigger
from inspector.runtime.loader import open_runtime
from inspector.station.cycle import Gear, Job
from inspector.station.loop import ORDERS_MAX, Order, Station
from inspector.station.ports import Camera, Frame, Part, Trigger
from inspector.station.recipe import Recipe
from inspector.station.state import Event
from tests.streams import MjpegServer
from tests.support import DARK, GREY, make_bundle, picture, until, write_pictures


class Slate:
    """ports.Publisher that keeps every state, where a courier would keep the newest."""

    consumers = ()

    def __init__(self) -> None:
        self.states: list[StateMessage] = []
        self.alarms: list[AlarmMessage] = []
        self.beats: list[tuple[float, Heartbeat]] = []

    def wake(self) -> None: ...

    def offer_state(self, payload: bytes) -> None:
        self.states.append(StateMessage.model_validate_json(payload))

    def offer_alarm(self, payload: bytes) -> None:
        self.alarms.append(AlarmMessage.model_validate_json(payload))

    def beat(self, payload: bytes) -> None:
        self.beats.append((time.monotonic(), Heartbeat.model_validate_json(payload)))

    @property
    def last(self) -> StateMessage:
        return self.states[-1]


class Rig:
    """A station on its thread, as the daemon runs it."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.slate = Slate()
        self.journal = Journal(JournalSettings(path=folder / "journal.db", disk_free_min_mb=0))
        recipe = Recipe(name="tiny", bundle=bundle.id, deadline_ms=5_000, frame_timeout_ms=100)
        self.job = Job(recipe, open_runtime(bundle))
        self._threads: list[tuple[Station, threading.Thread]] = []

    def gear(self, camera: Camera) -> Gear:
        return Gear(
            station="test",
            boot="boot",
            camera=camera,
            journal=self.journal,
            archive=NoArchive(),
            publisher=self.slate,
            clock=SystemClock(),
        )

    def station(self, camera: Camera, trigger: Trigger | None = None) -> Station:
        return Station(self.gear(camera), trigger or ContinuousTrigger(ContinuousSettings()))

    def start(self, camera: Camera) -> Station:
        return self.run(self.station(camera))

    def run(self, station: Station) -> Station:
        thread = threading.Thread(target=station.run)
        thread.start()
        self._threads.append((station, thread))
        assert until(lambda: bool(self.slate.states))
        return station

    def order(self, station: Station, *events: Event) -> None:
        for event in events:
            job = self.job if event is Event.PREPARE_RECIPE else None
            assert station.offer(Order(event, "test", job))

    def close(self) -> None:
        for station, thread in self._threads:
            station.stop()
            thread.join()
        self.journal.close()

    def reaches(self, state: str) -> bool:
        return until(lambda: self.slate.last.state == state)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def rig(tmp_path: Path, bundle: Bundle) -> Iterator[Rig]:
    rig = Rig(tmp_path, bundle)
    yield rig
    rig.close()


GET_READY = (Event.SELECT_AUTOMATIC, Event.PREPARE_RECIPE)


def test_the_state_says_which_of_a_bundles_models_runs_and_why(tmp_path: Path) -> None:
    rig = Rig(tmp_path, make_bundle(tmp_path / "bundles", variants={"int8-vnni": Needs()}))
    try:
        station = rig.start(MemoryCamera([picture(GREY)]))
        assert rig.slate.last.model is None
        rig.order(station, *GET_READY)
        assert rig.reaches("READY")
        reason = "any machine runs it"
        runs = ModelStatus(variant="int8-vnni", reason=reason, golden_error=0.0)
        assert rig.slate.last.model == runs
    finally:
        rig.close()


def test_a_single_execution_inspects_one_part(rig: Rig) -> None:
    station = rig.start(MemoryCamera([picture(GREY, seed=seed) for seed in range(4)]))
    rig.order(station, *GET_READY, Event.START_SINGLE)
    assert until(lambda: rig.slate.last.tally.triggers == 1)
    assert rig.reaches("READY")
    assert rig.slate.last.cause == "one part inspected"
    assert rig.journal.last_seq() == rig.slate.last.seq == 1


def test_continuous_execution_stops_between_two_parts(rig: Rig) -> None:
    station = rig.start(MemoryCamera([picture(GREY), picture(DARK)]))
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    assert until(lambda: rig.journal.last_seq() >= 20)
    rig.order(station, Event.STOP)
    assert rig.reaches("READY")
    tally = rig.slate.last.tally
    assert tally.triggers == sum(tally.verdicts.values()) == rig.journal.last_seq()
    assert set(tally.verdicts) == {"OK", "NOT_OK"}
    assert tally.trigger_to_verdict_ms is not None


def test_an_order_that_is_not_allowed_changes_nothing(rig: Rig) -> None:
    station = rig.start(MemoryCamera([picture(GREY, seed=seed) for seed in range(4)]))
    rig.order(station, Event.START_CONTINUOUS, Event.JOB_DONE, Event.STOP, Event.SELECT_AUTOMATIC)
    assert rig.reaches("INITIALIZED")
    rig.order(station, Event.START_SINGLE)
    rig.order(station, Event.UNPREPARE_RECIPE, Event.HALT)
    assert rig.reaches("HALTED")
    assert rig.journal.last_seq() == 0


class GivesUp:
    """A camera that works for some frames and is then gone, each time for another cause."""

    simulated = False
    restarts = 0

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._real = MemoryCamera([picture(GREY, seed=seed) for seed in range(4)])
        self._opened = 0
        self._is_open = False

    def open(self) -> None:
        self._opened += not self._is_open
        self._is_open = True

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:
        frame = self._real.grab(not_before=not_before, timeout_s=timeout_s)
        if frame.sequence > self._frames * self._opened:
            raise DeviceError(f"cause {self._opened}")
        return frame

    def close(self) -> None:
        self._is_open = False


def test_a_fault_keeps_its_first_cause_until_reset(rig: Rig) -> None:
    station = rig.start(GivesUp(frames=3))
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    assert rig.reaches("ERROR")
    assert rig.slate.last.cause == "cause 1"
    rig.order(station, Event.START_CONTINUOUS, Event.SELECT_AUTOMATIC, Event.STOP)
    assert not until(lambda: rig.slate.last.state != "ERROR", timeout_s=0.6)
    last = json.loads(rig.journal.after(rig.journal.last_seq() - 1, limit=1)[0][1])
    assert (last["pass"], last["reason"]) == (False, "camera gone: cause 1")
    rig.order(station, Event.RESET, *GET_READY, Event.START_CONTINUOUS)
    assert until(lambda: rig.slate.last.cause == "cause 2")


def has_given_up(camera: Camera) -> bool:
    try:
        camera.grab(not_before=time.monotonic(), timeout_s=0.0)
    except DeviceTimeout:
        return False
    except DeviceError:
        return True
    return False


def test_a_camera_that_gave_up_while_the_line_stood_is_opened_anew_at_the_start(rig: Rig) -> None:
    """Switched off with the line for the night, it was a fault with the first part next morning."""
    server = MjpegServer().start()
    camera = opencv_camera(OpenCvSettings(url=SecretStr(server.url), reopen_tries=0))
    station = rig.start(camera)
    try:
        rig.order(station, *GET_READY)
        assert rig.reaches("READY")
        server.kill()
        assert until(lambda: has_given_up(camera))
        server.start()
        rig.order(station, Event.START_SINGLE)
        assert until(lambda: rig.journal.last_seq() == 1)
        assert until(lambda: rig.slate.last.cause == "one part inspected")
        assert rig.slate.last.state == "READY"
    finally:
        server.kill()


class OnePicture:
    """A grabber that is stuck: what it gives has new times and numbers, and is one old picture."""

    simulated = False
    restarts = 0

    def __init__(self) -> None:
        self._real = MemoryCamera([picture(GREY)])

    def open(self) -> None: ...

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:
        return self._real.grab(not_before=not_before, timeout_s=timeout_s)

    def close(self) -> None: ...


@pytest.mark.parametrize("leaves", [Event.HALT, Event.RESET, Event.UNPREPARE_RECIPE])
def test_a_stuck_camera_passes_no_second_part_because_it_was_opened_anew(
    rig: Rig, leaves: Event
) -> None:
    station = rig.start(OnePicture())
    rig.order(station, *GET_READY, Event.START_SINGLE)
    assert until(lambda: rig.journal.last_seq() == 1)
    back = {Event.HALT: (Event.RESET, *GET_READY), Event.RESET: GET_READY}
    again = back.get(leaves, (Event.PREPARE_RECIPE,))
    assert rig.reaches("READY")
    rig.order(station, leaves, *again, Event.START_SINGLE)
    assert until(lambda: rig.journal.last_seq() == 2)
    rows = [json.loads(payload) for _, payload in rig.journal.after(0, limit=2)]
    assert [(row["pass"], row["cause"]) for row in rows] == [(True, None), (False, "frozen")]
    assert until(lambda: rig.slate.last.state == "READY" and rig.slate.last.seq == 2)
    assert rig.slate.last.tally.frames_missed == 0


def test_the_end_of_a_folder_ends_the_station_and_is_no_part(rig: Rig, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", [GREY] * 5)
    station = rig.start(ReplayCamera(ReplaySettings(folder=tmp_path / "pictures")))
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    assert until(lambda: "5 pictures were shown" in rig.slate.last.cause)
    assert rig.slate.last.tally.triggers == rig.journal.last_seq() == 5


class Broken:
    """A trigger with a bug."""

    missed = 0
    trouble = None
    status = TriggerStatus(kind="broken")

    def restart(self) -> None: ...

    def pause(self) -> None: ...

    def overtaken(self, part: Part, by: float, picture: Image) -> str | None: ...

    def done(self, part: Part, result: InspectionResult | None) -> None: ...

    def end(self) -> int:
        return 0

    def wait(self, timeout_s: float) -> Part | None:
        raise KeyError(timeout_s)


def test_a_bug_of_ours_is_raised_and_passes_no_part(rig: Rig) -> None:
    station = rig.station(MemoryCamera([picture(GREY, seed=seed) for seed in range(4)]), Broken())
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    with pytest.raises(KeyError):
        station.run()
    assert rig.journal.last_seq() == 0


def test_every_order_gets_one_answer_with_a_reason(rig: Rig) -> None:
    station = rig.start(MemoryCamera([picture(GREY, seed=seed) for seed in range(4)]))
    wrong = Order(Event.START_CONTINUOUS, "test")
    assert station.offer(wrong)
    answer = wrong.wait(5.0, 5.0)
    assert answer.outcome == "refused"
    assert "START_CONTINUOUS is not allowed while PREOPERATIONAL" in answer.reason
    assert "allowed now: SELECT_AUTOMATIC, HALT" in answer.reason
    right = Order(Event.SELECT_AUTOMATIC, "test")
    assert station.offer(right)
    assert right.wait(5.0, 5.0).outcome == "done"
    bare = Order(Event.PREPARE_RECIPE, "test")
    assert station.offer(bare)
    assert "needs a recipe" in bare.wait(5.0, 5.0).reason


def test_an_order_that_was_given_up_is_not_followed(rig: Rig) -> None:
    station = rig.station(MemoryCamera([picture(GREY, seed=seed) for seed in range(4)]))
    order = Order(Event.HALT, "test")
    assert station.offer(order)
    assert "given up" in order.wait(0.05, 5.0).reason
    thread = threading.Thread(target=station.run)
    thread.start()
    rig.order(station, Event.SELECT_AUTOMATIC)
    assert rig.reaches("INITIALIZED")
    station.stop()
    thread.join()
    late = Order(Event.HALT, "test")
    assert not station.offer(late)
    assert late.wait(0.0, 0.0).reason == "the station has ended"


class Blind:
    """A camera that shows what it is told to, or nothing in time."""

    simulated = False
    restarts = 0

    def __init__(self) -> None:
        self.shows = True
        self._real = MemoryCamera([picture(GREY, seed=seed) for seed in range(4)])

    def open(self) -> None: ...

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:
        if not self.shows:
            time.sleep(timeout_s)
            raise DeviceTimeout("dark")
        return self._real.grab(not_before=not_before, timeout_s=timeout_s)

    def close(self) -> None: ...


def test_parts_in_a_row_that_cannot_be_judged_ask_the_line_to_stop_until_one_can(rig: Rig) -> None:
    camera = Blind()
    station = rig.start(camera)
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    assert until(lambda: rig.slate.alarms != [])
    assert (rig.slate.alarms[0].line_stop, rig.slate.alarms[0].alarms) == (False, ())
    camera.shows = False
    assert until(lambda: rig.slate.alarms[-1].line_stop)
    (alarm,) = rig.slate.alarms[-1].alarms
    assert alarm.kind == "not_judgeable"
    assert alarm.cause.startswith("5 parts in a row could not be judged; the last: no frame")
    camera.shows = True
    assert until(lambda: not rig.slate.alarms[-1].line_stop)
    rig.order(station, Event.STOP)
    assert rig.reaches("READY")
    assert rig.slate.last.tally.line_stops == 1
    assert rig.slate.last.tally.unjudged_in_a_row == 0


def test_a_reset_takes_the_request_to_stop_back_too(rig: Rig) -> None:
    camera = Blind()
    camera.shows = False
    station = rig.start(camera)
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    assert until(lambda: rig.slate.alarms[-1:] != [] and rig.slate.alarms[-1].line_stop)
    rig.order(station, Event.RESET)
    assert rig.reaches("PREOPERATIONAL")
    assert until(lambda: rig.slate.alarms[-1].alarms == ())
    assert rig.slate.last.tally.unjudged_in_a_row == 0


def test_a_fault_is_an_alarm_until_a_person_has_seen_it(rig: Rig) -> None:
    station = rig.start(GivesUp(frames=3))
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    assert rig.reaches("ERROR")
    assert until(lambda: rig.slate.alarms[-1].line_stop)
    (alarm,) = rig.slate.alarms[-1].alarms
    assert (alarm.kind, alarm.cause) == ("fault", "cause 1")
    rig.order(station, Event.RESET)
    assert rig.reaches("PREOPERATIONAL")
    assert until(lambda: rig.slate.alarms[-1].alarms == ())


def test_a_station_may_begin_in_error_and_its_fault_is_kept_until_reset(rig: Rig) -> None:
    kept: list[str | None] = []
    gear = rig.gear(MemoryCamera([picture(GREY, seed=seed) for seed in range(4)]))
    trigger = ContinuousTrigger(ContinuousSettings())
    station = Station(gear, trigger, first_fault="crash loop", keep_fault=kept.append)
    rig.run(station)
    assert rig.slate.last.cause == "crash loop"
    assert rig.slate.last.withheld == "ERROR: crash loop"
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    rig.order(station, Event.RESET)
    assert rig.reaches("PREOPERATIONAL")
    assert kept == ["crash loop", None]
    assert rig.journal.last_seq() == 0


def test_what_withholds_passes_is_up_to_date_with_every_state_told(rig: Rig) -> None:
    station = rig.start(Blind())
    for state, events in (
        ("CONTINUOUS_EXECUTION", (*GET_READY, Event.START_CONTINUOUS)),
        ("READY", (Event.STOP,)),
        ("CONTINUOUS_EXECUTION", (Event.START_CONTINUOUS,)),
    ):
        rig.order(station, *events)
        assert rig.reaches(state)
        told = [message for message in rig.slate.states if message.state == state][-1]
        assert (told.withheld is None) is (state == "CONTINUOUS_EXECUTION")


def gaps_s(rig: Rig) -> list[float]:
    times = [at for at, _ in rig.slate.beats]
    return [after - before for before, after in itertools.pairwise(times)]


def test_heartbeats_come_at_rest_at_work_and_while_a_frame_is_waited_for(
    rig: Rig,
) -> None:
    camera = Blind()
    rig.job = replace(rig.job, recipe=rig.job.recipe.model_copy(update={"frame_timeout_ms": 1_500}))
    station = rig.start(camera)
    time.sleep(0.5)
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    assert until(lambda: rig.journal.last_seq() > 5)
    camera.shows = False
    time.sleep(1.0)
    camera.shows = True
    rig.order(station, Event.STOP)
    assert rig.reaches("READY")
    gaps = gaps_s(rig)
    assert len(gaps) >= 6
    assert statistics.median(gaps) < 0.5
    assert [beat.beat for _, beat in rig.slate.beats] == list(range(1, len(gaps) + 2))


class Stuck(ContinuousTrigger):
    """Hangs like a driver that never returns."""

    def __init__(self) -> None:
        super().__init__(ContinuousSettings())
        self.stuck = threading.Event()
        self.free = threading.Event()

    def wait(self, timeout_s: float) -> Part | None:
        self.stuck.set()
        self.free.wait()
        return super().wait(timeout_s)


def test_a_pipeline_that_hangs_has_no_heartbeat(rig: Rig) -> None:
    trigger = Stuck()
    station = Station(
        rig.gear(MemoryCamera([picture(GREY, seed=seed) for seed in range(4)])), trigger
    )
    rig.run(station)
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    assert trigger.stuck.wait(5.0)
    count, turns = len(rig.slate.beats), station.pulse.turns
    assert count > 0
    time.sleep(1.0)
    assert (len(rig.slate.beats), station.pulse.turns) == (count, turns)
    trigger.free.set()
    assert until(lambda: len(rig.slate.beats) > count)


class WrongWall(SystemClock):
    """A machine whose wall clock somebody sets."""

    offset = timedelta()

    def utc(self) -> datetime:
        return super().utc() + self.offset


@pytest.mark.parametrize("days", [1, -1])
def test_a_wall_clock_that_jumps_a_day_changes_no_verdict_and_is_counted(
    rig: Rig, days: int
) -> None:
    clock = WrongWall()
    trigger = ContinuousTrigger(ContinuousSettings())
    station = Station(
        replace(
            rig.gear(MemoryCamera([picture(GREY, seed=seed) for seed in range(4)])), clock=clock
        ),
        trigger,
    )
    rig.run(station)
    rig.order(station, *GET_READY, Event.START_CONTINUOUS)
    assert until(lambda: rig.journal.last_seq() >= 10)
    clock.offset = timedelta(days=days)
    before = rig.journal.last_seq()
    assert until(lambda: rig.journal.last_seq() >= before + 20)
    rig.order(station, Event.STOP)
    assert rig.reaches("READY")
    tally = rig.slate.last.tally
    assert set(tally.verdicts) == {"OK"}
    assert (tally.clock_jumps, tally.late) == (1, 0)


def test_orders_have_a_limit(rig: Rig) -> None:
    station = rig.start(MemoryCamera([picture(GREY, seed=seed) for seed in range(4)]))
    station.stop()
    accepted = sum(station.offer(Order(Event.STOP, "test")) for _ in range(100))
    assert accepted <= ORDERS_MAX + 1


def test_a_beat_that_goes_by_is_counted_and_not_made_up_for() -> None:
    period_s = 0.05
    trigger = IntervalTrigger(IntervalSettings(period_ms=50))
    began_at = time.monotonic()
    parts = [trigger.wait(1.0)]
    threading.Event().wait(0.23)  # a part takes four and a half beats
    parts.append(trigger.wait(1.0))
    parts.append(trigger.wait(1.0))
    first, second, third = (part for part in parts if part)
    assert (first.sequence, second.sequence, third.sequence) == (1, 2, 3)
    assert trigger.missed >= 4
    # each part has a beat of its own, and so has each that went by: none came before its time
    assert third.seen_at - began_at >= (2 + trigger.missed) * period_s
    trigger.restart()
    assert trigger.wait(0.0) is not None
