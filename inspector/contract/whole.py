"""A file that is there whole or not at all, also after a power cut."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from inspector.contract.errors import ConfigError
from inspector.contract.sums import sync

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""A write that fails for these does not say of which file."""


def require_place(option: str, path: Path, *read: Path) -> None:
    """That a file can be put there, and takes the place of none that is read; asked before the
    work. Raises ConfigError."""
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"{option} {path}: must be a file in a folder that is there")
    if path.exists() and any(each.exists() and path.samefile(each) for each in read):
        raise ConfigError(f"{option} {path}: is what is read: name another file")


def require_replaceable(option: str, path: Path, begins: bytes, what: str) -> None:
    """As `require_place`; and what is there already, if anything, begins so, as an earlier one did.

    what: it is, for who reads the error. Raises ConfigError.
    """
    require_place(option, path)
    if not path.is_file():
        return
    with path.open("rb") as file:
        there = file.read(len(begins))
    if there not in (b"", begins):
        raise ConfigError(f"{option} {path}: is there and is no {what}, and would be written over")


def write_whole(path: Path, data: bytes, *, draft: Path | None = None) -> None:
    """A reader sees the old file or the new one, a power cut leaves one of them.

    draft: where it lies until it is whole, on the same disk; one of its own for each writer where
    several may write the same file. Raises OSError; then none of it is left on the disk.
    """
    draft = draft or path.with_name(path.name + ".part")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
    sync(path.parent)
