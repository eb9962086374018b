"""How the journal and its cursors open a SQLite file: checked, never silently made anew.

Nothing else may open these files in the same process: closing any handle on a file drops the
POSIX locks SQLite holds on it (sqlite.org/howtocorrupt.html, 2.2).
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from inspector.contract.alone import HeldError, alone, make_as_its_folder
from inspector.contract.errors import ConfigError, InUseError, RecordError

# Only a foreign program can hold the lock (a technician's sqlite3 shell): waiting longer would
# make the part late, and a late part is rejected anyway.
BUSY_S = 0.25
READER_S = 5.0
"""A reader waits for a checkpoint after a crash, and for a writer that has only just begun."""
TURN_S = 0.5
"""Within this a file's writer ends or begins."""
_REFUSED = ("SQLITE_READONLY", "SQLITE_CANTOPEN")
"""What it may say of a file then."""
Answer = TypeVar("Answer")
AUDIT = (
    # AUTOINCREMENT: no number is used twice, also where the last row was taken out
    "CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL,"
    " hash BLOB NOT NULL)",
    "CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN"
    " SELECT RAISE(ABORT, 'the audit is only added to'); END",
    "CREATE TRIGGER audit_whole BEFORE DELETE ON audit BEGIN"
    " SELECT RAISE(ABORT, 'the audit is only added to'); END",
)
"""The table of a chain of rows (contract/chain.py)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file must be to be ours."""

    word: str
    application_id: int
    version: int
    schema: str
    more: tuple[str, ...] = ()
    """Further statements, where one table is not all."""


def open_writer(path: Path, kind: Kind, *, synchronous: str) -> sqlite3.Connection:
    """Open or create in WAL mode. Raises ConfigError for another version, RecordError if damaged.

    One thread at a time may use it, not always the one that opened it.
    """
    with in_words(kind, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        make_as_its_folder(path)
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _create_if_new(db, kind)
            _check(db, kind, path)
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":  # said, not raised, where the disk refuses
                raise RecordError(f"{kind.word} {path}: the disk refuses its -wal (mode {mode})")
            db.execute(f"PRAGMA synchronous = {synchronous}")
        except BaseException:
            db.close()
            raise
        return db


class Reader:
    """A file of ours read beside its writer, and on where that ends or begins meanwhile.

    One thread uses it. Also for another user, who may read the folder and not write it. There
    SQLite reads beside a writer and behind one that was killed; but after one that ended in order
    it would have to make the -shm anew. Then nobody writes the file, and it is read as it lies
    (`_Still`).
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        """Raises as `open_writer`, and where there is no file, or nothing in it after READER_S."""
        self._path, self._kind = path, kind
        self._db: sqlite3.Connection | None = None
        self.ask(lambda _db: None)

    def ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """What the question finds; asked again of a file whose writer has just come or gone.

        Raises RecordError, where that does not end within TURN_S too.
        """
        end = time.monotonic() + TURN_S
        while True:
            try:
                with in_words(self._kind, self._path):
                    if self._db is None:
                        self._db = _open_reader(self._path, self._kind)
                    return question(self._db)
            except RecordError as error:
                if not self._may_be_turn(error) or time.monotonic() > end:
                    raise
            self.close()
            time.sleep(0.01)

    def _may_be_turn(self, error: RecordError) -> bool:
        """Whether SQLite may say this only because the file's writer comes or goes just now."""
        cause = error.__cause__
        if isinstance(cause, _BegunError):
            return True
        refused = isinstance(cause, sqlite3.Error) and cause.sqlite_errorname.startswith(_REFUSED)
        return refused and os.access(self._path, os.R_OK)

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _open_reader(path: Path, kind: Kind) -> sqlite3.Connection:
    try:
        return _opened(path, kind, "mode=ro", sqlite3.Connection)
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith(_REFUSED) or _wal(path).exists():
            raise
    return _opened(path, kind, "mode=ro&immutable=1", _Still)


class _BegunError(sqlite3.OperationalError):
    """Of a file that was read as it lies."""


class _Still(sqlite3.Connection):
    """To a file that nobody writes: locks nothing, and ends when somebody begins to.

    Soon enough: the file itself changes only when its -wal is moved into it, long after that was
    made.
    """

    def begin(self, path: Path) -> None:
        self._path = path
        self._found = self._as_it_lies()

    def execute(self, *words: Any) -> sqlite3.Cursor:
        if _wal(self._path).exists() or self._as_it_lies() != self._found:
            raise _BegunError("somebody has begun to write it: ask again")
        return super().execute(*words)

    def _as_it_lies(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _opened(
    path: Path, kind: Kind, mode: str, factory: type[sqlite3.Connection]
) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=READER_S,
        isolation_level=None,
        check_same_thread=False,
        factory=factory,
    )
    try:
        if isinstance(db, _Still):
            db.begin(path)
        _wait_for_schema(db, kind, path)
        _check(db, kind, path)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; the write lock is taken at once, so that it cannot fail half-way."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors (disk full, I/O)
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def in_words(kind: Kind, path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into a RecordError for the person on shift."""
    try:
        yield
    except sqlite3.Error as error:
        raise RecordError(f"{kind.word} {path}: {_say(error)}") from error
    except OSError as error:
        raise RecordError(f"{kind.word} {path}: {error.strerror or error}") from error
    except MemoryError as error:  # SQLite's own too
        raise RecordError(f"{kind.word} {path}: there is no memory left for it now") from error


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file it is, whatever it is called; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def lock(kind: Kind, path: Path, rule: str) -> int:
    """Be the only writer; the system lets go when the process ends, however it ends. rule: why one
    alone, for who reads the error. Raises InUseError, RecordError."""
    beside = path.with_name(path.name + ".lock")  # never the database itself, see above
    with in_words(kind, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return alone(beside)
        except HeldError as holder:
            words = f"{kind.word} {path}: process {holder} is already writing it: {rule}"
            raise InUseError(words, str(holder)) from None


def _create_if_new(db: sqlite3.Connection, kind: Kind) -> None:
    if not _is_empty(db):
        return
    with transaction(db):  # whole or not at all, also when the power goes
        if not _is_empty(db):
            return
        for statement in (kind.schema, *kind.more):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {kind.application_id}")
        db.execute(f"PRAGMA user_version = {kind.version}")


def _is_empty(db: sqlite3.Connection) -> bool:
    return bool(db.execute("PRAGMA schema_version").fetchone() == (0,))


def _wait_for_schema(db: sqlite3.Connection, kind: Kind, path: Path) -> None:
    """Its writer makes the file first and all that is in it a moment later, in one transaction."""
    end = time.monotonic() + READER_S
    while _is_empty(db):
        if time.monotonic() > end:
            raise RecordError(f"{kind.word} {path}: is empty: nobody has begun to write it")
        time.sleep(0.01)


def _check(db: sqlite3.Connection, kind: Kind, path: Path) -> None:
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application_id != kind.application_id:
        raise ConfigError(f"{kind.word} {path}: is a SQLite file, but not a {kind.word} of ours")
    if version != kind.version:
        raise ConfigError(
            f"{kind.word} {path}: is of version {version}, this program writes version "
            f"{kind.version}: move it aside, or install the program it belongs to"
        )


def _say(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        return "is full: the disk, or size_max_mb"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return f"is damaged ({error}): move it aside with its -wal file, keep it for recovery"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"another program holds it ({error})"
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return f"cannot be opened or written ({error}): is the folder there, and ours to write?"
    return f"{error} ({name})" if name else str(error)
