"""A GenICam camera through Aravis: GigE Vision, and USB3 Vision by the same calls.

Every call can fail: then it raises DeviceError in the library's words.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import byref, c_double, c_int, c_int64, c_size_t, c_uint, c_uint8, c_uint32
from dataclasses import dataclass
from typing import Any

import numpy as np

from inspector.contract.errors import DeviceError
from inspector.contract.image import Image
from inspector.devices.aravis_calls import call, free, unref
from inspector.devices.aravis_room import make_room

SUCCESS, CLEARED = 0, 1
NO_PACKET_SOCKET = 1
LOST = "packets were lost"
# of an ArvBufferStatus; aravis' arvbuffer.h
_SPOILED = {
    2: LOST,
    3: LOST,
    4: "its packets are out of order",
    5: "it is larger than the camera said",
    7: "it was broken off",
}
_PRIVILEGE = 0x0A00  # GigE Vision bootstrap register: who controls the camera


@dataclass(frozen=True, slots=True)
class Found:
    """A camera that answered."""

    id: str
    vendor: str
    model: str
    serial: str
    address: str
    protocol: str

    def answers_to(self, name: str) -> bool:
        return name in (self.id, self.serial, self.address)


def found() -> list[Found]:
    """Every camera that answers within a second. Raises ConfigError without the library."""
    call("arv_update_device_list")
    whats = ("id", "vendor", "model", "serial_nbr", "address", "protocol")
    return [
        Found(*(_text(call(f"arv_get_device_{what}", i)) for what in whats))
        for i in range(call("arv_get_n_devices"))
    ]


def _text(text: bytes | None) -> str:
    """What a camera says of itself, as it may stand in a message."""
    return "".join(c if c.isprintable() else "?" for c in (text or b"").decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A whole frame as it came; the pixels are the library's until the next one is asked for."""

    rows: Image
    """height x bytes of a row, its padding left out."""
    pixel_format: int
    """GenICam's number for it (PFNC)."""
    width: int
    device_s: float
    """The camera's own clock at the exposure, from some beginning; 0 where it has none."""
    leader_s: float
    """This machine's wall clock when the frame's first packet was seen."""


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A frame that did not come whole, and why."""

    why: str


class Taken(DeviceError):  # noqa: N818 - the word for it
    """The camera is there and in other hands."""


class Device:
    """One camera under our control. One thread uses it."""

    def __init__(self, name: str) -> None:
        """Raises DeviceError where it is not there, Taken where another program controls it."""
        self._camera = call("arv_camera_new", name.encode())
        self._device = call("arv_camera_get_device", self._camera)
        self._is_gige = bool(call("arv_camera_is_gv_device", self._camera))
        self._stream: int | None = None
        self._too_small = ""
        self.strange = 0
        """Packets that belong to no frame, each given out as one."""
        if self._is_gige and not call("arv_gv_device_is_controller", self._device):
            self.close()
            raise Taken("is controlled by another program, or was until a moment ago")
        with suppress(DeviceError):  # who was killed has left it sending, to an address of his
            self.call("stop_acquisition")

    def call(self, verb: str, *arguments: Any) -> Any:
        """arv_camera_VERB of this camera. Raises DeviceError in the library's words."""
        return call(f"arv_camera_{verb}", self._camera, *arguments)

    def bounds(self, what: str) -> tuple[float, float]:
        """The least and greatest value that the camera takes just now."""
        kind = c_double if what in ("exposure_time", "gain", "frame_rate") else c_int
        least, most = kind(), kind()
        self.call(f"get_{what}_bounds", byref(least), byref(most))
        return least.value, most.value

    def packet_bounds(self) -> tuple[int, int]:
        least, most = c_int64(), c_int64()
        feature = b"GevSCPSPacketSize"
        bounds = "arv_device_get_integer_feature_bounds"
        call(bounds, self._device, feature, byref(least), byref(most))
        return least.value, most.value

    def region(self) -> tuple[int, int, int, int]:
        """x, y, width, height."""
        values = tuple(c_int() for _ in range(4))
        self.call("get_region", *(byref(value) for value in values))
        x, y, width, height = (value.value for value in values)
        return x, y, width, height

    def names(self, verb: str) -> list[str]:
        """What a choice of this camera may be."""
        count = c_uint()
        listed = self.call(verb, byref(count))
        names = [_text(listed[i]) for i in range(count.value)]
        if listed:
            free(listed)
        return names

    def start(self, buffers: int) -> None:
        """Begin to receive."""
        self.call("set_acquisition_mode", 0)  # continuous
        payload = self.call("get_payload")
        if self._is_gige:
            # root would get a packet socket: until that has its filter it hears every program of
            # the machine, and their packets came as frames
            call("arv_camera_gv_set_stream_options", self._camera, NO_PACKET_SOCKET)
        self._stream = self.call("create_stream", None, None)
        if self._is_gige:
            self._too_small = make_room(call("arv_gv_stream_get_port", self._stream), payload)
        for _ in range(buffers):
            self._lend(call("arv_buffer_new_allocate", payload))
        self.call("start_acquisition")

    @contextmanager
    def next(self, timeout_s: float) -> Iterator[RawFrame | Spoiled | None]:
        """The next frame, whose memory the library has back at the end; None: none in time.

        What is none, and that the library gives out as one, is passed over and counted.
        """
        end = time.monotonic() + timeout_s
        while (buffer := self._pop(end - time.monotonic())) and _is_strange(buffer):
            self.strange += 1
            self._lend(buffer)
        if buffer is None:
            yield None
            return
        try:
            raw = _look_at(buffer)
            lost = isinstance(raw, Spoiled) and raw.why == LOST
            yield Spoiled(LOST + self._too_small) if lost else raw
        finally:
            self._lend(buffer)

    def _pop(self, timeout_s: float) -> int | None:
        timeout_us = max(0, round(timeout_s * 1e6))
        buffer: int | None = call("arv_stream_timeout_pop_buffer", self._stream, timeout_us)
        return buffer

    def _lend(self, buffer: int) -> None:
        """To the library, for a frame; marked, as a frame's first packet sets this time anew."""
        call("arv_buffer_set_system_timestamp", buffer, 0)
        call("arv_stream_push_buffer", self._stream, buffer)

    def require_control(self) -> None:
        """Raises DeviceError where the camera is gone, or no longer ours since it was restarted."""
        if not self._is_gige:
            self.call("get_payload")
            return
        privilege = c_uint32()
        call("arv_device_read_register", self._device, _PRIVILEGE, byref(privilege))
        if not privilege.value:
            raise DeviceError("has forgotten us: it was restarted, or did not hear us for too long")

    def close(self) -> None:
        """Stop it and give it free for others."""
        if self._stream is not None:
            with suppress(DeviceError):  # it may be gone
                self.call("stop_acquisition")
            unref(self._stream)
            self._stream = None
        if self._camera is not None:
            unref(self._camera)
            self._camera = None


def _is_strange(buffer: int) -> bool:
    """For any packet that comes to its port and belongs to no frame (anybody on the network can
    send one) the library gives out a buffer as it lies there: with an older picture, and its
    status, which is success.
    """
    status = call("arv_buffer_get_status", buffer)
    return status in (SUCCESS, CLEARED) and not call("arv_buffer_get_system_timestamp", buffer)


def _look_at(buffer: int) -> RawFrame | Spoiled:
    status = call("arv_buffer_get_status", buffer)
    if status != SUCCESS:
        return Spoiled(_SPOILED.get(status, f"status {status}"))
    size, padding, below = c_size_t(), c_int(), c_int()
    start = call("arv_buffer_get_image_data", buffer, byref(size))
    width = call("arv_buffer_get_image_width", buffer)
    height = call("arv_buffer_get_image_height", buffer)
    pixel_format = call("arv_buffer_get_image_pixel_format", buffer)
    call("arv_buffer_get_image_padding", buffer, byref(padding), byref(below))
    row = width * (pixel_format >> 16 & 0xFF) // 8  # PFNC: the second byte says bits a pixel
    stride = row + padding.value
    if not start or row <= 0 or height <= 0 or size.value < stride * height:
        return Spoiled(f"{size.value} bytes are no picture of {width}x{height}")
    memory = (c_uint8 * (stride * height)).from_address(start)
    return RawFrame(
        rows=np.frombuffer(memory, np.uint8).reshape(height, stride)[:, :row],
        pixel_format=pixel_format,
        width=width,
        device_s=call("arv_buffer_get_timestamp", buffer) / 1e9,
        leader_s=call("arv_buffer_get_system_timestamp", buffer) / 1e9,
    )
