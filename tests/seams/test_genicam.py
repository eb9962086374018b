"""A GigE Vision camera in another process: its refusals, lost packets, stops and restarts."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from inspector.contract.errors import ConfigError, DeviceError, DeviceTimeout, FrameError
from inspector.contract.image import Image
from inspector.contract.strict import parse
from inspector.devices import aravis_calls
from inspector.devices.aravis import Device, RawFrame
from inspector.devices.camera_genicam import to_bgr
from inspector.devices.capture_process import ProcessCamera
from inspector.devices.genicam_settings import GenicamSettings
from inspector.station.ports import Frame
from tests.gige import (
    ADDRESS,
    PERIOD_S,
    SENSOR,
    GigeCamera,
    gige,
    number_in,
    require_gige_camera,
    source,
)
from tests.support import until


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[GigeCamera]:
    """Loses so many packets of a thousand as its parameter says, if it has one."""
    require_gige_camera()
    server = GigeCamera(getattr(request, "param", 0)).start()
    yield server
    server.end()


STOPPED_S = 1.5
"""With the second since its last sign of life shorter than the 3 s after which a camera is free."""


def grab(camera: ProcessCamera) -> Frame:
    """The next frame: a busy machine may spoil some, or have the camera opened again."""
    end = time.monotonic() + 30.0
    while True:
        try:
            return camera.grab(not_before=time.monotonic(), timeout_s=10.0)
        except (DeviceTimeout, FrameError):
            if time.monotonic() > end:
                raise


def says(camera: ProcessCamera) -> str:
    """Why there is no frame; empty where there is one."""
    try:
        camera.grab(not_before=time.monotonic(), timeout_s=0.1)
    except DeviceError as error:
        return str(error)
    return ""


def is_whole(image: Image) -> bool:
    """Every pixel is where this camera's ramp has it."""
    height, width, _ = image.shape
    ramp = np.add.outer(np.arange(height), np.arange(width)) + number_in(image)
    return bool(np.all(image == (ramp % 255)[:, :, None]))


@pytest.mark.parametrize(
    ("wish", "refusal"),
    [
        ({"exposure_us": 5}, "exposure_us 5: this camera allows 10 to 10000000"),
        ({"gain": 11}, "gain 11: this camera allows 0 to 10"),
        ({"frames_per_s": 2_000}, "frames_per_s 2000: this camera allows 0.1 to 1000"),
        ({"width": SENSOR + 1}, f"width {SENSOR + 1}: this camera allows 1 to {SENSOR}"),
        ({"x": SENSOR + 1}, f"x {SENSOR + 1}: this camera allows 0 to {SENSOR}"),
        ({"pixel_format": "BGR8"}, "pixel_format BGR8: this camera allows BayerBG8, BayerGB8"),
        ({"trigger": "line", "line": "Line9"}, "line Line9: this camera allows Line0, Software"),
    ],
)
def test_what_the_camera_refuses_is_said_with_what_it_allows(
    server: GigeCamera, wish: dict[str, Any], refusal: str
) -> None:
    refused = source(**wish)
    with pytest.raises(DeviceError) as error:
        refused.open()
    refused.close()
    assert str(error.value).startswith(refusal)


@pytest.mark.parametrize(
    ("wish", "refusal"),
    [
        ({"pixel_format": "Mono12"}, "must be 'Mono8'"),
        ({"trigger": "software", "frames_per_s": 5}, "frames_per_s goes with trigger"),
        ({"trigger": "software", "exposure_us": 1e6}, "read_timeout_ms must be longer"),
        ({"exposure_us": 0}, "exposure_us 0: input should be greater than 0"),
        ({"colour": "RGB8"}, "colour: is not a key here; known keys: camera"),
    ],
)
def test_what_no_camera_can_do_is_refused_when_it_is_read(
    wish: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(ConfigError) as error:
        parse(GenicamSettings, {"camera": "x", **wish}, "station.toml")
    assert refusal in str(error.value)


def test_a_station_without_aravis_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aravis_calls, "LIBRARY", "libaravis-is-not-there.so.0")
    aravis_calls.libraries.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"apt-get install libaravis-0\.8-0"):
            gige()
    finally:
        aravis_calls.libraries.cache_clear()


def test_the_region_is_set_and_the_frame_has_its_size(server: GigeCamera) -> None:
    camera = source(x=16, y=8, width=640, height=480, trigger="software")
    camera.open()
    shot = camera.read(None)
    camera.close()
    assert shot is not None
    assert shot.image.shape == (480, 640, 3)


# Aravis' fake camera (0.8.26) sends BayerBG8 where it says BayerRG8, and the other way round
@pytest.mark.parametrize("pixel_format", ["BayerGR8", "BayerGB8"])
def test_a_bayer_picture_has_the_colours_of_the_same_picture_in_rgb(
    server: GigeCamera, pixel_format: str
) -> None:
    # a frame later the ramp is a pixel further left; a few stragglers may lie between
    rgb, bayer = exposed(pixel_format="RGB8"), exposed(pixel_format=pixel_format)
    apart = [distance(rgb[:, n:], bayer[:, :-n]) for n in range(1, 8)]
    swapped = [distance(rgb[:, n:, ::-1], bayer[:, :-n]) for n in range(1, 8)]
    assert min(apart) < 4
    assert min(swapped) > 40


def exposed(pixel_format: str) -> Image:
    camera = source(pixel_format=pixel_format, width=256, height=64, trigger="software")
    camera.open()
    shot = camera.read(None)
    camera.close()
    assert shot is not None
    return shot.image


def distance(one: Image, other: Image) -> float:
    return float(np.mean(np.abs(one.astype(int) - other)))


@pytest.mark.parametrize(
    ("number", "corner"),
    [(0x01080008, "GRBG"), (0x01080009, "RGGB"), (0x0108000A, "GBRG"), (0x0108000B, "BGGR")],
)
def test_each_bayer_format_of_the_standard_gives_its_colours(number: int, corner: str) -> None:
    red, green, blue = 200, 100, 30  # PFNC names the first two pixels of the first row
    mosaic = np.array([{"R": red, "G": green, "B": blue}[c] for c in corner], np.uint8)
    rows = np.tile(mosaic.reshape(2, 2), (8, 8))
    image = to_bgr(RawFrame(rows, number, 16, device_s=1.0, leader_s=1.0), None)
    assert np.all(image == (blue, green, red))


def test_a_picture_goes_into_the_memory_that_was_offered(server: GigeCamera) -> None:
    for pixel_format in ("Mono8", "RGB8", "BayerRG8"):
        camera = source(pixel_format=pixel_format, width=64, height=48, trigger="software")
        camera.open()
        memory = np.zeros((48, 64, 3), np.uint8)
        shot = camera.read(memory)
        camera.close()
        assert shot is not None
        assert shot.image is memory
        assert memory.any()


def test_a_pixel_format_that_cannot_be_judged_is_a_fault_in_words(server: GigeCamera) -> None:
    leave(pixel_format=b"Mono16")
    camera = server.opened(reopen_tries=0)
    with pytest.raises(DeviceError, match="sends pixel format 0x01100007, which is none of Mono8"):
        grab(camera)


def leave(pixel_format: bytes = b"Mono8", size: int = 512) -> None:
    """Another program has used the camera, and left it so."""
    device = Device(ADDRESS)
    device.call("set_pixel_format_from_string", pixel_format)
    device.call("set_region", 0, 0, size, size)
    device.close()


def test_a_camera_that_comes_back_with_another_size_gives_frames_of_that_size(
    server: GigeCamera,
) -> None:
    leave(size=256)
    camera = server.opened()
    before = grab(camera)
    assert before.image.shape == (256, 256, 3)
    server.kill()
    server.start()
    assert until(lambda: says(camera) != "")
    after = grab(camera)
    assert after.image.shape == (512, 512, 3)
    assert is_whole(before.image)


def test_a_frame_on_request_is_exposed_once_and_after_the_request(server: GigeCamera) -> None:
    camera = server.opened(trigger="software", width=64, height=48, pixel_format="Mono8")
    frames = []
    for _ in range(4):
        time.sleep(0.15)
        asked_at = time.monotonic()
        frames.append(camera.grab(not_before=asked_at, timeout_s=5.0))
        assert asked_at <= frames[-1].exposed_at <= time.monotonic()
    camera.close()
    first = frames[0]
    for i, frame in enumerate(frames):
        assert (number_in(frame.image) - number_in(first.image)) % 255 == i
        assert frame.sequence - first.sequence == i


def test_a_wire_without_a_pulse_gives_no_frame_and_is_no_fault(server: GigeCamera) -> None:
    # it says that it is well five times a second: six in a row may be late on a busy machine
    camera = server.opened(trigger="line", line="Line0", read_timeout_ms=1_200)
    with pytest.raises(DeviceTimeout, match=r"on Line0: no frame within 3 s"):
        camera.grab(not_before=time.monotonic(), timeout_s=3.0)
    assert camera.restarts == 0


@pytest.mark.parametrize("server", [3], indirect=True)  # of 1000 packets; about 190 are a frame
@pytest.mark.parametrize("trigger", ["free", "software"])
def test_a_frame_that_lost_packets_is_counted_and_never_shown(
    server: GigeCamera, trigger: str
) -> None:
    camera = server.opened(trigger=trigger, read_timeout_ms=5_000)
    whole = 0
    reasons = set()
    end = time.monotonic() + 60.0
    while (whole < 8 or camera.spoiled < 1) and time.monotonic() < end:
        try:
            frame = camera.grab(not_before=time.monotonic(), timeout_s=1.0)
        except DeviceTimeout:
            continue
        except FrameError as error:
            reasons.add(str(error).partition(" (")[0])
        else:
            assert is_whole(frame.image)
            whole += 1
    assert whole >= 8
    assert camera.spoiled >= 1
    assert camera.restarts == 0
    if trigger == "software":
        assert f"camera {ADDRESS}: a frame is not whole: packets were lost" in reasons


def test_a_stopped_camera_is_noticed_rejected_and_found_again(server: GigeCamera) -> None:
    camera = server.opened()
    before = grab(camera)
    server.send(signal.SIGSTOP)
    stopped_at = time.monotonic()
    assert until(lambda: "opening it again" in says(camera))
    assert time.monotonic() - stopped_at < 6.0  # 1 s, and this shared machine's moods
    server.send(signal.SIGCONT)
    resumed_at = time.monotonic()
    assert until(lambda: says(camera) == "")
    after = grab(camera)
    assert after.exposed_at > resumed_at
    assert after.sequence > before.sequence


@pytest.mark.parametrize("trigger", ["software", "line"])
def test_a_camera_restarted_while_no_part_came_is_set_up_again(
    server: GigeCamera, trigger: str
) -> None:
    camera = server.opened(trigger=trigger, line="Line0")
    assert camera.restarts == 0
    server.kill()
    server.start()
    assert until(lambda: camera.restarts >= 1)
    if trigger == "software":
        assert grab(camera).image.size


def test_no_frame_is_newer_than_it_is_after_its_process_was_stopped(server: GigeCamera) -> None:
    size = {"width": 256, "height": 256}
    camera = server.opened(pixel_format="Mono8", latency_ms=0, read_timeout_ms=5_000, **size)
    pid = camera.pid
    assert pid is not None
    frames = [grab(camera) for _ in range(15)]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.kill(pid, signal.SIGCONT)
    for _ in range(20):  # the very next ones, however old
        since = frames[-1].exposed_at
        frames.append(camera.grab(not_before=since + 1e-6, timeout_s=5.0))
    assert camera.pid == pid
    camera.close()
    numbers = np.unwrap([number_in(frame.image) for frame in frames], period=255)
    beginnings = [f.exposed_at - PERIOD_S * n for f, n in zip(frames, numbers, strict=True)]
    # as if the first had been exposed that much later; a busy machine spoils a little of it
    assert max(beginnings[15:]) - min(beginnings[:15]) < STOPPED_S / 2


@pytest.mark.slow
def test_a_camera_in_other_hands_is_said_to_be_and_had_when_it_is_free(server: GigeCamera) -> None:
    other = Device(ADDRESS)
    camera = server.opened()
    assert until(lambda: "is controlled by another program" in says(camera), timeout_s=15.0)
    other.close()
    assert until(lambda: says(camera) == "")


def test_a_camera_that_is_not_there_is_told_with_those_that_are(server: GigeCamera) -> None:
    camera = server.opened(camera="Basler-2", reopen_tries=0)
    with pytest.raises(DeviceError, match=f"does not answer; there is {server.id} at {ADDRESS}"):
        grab(camera)
