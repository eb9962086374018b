"""The journal's file as others read it, beside its writer."""

import sqlite3
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from inspector.contract.result import row_of
from inspector.contract.strict import Name
from inspector.delivery.cursors import COURIER, read_cursors
from inspector.delivery.database import Kind, Reader
from inspector.delivery.release import read_final

KIND = Kind(
    word="journal",
    application_id=0x494E5350,
    version=1,
    # AUTOINCREMENT: a late acknowledgement must never meet a reused seq
    schema="CREATE TABLE result (seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    " stored_at INTEGER NOT NULL, payload BLOB NOT NULL)",
)

STRETCHES = 64


class JournalReader:
    """Reads beside the writer, in this process or another. One thread uses it."""

    def __init__(self, path: Path) -> None:
        """Raises RecordError where it is absent or damaged, ConfigError where it is not ours."""
        self._path = path
        self._file = Reader(path, KIND)

    def last_seq(self) -> int:
        """The number of the last row ever written; 0 before the first."""
        return self._file.ask(last_seq)

    def settled_seq(self) -> int:
        """Up to which row nothing changes any more.

        A row with another behind it was settled, and so was one that was noted to be.
        """
        return max(read_final(self._path), self.last_seq() - 1)

    def after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """The next rows behind `seq`, at most `limit`, as (seq, payload)."""
        return self._file.ask(lambda db: rows_after(db, seq, limit))

    def before(self, seq: int, limit: int) -> list[tuple[int, bytes, float]]:
        """The rows before `seq`, the newest first, at most `limit`, as (seq, payload, when it was
        stored in seconds since 1970)."""
        query = "SELECT seq, payload, stored_at FROM result WHERE seq < ? ORDER BY seq DESC LIMIT ?"
        return self._file.ask(lambda db: db.execute(query, (seq, limit)).fetchall())

    def stored_within(self, since: float, until: float) -> Iterator[tuple[int, int]]:
        """Stretches that hold every row stored from `since` to before `until` (seconds since
        1970), the newest first, as the rows (above the first number, up to the second).

        Of STRETCHES such, each between two that were looked at, and by halving within one that
        begins or ends in that time. Where the clock was set rows of another time may lie in one;
        what was stored in less than one of them, while the clock was wrong, may be passed over.
        """
        first, last = (self.first_seq() or 1) - 1, self.last_seq()
        marks = [*range(first, last, max(1, (last - first) // STRETCHES)), last]
        for low, high in reversed(list(pairwise(marks))):
            begins, ends = self.stored_at(low + 1), self.stored_at(high)
            if begins > ends:  # the clock was set back
                yield low, high
            elif begins < until and ends >= since:
                yield self._halved(since, low, high), self._halved(until, low, high)

    def _halved(self, at: float, low: int, high: int) -> int:
        """Of the rows above `low`, up to `high`, the last one stored before a time; else `low`."""
        while low < high:
            middle = (low + high + 1) // 2
            if self.stored_at(middle) < at:
                low = middle
            else:
                high = middle - 1
        return low

    def count(self) -> int:
        """Rows the journal holds now."""
        (count,) = self._one("SELECT count(*) FROM result") or (0,)
        return int(count)

    def rows(self) -> int:
        """As `count`, without walking through them: numbers have no gap."""
        first, last = self._file.ask(lambda db: (first_seq(db), last_seq(db)))
        return 0 if first is None else last - first + 1

    def first_seq(self, since: int = 0) -> int | None:
        """The oldest row it still has, of those from `since` on; None where it has none."""
        return self._file.ask(lambda db: first_seq(db, since))

    def row(self, seq: int) -> bytes | None:
        """One row; None where the journal does not have it."""
        found = self._one("SELECT payload FROM result WHERE seq = ?", seq)
        return found[0] if found else None

    def stored_at(self, seq: int) -> float:
        """When a row was stored, in seconds since 1970; 0 where the journal does not have it."""
        found = self._one("SELECT stored_at FROM result WHERE seq = ?", seq)
        return float(found[0]) if found else 0.0

    def waits_s(self, acknowledged: int) -> float:
        """How long the first row behind `acknowledged` has waited; 0 where there is none."""
        query = "SELECT stored_at FROM result WHERE seq > ? ORDER BY seq LIMIT 1"
        found = self._one(query, acknowledged)
        return max(0.0, time.time() - found[0]) if found else 0.0

    def acknowledged(self, receiver: Name = COURIER) -> int:
        """Up to which row the receiver had everything when it last saved that."""
        return read_cursors(self._path).get(receiver, 0)

    def _one(self, query: str, *values: int) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._file.ask(
            lambda db: db.execute(query, values).fetchone()
        )
        return found

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def last_seq(db: sqlite3.Connection) -> int:
    # not max(seq): old rows are deleted, and with them all the table may be empty
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'result'").fetchone()
    return int(row[0]) if row else 0


def first_seq(db: sqlite3.Connection, since: int = 0) -> int | None:
    (first,) = db.execute("SELECT min(seq) FROM result WHERE seq >= ?", (since,)).fetchone()
    return None if first is None else int(first)


def last_station(db: sqlite3.Connection) -> str | None:
    """Whose the newest row is, of whatever schema version; None where no row says it."""
    found = db.execute("SELECT payload FROM result ORDER BY seq DESC LIMIT 1").fetchone()
    station = (row_of(found[0]) or {}).get("station") if found else None
    return station if isinstance(station, str) else None


def rows_after(db: sqlite3.Connection, seq: int, limit: int) -> list[tuple[int, bytes]]:
    return db.execute(
        "SELECT seq, payload FROM result WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
    ).fetchall()
