"""A part in view, told by the picture: on arrays, frame by frame, as a camera of 10 a second."""

import numpy as np
import pytest

from inspector.contract.image import Image
from inspector.station.presence import Presence, PresenceRule

WIDTH, HEIGHT, SIDE = 160, 120, 40
FRAME_S = 1 / 10
RULE = PresenceRule()
IN_VIEW = PresenceRule(fires_when="in_view")


class Scene:
    """A belt with a texture of its own, a lamp, and a noisy sensor."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(7)
        self._belt = self._random.integers(90, 130, (HEIGHT, WIDTH, 3)).astype(np.float32)
        self._noises = self._random.normal(0.0, 4.0, (16, HEIGHT, WIDTH, 3)).astype(np.float32)
        self.at = 0.0

    def frame(self, part_x: int | None = None, light: float = 1.0, grey: int = 200) -> Image:
        picture = self._belt.copy()
        if part_x is not None:
            left, right = max(0, part_x), max(0, min(WIDTH, part_x + SIDE))
            picture[40 : 40 + SIDE, left:right] = grey
        noise = self._noises[self._random.integers(16)]
        self.at += FRAME_S
        shown: Image = np.clip(picture * light + noise, 0, 255).astype(np.uint8)
        return shown


def fired(presence: Presence, scene: Scene, frames: list[Image]) -> list[int]:
    """At which of the frames it fired."""
    found = []
    for i, frame in enumerate(frames):
        if presence.see(frame, scene.at + i * FRAME_S):
            found.append(i)
    scene.at += len(frames) * FRAME_S
    return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def presence(scene: Scene) -> Presence:
    return Presence(RULE, scene.frame())


def test_an_empty_scene_never_fires(scene: Scene, presence: Presence) -> None:
    assert fired(presence, scene, [scene.frame() for _ in range(300)]) == []
    assert not presence.occupied


def test_a_part_fires_once_when_it_stands_and_the_next_after_it_has_left(
    scene: Scene, presence: Presence
) -> None:
    for _ in range(3):
        comes = [scene.frame(x) for x in range(-SIDE, 60, 4)]
        assert fired(presence, scene, comes) == [], "it moves"
        stands = [scene.frame(60) for _ in range(60)]
        assert len(fired(presence, scene, stands)) == 1
        leaves = [scene.frame(x) for x in range(60, WIDTH + 4, 4)]
        assert fired(presence, scene, leaves) == []
        assert fired(presence, scene, [scene.frame() for _ in range(5)]) == []
        assert not presence.occupied


def test_a_part_that_creeps_in_is_not_taken_for_the_scene(scene: Scene, presence: Presence) -> None:
    creeps = [scene.frame(-SIDE + i // 10) for i in range(800)]  # a pixel a second
    assert len(fired(presence, scene, creeps)) == 1


def test_a_slow_part_is_not_still(scene: Scene) -> None:
    presence = Presence(PresenceRule(still_ms=1_000), scene.frame())
    slow = [scene.frame(-SIDE + i // 2) for i in range(160)]  # five pixels a second
    assert fired(presence, scene, slow) == []
    assert len(fired(presence, scene, [scene.frame(SIDE) for _ in range(20)])) == 1


def test_a_part_that_is_put_down_at_once_fires_within_a_few_frames(
    scene: Scene, presence: Presence
) -> None:
    (at,) = fired(presence, scene, [scene.frame(50) for _ in range(30)])
    assert RULE.frames <= at <= RULE.frames + 5


def test_a_part_that_is_exchanged_without_a_gap_is_one_part(
    scene: Scene, presence: Presence
) -> None:
    """It cannot know better: whoever feeds parts without a gap needs another trigger."""
    assert len(fired(presence, scene, [scene.frame(50) for _ in range(10)])) == 1
    assert fired(presence, scene, [scene.frame(50, grey=30) for _ in range(10)]) == []


@pytest.mark.parametrize("ends_at", [0.6, 1.4])
def test_a_slow_drift_of_light_never_fires_and_parts_still_do(
    scene: Scene, presence: Presence, ends_at: float
) -> None:
    lights = np.linspace(1.0, ends_at, 600)  # a minute
    assert fired(presence, scene, [scene.frame(light=light) for light in lights]) == []
    stands = [scene.frame(50, light=ends_at, grey=30) for _ in range(30)]
    assert len(fired(presence, scene, stands)) == 1


def test_light_that_drifts_while_a_part_stands_does_not_keep_it_from_leaving(
    scene: Scene, presence: Presence
) -> None:
    lights = np.linspace(1.0, 0.7, 600)
    stands = [scene.frame(50, light=light) for light in lights]
    assert len(fired(presence, scene, stands)) == 1
    assert fired(presence, scene, [scene.frame(light=0.7) for _ in range(30)]) == []
    assert not presence.occupied
    assert len(fired(presence, scene, [scene.frame(50, light=0.7) for _ in range(30)])) == 1


def test_a_lamp_that_goes_out_fires_at_most_once(scene: Scene, presence: Presence) -> None:
    dark = [scene.frame(light=0.02) for _ in range(300)]
    assert len(fired(presence, scene, dark)) <= 1


def test_something_small_is_no_part(scene: Scene, presence: Presence) -> None:
    frames = []
    for _ in range(60):
        frame = scene.frame()
        frame[50:65, 50:65] = 255  # about a hundredth of the picture
        frames.append(frame)
    assert fired(presence, scene, frames) == []


def test_on_a_belt_that_never_stops_a_part_fires_once_it_is_wholly_in_view(scene: Scene) -> None:
    presence = Presence(IN_VIEW, scene.frame())
    for _ in range(3):
        positions = list(range(-SIDE, WIDTH + 4, 4))
        (at,) = fired(presence, scene, [scene.frame(x) for x in positions])
        assert 0 < positions[at] < WIDTH - SIDE
        assert fired(presence, scene, [scene.frame() for _ in range(5)]) == []


def test_a_part_that_touches_an_edge_is_not_wholly_in_view(scene: Scene) -> None:
    presence = Presence(IN_VIEW, scene.frame())
    assert fired(presence, scene, [scene.frame(-SIDE // 2) for _ in range(60)]) == []


def test_a_picture_of_another_size_is_refused(scene: Scene, presence: Presence) -> None:
    with pytest.raises(ValueError, match="the empty scene"):
        presence.see(scene.frame()[:100], 0.0)


def test_a_start_forgets_the_part_that_was_there(scene: Scene, presence: Presence) -> None:
    assert len(fired(presence, scene, [scene.frame(50) for _ in range(10)])) == 1
    presence.restart()
    assert len(fired(presence, scene, [scene.frame(50) for _ in range(10)])) == 1
