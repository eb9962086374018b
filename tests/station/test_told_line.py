"""What the line is told of a part, when, and what a part gets that the line cannot be told of."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.bench import MemoryCamera, NoArchive, NoPublisher
from inspector.clock import SystemClock
from inspector.contract.bundle import Bundle
from inspector.contract.errors import DeviceError, DeviceTimeout
from inspector.contract.result import TriggerRef
from inspector.contract.status import LineStatus
from inspector.delivery.journal import Journal, JournalSettings
from inspector.devices.trigger_command import CommandTrigger, CommandTriggerSettings
from inspector.runtime.loader import open_runtime
from inspector.station.cycle import Gear, Inspected, Job, inspect_part
from inspector.station.inbox import Order
from inspector.station.line import LineOutput
from inspector.station.loop import Station
from inspector.station.ports import Frame, Part
from inspector.station.recipe import Recipe
from inspector.station.signal import Signal
from inspector.station.spread import Buckets
from inspector.station.state import Event
from tests.support import DARK, GREY, make_bundle, picture, until


class Witness:
    """ports.LineSignal that notes what it is told, and what the journal held at that moment."""

    def __init__(self, journal: Journal) -> None:
        self.trouble: str | None = None
        self.fails: DeviceError | None = None
        self.told: list[str] = []
        self.final: list[int] = []
        self.by: list[float] = []
        self.part: Part | None = None
        self.gone: DeviceError | None = None
        self.latencies: dict[str, Buckets] = {}
        self._journal = journal

    @property
    def status(self) -> LineStatus:
        return LineStatus(kind="witness", trouble=self.trouble)

    def rest(self, *, ready: bool, fault: bool) -> None:
        self.told.append(f"rest{' ready' * ready}{' fault' * fault}")

    def busy(self, part: Part) -> None:
        self.part = part
        self.told.append("busy")

    def acquired(self) -> None:
        self.told.append("acquired")

    def show(self, part: Part, *, passes: bool, by: float) -> None:
        assert part is self.part
        self.told.append("pass" if passes else "reject")
        self.final.append(self._journal.released.final)
        self.by.append(by)
        if self.fails is not None:
            raise self.fails

    def require(self) -> None:
        gone, self.gone = self.gone, None  # each is said once
        if gone is not None:
            raise gone

    def moved(self) -> None: ...


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def job(bundle: Bundle) -> Job:
    recipe = Recipe(name="tiny", bundle=bundle.id, deadline_ms=4_000, frame_timeout_ms=200)
    return Job(recipe, open_runtime(bundle))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    yield opened
    opened.close()


@pytest.fixture
def line(journal: Journal) -> Witness:
    return Witness(journal)


@pytest.fixture
def gear(journal: Journal, line: Witness) -> Gear:
    camera = MemoryCamera([picture(GREY)])
    return Gear("test", "boot", camera, journal, NoArchive(), NoPublisher(), SystemClock(), line)


def inspect(gear: Gear, job: Job, grey: int = GREY, **part: object) -> Inspected:
    gear = replace(gear, camera=MemoryCamera([picture(grey)]))
    triggered = replace(Part(1, None, time.monotonic()), **part)  # type: ignore[arg-type]
    return inspect_part(triggered, job, gear, None, 0.0)


def test_the_line_is_told_last_when_the_row_is_durable_and_final(
    gear: Gear, job: Job, line: Witness
) -> None:
    start = time.monotonic()
    assert inspect(gear, job).result.passed
    assert line.told == ["busy", "acquired", "pass"]
    assert line.final == [1]
    assert start + 4.0 <= line.by[0] <= time.monotonic() + 4.0
    assert not inspect(gear, job, DARK).result.passed
    assert line.told[3:] == ["busy", "acquired", "reject"]
    assert line.final == [1, 2]


def test_the_lines_deadline_can_only_shorten_the_recipes_and_the_result_gives_both_back(
    gear: Gear, job: Job, line: Witness
) -> None:
    short = inspect(gear, job, deadline_ms=1_500, trigger_id="T-1", part_id="P-1")
    assert (short.result.part.id, short.result.deadline_ms) == ("P-1", 1_500)
    assert short.result.trigger == TriggerRef(id="T-1", deadline_ms=1_500)
    long = inspect(gear, job, deadline_ms=60_000)
    assert long.result.deadline_ms == 4_000
    assert long.result.trigger == TriggerRef(id=None, deadline_ms=60_000)
    own = inspect(gear, job)
    assert (own.result.deadline_ms, own.result.trigger) == (4_000, None)
    assert line.by[0] - line.by[1] < -2.0


def test_a_part_later_than_the_line_allows_does_not_pass(gear: Gear, job: Job) -> None:
    done = inspect(gear, job, deadline_ms=300, seen_at=time.monotonic() - 0.4)
    assert (done.result.passed, done.result.late) == (False, True)
    assert "deadline of 300 ms missed" in done.result.reason


def test_no_frame_is_waited_for_longer_than_the_line_allows(gear: Gear, job: Job) -> None:
    class Dark(MemoryCamera):
        def grab(self, *, not_before: float, timeout_s: float):  # type: ignore[no-untyped-def]
            time.sleep(timeout_s)
            raise DeviceTimeout(f"dark since {not_before}")

    part = Part(1, None, time.monotonic(), deadline_ms=50)
    done = inspect_part(part, job, replace(gear, camera=Dark([picture(GREY)])), None, 0.0)
    assert "no frame for 50 ms" in done.result.reason
    assert done.result.cause == "no_frame"


def test_a_part_that_must_not_be_judged_is_recorded_without_a_look_and_the_line_rests(
    gear: Gear, job: Job, line: Witness
) -> None:
    part = Part(
        2, "P-2", time.monotonic() - 9, trigger_id="T-2", refused="it came while part 1 was in work"
    )

    def no_camera(**_: float) -> None:
        raise AssertionError("it was looked at")

    gear.camera.grab = no_camera  # type: ignore[method-assign, assignment]
    done = inspect_part(part, job, gear, None, 0.0)
    result = done.result
    assert (result.evaluation, result.passed, result.late) == ("UNDEFINED", False, False)
    assert result.reason == "it came while part 1 was in work"
    assert (result.part.id, result.seq, result.captured_at) == ("P-2", 1, None)
    assert line.told == []


def test_a_line_in_trouble_withholds_the_pass_before_the_row_is_written(
    gear: Gear, job: Job, line: Witness
) -> None:
    line.trouble = "PLC gone"
    done = inspect(gear, job)
    assert (done.result.evaluation, done.result.passed) == ("UNDEFINED", False)
    assert done.result.reason.startswith("line signal: PLC gone; judged OK")
    assert line.told[-1] == "reject"


def test_a_line_told_too_late_is_no_fault_and_one_that_fails_is(
    gear: Gear, job: Job, line: Witness
) -> None:
    line.fails = DeviceTimeout("by the deadline")
    late = inspect(gear, job)
    assert (late.unshown, late.fault) == ("by the deadline", None)
    line.fails = DeviceError("PLC gone")
    failed = inspect(gear, job)
    assert failed.unshown == "PLC gone"
    assert failed.fault is line.fails


class Unplugged(MemoryCamera):
    def grab(self, *, not_before: float, timeout_s: float) -> Frame:  # noqa: ARG002
        raise DeviceError("unplugged")


def test_of_a_camera_gone_and_a_controller_that_did_wrong_a_person_is_told_both(
    gear: Gear, job: Job, line: Witness
) -> None:
    line.fails = DeviceError("line controller: it acted on pass for part 1, told reject")
    gear = replace(gear, camera=Unplugged([picture(GREY)]))
    found = inspect_part(Part(2, None, time.monotonic()), job, gear, None, 0.0)
    assert str(found.fault) == f"unplugged; {line.fails}"


class At:
    """A station on its thread, its parts triggered by the test."""

    def __init__(self, gear: Gear, job: Job) -> None:
        self.trigger = CommandTrigger(CommandTriggerSettings())
        self.station = Station(gear, self.trigger)
        self._thread = threading.Thread(target=self.station.run)
        self._thread.start()
        self._job = job

    def order(self, *events: Event) -> None:
        for event in events:
            order = Order(event, "test", self._job if event is Event.PREPARE_RECIPE else None)
            assert self.station.offer(order)
            assert order.wait(5.0, 5.0).outcome == "done"

    def state(self) -> str:
        return self.station.pulse.state.value

    def end(self) -> None:
        self.station.stop()
        self._thread.join()


@pytest.fixture
def at(gear: Gear, job: Job) -> Iterator[At]:
    made = At(gear, job)
    yield made
    made.end()


GO = (Event.SELECT_AUTOMATIC, Event.PREPARE_RECIPE, Event.START_CONTINUOUS)


def test_only_an_executing_station_is_ready_and_only_one_in_error_shows_fault(
    at: At, line: Witness
) -> None:
    at.order(*GO)
    assert line.told == ["rest", "rest", "rest ready"]
    assert at.trigger.ask("P-1").reason == "seq 1 (P-1): OK: below review_at"
    at.order(Event.STOP)
    assert line.told[-1] == "rest"


def test_a_signal_that_fails_ends_in_error_and_the_part_counts_as_unshown(
    at: At, line: Witness
) -> None:
    at.order(*GO)
    line.fails = DeviceError("PLC gone")
    assert at.trigger.ask(None).outcome == "done"
    assert until(lambda: at.state() == "ERROR")
    assert until(lambda: at.station.snapshot.state == "ERROR")
    state = at.station.snapshot
    assert (state.cause, state.tally.unshown) == ("PLC gone", 1)
    assert state.tally.triggers == sum(state.tally.verdicts.values()) == 1
    assert line.told[-1] == "rest fault"
    assert at.trigger.ask(None).outcome == "refused"


def test_a_signal_that_is_lost_between_parts_is_a_fault_too(at: At, line: Witness) -> None:
    at.order(*GO)
    line.gone = DeviceError("no heartbeat of the PLC")
    assert until(lambda: at.state() == "ERROR")
    assert at.station.pulse.cause == "no heartbeat of the PLC"


def test_what_the_controller_did_with_the_last_part_is_a_fault_of_a_stopped_station_too(
    at: At, line: Witness
) -> None:
    at.order(*GO, Event.STOP)
    assert at.state() == "READY"
    line.gone = DeviceError("line controller: no echo within 500 ms")
    assert until(lambda: at.state() == "ERROR")
    assert at.station.pulse.cause == "line controller: no echo within 500 ms"


def test_what_the_controller_did_with_the_last_part_before_a_halt_is_a_fault_with_the_reset(
    at: At, line: Witness
) -> None:
    at.order(*GO)
    assert at.trigger.ask("P-1").outcome == "done"
    at.order(Event.HALT)
    line.gone = DeviceError("line controller: it acted on pass for part 1 (P-1), told reject")
    assert not until(lambda: at.state() != "HALTED", timeout_s=0.5)
    at.order(Event.RESET)
    assert until(lambda: at.state() == "ERROR")
    assert at.station.pulse.cause.endswith("it acted on pass for part 1 (P-1), told reject")


def test_a_line_or_a_trigger_in_trouble_is_why_no_part_would_pass(at: At, line: Witness) -> None:
    at.order(*GO)
    assert until(lambda: at.station.pulse.withheld is None)
    line.trouble = "PLC gone"
    assert until(lambda: at.station.pulse.withheld == "line signal: PLC gone")
    line.trouble = None
    at.trigger.trouble = "broker gone"  # type: ignore[assignment]
    assert until(lambda: at.station.pulse.withheld == "trigger: broker gone")


@pytest.mark.alone
def test_a_slow_medium_never_leaves_a_late_pass_standing() -> None:
    """The write of a pass takes longer than the deadline: it is taken back as soon as it is out."""

    class Slow:
        kind = "slow"

        def __init__(self) -> None:
            self.shown: list[tuple[bool, bool]] = []
            self.delay_s = 0.0

        def open(self) -> None: ...

        def write(self, signal: Signal) -> None:
            time.sleep(self.delay_s if signal.passes else 0.0)
            self.shown.append((signal.passes, signal.done))

        def hear(self) -> tuple[()]:
            return ()

        def tend(self, beat: int) -> None: ...

        def close(self) -> None: ...

    driver = Slow()
    output = LineOutput(driver, pulse_ms=60_000, clock=SystemClock())
    output.start()
    assert until(lambda: output.trouble is None)
    output.moved()
    output.rest(ready=True, fault=False)
    driver.delay_s = 0.4
    start = time.monotonic()
    with pytest.raises(DeviceTimeout):
        output.show(Part(1, None, start), passes=True, by=start + 0.1)
    assert time.monotonic() - start < 0.3
    assert until(lambda: (True, True) in driver.shown)
    assert until(lambda: driver.shown[-1] == (False, False))
    output.stop()
