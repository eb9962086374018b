"""The bundles' folder, and which of them it asks its stations to serve by: the file `current`.

A pointer, not the newest bundle: what is newest depends on clocks and on how a folder was copied,
and a pointer written by rename is there whole or not at all.
"""

import hashlib
import os
from itertools import islice
from pathlib import Path

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from inspector.contract.bundle import FILES_MAX
from inspector.contract.strict import Name, Strict
from inspector.contract.whole import write_whole

POINTER = "current"
POINTER_BYTES_MAX = 256
_NAME: TypeAdapter[str] = TypeAdapter(Name)


class BundleSettings(Strict):
    """Where bundles are, and whose are taken. `bundles = "DIR"` is short for the folder alone."""

    folder: Path
    public_key: Path | None = None
    """With it, a bundle that is not signed by its private key is refused."""
    watch: bool = True
    """Follow the file `current` in the folder."""


FolderAlone = BeforeValidator(lambda value: {"folder": value} if isinstance(value, str) else value)
"""For settings that name the folder and nothing else."""


class Wish(Strict):
    """What the pointer file in the bundles' folder asks for."""

    bundle: str
    """As it is written there: it may be no name at all."""
    mark: str
    """Differs as soon as the pointer, or any file of the bundle it names, is another."""


def point_to(folder: Path) -> Path:
    """Make a bundle's folder the one its stations shall load; returns the pointer's path.

    The bundle is not looked into: each station verifies it for itself.
    """
    pointer = folder.resolve().parent / POINTER
    write_whole(pointer, f"{folder.resolve().name}\n".encode())
    return pointer


def read_wish(bundles: Path) -> Wish | None:
    """None where there is no pointer. Never raises: what cannot be read wishes for nothing yet."""
    pointer = bundles / POINTER
    try:
        with pointer.open("rb") as file:
            text = file.read(POINTER_BYTES_MAX).decode("utf-8", errors="replace").strip()
            written = os.fstat(file.fileno()).st_mtime_ns
        state = _state_of(bundles / text) if is_name(text) else ""
    except OSError:
        return None
    return Wish(bundle=text, mark=hashlib.sha256(f"{text} {written} {state}".encode()).hexdigest())


def is_name(text: str) -> bool:
    """Whether a wish can be a bundle's name, and so does not lead out of the folder."""
    try:
        _NAME.validate_python(text)
    except ValidationError:
        return False
    return True


def _state_of(folder: Path) -> str:
    """Names, sizes and times of a bundle's files: while it is being copied this changes."""
    files = islice(folder.rglob("*"), FILES_MAX + 2)
    stats = ((path.as_posix(), path.lstat()) for path in files)
    try:
        return repr(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))
    except RecursionError:  # a thousand folders deep: no bundle, as whoever opens it will say
        return ""
