"""Puts a station's wishes into a GenICam camera; what it refuses is said with what it allows."""

from collections.abc import Iterable

from inspector.contract.errors import DeviceError
from inspector.devices.aravis import Device
from inspector.devices.genicam_settings import GenicamSettings

OFF = 0
PER_FRAME = ("FrameStart", "FrameBurstStart")
"""What one pulse begins; after "AcquisitionStart", the last that Aravis would take, a camera would
run by itself."""
READ_BACK = 0.02
"""A camera rounds exposure, gain and rate to its own steps: so much may be missing, as a share."""


def set_up(device: Device, wishes: GenicamSettings) -> float:
    """Everything, read back; returns the exposure time in seconds.

    Raises DeviceError naming the key, what was wished and what this camera allows.
    """
    _pixel_format(device, wishes.pixel_format)
    _region(device, wishes)
    _no_automatic(device, wishes)
    for key, what, wished in (
        ("exposure_us", "exposure_time", wishes.exposure_us),
        ("gain", "gain", wishes.gain),
        ("frames_per_s", "frame_rate", wishes.frames_per_s),
    ):
        if wished is not None:
            _number(device, key, what, wished)
    _trigger(device, wishes)
    _packet_size(device, wishes.packet_size)
    exposure_us: float = device.call("get_exposure_time")
    return exposure_us / 1e6


def _pixel_format(device: Device, wished: str | None) -> None:
    if wished is not None:
        _among("pixel_format", wished, device.names("dup_available_pixel_formats_as_strings"))
        device.call("set_pixel_format_from_string", wished.encode())


def _region(device: Device, wishes: GenicamSettings) -> None:
    wished = (wishes.x, wishes.y, wishes.width, wishes.height)
    if all(each is None for each in wished):
        return
    device.call("set_region", 0, 0, -1, -1)  # an offset narrows what the size may be
    for what, value in (("width", wishes.width), ("height", wishes.height)):
        if value is not None:
            _within(what, value, device.bounds(what))
    device.call("set_region", -1, -1, wishes.width or -1, wishes.height or -1)
    for what, value in (("x", wishes.x), ("y", wishes.y)):
        if value:
            _within(what, value, device.bounds(f"{what}_offset"))
    device.call("set_region", wishes.x or 0, wishes.y or 0, -1, -1)
    for key, value, is_now in zip(
        ("x", "y", "width", "height"), wished, device.region(), strict=True
    ):
        if value is not None and value != is_now:
            raise DeviceError(f"{key} {value}: the camera made {is_now} of it; it goes in steps")


def _no_automatic(device: Device, wishes: GenicamSettings) -> None:
    """An exposure that follows the parts changes how they look, and nobody knows its length."""
    if device.call("is_exposure_auto_available"):
        if wishes.exposure_us is not None:
            device.call("set_exposure_time_auto", OFF)
        elif device.call("get_exposure_time_auto") != OFF:
            raise DeviceError("chooses its exposure by itself: name one as exposure_us")
    if wishes.gain is not None and device.call("is_gain_auto_available"):
        device.call("set_gain_auto", OFF)


def _number(device: Device, key: str, what: str, wished: float) -> None:
    _within(key, wished, device.bounds(what))
    device.call(f"set_{what}", wished)
    is_now = device.call(f"get_{what}")
    if abs(is_now - wished) > READ_BACK * max(wished, 1.0):
        raise DeviceError(f"{key} {wished:.10g}: the camera made {is_now:.10g} of it")


def _trigger(device: Device, wishes: GenicamSettings) -> None:
    if wishes.trigger == "free":
        device.call("clear_triggers")
        return
    source = "Software" if wishes.trigger == "software" else wishes.line
    sources = device.names("dup_available_trigger_sources")
    _among("trigger" if wishes.trigger == "software" else "line", source, sources)
    device.call("set_trigger", source.encode())
    for feature, wished in (
        ("TriggerSelector", PER_FRAME),
        ("TriggerMode", ("On",)),
        ("TriggerSource", (source,)),
    ):
        if device.call("is_feature_available", feature.encode()):
            is_now = device.call("get_string", feature.encode()).decode(errors="replace")
            if is_now not in wished:
                raise DeviceError(f"{feature} {wished[0]}: the camera made {is_now} of it")


def _packet_size(device: Device, wished: int | None) -> None:
    if wished is None:
        return
    _within("packet_size", wished, device.packet_bounds())
    device.call("gv_set_packet_size", wished)
    is_now = device.call("gv_get_packet_size")
    if is_now != wished:
        raise DeviceError(f"packet_size {wished}: the camera made {is_now} of it; it goes in steps")


def _within(key: str, wished: float, bounds: tuple[float, float]) -> None:
    least, most = bounds
    if not least <= wished <= most:
        raise DeviceError(f"{key} {wished:.10g}: this camera allows {least:.10g} to {most:.10g}")


def _among(key: str, wished: str, allowed: Iterable[str]) -> None:
    if wished not in (names := list(allowed)):
        raise DeviceError(f"{key} {wished}: this camera allows {', '.join(names) or 'none'}")
