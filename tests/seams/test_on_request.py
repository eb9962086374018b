"""A camera that exposes when it is asked, in a process of its own: once a part, for that part."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from inspector.contract.errors import DeviceTimeout, FrameError
from inspector.devices.capture_process import ProcessCamera
from inspector.station.ports import Frame
from tests.sources import Booth, booth_camera
from tests.support import until

TURN_S = 0.05
"""As the station waits: in short turns, each a grab."""
FRAME_S = 4 * TURN_S


@pytest.fixture
def booth(tmp_path: Path) -> Booth:
    return Booth(tmp_path, FRAME_S)


@pytest.fixture
def camera(booth: Booth) -> Iterator[ProcessCamera]:
    camera = booth_camera(booth)
    yield camera
    camera.close()


def in_turns(camera: ProcessCamera, seen_at: float, timeout_s: float = 30.0) -> Frame:
    """The frame of a part that was seen then."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            return camera.grab(not_before=seen_at, timeout_s=TURN_S)
        except DeviceTimeout:
            if time.monotonic() > end:
                raise


def exposed(booth: Booth, count: int) -> Callable[[], bool]:
    return lambda: booth.exposures >= count


def test_a_camera_slower_than_a_turn_exposes_once_a_part(
    booth: Booth, camera: ProcessCamera
) -> None:
    numbers = []
    for part in range(1, 5):
        seen_at = time.monotonic()
        frame = in_turns(camera, seen_at)
        assert frame.exposed_at >= seen_at
        assert booth.exposures == part
        numbers.append(frame.sequence)
    assert np.all(np.diff(numbers) == 1)
    time.sleep(2 * FRAME_S)
    assert booth.exposures == 4, "nothing is exposed for nobody"


def test_a_part_whose_capture_died_is_exposed_by_the_next_one(
    booth: Booth, camera: ProcessCamera
) -> None:
    in_turns(camera, time.monotonic())
    seen_at = time.monotonic()
    with pytest.raises(DeviceTimeout):
        camera.grab(not_before=seen_at, timeout_s=TURN_S)
    assert until(exposed(booth, 2))
    assert camera.pid is not None
    os.kill(camera.pid, signal.SIGKILL)
    frame = in_turns(camera, seen_at)
    assert frame.exposed_at >= seen_at
    assert booth.exposures == 3
    assert camera.restarts == 1


def test_what_was_exposed_for_a_part_that_waits_no_more_says_nothing_of_the_next(
    booth: Booth, camera: ProcessCamera
) -> None:
    booth.spoils(now=True)
    with pytest.raises(DeviceTimeout):
        camera.grab(not_before=time.monotonic(), timeout_s=TURN_S)
    assert until(exposed(booth, 1))
    booth.spoils(now=False)
    seen_at = time.monotonic()
    frame = in_turns(camera, seen_at)
    assert frame.exposed_at >= seen_at
    assert (camera.spoiled, booth.exposures) == (1, 2)


def test_a_frame_that_is_spoiled_between_two_turns_is_said(
    booth: Booth, camera: ProcessCamera
) -> None:
    booth.spoils(now=True)
    seen_at = time.monotonic()
    with pytest.raises(DeviceTimeout):
        camera.grab(not_before=seen_at, timeout_s=TURN_S)
    assert until(lambda: camera.spoiled == 1)
    with pytest.raises(FrameError, match="the camera: a frame is not whole"):
        camera.grab(not_before=seen_at, timeout_s=TURN_S)
    assert booth.exposures == 1
