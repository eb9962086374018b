"""Arrays on disk that are filled piece by piece, with all of their room taken beforehand."""

import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from inspector.contract.errors import InspectorError
from inspector.contract.whole import NO_ROOM


def blank(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> "np.memmap[Any, Any]":
    """A new .npy file of zeros, mapped for writing; one that is there is replaced.

    Raises InspectorError where the disk has no room for the whole of it.
    """
    path.unlink(missing_ok=True)
    free = shutil.disk_usage(path.parent).free
    try:
        values = open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        # As numpy makes it the file has holes: one met on a full disk ends the process by SIGBUS.
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        path.unlink(missing_ok=True)
        needed = math.prod(shape) * np.dtype(dtype).itemsize
        raise InspectorError(
            f"{path.parent}: the disk has no room for {path.name}: it needs {needed:,} bytes, "
            f"{free:,} are free; with more room the same command goes on"
        ) from None
    return values
