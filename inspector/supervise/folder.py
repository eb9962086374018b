"""The state folder is one station's: its command socket, its starts and its fault lie there."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspector.contract.alone import hold
from inspector.contract.errors import InUseError

log = logging.getLogger(__name__)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Be the only station there; the system lets go when the process ends, however it ends.

    The folder itself is locked and nothing is written, so that a full disk keeps no station from
    starting; one that cannot be locked at all is said. Raises InUseError.
    """
    handle = _locked(folder)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _locked(folder: Path) -> int | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        log.warning("state folder %s: %s", folder, error.strerror)
        return None
    try:
        if hold(handle):
            return handle
    except OSError as error:  # a file system without locks
        log.warning("state folder %s: cannot be locked: %s", folder, error.strerror)
        return handle
    os.close(handle)
    raise InUseError(
        f"state folder {folder}: a station runs there already. If it is another than this one, "
        "commands to one would be followed by the other: name a state_folder of its own",
        "unknown",
    )
