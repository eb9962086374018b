"""Keys and passwords, which are files: read whole, and refused where the wrong people have a hand
in them.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inspector.contract.errors import ConfigError

SECRET_BYTES_MAX = 10_000
PUBLIC_BYTES_MAX = 1_000_000  # a whole machine's list of authorities has 200 kB

PUBLIC_PEM = "public key in PEM"
PRIVATE_PEM = "private key in PEM without a password"

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_READ = stat.S_IRWXG | stat.S_IRWXO
# Of root's files the group may read: so an access list that names us shows, as systemd's
# LoadCredential= makes one (mode 0440); PostgreSQL has the same rule for its key
_ROOTS = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO


def read_secret(path: Path, *, what: str = "") -> bytes:
    """A file nobody else may read. Raises ConfigError, which quotes none of it.

    what: the settings' key, to begin the error with.
    """
    status, data = _read(path, SECRET_BYTES_MAX, what)
    forbidden = _ROOTS if status.st_uid == 0 != os.geteuid() else _OTHERS_READ
    if status.st_mode & forbidden:
        raise ConfigError(f"{what}{path}: others may read it: chmod 600, or make a new one")
    return data


def read_secret_line(path: Path, *, what: str = "") -> str:
    """The first line of such a file, "" of an empty one. Raises ConfigError, which quotes none."""
    try:
        # as Windows' editors write it: the mark before it is no part of a password
        lines = read_secret(path, what=what).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{what}{path}: is not UTF-8") from None
    return lines[0] if lines else ""


def read_public(path: Path, *, what: str = "") -> bytes:
    """A file nobody else may change. Raises ConfigError."""
    status, data = _read(path, PUBLIC_BYTES_MAX, what)
    if status.st_mode & _OTHERS_WRITE:
        raise ConfigError(f"{what}{path}: others may write it: chmod go-w")
    return data


def parsed(
    load: Callable[[], object], kind: type[Any], *, where: str, what: str, advice: str = ""
) -> Any:
    """The key that a library finds in a file's bytes, which this room's files do not know.

    where: file and settings' key; what: a key in what form; advice: where to get one.
    Raises ConfigError where `load` fails, or where the key is of another kind than Ed25519.
    """
    try:
        key = load()
    except Exception as error:  # noqa: BLE001 - the library names no base class
        raise ConfigError(f"{where}: is no {what}: {error}") from None
    if not isinstance(key, kind):
        raise ConfigError(f"{where}: is no Ed25519 key{advice}")
    return key


def _read(path: Path, bytes_max: int, what: str) -> tuple[os.stat_result, bytes]:
    """Mode and contents of one open file, so that the two are of the same one."""
    try:
        with path.open("rb") as file:
            status, data = os.fstat(file.fileno()), file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(f"{what}{path}: {error.strerror}") from None
    if len(data) > bytes_max:
        raise ConfigError(f"{what}{path}: is longer than {bytes_max} bytes")
    return status, data
