"""SHA256SUMS as text: which file is at fault; and files that a power cut does not take back."""

import hashlib
import os
from pathlib import Path

from inspector.contract.errors import BundleError
from inspector.contract.inside import read_inside

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
FILES_MAX = 2_000
BYTES_MAX = 2_000_000_000


def first_difference(recorded: str, actual: str, sums: str) -> str:
    """Which file is at fault, for the person who has to replace it. sums: what theirs is called."""
    before, after = _by_name(recorded), _by_name(actual)
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            return f"{name} is missing"
        if name not in before:
            return f"{name} does not belong to it"
        if before[name] != after[name]:
            return f"{name} is damaged: its hash is not the one in {sums}"
    return f"{sums} is damaged"


def _by_name(text: str) -> dict[str, str]:
    pairs = (line.split("  ", 1) for line in text.splitlines() if "  " in line)
    return {name: digest for digest, name in pairs}


def sync(path: Path) -> None:
    """On disk when this returns: a file's bytes, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums_of(folder: Path) -> str:
    """The text SHA256SUMS must have. Raises BundleError for what no bundle holds."""
    lines: list[str] = []
    total = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise BundleError(f"bundle {folder}: {name} is a link; a bundle has none")
        if path.is_dir():
            continue
        if not path.is_file():  # reading a pipe would never end
            raise BundleError(f"bundle {folder}: {name} is not a file; a bundle has no other")
        if name in (SUMS, SIGNATURE):
            continue
        total += path.stat().st_size
        if len(lines) >= FILES_MAX or total > BYTES_MAX:
            raise BundleError(f"bundle {folder}: more than {FILES_MAX} files or {BYTES_MAX} bytes")
        lines.append(f"{file_sha256(path)}  {name}\n")
    return "".join(lines)


def read_summed(folder: Path, name: str, sums: str) -> bytes:
    """The very bytes that `sums` are of: since they were verified, a file may have been changed by
    whoever may write the folder. Raises BundleError.
    """
    try:
        data = read_inside(folder, name, BYTES_MAX)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise BundleError(f"bundle {folder}: {name}: cannot be read: {words}") from None
    if f"{hashlib.sha256(data).hexdigest()}  {name}\n" not in sums:
        raise BundleError(f"bundle {folder}: {name} was changed after it had been verified")
    return data
