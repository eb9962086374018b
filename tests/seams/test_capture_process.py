"""Capture in a process of its own: killed, stopped, crashed, orphaned, and never written over."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from inspector.contract.errors import DeviceError, DeviceTimeout
from inspector.contract.image import Image
from inspector.devices import capture_process
from inspector.devices.camera_opencv import OpenCvSettings, opencv_camera
from inspector.devices.capture_process import ProcessCamera
from inspector.devices.capture_watch import Patience
from inspector.devices.capture_wire import SLOTS, VIEWS_MAX
from inspector.station.ports import Frame
from tests.sources import Day, Driver
from tests.streams import MjpegServer
from tests.support import until


def camera_on(day: Day, tries: int = 20, stall_s: float = 1.0) -> ProcessCamera:
    camera = ProcessCamera("the camera", Driver, day, Patience(5.0, stall_s, tries))
    camera.open()
    return camera


def grab(camera: ProcessCamera, timeout_s: float = 30.0) -> Frame:
    return camera.grab(not_before=time.monotonic(), timeout_s=timeout_s)


def says(camera: ProcessCamera) -> str:
    """Why there is no frame; empty where there is one."""
    try:
        grab(camera, timeout_s=0.1)
    except DeviceError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("number", "cause"),
    [(signal.SIGKILL, "its capture process died of SIGKILL"), (signal.SIGSTOP, "is stuck")],
)
def test_a_dead_or_stopped_capture_is_noticed_rejected_and_replaced(
    number: signal.Signals, cause: str
) -> None:
    camera = camera_on(Day())
    before = grab(camera)
    assert camera.pid is not None
    hit_at = time.monotonic()
    os.kill(camera.pid, number)
    assert until(lambda: cause in says(camera))
    assert time.monotonic() - hit_at < 6.0  # 1 s, and this shared machine's moods
    after = grab(camera)
    assert after.exposed_at > hit_at
    assert after.sequence > before.sequence + 1
    assert camera.restarts == 1
    camera.close()


@pytest.mark.parametrize(
    ("ends", "cause"),
    [
        ("blocks", "is stuck, gives no frame for"),
        ("crashes", "its capture process died of SIGABRT"),
        ("fails", "was unplugged"),
    ],
)
def test_a_driver_that_blocks_crashes_or_fails_is_replaced_and_the_cause_is_said(
    ends: str, cause: str
) -> None:
    camera = camera_on(Day(after=5, ends=ends))
    grab(camera)
    assert until(lambda: cause in says(camera))
    assert until(lambda: says(camera) == "", timeout_s=60.0)
    assert camera.restarts >= 1
    camera.close()


def test_a_camera_that_is_not_there_is_a_fault_after_its_tries() -> None:
    day = Day(opens=False)
    camera = ProcessCamera("the camera", Driver, day, Patience(5.0, 1.0, tries=2))
    camera.open()
    with pytest.raises(DeviceError, match=r"is not there; given up after 2 tries") as gone:
        camera.grab(not_before=time.monotonic(), timeout_s=60.0)
    assert not isinstance(gone.value, DeviceTimeout)
    assert camera.restarts == 2
    camera.close()


def test_a_camera_that_is_stuck_for_long_at_each_try_is_a_fault_after_its_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It had its tries back each time, as one that had worked so long."""
    monkeypatch.setattr(capture_process, "STEADY_S", 0.3)
    patience = Patience(open_s=0.5, stall_s=0.5, tries=2)
    camera = ProcessCamera("the camera", Driver, Day(after=0, ends="blocks"), patience)
    camera.open()
    with pytest.raises(DeviceError, match=r"is stuck.*; given up after 2 tries"):
        camera.grab(not_before=time.monotonic(), timeout_s=60.0)
    camera.close()


def test_a_camera_that_does_not_answer_keeps_nobody_waiting_while_it_is_opened() -> None:
    """Whoever opens it is the station's thread, which systemd's watchdog and a SIGTERM wait for."""
    day, patience = Day(after=0, ends="blocks"), Patience(open_s=60.0, stall_s=60.0, tries=2)
    camera = ProcessCamera("the camera", Driver, day, patience)
    began_at = time.monotonic()
    camera.open()
    assert time.monotonic() - began_at < 8.0  # the watchdog's 10 s, less its last feeding
    assert "no frame" in says(camera)
    camera.close()


def test_a_slow_camera_is_not_a_stuck_one() -> None:
    camera = camera_on(Day(period_s=1.0), stall_s=0.2)
    grab(camera)
    pid = camera.pid
    for _ in range(3):
        grab(camera)
    assert camera.pid == pid
    assert camera.restarts == 0
    camera.close()


def in_a_slot(image: Image) -> bool:
    """Whether it lies among others, in the memory that the capture process writes."""
    base: Any = image
    while isinstance(base, np.ndarray):
        base = base.base
    return bool(base.nbytes > image.nbytes)


def test_what_is_held_is_never_written_over_and_the_camera_goes_on() -> None:
    camera = camera_on(Day(period_s=0.002))
    held = []
    for _ in range(4 * SLOTS):
        frame = grab(camera)
        held.append((frame, frame.image[3:5], int(frame.image[0, 0, 0])))
    time.sleep(0.2)
    for frame, part, value in held:
        assert np.all(frame.image == value)
        assert np.all(part == value)
    views = sum(in_a_slot(frame.image) for frame, _, _ in held)
    assert 1 <= views <= VIEWS_MAX
    kept = held[0][1]  # a view of a view keeps the slot as well
    value = held[0][2]
    held.clear()
    del frame, part
    for _ in range(4 * SLOTS):
        assert in_a_slot(grab(camera).image)  # the slots are home again
    assert np.all(kept == value)
    camera.close()
    assert np.all(kept == value)


def test_a_frame_outlives_its_camera_and_its_process() -> None:
    camera = camera_on(Day())
    frame = grab(camera)
    value = frame.image[0, 0, 0]
    assert camera.pid is not None
    os.kill(camera.pid, signal.SIGKILL)
    camera.close()
    assert np.all(frame.image == value)


def test_a_camera_may_change_its_frame_size() -> None:
    camera = camera_on(Day(sizes=((40, 48), (80, 64))), stall_s=10.0)
    first = grab(camera)
    seen = {first.image.shape}
    assert until(lambda: seen.add(grab(camera).image.shape) or len(seen) == 2)  # type: ignore[func-returns-value]
    assert seen == {(40, 48, 3), (80, 64, 3)}
    assert np.ptp(first.image) == 0
    assert camera.restarts == 0
    camera.close()


def test_a_source_that_gives_no_colour_pictures_is_refused() -> None:
    camera = camera_on(Day(sizes=((0, 48),)), tries=0)
    with pytest.raises(DeviceError, match=r"gives no colour pictures: uint8 of shape \(0, 48, 3\)"):
        grab(camera)
    camera.close()


SHARED = Path("/dev/shm")  # noqa: S108 - where named shared memory would be left
ORPHAN = """
import os, sys, time
from tests.seams.test_capture_process import Day, camera_on, grab
camera = camera_on(Day())
frame = grab(camera)
print(camera.pid, flush=True)
{last_words}
"""


@pytest.mark.alone
@pytest.mark.parametrize("last_words", ["os.kill(os.getpid(), 9)", "sys.exit(0)", "camera.close()"])
def test_nothing_is_left_of_the_capture_however_the_station_ends(last_words: str) -> None:
    shared = set(SHARED.iterdir())
    code = ORPHAN.format(last_words=last_words)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=False)
    assert done.stderr == b""
    pid = int(done.stdout)
    assert until(lambda: not alive(pid))
    assert set(SHARED.iterdir()) <= shared


def test_a_stopped_capture_dies_with_its_station_too() -> None:
    code = ORPHAN.format(last_words="os.kill(camera.pid, 19); os.kill(os.getpid(), 9)")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=False)
    assert until(lambda: not alive(int(done.stdout)))


def test_a_signal_to_the_whole_group_leaves_the_camera_to_the_station() -> None:
    camera = camera_on(Day(), stall_s=10.0)
    grab(camera)
    pid = camera.pid
    assert pid is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    for _ in range(5):
        grab(camera)
    assert camera.pid == pid
    camera.close()
    assert not alive(pid)


def alive(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_the_first_cause_is_kept_while_the_camera_stays_away() -> None:
    server = MjpegServer().start()
    url = SecretStr(server.url)
    camera = opencv_camera(OpenCvSettings(url=url, latency_ms=20, reopen_tries=30))
    camera.open()
    grab(camera)
    assert camera.pid is not None
    os.kill(camera.pid, signal.SIGKILL)
    server.kill()
    assert until(lambda: "(now: cannot be opened)" in says(camera))
    assert "its capture process died of SIGKILL; opening it again, try" in says(camera)
    server.start()
    assert until(lambda: says(camera) == "", timeout_s=60.0)
    camera.close()
    server.kill()


def test_children_do_not_pile_up() -> None:
    camera = camera_on(Day(after=2, ends="fails"))
    pids: set[int] = set()
    note: Callable[[], object] = lambda: pids.add(camera.pid or 0)  # noqa: E731
    assert until(lambda: note() is None and camera.restarts >= 3, timeout_s=60.0)
    camera.close()
    assert not any(alive(pid) for pid in pids if pid)
