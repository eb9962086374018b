"""Pictures that nobody asked for, and packets that are none: neither becomes a part's picture."""

import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from ctypes import POINTER, byref, c_size_t, c_uint32, c_uint64, c_void_p, string_at
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspector.contract.errors import DeviceError, FrameError
from inspector.devices import aravis_room
from inspector.devices.aravis_calls import libraries
from inspector.devices.camera_genicam import UNASKED, UNASKED_S, GenicamSource
from tests.gige import ADDRESS, GigeCamera, number_in, require_gige_camera, source
from tests.support import until

SMALL: dict[str, Any] = {"width": 64, "height": 48, "pixel_format": "Mono8"}
TRIGGER_MODE = 0x300
"""Register of this camera."""


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[GigeCamera]:
    """Loses so many packets of a thousand as its parameter says, if it has one."""
    require_gige_camera()
    server = GigeCamera(getattr(request, "param", 0)).start()
    yield server
    server.end()


def test_a_camera_is_heard_at_its_own_port_and_the_machine_is_not(server: GigeCamera) -> None:
    camera = source(trigger="software", **SMALL)
    camera.open()
    ours = set(open_sockets())
    packet_sockets = {line.split()[-1] for line in proc_net("packet")}
    camera.close()
    assert ours
    # between its opening and its filter one hears every packet of every program
    assert not ours & packet_sockets


def open_sockets() -> list[str]:
    """Of this process, as inode numbers."""
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists them
            kind, _, inode = str(fd.readlink()).rstrip("]").partition(":[")
            found += [inode] if kind == "socket" else []
    return found


def proc_net(name: str) -> list[str]:
    return Path(f"/proc/net/{name}").read_text().splitlines()[1:]


def test_a_strangers_packet_is_never_the_picture_of_a_part(server: GigeCamera) -> None:
    camera = source(trigger="software", **SMALL)
    camera.open()
    numbers = [picture(camera) for _ in range(10)]  # now every buffer holds an older part
    port = server.stream_port()
    for i in range(20):
        # between trigger and frame, before and after: a frame is here within 40 ms
        stranger = threading.Timer(0.002 * (i % 10), tell, (port, bytes([0, 0, 0, i, *range(40)])))
        stranger.start()
        numbers.append(picture(camera))
        stranger.join()
    camera.close()
    assert in_a_row(numbers)


def picture(camera: GenicamSource) -> int:
    """The number of the next frame on request."""
    shot = camera.read(None)
    assert shot is not None
    return number_in(shot.image)


def tell(port: int, packet: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(packet, (ADDRESS, port))


def in_a_row(numbers: list[int]) -> bool:
    """Every frame is the one after the one before: each was exposed for its own part."""
    return bool(np.all(np.diff(np.unwrap(numbers, period=255)) == 1))


def test_a_trigger_that_was_sent_again_gives_no_part_the_picture_of_another(
    server: GigeCamera,
) -> None:
    camera = source(trigger="software", read_timeout_ms=5_000, **SMALL)
    camera.open()
    before = picture(camera)
    server.send(signal.SIGSTOP)  # the library asks again after 0.5 s, and it exposes for each
    threading.Timer(0.8, server.send, (signal.SIGCONT,)).start()
    held_up = picture(camera)
    after = picture(camera)
    camera.close()
    assert in_a_row([before, held_up])
    assert 1 <= (after - held_up) % 255 <= 5  # those between were nobody's


@pytest.fixture
def broken(
    request: pytest.FixtureRequest, server: GigeCamera, tmp_path: Path
) -> Iterator[GigeCamera]:
    """A camera whose description was changed as the parameter says."""
    described = description()
    server.end()
    before, after = request.param
    assert before in described
    (tmp_path / "camera.xml").write_text(described.replace(before, after))
    broken = GigeCamera(description=tmp_path / "camera.xml").start()
    yield broken
    broken.end()


def description() -> str:
    """The GenICam XML of the camera that is there."""
    library = libraries()[0]
    library.arv_device_get_genicam_xml.argtypes = [c_void_p, POINTER(c_size_t)]
    library.arv_device_get_genicam_xml.restype = c_void_p
    camera = source(**SMALL)
    camera.open()
    assert camera._device is not None
    size = c_size_t()
    text = string_at(
        library.arv_device_get_genicam_xml(camera._device._device, byref(size)), size.value
    )
    camera.close()
    return text.decode()


# what is set there is kept and means nothing: the camera runs by itself, as it does at first
DEAF = ("<Address>0x300</Address>", "<Address>0x900</Address>")
FORGETFUL = (
    "<pValue>TriggerModeRegister</pValue>",
    "<pValue>TriggerActivationRegister</pValue>",
)


@pytest.mark.parametrize("broken", [DEAF], indirect=True)
def test_a_camera_that_goes_on_sending_is_refused_with_what_came(broken: GigeCamera) -> None:
    camera = source(trigger="software", **SMALL)
    began_at = time.monotonic()
    with pytest.raises(DeviceError) as error:
        camera.open()
    took_s = time.monotonic() - began_at
    camera.close()
    words = rf"{UNASKED} \((\d+) whole and \d+ spoiled came in \d+\.\d s\)"
    said = re.fullmatch(words, str(error.value))
    assert said
    assert int(said[1]) > 5  # it makes 25 a second
    assert took_s > UNASKED_S


@pytest.mark.parametrize("broken", [DEAF], indirect=True)
def test_a_camera_that_sends_what_it_still_had_is_waited_for(broken: GigeCamera) -> None:
    camera = source(trigger="software", **SMALL)
    holds = threading.Thread(target=hold, args=(camera,))
    holds.start()
    camera.open()
    holds.join()
    numbers = [picture(camera) for _ in range(3)]
    camera.close()
    assert in_a_row(numbers)


def hold(camera: GenicamSource) -> None:
    """Set what its description does not reach, when its first frames are under way."""
    library = libraries()[0]
    library.arv_device_write_register.argtypes = [c_void_p, c_uint64, c_uint32, c_void_p]
    assert until(lambda: camera._device is not None and camera._device._stream is not None)
    time.sleep(0.5)
    assert camera._device is not None
    assert library.arv_device_write_register(camera._device._device, TRIGGER_MODE, 1, None)


@pytest.mark.parametrize("broken", [FORGETFUL], indirect=True)
def test_a_camera_that_does_not_keep_its_trigger_is_refused(broken: GigeCamera) -> None:
    camera = source(trigger="software", **SMALL)
    with pytest.raises(DeviceError, match="TriggerMode On: the camera made Off of it"):
        camera.open()
    camera.close()


@pytest.mark.parametrize("server", [300], indirect=True)  # of 1000 packets: hardly a frame is whole
def test_lost_packets_name_the_limit_that_is_too_small(
    server: GigeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aravis_room, "BYTES_MIN", 1_000)
    monkeypatch.setattr(aravis_room, "FRAMES", 0)
    camera = source(**SMALL)
    camera.open()
    reasons = set()
    for _ in range(20):
        try:
            camera.read(None)
        except FrameError as error:
            reasons.add(str(error))
    camera.close()
    words = (
        r"packets were lost \(a frame has 3072 bytes, its socket 1\d{3}: raise net.core.rmem_max\)"
    )
    assert any(re.search(words, reason) for reason in reasons)
