"""When a frame was exposed: never later than the truth, whatever the clocks do."""

import pytest

from inspector.devices.frame_time import FRAMES_KEPT, SETTLE, FrameTime

PERIOD_S = 0.04
WAY_S = 0.005


class World:
    """Truth by the monotonic clock; the camera's clock and the wall's run beside it."""

    def __init__(self) -> None:
        self.time = FrameTime()
        self.now = 1_000.0
        self.wall_lead = 1.8e9
        self.device_lead = 77.0
        self.drift = 0.0

    def frame(self, way_s: float = WAY_S) -> float | None:
        """How much later than the truth the next frame is said to be exposed."""
        self._look()
        self.now += PERIOD_S
        exposed_at = self.now
        device_s = exposed_at * (1 + self.drift) + self.device_lead
        leader_s = exposed_at + way_s + self.wall_lead
        self._look()
        said = self.time.of(device_s, leader_s)
        return None if said is None else said - exposed_at

    def _look(self) -> None:
        self.time.look(self.now, self.now + self.wall_lead)


@pytest.fixture
def world() -> World:
    world = World()
    for _ in range(20):
        world.frame()
    return world


def test_a_frame_is_late_by_the_quickest_way_and_no_more(world: World) -> None:
    assert world.frame() == pytest.approx(WAY_S, abs=1e-6)
    assert world.frame(way_s=0.002) == pytest.approx(0.002, abs=1e-6)


def test_a_frame_that_was_seen_late_is_as_old_as_it_is(world: World) -> None:
    for _ in range(FRAMES_KEPT // 2):
        assert world.frame(way_s=0.7) == pytest.approx(WAY_S, abs=1e-6)


@pytest.mark.parametrize("step_s", [-86_400.0, -0.2, 0.2, 86_400.0])
def test_a_wall_clock_that_is_set_makes_no_frame_newer(world: World, step_s: float) -> None:
    world.wall_lead += step_s
    said = [world.frame() for _ in range(2 * FRAMES_KEPT)]
    assert all(each is None or each <= WAY_S + 1e-6 for each in said)
    assert said[-1] == pytest.approx(WAY_S, abs=1e-6)


@pytest.mark.parametrize("step_s", [-3_600.0, -0.2, 0.2, 3_600.0])
def test_a_camera_clock_that_is_set_makes_no_frame_newer(world: World, step_s: float) -> None:
    world.device_lead += step_s
    said = [world.frame() for _ in range(2 * FRAMES_KEPT)]
    assert all(each is None or each <= WAY_S + 1e-6 for each in said)
    assert said[-1] == pytest.approx(WAY_S, abs=1e-6)


@pytest.mark.parametrize("drift", [-2e-4, 2e-4])
def test_a_camera_clock_of_another_pace_is_followed(world: World, drift: float) -> None:
    world.drift = drift
    world.device_lead -= world.now * drift  # it runs otherwise from here on
    said = [world.frame() for _ in range(3_000)]
    assert all(each is not None and -0.002 < each < WAY_S + 1e-4 for each in said)


@pytest.mark.parametrize("drift", [-2e-4, 2e-4])
def test_after_a_long_pause_the_clocks_are_compared_anew(world: World, drift: float) -> None:
    world.drift = drift
    world.device_lead -= world.now * drift
    world.now += 3_600.0
    said = [world.frame() for _ in range(SETTLE)]
    assert said[:-1] == [None] * (SETTLE - 1)
    assert said[-1] == pytest.approx(WAY_S, abs=1e-3)


def test_nobody_knows_the_time_of_the_first_frames() -> None:
    world = World()
    said = [world.frame() for _ in range(SETTLE + 1)]
    assert [each is None for each in said] == [True] * (SETTLE - 1) + [False] * 2
