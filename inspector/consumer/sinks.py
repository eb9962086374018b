"""Where a consumer keeps results. What `commit` has returned for outlives a power cut.

A sink gets each station's rows in order. It knows itself how far it has got: only so is there no
moment in which a row is stored and forgotten to have been, or the other way round.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypedDict

from inspector.consumer.ledger import Row
from inspector.consumer.settings import (
    CsvSink,
    JsonLinesSink,
    PostgresSink,
    SqliteSink,
)
from inspector.contract.alone import HeldError, alone, make_as_its_folder
from inspector.contract.errors import ConfigError, InUseError, RecordError
from inspector.contract.table import COLUMNS, csv_line
from inspector.contract.whole import write_whole

log = logging.getLogger(__name__)

# between JSON's tokens only: within a text they are escaped
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")

SinkSettings = JsonLinesSink | CsvSink | SqliteSink | PostgresSink


class Position(TypedDict):
    seq: int
    result_id: str


class Sink(Protocol):
    """One thread uses it. Everything raises RecordError where the store fails."""

    def last(self, station: str) -> Position | None:
        """The last row of this station that is stored; None where none is."""

    def stored_as(self, station: str, result_id: str) -> int | None:
        """The row of this station that was stored under this name; a file is not asked: None."""

    def write(self, row: Row) -> None:
        """Take it; it is not stored yet."""

    def commit(self) -> None:
        """Store what was written, all or nothing, durably."""

    def close(self) -> None:
        """What was not committed is forgotten."""


def open_sink(settings: SinkSettings) -> Sink:
    """Raises ConfigError, RecordError."""
    match settings:
        case JsonLinesSink():
            return LineSink(settings.path, _json_line)
        case CsvSink():
            head = csv_line(COLUMNS)
            return LineSink(settings.path, _csv_line, head)
        case SqliteSink():
            return SqlSink(settings.path)
        case PostgresSink():
            # only here: who stores elsewhere need not have the library
            from inspector.consumer.postgres import open_postgres

            return open_postgres(settings)


def _json_line(row: Row) -> bytes:
    return row.payload.translate(_ONE_LINE) + b"\n"


def _csv_line(row: Row) -> bytes:
    """There is no payload beside it: what a column cannot hold stands there as JSON."""
    odd = {name: json.dumps(value, ensure_ascii=False) for name, value in row.odd.items()}
    return csv_line((row.cells | odd).values())


class LineSink:
    """A file that grows by lines. FILE.position says up to which byte it is whole, and which row
    that is; what lies behind, after a kill, is cut off at the next start.

    It may be renamed at any moment: the next rows begin a new one. FILE.lock keeps others out.
    """

    def __init__(self, path: Path, line: Callable[[Row], bytes], head: bytes = b"") -> None:
        self._path = path
        self._line = line
        self._head = head
        self._position = path.with_name(path.name + ".position")
        self._lines: list[bytes] = []
        self._written: dict[str, Position] = {}
        beside = path.with_name(path.name + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = alone(beside)
        except HeldError as holder:
            # no fault of the settings, after which systemd would not start it again: it may end
            raise InUseError(
                f"{path}: process {holder} is already writing it: one consumer a file", str(holder)
            ) from None
        except OSError as error:
            raise RecordError(f"{beside}: {error.strerror or error}") from error
        try:
            self._size, self._last = self._read_position()
            self._file = self._open(moved=False)
        except OSError as error:
            os.close(self._lock)
            raise RecordError(f"{path}: {error.strerror or error}") from error
        except ConfigError:
            os.close(self._lock)
            raise

    def last(self, station: str) -> Position | None:
        return self._last.get(station)

    def stored_as(self, station: str, result_id: str) -> int | None:  # noqa: ARG002 - no index
        return None

    def write(self, row: Row) -> None:
        self._lines.append(self._line(row))
        self._written[row.station] = {"seq": row.seq, "result_id": row.result_id}

    def commit(self) -> None:
        """A file that was renamed takes rows still; once it is compressed they are nowhere. So
        rows count only if the name was still this file's when they lay on the disk."""
        rows = b"".join(self._lines)
        try:
            while _moved(self._path, os.fstat(self._file)) or not self._append(rows):
                before, self._file = self._file, self._open(moved=True)
                os.close(before)
                log.info("%s was moved away: rows go on in a new one", self._path)
            self._last |= self._written
            self._write_position()
        except OSError as error:
            raise RecordError(f"{self._path}: {error.strerror or error}") from error
        self._lines.clear()
        self._written.clear()

    def close(self) -> None:
        os.close(self._file)
        os.close(self._lock)

    def _open(self, *, moved: bool) -> int:
        """moved: it takes the place of the one that was written."""
        make_as_its_folder(self._path)
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        size = os.fstat(file).st_size
        if size == 0:  # new, or moved away by who rotates it
            self._size = 0
        elif moved or size < self._size or not self._position.exists():
            os.close(file)
            raise ConfigError(
                f"{self._path}: is not the file that {self._position.name} speaks of: move both "
                f"away to begin anew, or bring the right ones back"
            )
        else:
            os.ftruncate(file, self._size)
        return file

    def _append(self, rows: bytes) -> bool:
        """False: it was moved away meanwhile, and they are taken out again."""
        if self._size == 0:
            # a kill must not leave the size of the file before; the new name is durable by it too
            self._write_position()
            rows = self._head + rows
        size = os.fstat(self._file).st_size
        if size < self._size:
            raise self._cut()
        if size > self._size:
            os.ftruncate(self._file, self._size)  # what a commit that failed has left
        done = 0
        while done < len(rows):
            # at its end: where somebody cuts it in this moment, behind its old end were a hole
            done += os.write(self._file, rows[done:])
        os.fdatasync(self._file)
        if _moved(self._path, os.fstat(self._file)):
            os.ftruncate(self._file, self._size)
            return False
        size = os.fstat(self._file).st_size
        if size != self._size + len(rows):
            os.ftruncate(self._file, max(0, size - len(rows)))
            raise self._cut()
        self._size = size
        return True

    def _cut(self) -> RecordError:
        last = ", ".join(f"{name} {at['seq']}" for name, at in self._last.items())
        return RecordError(
            f"{self._path}: was cut by somebody else at work (logrotate's copytruncate?), which "
            f"loses what came after its copy was made: rotate by renaming. See that the copy ends "
            f"with these rows ({last}); what it lacks a station's `inspector journal export` has"
        )

    def _read_position(self) -> tuple[int, dict[str, Position]]:
        try:
            found: dict[str, Any] = json.loads(self._position.read_bytes())
            return int(found["size"]), dict(found["stations"])
        except FileNotFoundError:
            return 0, {}
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"{self._position}: is damaged") from None

    def _write_position(self) -> None:
        position = {"size": self._size, "stations": self._last}
        write_whole(self._position, json.dumps(position).encode())


class SqlSink:
    """A SQLite file that any tool can read meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[tuple[Any, ...]] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            make_as_its_folder(path)
            self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            columns = ", ".join(f'"{name}"' for name in COLUMNS if name not in KEYS)
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS result (station TEXT NOT NULL, seq INTEGER NOT NULL,"
                f" result_id TEXT NOT NULL, {columns}, payload TEXT NOT NULL,"
                " PRIMARY KEY (station, seq), UNIQUE (station, result_id)) WITHOUT ROWID"
            )
            self._file = path.stat()
        except (OSError, sqlite3.Error) as error:
            raise RecordError(f"{path}: {error}") from error
        places = ", ".join("?" * (len(COLUMNS) + 1))
        names = ", ".join(f'"{name}"' for name in (*COLUMNS, "payload"))
        self._insert = f"INSERT INTO result ({names}) VALUES ({places})"  # noqa: S608 - our names

    def last(self, station: str) -> Position | None:
        query = "SELECT seq, result_id FROM result WHERE station = ? ORDER BY seq DESC LIMIT 1"
        row = self._found(query, station)
        return {"seq": row[0], "result_id": row[1]} if row else None

    def stored_as(self, station: str, result_id: str) -> int | None:
        query = "SELECT seq FROM result WHERE station = ? AND result_id = ?"
        row = self._found(query, station, result_id)
        return int(row[0]) if row else None

    def _found(self, query: str, *values: str) -> Any:
        try:
            return self._db.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise RecordError(f"{self._path}: {error}") from error

    def write(self, row: Row) -> None:
        self._rows.append((*row.cells.values(), row.payload.decode()))

    def commit(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(self._insert, self._rows)
            self._db.execute("COMMIT")
            if _moved(self._path, self._file):
                raise RecordError(f"{self._path}: it was deleted or moved in use")
        except (OSError, sqlite3.Error) as error:
            raise RecordError(f"{self._path}: {error}") from error
        self._rows.clear()

    def close(self) -> None:
        self._db.close()


KEYS = ("station", "seq", "result_id")


def _moved(path: Path, file: os.stat_result) -> bool:
    """The name is another file's now, or nobody's. Raises OSError."""
    try:
        return not os.path.samestat(path.stat(), file)
    except FileNotFoundError:
        return True
