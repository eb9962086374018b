"""What people said of parts, kept for good: rows are only added, and so are the pictures they saw.

One SQLite file beside the station's state, for several processes at once (the review page and the
command line), and a folder beside it with each picture under the hash of its bytes. The archive
deletes its oldest pictures; one that a person has labelled is kept here until a person deletes it.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from inspector.contract.alone import make_folder_as_its_own
from inspector.contract.errors import RecordError, StateError
from inspector.contract.review import Kept, Review, Undo
from inspector.contract.whole import write_whole
from inspector.delivery.database import Kind, Reader, in_words, open_writer, transaction

FILE = "reviews.db"
PICTURES = "reviews.pictures"
SUFFIX = ".jpg"
BUSY_MS = 10_000
"""A person waits gladly for another process's commit on a slow disk; a part would not."""

_KIND = Kind(
    word="review store",
    application_id=0x494E5356,
    version=1,
    schema=(
        # AUTOINCREMENT: an undo names a number, which must never be another review's
        "CREATE TABLE entry (id INTEGER PRIMARY KEY AUTOINCREMENT, result_id TEXT NOT NULL,"
        " undoes INTEGER UNIQUE, payload TEXT NOT NULL)"
    ),
    more=(
        "CREATE INDEX entry_result ON entry (result_id)",
        "CREATE TRIGGER entry_unchanged BEFORE UPDATE ON entry BEGIN"
        " SELECT RAISE(ABORT, 'reviews are only added to'); END",
        "CREATE TRIGGER entry_whole BEFORE DELETE ON entry BEGIN"
        " SELECT RAISE(ABORT, 'reviews are only added to'); END",
    ),
)


class ReviewStore:
    """Writes and reads; any thread of any number of processes may."""

    def __init__(self, path: Path, disk_free_min_mb: int = 0) -> None:
        """Open or create. Raises ConfigError for a file that is not ours, RecordError.

        disk_free_min_mb: with less than this free nothing is kept. Above the journal's limit, or
        the pictures would stop the line.
        """
        self.path = path
        self._disk_free_min_mb = disk_free_min_mb
        self._lock = threading.Lock()
        self._db = open_writer(path, _KIND, synchronous="FULL")
        self._db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

    def put(self, review: Review, picture: bytes, *, opinions: int | None = None) -> Kept:
        """Keep a review and the picture it is of, durably; returns it with number and opinion.

        opinions: how many there were when the person was shown the part; None: any number.
        Raises StateError where this person has said something of the part already, or others did
        meanwhile, RecordError where it cannot be stored.
        """
        if hashlib.sha256(picture).hexdigest() != review.image_sha256:
            raise RecordError(f"review store {self.path}: image_sha256 is another picture's")
        with self._lock, in_words(_KIND, self.path):
            self._require_room()
            _keep(picture_at(self.path, review.image_sha256), picture)
            with transaction(self._db):
                others = [each for each in self._of(review.result_id) if each.undone is None]
                mine = next((each for each in others if each.review.by == review.by), None)
                if mine is not None:
                    raise StateError(
                        f"{review.by} called {review.result_id} {mine.review.label or 'unclear'} "
                        f"already (review {mine.id}): undo that first"
                    )
                if opinions is not None and len(others) != opinions:
                    raise StateError(
                        f"{len(others)} people have spoken of {review.result_id} by now, "
                        f"{opinions} had when it was shown: it is not kept"
                    )
                review = review.model_copy(update={"opinion": len(others) + 1})
                number = self._add(review.result_id, None, review.model_dump_json(by_alias=True))
        return Kept(id=number, review=review)

    def undo(self, undo: Undo) -> Kept:
        """Take a review back, durably. Raises StateError where there is none, or it was already."""
        with self._lock, in_words(_KIND, self.path), transaction(self._db):
            found = self._review(undo.review)
            if found is None:
                raise StateError(f"{self.path}: there is no review {undo.review}")
            if found.undone is not None:
                raise StateError(f"review {undo.review} was taken back by {found.undone.by}")
            text = undo.model_dump_json(by_alias=True)
            self._add(found.review.result_id, undo.review, text)
        return found.model_copy(update={"undone": undo})

    def all(self) -> list[Kept]:
        """Every review in order, also those taken back. Raises RecordError."""
        with self._lock, in_words(_KIND, self.path):
            return _folded(self._db.execute(f"{_SELECT} ORDER BY id"))

    def of(self, result_id: str) -> list[Kept]:
        """The reviews of one part. Raises RecordError."""
        with self._lock, in_words(_KIND, self.path):
            return self._of(result_id)

    def get(self, number: int) -> Kept | None:
        """The review of this number. Raises RecordError."""
        with self._lock, in_words(_KIND, self.path):
            return self._review(number)

    def picture(self, sha256: str) -> Path:
        """Where a review's picture lies."""
        return picture_at(self.path, sha256)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _require_room(self) -> None:
        disk = os.statvfs(self.path.parent)
        free_mb = disk.f_bavail * disk.f_frsize // 1_000_000
        if free_mb < self._disk_free_min_mb:
            raise RecordError(
                f"review store {self.path}: {free_mb} MB are free on its disk, "
                f"archive.disk_free_min_mb is {self._disk_free_min_mb}: pictures in {PICTURES} "
                f"that were collected may be deleted"
            )

    def _of(self, result_id: str) -> list[Kept]:
        return _folded(self._db.execute(f"{_SELECT} WHERE result_id = ? ORDER BY id", (result_id,)))

    def _review(self, number: int) -> Kept | None:
        row = self._db.execute(
            "SELECT result_id FROM entry WHERE id = ? AND undoes IS NULL", (number,)
        ).fetchone()
        return next((each for each in self._of(row[0]) if each.id == number), None) if row else None

    def _add(self, result_id: str, undoes: int | None, payload: str) -> int:
        done = self._db.execute(
            "INSERT INTO entry (result_id, undoes, payload) VALUES (?, ?, ?)",
            (result_id, undoes, payload),
        )
        return int(done.lastrowid or 0)


_SELECT = "SELECT id, undoes, payload FROM entry"


def read_reviews(path: Path) -> list[Kept]:
    """Every review of a store that may be another machine's copy; the file is only read.

    Raises RecordError where it is absent or damaged, ConfigError where it is not ours.
    """
    with Reader(path, _KIND) as reader:
        return reader.ask(lambda db: _folded(db.execute(f"{_SELECT} ORDER BY id")))


def picture_at(store: Path, sha256: str) -> Path:
    """Where the store keeps the picture of this hash."""
    return store.with_name(PICTURES) / f"{sha256}{SUFFIX}"


def _folded(rows: Iterator[tuple[int, int | None, str]]) -> list[Kept]:
    found: dict[int, Kept] = {}
    for number, undoes, payload in rows:
        if undoes is None:
            found[number] = Kept(id=number, review=Review.model_validate_json(payload))
        else:
            undo = Undo.model_validate_json(payload)
            found[undoes] = found[undoes].model_copy(update={"undone": undo})
    return list(found.values())


def _keep(path: Path, picture: bytes) -> None:
    """On disk whole before the row that names it."""
    if path.exists():
        return
    make_folder_as_its_own(path.parent)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    write_whole(path, picture, draft=part)
