"""How far each receiver of results has got. A file of its own beside the journal.

Its writes are not fsynced one by one (synchronous=NORMAL) and never make the station's commit
wait. A power cut may forget the last of them; then some results are sent again, and a consumer
drops a `result_id` it has seen.
"""

from pathlib import Path
from typing import Self

from inspector.contract.strict import Name
from inspector.delivery.database import Kind, Reader, in_words, open_writer, transaction

COURIER: Name = "courier"

_KIND = Kind(
    word="cursor file",
    application_id=0x494E5343,
    version=1,
    schema="CREATE TABLE cursor (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID",
)


def cursors_path(journal: Path) -> Path:
    return journal.with_name(journal.name + ".cursors")


def read_cursors(journal: Path) -> dict[Name, int]:
    """Every cursor as it was saved last, without touching the file.

    Raises RecordError where there is no such file or it is damaged.
    """
    path = cursors_path(journal)
    with Reader(path, _KIND) as reader:
        return reader.ask(lambda db: dict(db.execute("SELECT name, seq FROM cursor ORDER BY name")))


class Cursors:
    """Named cursors into one journal; each thread opens its own."""

    def __init__(self, journal: Path) -> None:
        """Raises ConfigError for a file of another version, RecordError for a damaged one."""
        self._path = cursors_path(journal)
        self._db = open_writer(self._path, _KIND, synchronous="NORMAL")

    def register(self, name: Name, begin: int = 0) -> int:
        """The named cursor, which from now on keeps rows; a new one begins behind `begin`."""
        with in_words(_KIND, self._path), transaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO cursor VALUES (?, ?)", (name, begin))
            row = self._db.execute("SELECT seq FROM cursor WHERE name = ?", (name,)).fetchone()
        return int(row[0])

    def advance(self, name: Name, seq: int) -> None:
        """Everything up to `seq` was received. A cursor never goes back."""
        with in_words(_KIND, self._path), transaction(self._db):
            self._db.execute(
                "UPDATE cursor SET seq = ? WHERE name = ? AND seq < ?", (seq, name, seq)
            )

    def forget(self, name: Name) -> None:
        """It keeps no rows any more."""
        with in_words(_KIND, self._path), transaction(self._db):
            self._db.execute("DELETE FROM cursor WHERE name = ?", (name,))

    def all(self) -> dict[Name, int]:
        """Every registered receiver, the courier among them, and how far it has got."""
        with in_words(_KIND, self._path):
            return dict(self._db.execute("SELECT name, seq FROM cursor ORDER BY name"))

    def lowest(self) -> int:
        """What every registered receiver has; 0 where nobody is registered."""
        return self._number("SELECT min(seq) FROM cursor")

    def highest(self) -> int:
        """What at least one receiver has; 0 where nobody is registered."""
        return self._number("SELECT max(seq) FROM cursor")

    def close(self) -> None:
        self._db.close()

    def _number(self, query: str) -> int:
        with in_words(_KIND, self._path):
            (seq,) = self._db.execute(query).fetchone()
        return int(seq or 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
