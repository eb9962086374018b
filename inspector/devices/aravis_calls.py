"""The door to libaravis: its C interface, as far as `aravis.py` uses it.

Bound with ctypes, since the shared library alone is one Debian package, for any Python in any
virtual environment; its introspection bindings are for the system's Python only, and copy every
frame. Declared after https://aravisproject.github.io/docs/aravis-0.8/.
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_void_p
from functools import cache
from typing import Any

from inspector.contract.errors import ConfigError, DeviceError

LIBRARY = "libaravis-0.8.so.0"
MISSING = (
    f"genicam cameras need Aravis ({LIBRARY} is not installed): apt-get install libaravis-0.8-0"
)

_str, _ptr = c_char_p, c_void_p
_names = POINTER(c_char_p)
# What returns what and takes what; those with an error take one more argument, for it.
_PLAIN: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_update_device_list": (None, ()),
    "arv_get_n_devices": (c_uint, ()),
    **{
        f"arv_get_device_{what}": (_str, (c_uint,))
        for what in ("id", "vendor", "model", "serial_nbr", "address", "protocol")
    },
    "arv_camera_get_device": (_ptr, (_ptr,)),
    "arv_camera_is_gv_device": (c_int, (_ptr,)),
    "arv_gv_device_is_controller": (c_int, (_ptr,)),
    "arv_buffer_new_allocate": (_ptr, (c_size_t,)),
    "arv_buffer_get_status": (c_int, (_ptr,)),
    "arv_buffer_get_timestamp": (ctypes.c_uint64, (_ptr,)),
    "arv_buffer_get_system_timestamp": (ctypes.c_uint64, (_ptr,)),
    "arv_buffer_set_system_timestamp": (None, (_ptr, ctypes.c_uint64)),
    "arv_buffer_get_image_data": (_ptr, (_ptr, POINTER(c_size_t))),
    "arv_buffer_get_image_pixel_format": (ctypes.c_uint32, (_ptr,)),
    "arv_buffer_get_image_width": (c_int, (_ptr,)),
    "arv_buffer_get_image_height": (c_int, (_ptr,)),
    "arv_buffer_get_image_padding": (None, (_ptr, POINTER(c_int), POINTER(c_int))),
    "arv_camera_gv_set_stream_options": (None, (_ptr, c_int)),
    "arv_gv_stream_get_port": (ctypes.c_uint16, (_ptr,)),
    "arv_stream_push_buffer": (None, (_ptr, _ptr)),
    "arv_stream_timeout_pop_buffer": (_ptr, (_ptr, ctypes.c_uint64)),
}
_FAILING: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_camera_new": (_ptr, (_str,)),
    "arv_camera_set_region": (None, (_ptr, c_int, c_int, c_int, c_int)),
    "arv_camera_get_region": (None, (_ptr, *(POINTER(c_int),) * 4)),
    **{
        f"arv_camera_get_{what}_bounds": (None, (_ptr, POINTER(c_int), POINTER(c_int)))
        for what in ("width", "height", "x_offset", "y_offset")
    },
    **{
        f"arv_camera_get_{what}_bounds": (None, (_ptr, POINTER(c_double), POINTER(c_double)))
        for what in ("exposure_time", "gain", "frame_rate")
    },
    **{
        f"arv_camera_{verb}_{what}": signature
        for what in ("exposure_time", "gain", "frame_rate")
        for verb, signature in (("get", (c_double, (_ptr,))), ("set", (None, (_ptr, c_double))))
    },
    **{
        f"arv_camera_{verb}": (kind, (_ptr, *more))
        for verb, kind, more in (
            ("is_exposure_auto_available", c_int, ()),
            ("get_exposure_time_auto", c_int, ()),
            ("set_exposure_time_auto", None, (c_int,)),
            ("is_gain_auto_available", c_int, ()),
            ("set_gain_auto", None, (c_int,)),
        )
    },
    "arv_camera_get_pixel_format_as_string": (_str, (_ptr,)),
    "arv_camera_set_pixel_format_from_string": (None, (_ptr, _str)),
    "arv_camera_dup_available_pixel_formats_as_strings": (_names, (_ptr, POINTER(c_uint))),
    "arv_camera_dup_available_trigger_sources": (_names, (_ptr, POINTER(c_uint))),
    "arv_camera_set_trigger": (None, (_ptr, _str)),
    "arv_camera_clear_triggers": (None, (_ptr,)),
    "arv_camera_is_feature_available": (c_int, (_ptr, _str)),
    "arv_camera_get_string": (_str, (_ptr, _str)),
    "arv_camera_software_trigger": (None, (_ptr,)),
    "arv_camera_gv_set_packet_size": (None, (_ptr, c_int)),
    "arv_camera_gv_get_packet_size": (c_uint, (_ptr,)),
    "arv_camera_set_acquisition_mode": (None, (_ptr, c_int)),
    "arv_camera_get_payload": (c_uint, (_ptr,)),
    "arv_camera_create_stream": (_ptr, (_ptr, _ptr, _ptr)),
    "arv_camera_start_acquisition": (None, (_ptr,)),
    "arv_camera_stop_acquisition": (None, (_ptr,)),
    "arv_device_get_integer_feature_bounds": (
        None,
        (_ptr, _str, POINTER(c_int64), POINTER(c_int64)),
    ),
    "arv_device_read_register": (c_int, (_ptr, ctypes.c_uint64, POINTER(ctypes.c_uint32))),
}


class _GError(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p))


@cache
def libraries() -> tuple[ctypes.CDLL, ctypes.CDLL, ctypes.CDLL]:
    """aravis, glib and gobject. Raises ConfigError where they are not there."""
    try:
        aravis = ctypes.CDLL(LIBRARY)
        glib, gobject = ctypes.CDLL("libglib-2.0.so.0"), ctypes.CDLL("libgobject-2.0.so.0")
    except OSError:
        raise ConfigError(MISSING) from None
    for name, (returns, takes) in _PLAIN.items():
        function = getattr(aravis, name)
        function.restype, function.argtypes = returns, takes
    for name, (returns, takes) in _FAILING.items():
        function = getattr(aravis, name)
        function.restype, function.argtypes = returns, (*takes, POINTER(POINTER(_GError)))
    glib.g_error_free.argtypes = [POINTER(_GError)]
    glib.g_free.argtypes = gobject.g_object_unref.argtypes = [c_void_p]
    glib.g_error_free.restype = glib.g_free.restype = gobject.g_object_unref.restype = None
    return aravis, glib, gobject


def require() -> None:
    """Raises ConfigError, saying what to install, where Aravis is not there."""
    libraries()


def call(name: str, *arguments: Any) -> Any:
    """Raises DeviceError in the library's words."""
    aravis, glib, _ = libraries()
    if name in _PLAIN:
        return getattr(aravis, name)(*arguments)
    error = POINTER(_GError)()
    result = getattr(aravis, name)(*arguments, byref(error))
    if error:
        words = (error.contents.message or b"").decode(errors="replace")
        glib.g_error_free(error)
        raise DeviceError(words)
    return result


def unref(thing: int) -> None:
    """We do not need a camera or stream of the library any more."""
    libraries()[2].g_object_unref(thing)


def free(memory: Any) -> None:
    """A list that the library made for us."""
    libraries()[1].g_free(memory)
