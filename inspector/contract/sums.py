"""SHA256SUMS as text: which file is at fault; and files that a power cut does not take back."""

import os
from pathlib import Path


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
