"""One process at a time: a file that is locked for as long as its holder lives."""

import fcntl
import os
from pathlib import Path


class HeldError(Exception):
    """Another process has it; its number, or "unknown"."""


def make_as_its_folder(path: Path, mode: int = 0o644) -> None:
    """Root's hand makes no file that a service, whose folder it is, could not open afterwards.

    An empty one where there is none, of its folder's owner; for others than root nothing. What is
    there already, a link too, stays as it is. Raises OSError.
    """
    if os.geteuid() != 0:
        return
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        return
    try:
        _give_to_its_folder(handle, path)
    finally:
        os.close(handle)


def make_folder_as_its_own(path: Path) -> None:
    """The same of a folder, which may be there. Raises OSError."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    if os.geteuid() != 0:
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _give_to_its_folder(handle, path)
    finally:
        os.close(handle)


def _give_to_its_folder(handle: int, path: Path) -> None:
    folder = path.parent.stat()
    os.fchown(handle, folder.st_uid, folder.st_gid)


def alone(path: Path) -> int:
    """A descriptor of the locked file, which names this process; the system lets go when it is
    closed or the process ends, however it ends.

    The file stays: whoever removed it could have two holders. Raises HeldError, OSError.
    """
    make_as_its_folder(path)
    linked = path.is_symlink()  # by whoever has the folder: what it leads to is locked, not written
    how = os.O_RDONLY | os.O_NONBLOCK if linked else os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    handle = os.open(path, how | os.O_CLOEXEC, 0o644)
    try:
        if not hold(handle):
            raise HeldError(os.read(handle, 32).decode(errors="replace").strip() or "unknown")
        if not linked:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def hold(handle: int) -> bool:
    """Lock an open file or folder until it is closed; False where another has it. Raises OSError
    where its file system has no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
