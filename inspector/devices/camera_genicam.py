"""A GenICam camera (GigE Vision; USB3 Vision by the same library, untried) through Aravis."""

import math
import time
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import islice
from typing import get_args

import cv2
import numpy as np

from inspector.contract.errors import DeviceError, FrameError
from inspector.contract.image import Image
from inspector.devices import aravis
from inspector.devices.aravis_calls import require
from inspector.devices.capture_process import ProcessCamera
from inspector.devices.capture_watch import Patience
from inspector.devices.capture_wire import Shot
from inspector.devices.frame_time import SETTLE, FrameTime
from inspector.devices.genicam_settings import GenicamSettings, PixelFormat
from inspector.devices.genicam_setup import set_up

BUFFERS = 8
LOOK_S = 0.2
FOR_EVER_S = 3_600.0
"""A free-running camera that is silent so long: it was killed long before."""
GRACE_S = 0.3
HELD_UP_S = 0.1
QUIET_S = 0.2
UNASKED = "sends frames that nobody asked for: its trigger does not hold"
UNASKED_S = 2.0
"""So long after its start a triggered camera may send what it still had: then it is refused."""
ANSWER_S = 0.4
"""A trigger unanswered for some longer, 0.5 s, is sent again by the library."""

# PFNC's numbers; OpenCV's short Bayer names mean another corner, so the long ones are used
_TO_BGR: dict[int, tuple[int, int | None]] = {
    0x01080001: (1, cv2.COLOR_GRAY2BGR),
    0x01080008: (1, cv2.COLOR_BayerGRBG2BGR),
    0x01080009: (1, cv2.COLOR_BayerRGGB2BGR),
    0x0108000A: (1, cv2.COLOR_BayerGBRG2BGR),
    0x0108000B: (1, cv2.COLOR_BayerBGGR2BGR),
    0x02180014: (3, cv2.COLOR_RGB2BGR),
    0x02180015: (3, None),
}


def genicam_camera(settings: GenicamSettings) -> ProcessCamera:
    """A camera in a process of its own. Raises ConfigError where Aravis is not installed."""
    require()
    stall_s = settings.read_timeout_ms / 1000
    patience = Patience(
        open_s=settings.open_timeout_ms / 1000,
        # it gives up on a trigger by itself, and says more than silence does
        stall_s=stall_s + GRACE_S if settings.trigger == "software" else stall_s,
        tries=settings.reopen_tries,
        reports=settings.trigger != "free",
    )
    shown = f"camera {settings.camera}"
    if settings.trigger == "line":
        shown += f" on {settings.line}"
    on_request = settings.trigger == "software"
    return ProcessCamera(shown, GenicamSource, settings, patience, on_request=on_request)


class GenicamSource:
    """`capture_wire.Source`; from the library's memory into the shared one in one step."""

    def __init__(self, settings: GenicamSettings) -> None:
        self._settings = settings
        self.on_request = settings.trigger == "software"
        self._device: aravis.Device | None = None
        self._time = FrameTime()
        self._before_leader_s = 0.0
        self._without_clock = 0
        self._may_expose_twice = False

    def open(self) -> None:
        self._device = device = _opened(self._settings.camera)
        exposure_s = set_up(device, self._settings)
        self._before_leader_s = exposure_s + self._settings.latency_ms / 1000
        # pulses may be far apart: no part can be spent on getting to know the clock
        settle = 1 if self._settings.trigger == "line" else SETTLE
        self._time, self._without_clock = FrameTime(settle), 0
        device.start(BUFFERS)
        self._let_settle(device)

    def read(self, into: Image | None) -> Shot | None:
        device = self._open_device
        if self.on_request:
            return self._expose(device, into)
        began_at = time.monotonic()
        self._time.look(began_at, time.time())
        wait_s = FOR_EVER_S if self._settings.trigger == "free" else LOOK_S
        with device.next(wait_s) as raw:
            self._time.look(time.monotonic(), time.time())
            if raw is None:
                self.rest()
                return None
            whole = _whole(raw)
            exposed_at = self._exposed_at(whole)
            if time.monotonic() - began_at > wait_s + HELD_UP_S:
                exposed_at = None  # we were stopped: it may have lain there
            return Shot(to_bgr(whole, into), exposed_at or 0.0, fresh=exposed_at is not None)

    def rest(self) -> None:
        device = self._open_device
        device.require_control()
        if self.on_request:
            self._require_silence(device)

    def close(self) -> None:
        if self._device is not None:
            device, self._device = self._device, None
            device.close()

    @property
    def _open_device(self) -> aravis.Device:
        if self._device is None:
            raise DeviceError("is not open")
        return self._device

    def _expose(self, device: aravis.Device, into: Image | None) -> Shot:
        self._require_silence(device)
        triggered_at = time.monotonic()  # the exposure cannot have begun before this
        device.call("software_trigger")
        self._may_expose_twice = time.monotonic() - triggered_at > ANSWER_S
        timeout_s = self._settings.read_timeout_ms / 1000
        with device.next(timeout_s) as raw:
            if raw is None:
                strange = f"; {device.strange} strange packets came to its port"
                raise DeviceError(
                    f"gave no frame within {timeout_s:g} s of its trigger"
                    f"{strange if device.strange else ''}"
                )
            return Shot(to_bgr(_whole(raw), into), triggered_at, fresh=True)

    def _let_settle(self, device: aravis.Device) -> None:
        """What comes right after the start may be from before it, so it is nobody's picture. A
        camera that is to be asked must have fallen silent: raises DeviceError where it does not.
        """
        window_s = min(QUIET_S + self._before_leader_s, UNASKED_S)
        came: list[bool] = []
        began_at = now = time.monotonic()
        end = now + window_s
        while now < end:
            with device.next(end - now) as raw:
                if raw is None:
                    return
                came.append(_is_whole(raw))
            now = time.monotonic()
            if self.on_request:
                end = now + window_s
                if now - began_at > UNASKED_S:
                    raise DeviceError(_unasked(came, f" in {now - began_at:.1f} s"))

    def _require_silence(self, device: aravis.Device) -> None:
        """Raises DeviceError where frames lie there that nobody asked for."""
        if self._may_expose_twice:
            self._let_settle(device)
            self._may_expose_twice = False
        if came := list(islice(_waiting(device), BUFFERS)):
            raise DeviceError(_unasked(came))

    def _exposed_at(self, raw: aravis.RawFrame) -> float | None:
        if raw.device_s in (0.0, raw.leader_s):  # the library's stand-in for a missing clock
            self._without_clock += 1
            if self._without_clock >= SETTLE:
                raise DeviceError('puts no time into its frames: it needs trigger = "software"')
            return None
        self._without_clock = 0
        stamped_at = self._time.of(raw.device_s, raw.leader_s)
        return None if stamped_at is None else stamped_at - self._before_leader_s


def _waiting(device: aravis.Device) -> Iterator[bool]:
    """Of each frame that is there already, whether it is whole."""
    while True:
        with device.next(0.0) as raw:
            if raw is None:
                return
            yield _is_whole(raw)


def _is_whole(raw: aravis.RawFrame | aravis.Spoiled) -> bool:
    return isinstance(raw, aravis.RawFrame)


def _unasked(came: list[bool], when: str = "") -> str:
    return f"{UNASKED} ({sum(came)} whole and {came.count(False)} spoiled came{when})"


def _opened(name: str) -> aravis.Device:
    """Raises DeviceError, saying which cameras are there, where this one is not."""
    if _is_address(name):  # asked directly: at once, and behind a router too
        try:
            return aravis.Device(name)
        except aravis.Taken:
            raise
        except DeviceError:
            pass  # others may be there
    cameras = aravis.found()
    for camera in cameras:
        if camera.answers_to(name):
            return aravis.Device(camera.id)
    others = ", ".join(f"{each.id} at {each.address}" for each in cameras)
    raise DeviceError(f"does not answer; there is {others}" if others else "does not answer")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _whole(raw: aravis.RawFrame | aravis.Spoiled) -> aravis.RawFrame:
    if isinstance(raw, aravis.Spoiled):
        raise FrameError(f"a frame is not whole: {raw.why}")
    return raw


def to_bgr(raw: aravis.RawFrame, into: Image | None) -> Image:
    """In one step from the library's memory into the one given, where its size is right."""
    if raw.pixel_format not in _TO_BGR:
        raise DeviceError(
            f"sends pixel format 0x{raw.pixel_format:08X}, which is none of "
            f"{', '.join(get_args(PixelFormat))}; name one as pixel_format"
        )
    channels, code = _TO_BGR[raw.pixel_format]
    shape = (len(raw.rows), raw.width, 3)
    if math.prod(shape) == 0:
        raise DeviceError(f"sends pictures of {raw.width}x{len(raw.rows)}")
    out = into if into is not None and into.shape == shape else np.empty(shape, np.uint8)
    pixels = raw.rows.reshape(len(raw.rows), raw.width, channels)
    if code is None:
        np.copyto(out, pixels)
    else:
        cv2.cvtColor(pixels, code, dst=out)
    return out
