"""A folder of pictures is one archive's: what lies in it is its own to delete."""

import os
from pathlib import Path

from inspector.contract.alone import hold
from inspector.contract.errors import ConfigError, InUseError

# Without it in a folder that is not empty, nothing there is ours to delete
MARK = ".inspector-archive"


def require_own(folder: Path, key: str) -> None:
    """Raises ConfigError, naming the settings' key, for a folder that holds somebody else's files,
    OSError where it cannot be looked at.
    """
    if folder.is_dir() and not (folder / MARK).exists() and any(folder.iterdir()):
        raise ConfigError(
            f"{key} {folder}: holds files that are not the archive's, which would delete the "
            "oldest: give it a folder of its own"
        )


def claim(folder: Path, key: str) -> int | None:
    """Make the folder, mark it, and be its only archive until the descriptor that comes back is
    closed, or the process ends; None where its file system has no locks.

    Raises ConfigError for a folder that holds somebody else's files, InUseError for one that
    another station, or this one's shadow, has; OSError where it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    require_own(folder, key)
    mark = folder / MARK
    if not mark.exists():
        mark.write_text("the oldest pictures in this folder are deleted\n")
    return _locked(mark, key)


def require_free(folder: Path, key: str) -> None:
    """Raises InUseError where another has it now, OSError where it cannot be looked at."""
    mark = folder / MARK
    held = _locked(mark, key) if mark.exists() else None
    if held is not None:
        os.close(held)


def _locked(mark: Path, key: str) -> int | None:
    handle = os.open(mark, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if hold(handle):
            return handle
    except OSError:
        os.close(handle)
        return None
    os.close(handle)
    raise InUseError(
        f"{key} {mark.parent}: another archive keeps its pictures there, another station's or "
        "a shadow's; each would delete the other's oldest: give it a folder of its own",
        "unknown",
    )
