"""One process at a time: a file that is locked for as long as its holder lives."""

import fcntl
import os
from pathlib import Path


class HeldError(Exception):
    """Another process has it; its number, or "unknown"."""


def alone(path: Path) -> int:
    """A descriptor of the locked file, which names this process; the system lets go when it is
    closed or the process ends, however it ends.

    The file stays: whoever removed it could have two holders. Raises HeldError, OSError.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise HeldError(holder) from None
    except OSError:
        os.close(handle)
        raise
    return handle
