"""The files of an archive as anybody may read them: pictures, and where their defects are."""

import os
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from inspector.contract.command import PICTURE_BYTES_MAX
from inspector.contract.pictures import MAP as MAP
from inspector.contract.pictures import SUFFIX as SUFFIX

NAME_MAX = 200
READ_BYTES_MAX = 64_000_000
# How a whole file begins and ends. None is synchronised: after a power cut one may be empty, or
# hold zeros where its rest should be
_ENDS = {SUFFIX: (b"\xff\xd8", b"\xff\xd9"), MAP: (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82")}


def read_kept(folder: Path, result_id: str, ending: Literal[".jpg", ".map.png"] = SUFFIX) -> bytes:
    """The archive's own bytes of a result's picture, a JPEG, or of where its defect is, a PNG.

    Raises ValueError for what is no result_id, FileNotFoundError, OSError, also for a file that is
    no picture or not a whole one.
    """
    if not is_file_name(result_id):
        raise ValueError(result_id)
    # a link in the folder is not the archive's
    handle = os.open(folder / (result_id + ending), os.O_RDONLY | os.O_NOFOLLOW)
    with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor
        data = file.read(READ_BYTES_MAX)
    first, last = _ENDS[ending]
    if not (data.startswith(first) and data.endswith(last)):
        raise OSError("is no picture, or not a whole one")
    return data


def is_kept(folder: Path, result_id: str) -> bool:
    """Whether `read_kept` would find one now."""
    return is_file_name(result_id) and (folder / (result_id + SUFFIX)).is_file()


def is_file_name(name: str) -> bool:
    return 0 < len(name) <= NAME_MAX and not name.startswith(".") and not set(name) & set("/\\\0")


def fitted(data: bytes) -> tuple[bytes, float]:
    """The same bytes, or a smaller JPEG of the same picture, and by which factor it is smaller.

    Raises OSError, cv2.error where they are no picture.
    """
    if len(data) <= PICTURE_BYTES_MAX:
        return data, 1.0
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError("is no picture")
    scale = 1.0
    while len(data) > PICTURE_BYTES_MAX:
        scale *= 0.9 * min(1.0, (PICTURE_BYTES_MAX / len(data)) ** 0.5)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        data = cv2.imencode(SUFFIX, small, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    return data, scale
