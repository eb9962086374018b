"""What the journal may delete, and who holds the rest.

A row goes when every receiver has it and `keep_days` have passed, or, above the first share,
for room. A consumer that stays away holds its rows: above the last share nothing passes any
more. One that may lose rows (`may_lose`) holds them to the middle share only; what is let go is
counted and stays an alarm until it has acknowledged beyond the hole. Nothing goes silently.
"""

import logging
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from inspector.contract.strict import Name, Strict
from inspector.delivery.cursors import COURIER, Cursors
from inspector.delivery.reader import first_seq, last_seq
from inspector.delivery.stored import RUN_ON_MS

log = logging.getLogger(__name__)

MB = 1_000_000
PRESSED_SHARE = 0.80
LET_GO_SHARE = 0.85
SHORT_SHARE = 0.90  # what is left is room to record the rejected parts until a person has come
CURSOR_AGE_S = 1.0
DAY_S = 86_400


class JournalSettings(Strict):
    """Where results are kept. Rows not yet delivered are never deleted."""

    path: Path
    size_max_mb: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    """Beyond nine tenths of it nothing passes; delivered rows give way before that."""
    keep_days: Annotated[float, Field(ge=0.0, le=3_650.0)] = 30.0
    """Delivered rows stay this long for a replay, or until the room is needed."""
    disk_free_min_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 200
    """With less than this free on its disk nothing passes."""


class ConsumerSettings(Strict):
    """A subscriber with a name that acknowledges what it has stored, and can ask for a replay."""

    name: Name
    may_lose: bool = False
    """False: where it stays away until the journal is full, nothing passes. True: then the
    oldest rows it has not acknowledged are let go instead, counted, with an alarm."""
    replay_per_s: Annotated[int, Field(ge=1, le=10_000)] = 500
    """At most so many rows a second are sent to it again; new results always go first."""


class Retention:
    """Used by the journal's writer alone, within its transactions."""

    def __init__(
        self, db: sqlite3.Connection, settings: JournalSettings, cursors: Cursors, pages_max: int
    ) -> None:
        self._db = db
        self._settings = settings
        self._cursors = cursors
        self._pages_max = pages_max
        self._may_lose: frozenset[Name] = frozenset()
        self._at = cursors.all()
        self._read_at = time.monotonic()
        self.rows_yielded = 0
        """Delivered rows deleted before keep_days had passed, since this start."""
        self.rows_let_go = 0
        """Rows deleted though a consumer had not acknowledged them, since this start."""

    def register(self, consumers: Sequence[ConsumerSettings], last: int) -> None:
        """From now on these hold rows; those of an earlier registration that are not named don't.

        A new one holds what comes behind row `last`. Raises RecordError.
        """
        named = {each.name for each in consumers}
        for name in self._cursors.all().keys() - named - {COURIER}:
            log.warning("consumer %s is not registered any more: nothing is kept for it", name)
            self._cursors.forget(name)
        for name in named:
            self._cursors.register(name, last)
        self._may_lose = frozenset(each.name for each in consumers if each.may_lose)
        self.look_again()

    def look_again(self) -> None:
        """Do not trust what was read of the cursors a moment ago."""
        self._read_at = -CURSOR_AGE_S

    def forget(self, rows: int) -> tuple[int, int]:
        """Delete at most so many rows, the oldest that may go.

        Returns how many went before their time for room, and how many were let go; the caller
        gives them to `count` once that is durable.
        """
        self._look()
        delivered = min(self._at.values(), default=0)
        share = self.share()
        if self._delete(self._aged(delivered, rows), rows) or share < PRESSED_SHARE:
            return 0, 0
        yielded = self._delete(delivered, rows)
        if yielded or share < LET_GO_SHARE:
            return yielded, 0
        return 0, self._delete(min(self._holders().values(), default=0), rows)

    def count(self, yielded: int, let_go: int) -> None:
        if yielded and not self.rows_yielded:
            log.warning(
                "journal %s: size_max_mb %d is too small to keep delivered rows for %g days: "
                "the oldest go early",
                self._settings.path,
                self._settings.size_max_mb,
                self._settings.keep_days,
            )
        if let_go and not self.rows_let_go:
            log.error("journal %s: %s", self._settings.path, self.lost())
        self.rows_yielded += yielded
        self.rows_let_go += let_go

    def share(self) -> float:
        """How much of the journal's size is used: at most; exact from where it matters."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        if pages < PRESSED_SHARE * self._pages_max:
            # asked twice a part: how many of them are free changes nothing yet
            return int(pages) / self._pages_max
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        return (int(pages) - int(free)) / self._pages_max

    def holder(self) -> str:
        """Who holds the oldest rows, in words."""
        self._look()
        at = self._holders()
        name = min(at, key=at.__getitem__, default=COURIER)
        waiting = last_seq(self._db) - at.get(name, 0)
        if name == COURIER:
            return f"{waiting} results wait to be delivered to the broker"
        return (
            f"{waiting} results wait for consumer {name}, which has acknowledged up to {at[name]}"
        )

    def lost(self) -> str | None:
        """Which consumers lack rows that are gone; None once they have acknowledged beyond."""
        if not self._may_lose:
            return None
        self._look()
        first = first_seq(self._db) or last_seq(self._db) + 1
        short = [
            f"consumer {name} stayed away: results {seq + 1} to {first - 1} were let go"
            for name, seq in self._at.items()
            if seq < first - 1 and name in self._may_lose
        ]
        return "; ".join(short) or None

    def _holders(self) -> dict[Name, int]:
        """Those whose rows never give way."""
        return {name: seq for name, seq in self._at.items() if name not in self._may_lose}

    def _look(self) -> None:
        """Cursors only rise, so an old answer keeps too much, never too little."""
        now = time.monotonic()
        if now - self._read_at >= CURSOR_AGE_S:
            self._at, self._read_at = self._cursors.all(), now

    def _aged(self, up_to: int, rows: int) -> int:
        """Of the oldest rows, at most so many: up to which one the time of all has passed.

        None behind one that stays: a replay over a hole would never end. A row from the future
        (the clock was ahead, and was set) is as old as the next one behind it that is not: it was
        stored before that, and must not hold the journal until its own date.
        """
        now = time.time()
        past_keep = int(now - self._settings.keep_days * DAY_S) + 1
        query = "SELECT seq, stored_at FROM result WHERE seq <= ? ORDER BY seq LIMIT ?"
        future = now + RUN_ON_MS / 1_000  # many rows at once are stored a little ahead of the clock
        aged = from_future = 0
        for seq, stored_at in self._db.execute(query, (up_to, rows)).fetchall():
            if min(stored_at, now) < past_keep:
                aged = seq
            elif stored_at > future:
                from_future = seq
            else:
                return aged
        if from_future > aged and self._next_stored_at(from_future, future) < past_keep:
            return from_future
        return aged

    def _next_stored_at(self, seq: int, future: float) -> float:
        """When the first row behind `seq` that is not from the future was stored, else `future`.

        By halving, since many may be. Where the clock was ahead more than once, perhaps a later
        one: then rows stay longer.
        """
        low, high = seq + 1, last_seq(self._db)
        if self._stored_at(high) > future:
            return future
        while low < high:
            middle = (low + high) // 2
            if self._stored_at(middle) > future:
                low = middle + 1
            else:
                high = middle
        return self._stored_at(high)

    def _stored_at(self, seq: int) -> float:
        """Of this row or the next one there is."""
        query = "SELECT stored_at FROM result WHERE seq >= ? ORDER BY seq LIMIT 1"
        found = self._db.execute(query, (seq,)).fetchone()
        return float(found[0]) if found else float("inf")

    def _delete(self, up_to: int, rows: int) -> int:
        """The oldest rows, at most so many."""
        query = (
            "DELETE FROM result WHERE seq IN"
            " (SELECT seq FROM result WHERE seq <= ? ORDER BY seq LIMIT ?)"
        )
        return self._db.execute(query, (up_to, rows)).rowcount
