"""Who beats while the station's thread is in one long call, and what becomes of the call."""

from datetime import datetime

from inspector.clock import SystemClock
from inspector.station.busy import GIVE_UP_S, Busy, Stop


class Hand(SystemClock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def utc(self) -> datetime:
        raise AssertionError("nothing is decided by the wall's clock")


class Rig:
    def __init__(self) -> None:
        self.clock = Hand()
        self.beats = 0
        self.stopped: list[str] = []
        self.busy = Busy(self.clock, self._beat)

    def _beat(self) -> None:
        self.beats += 1

    def at(self, now: float) -> int:
        """Look on then; how many beats that gave."""
        before, self.clock.now = self.beats, now
        self.busy.look_on()
        return self.beats - before


def test_nobody_beats_before_something_has_begun() -> None:
    assert Rig().at(100.0) == 0


def test_the_heart_beats_on_until_the_time_is_over_and_no_longer() -> None:
    rig = Rig()
    rig.busy.until(100.5)
    assert [rig.at(now) for now in (100.1, 100.5, 100.6, 103.0)] == [1, 1, 0, 0]
    rig.busy.until(110.0)
    assert rig.at(104.0) == 1
    rig.busy.over()
    assert rig.at(105.0) == 0


def test_a_call_is_stopped_a_while_after_its_time_and_only_if_it_is_still_under_way() -> None:
    rig = Rig()
    rig.busy.until(100.5, lambda: lambda: rig.stopped.append("the model"))
    rig.at(100.5 + GIVE_UP_S)
    assert rig.stopped == []
    rig.at(100.6 + GIVE_UP_S)
    assert rig.stopped == ["the model"]
    rig.busy.until(110.0, lambda: None)  # it has come back
    rig.at(120.0)
    assert rig.stopped == ["the model"]


def test_what_begins_while_somebody_looks_is_not_stopped_for_what_was_before() -> None:
    rig = Rig()

    def under_way() -> Stop:
        rig.busy.until(200.0, lambda: lambda: rig.stopped.append("the next"))
        return lambda: rig.stopped.append("the old")

    rig.busy.until(100.0, under_way)
    rig.at(150.0)
    assert rig.stopped == []
