"""A file of a folder that somebody else may write: what stands there may be a link, or a pipe."""

import os
import stat
from pathlib import Path, PurePosixPath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # without it a pipe is waited for


def read_inside(folder: Path, name: str, bytes_max: int) -> bytes:
    """The bytes of `folder/name`, which is a file there: no part of `name` may be a link.

    Raises OSError, ValueError for what is no file, lies outside, or is longer than bytes_max.
    """
    *between, last = PurePosixPath(name).parts or ("",)
    if name.startswith("/") or ".." in (*between, last):
        raise ValueError(f"{name}: leads out of {folder}")
    where = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for each in between:
            inner = os.open(each, _FOLDER, dir_fd=where)
            os.close(where)
            where = inner
        handle = os.open(last, _FILE, dir_fd=where)
    finally:
        os.close(where)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{name}: is not a file")
        with open(handle, "rb", closefd=False) as file:
            data = file.read(min(bytes_max, found.st_size) + 1)
    finally:
        os.close(handle)
    if len(data) > bytes_max:
        raise ValueError(f"{name}: longer than {bytes_max} bytes")
    return data
