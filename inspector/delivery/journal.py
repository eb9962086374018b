"""Every result, in order, until all who must have it have it: delivered at least once.

One writer per file. Numbers are without gaps and never used twice: they live in the database
(AUTOINCREMENT), not in this process, so neither a kill nor a commit whose outcome nobody knows
nor the deletion of old rows can make one come again.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from inspector.contract.errors import ConfigError, RecordError
from inspector.contract.result import InspectionResult, row_of
from inspector.contract.strict import Name
from inspector.delivery.cursors import Cursors
from inspector.delivery.database import file_at, in_words, lock, open_writer, transaction
from inspector.delivery.reader import KIND, JournalReader, last_seq, last_station, rows_after
from inspector.delivery.release import Released, read_final, withdrawn
from inspector.delivery.retention import (
    MB,
    SHORT_SHARE,
    ConsumerSettings,
    JournalSettings,
    Retention,
)
from inspector.delivery.stored import StoredTimes

__all__ = ["ConsumerSettings", "Journal", "JournalReader", "JournalSettings"]

log = logging.getLogger(__name__)

PAGE_BYTES = 4096
FORGET_ROWS = 8  # a put adds one row, so this catches up, and its cost stays constant


class Journal:
    """The writer, ports.Journal. One thread at a time uses it."""

    def __init__(self, settings: JournalSettings, *, station: Name | None = None) -> None:
        """Open or create. Raises RecordError where it is damaged or another process writes it,
        ConfigError where it is not ours, is not the one the cursors belong to, or is another
        station's.

        station: whose rows it is to hold; None: whoever's they are.
        """
        self._settings = settings
        self._path = settings.path.resolve()
        # made once: pathlib interns each name anew, and this one is looked for at every part
        self._wal = self._path.with_name(self._path.name + "-wal")
        with ExitStack() as opened:
            opened.callback(os.close, lock(KIND, self._path, "one station a journal"))
            self._db = open_writer(self._path, KIND, synchronous="FULL")  # NORMAL may forget
            opened.callback(self._db.close)
            self._file = file_at(self._path)
            pages_max = self._limit_size()
            self._cursors = Cursors(self._path)
            opened.callback(self._cursors.close)
            self._check_whole()
            self._check_station(station)
            self.released = Released(self._path)
            """How far results are final: the courier sends none behind it."""
            opened.callback(self.released.close)
            self._settle()
            self.retention = Retention(self._db, settings, self._cursors, pages_max)
            self._opened = opened.pop_all()
        self._complained = False
        self._times = StoredTimes()

    @property
    def path(self) -> Path:
        return self._path

    def register(self, consumers: Sequence[ConsumerSettings]) -> None:
        """Rows are kept for these and for no others; a new one's begin here. Raises RecordError."""
        self.retention.register(consumers, self.last_seq())

    def next_seq(self) -> int:
        """The number the next row will have. Raises RecordError where the journal is gone."""
        return self.last_seq() + 1

    def last_seq(self) -> int:
        """The number of the last row ever written, also when it was deleted; 0 before the first."""
        with in_words(KIND, self._path):
            return last_seq(self._db)

    def put(self, result: InspectionResult) -> None:
        """Store durably: when this returns, a power cut forgets nothing.

        Nobody is told of it before `release`. Raises RecordError where it cannot, or where
        result.seq is not the next; then nothing was written, or, if the disk failed in the very
        commit, perhaps this row: it is never told as an OK, the next put withdraws it.
        """
        payload = result.to_json()
        try:
            with in_words(KIND, self._path), transaction(self._db):
                seq = last_seq(self._db) + 1
                if result.seq != seq:
                    raise RecordError(
                        f"journal {self._path}: result says seq {result.seq}, the next is {seq}"
                    )
                self._require_place()
                self._withdraw_last("the station could not record whether it was in time")
                gone = self.retention.forget(FORGET_ROWS)
                at = self._times.next(time.time())
                self._db.execute("INSERT INTO result VALUES (?, ?, ?)", (seq, at, payload))
            self.retention.count(*gone)
        except RecordError as error:
            if _is_full(error):
                self._make_room()
            raise

    def amend(self, result: InspectionResult) -> None:
        """Replace the row just put, which nobody has seen, durably. Raises RecordError."""
        with in_words(KIND, self._path), transaction(self._db):
            if not self.released.final < result.seq == last_seq(self._db):
                raise RecordError(f"journal {self._path}: row {result.seq} is final")
            self._require_place()
            self._write(result.seq, result.to_json())

    def release(self, seq: int, *, durably: bool = False) -> None:
        """The row is final: whoever wants it may have it. Waits for no disk, but `durably`: then
        the next start knows it too. Raises RecordError where it cannot: the row is not final.
        """
        self.released.release(seq, durably=durably)

    def rest(self) -> None:
        """No part is there: time to note durably how far results are final.

        A disk that refuses costs nothing yet: the next start may withdraw the last row's OK.
        """
        try:
            self.released.save()
        except RecordError as error:
            if not self._complained:
                log.warning("%s", error)
            self._complained = True

    def after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """The next rows behind `seq`, at most `limit`, as (seq, payload)."""
        with in_words(KIND, self._path):
            return rows_after(self._db, seq, limit)

    def shortage(self) -> str | None:
        """Why nothing may pass though a row could still be written; None where there is room."""
        try:
            with in_words(KIND, self._path):
                share = self.retention.share()
                disk = os.statvfs(self._path.parent)
                if share >= SHORT_SHARE:
                    return (
                        f"journal {self._path}: {100 * share:.0f} % of size_max_mb "
                        f"{self._settings.size_max_mb} is used, {self.retention.holder()}"
                    )
        except RecordError as error:
            return str(error)
        free_mb = disk.f_bavail * disk.f_frsize // MB
        if free_mb < self._settings.disk_free_min_mb:
            return (
                f"journal {self._path}: {free_mb} MB are free on its disk, "
                f"disk_free_min_mb is {self._settings.disk_free_min_mb}"
            )
        return None

    def lost(self) -> str | None:
        """Which consumers lack rows that were let go for room; None where none does."""
        try:
            with in_words(KIND, self._path):
                return self.retention.lost()
        except RecordError:
            return None  # `shortage` says what is wrong with it

    def close(self) -> None:
        """May be called twice."""
        self.rest()
        self._opened.close()

    def _limit_size(self) -> int:
        """Set the limit, which SQLite keeps per connection; returns it in pages."""
        with in_words(KIND, self._path):
            pages_max = self._settings.size_max_mb * MB // PAGE_BYTES
            self._db.execute(f"PRAGMA max_page_count = {pages_max}")
            self._db.execute(f"PRAGMA journal_size_limit = {64 * MB}")
        return pages_max

    def _check_whole(self) -> None:
        """Refuse a journal that has lost its end: its numbers would be used a second time."""
        with in_words(KIND, self._path):
            last = last_seq(self._db)
            (highest,) = self._db.execute("SELECT max(seq) FROM result").fetchone()
        if (highest or 0) > last:
            raise RecordError(f"journal {self._path}: is damaged: its counter is behind its rows")
        recorded = max(self._cursors.highest(), read_final(self._path))
        if recorded > last:
            name = self._path.name
            raise ConfigError(
                f"journal {self._path}: ends at {last}, but {recorded} results were recorded: "
                f"bring the right journal back, or, to begin again at 1, move {name}, {name}-*, "
                f"{name}.cursors* and {name}.released away, all together"
            )

    def _check_station(self, station: Name | None) -> None:
        """Refuse another station's: its rows would go out as this one's, and reach nobody."""
        with in_words(KIND, self._path):
            of, last = last_station(self._db), last_seq(self._db)
        if station is None or of is None or of == station:
            return
        waiting, name = last - self._cursors.lowest(), self._path.name
        left = f"; {waiting} of its results wait still, and only {of} can deliver them"
        raise ConfigError(
            f"journal {self._path}: is of station {of}, and this is station {station}: write "
            f'station = "{of}" again, or give this station a journal of its own: another '
            f"journal.path, or move {name}, {name}-*, {name}.cursors* and {name}.released away, "
            f"all together" + (left if waiting else "")
        )

    def _settle(self) -> None:
        """The station ended without saying whether its last row was in time: it is no OK."""
        seen = max(self.released.final, self._cursors.highest())
        last = self.last_seq()
        self.released.release(min(seen, last))
        try:
            with in_words(KIND, self._path), transaction(self._db):
                gone = self._withdraw_last("the station ended before it was known to be in time")
        except RecordError as error:  # a full disk: the next put tries again, nobody is told
            log.warning("the OK of row %d cannot be withdrawn yet: %s", last, error)
            return
        if gone:
            log.warning("journal %s: the OK of row %d was withdrawn", self._path, last)
        self.released.release(last)

    def _withdraw_last(self, why: str) -> bool:
        """Within a transaction: take the OK from the last row where it was never released."""
        seq = last_seq(self._db)
        if seq <= self.released.final:
            return False
        found = self._db.execute("SELECT payload FROM result WHERE seq = ?", (seq,)).fetchone()
        if found and row_of(found[0]) is None:
            log.warning("journal %s: row %d is no result: a disk has spoilt it", self._path, seq)
        payload = withdrawn(found[0], why) if found else None
        if payload is not None:
            self._write(seq, payload)
        return payload is not None

    def _write(self, seq: int, payload: bytes) -> None:
        self._db.execute("UPDATE result SET payload = ? WHERE seq = ?", (payload, seq))

    def _require_place(self) -> None:
        """A file deleted or moved away takes rows still, and nobody will ever find them."""
        if file_at(self._path) != self._file or not self._wal.exists():
            raise RecordError(f"journal {self._path}: it or its -wal was deleted or moved in use")

    def _make_room(self) -> None:
        """A put that failed for room took its deletions back with it: do them alone."""
        self.retention.look_again()
        try:
            with in_words(KIND, self._path), transaction(self._db):
                gone = self.retention.forget(64 * FORGET_ROWS)
            self.retention.count(*gone)
        except RecordError as error:
            log.warning("no room could be made: %s", error)


def _is_full(error: RecordError) -> bool:
    cause = error.__cause__
    return isinstance(cause, sqlite3.Error) and cause.sqlite_errorname == "SQLITE_FULL"
