"""Up to which row results are final: in memory for the courier, in a file for the next start.

A row is durable a moment before anybody knows whether that was in time. Until the station says
so, nobody may see it. A row with another behind it was settled: the station settles each before
it puts the next. So after a crash only the journal's last row can be in doubt, and it is not if
its number was written here, which is done before anybody is told of an OK: by the courier before
it sends the row, and on the part's own way only where the line, or who asked, is told at once. An
OK that somebody may have seen stays, an OK that nobody can have seen is withdrawn.
"""

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

from inspector.contract.alone import make_as_its_folder
from inspector.contract.errors import RecordError
from inspector.contract.result import row_of
from inspector.contract.sums import sync

_DIGITS = 20  # one sector, written in place: a power cut leaves the old number or the new one
_TEXT_MAX = 1_000


class Released:
    """One object a journal, shared by the station's thread and the courier's."""

    def __init__(self, journal: Path) -> None:
        """Raises RecordError where the file cannot be made or written."""
        self._path = released_path(journal)
        self._lock = threading.Lock()
        try:
            self.is_new = not self._path.exists()
            make_as_its_folder(self._path)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._saved = _number(os.pread(self._file, _DIGITS, 0))
        except OSError as error:
            raise RecordError(f"{self._path}: {error.strerror or error}") from error
        self._final = self._saved
        self._closed = False

    @property
    def final(self) -> int:
        """The last row that may be told; those behind it are not settled yet."""
        return self._final

    def release(self, seq: int, *, durably: bool = False) -> None:
        """Everything up to `seq` is final. In memory, and no disk is waited for, but `durably`:
        then a power cut does not forget it. Raises RecordError where the disk refuses that:
        nothing is final then that was not before.
        """
        if not durably:
            self._final = seq
            return
        with self._lock:  # or the courier would write the number before it over this one
            self._write(seq)
            self._final = seq

    def save(self) -> None:
        """Make it outlast a power cut. Raises RecordError where the disk refuses."""
        with self._lock:
            self._write(self._final)

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._file)

    def _write(self, seq: int) -> None:
        if seq == self._saved or self._closed:
            return
        try:
            self._put(seq)
            os.fdatasync(self._file)
            if self.is_new:
                sync(self._path.parent)
                self.is_new = False
        except OSError as error:
            with suppress(OSError):  # what was not synced is there after a kill all the same
                self._put(self._saved)
            raise RecordError(f"{self._path}: {error.strerror or error}") from error
        self._saved = seq

    def _put(self, seq: int) -> None:
        os.pwrite(self._file, b"%0*d" % (_DIGITS, seq), 0)


def released_path(journal: Path) -> Path:
    return journal.with_name(journal.name + ".released")


def read_final(journal: Path) -> int:
    """As it was saved last, without touching the file; 0 where it never was."""
    try:
        return _number(released_path(journal).read_bytes()[:_DIGITS])
    except OSError:
        return 0


def withdrawn(payload: bytes, why: str) -> bytes | None:
    """The result as it is told when its OK must not stand; None where it says no OK.

    Of any schema version: a row may be older than this program. None too for one that a disk has
    spoilt: nobody can read an OK in it.
    """
    result = row_of(payload)
    if result is None or not result.get("pass", True):
        return None
    said = f"{why}; judged {result.get('evaluation')}: {result.get('reason')}"
    result.update({"pass": False, "evaluation": "UNDEFINED", "reason": said[:_TEXT_MAX]})
    if "cause" in result:  # rows before version 3 have none
        result["cause"] = "withdrawn"
    return json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()


def _number(text: bytes) -> int:
    """0 for a file that holds none: then the last row is withdrawn, which is the safe side."""
    return int(text) if len(text) == _DIGITS and text.isdigit() else 0
