"""A real GigE Vision camera on loopback: the fake one of Aravis, from Debian's aravis-tools."""

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest

from inspector.contract.image import Image
from inspector.devices.aravis import RawFrame
from inspector.devices.camera_genicam import GenicamSource, genicam_camera
from inspector.devices.capture_process import ProcessCamera
from inspector.devices.genicam_settings import GenicamSettings

PROGRAM = "arv-fake-gv-camera-0.8"
ADDRESS = "127.0.0.1"
PERIOD_S = 0.04
SENSOR = 2048
_PORT = ":0F74"  # GigE Vision's control port, 3956: there can be one such camera on loopback


class GigeCamera:
    """Its picture is a ramp: with exposure_us 10000 and gain 0 the first pixel of a Mono8 frame is
    the frame's number modulo 255. What is set in it stays until it is killed.
    """

    serial = "T1"
    id = f"Aravis-Fake-{serial}"

    def __init__(self, lost_per_thousand: int = 0, description: Path | None = None) -> None:
        """lost_per_thousand: packets it does not send. description: its GenICam XML, another one
        than its own.
        """
        self._options = ["-r", str(lost_per_thousand)]
        if description is not None:
            self._options += ["-g", str(description)]
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = -1
        self._opened: list[ProcessCamera] = []

    def start(self) -> Self:
        lock = Path(tempfile.gettempdir()) / "inspector-gige-camera.lock"
        self._turn = os.open(lock, os.O_CREAT | os.O_RDWR)
        end = time.monotonic() + 300
        while not self._has_turn():  # another run of these tests has it, test after test
            assert time.monotonic() < end
            time.sleep(0.002)
        assert _PORT not in _listening(), "some GigE Vision camera is on loopback already"
        # it ends with us, however we end
        command = ["setpriv", "--pdeathsig", "KILL", PROGRAM, "-i", "lo", "-s", self.serial]
        command += self._options
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while _PORT not in _listening():
            assert time.monotonic() < end
            time.sleep(0.02)
        return self

    def opened(self, **changes: Any) -> ProcessCamera:
        """This camera as a station has it, until `end`."""
        camera = gige(**changes)
        self._opened.append(camera)
        camera.open()
        return camera

    def end(self) -> None:
        for camera in self._opened:
            camera.close()
        self.kill()

    def _has_turn(self) -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def stream_port(self) -> int:
        """To which it sends its frames; asked as anybody on its network may ask."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5.0)
            asking.sendto(struct.pack(">BBHHHI", 0x42, 1, 0x80, 4, 1, 0x0D00), (ADDRESS, 3956))
            *_, port = struct.unpack(">HHHHI", asking.recv(64))
        return int(port)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            os.close(self._turn)


class Stamped(GenicamSource):
    """Says when the library had the frame, in place of when it was exposed."""

    def _exposed_at(self, raw: RawFrame) -> float:  # noqa: ARG002 - its time is not wanted
        return time.monotonic()


def _listening() -> str:
    return Path("/proc/net/udp").read_text()


def gige(**changes: Any) -> ProcessCamera:
    """That camera, as a station opens it."""
    settings = {"camera": ADDRESS, "exposure_us": 10_000, "latency_ms": 20, "reopen_tries": 40}
    return genicam_camera(GenicamSettings.model_validate({**settings, **changes}))


def source(**changes: Any) -> GenicamSource:
    """Without a process between, for what only the camera and the library do."""
    settings = {"camera": ADDRESS, "exposure_us": 10_000, **changes}
    return GenicamSource(GenicamSettings.model_validate(settings))


def number_in(image: Image) -> int:
    """Of the frame, modulo 255."""
    return int(image[0, 0, 0])


def require_gige_camera() -> None:
    """Skip where Debian's package is not there."""
    if not shutil.which(PROGRAM):
        pytest.skip("needs the Debian package aravis-tools")
