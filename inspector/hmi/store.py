"""hmi.db: accounts, sessions, one-time links and the audit, in a file nobody else may read.

`Store` is how the pages keep such a file, alarms.db too.

One file and SQLite, so that `inspector hmi-user` and the running pages may use it together. Of
sessions and links only the hash is kept: who reads the file cannot log in by it.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inspector.contract.alone import make_as_its_folder
from inspector.contract.errors import RecordError
from inspector.delivery.database import AUDIT, Kind, in_words, open_writer, transaction

KIND = Kind(
    word="accounts' file",
    application_id=0x494E5348,
    version=1,
    schema=(
        "CREATE TABLE account (name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT,"
        " created_at INTEGER NOT NULL, logged_in_at INTEGER) WITHOUT ROWID"
    ),
    more=(
        "CREATE TABLE session (hash BLOB PRIMARY KEY, name TEXT NOT NULL REFERENCES account"
        " ON DELETE CASCADE, begun_at REAL NOT NULL, used_at REAL NOT NULL) WITHOUT ROWID",
        # name NULL: the first administrator, who chooses one
        "CREATE TABLE invitation (hash BLOB PRIMARY KEY, name TEXT, role TEXT NOT NULL,"
        " expires_at REAL NOT NULL) WITHOUT ROWID",
        *AUDIT,
    ),
)
FILE = "hmi.db"


class Store:
    """Any thread may use it; one at a time does."""

    def __init__(
        self, folder: Path, kind: Kind = KIND, file: str = FILE, *, synchronous: str = "FULL"
    ) -> None:
        """Raises ConfigError for a file of another version, RecordError for a damaged one."""
        self.path = folder / file
        self._kind = kind
        self._lock = threading.RLock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            make_as_its_folder(self.path, 0o600)
            # before SQLite makes it: its -wal and -shm take the file's mode
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self.path.chmod(0o600)
        except OSError as error:
            raise RecordError(f"{self.path}: {error.strerror}") from error
        self._db = open_writer(self.path, kind, synchronous=synchronous)
        with in_words(kind, self.path):
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA busy_timeout = 5000")  # hmi-user beside us

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Raises RecordError."""
        with self._lock, in_words(self._kind, self.path):
            yield self._db

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing, also where calls are nested. Raises RecordError."""
        with self._lock, in_words(self._kind, self.path):
            if self._db.in_transaction:
                yield self._db
                return
            with transaction(self._db):
                yield self._db

    def close(self) -> None:
        with self._lock:
            self._db.close()
