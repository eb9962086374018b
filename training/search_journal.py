"""The journal of a search, made fit to be gone on with: after a kill, or after a full disk."""

import json
import os
from pathlib import Path

from inspector.contract.sums import sync

STUDY = "search.journal"


def mend(folder: Path) -> int:
    """Take off what was not written to its end, and the lock of a process that is gone.

    Optuna only ever appends, so what comes before the first line that is not whole is the search as
    it once was; after half a line nothing of it could be read. Only while no other process works on
    the search. Returns how many bytes were cut off.
    """
    for left in folder.glob(f"{STUDY}.lock*"):
        left.unlink(missing_ok=True)
    path = folder / STUDY
    if not path.exists():
        return 0
    whole = 0
    with path.open("rb") as file:
        for line in file:
            if not _is_whole(line):
                break
            whole += len(line)
    cut_off = path.stat().st_size - whole
    if cut_off:
        os.truncate(path, whole)
        sync(path)
    return cut_off


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n")
