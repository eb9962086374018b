"""alarms.db: which alarms came, went and were acknowledged, by whom; it outlives the pages.

What a station says needs a person, and what only the pages can know: that a station fell silent,
that its broker was away, that the pages themselves did not run. Of the time in which nobody
listened there is a row that says so, since an alarm that came and went in it is in none.

The pages' own file, not the station's journal: a full or broken disk of the station is an alarm.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from inspector.contract.errors import RecordError
from inspector.contract.strict import Name, Strict
from inspector.delivery.database import Kind, lock
from inspector.hmi.store import Store

log = logging.getLogger(__name__)

KIND = Kind(
    word="alarms' file",
    application_id=0x494E5341,
    version=1,
    schema=(
        # AUTOINCREMENT: an acknowledgement must never meet a reused id
        "CREATE TABLE alarm (id INTEGER PRIMARY KEY AUTOINCREMENT, station TEXT NOT NULL,"
        " kind TEXT NOT NULL, cause TEXT NOT NULL, origin TEXT NOT NULL, began REAL NOT NULL,"
        " ended REAL, acknowledged REAL, acknowledged_by TEXT)"
    ),
    more=(
        "CREATE INDEX alarm_station ON alarm (station, id)",
        "CREATE INDEX alarm_open ON alarm (station) WHERE ended IS NULL",
        "CREATE TABLE listening (at REAL NOT NULL)",
    ),
)
FILE = "alarms.db"
ROWS_MAX = 5_000
"""Of each station; the oldest that have ended go."""
AT_ONCE_MAX = 16
SHOWN_MAX = 200
TEXT_MAX = 500
NOTED_S = 20.0
"""How often it is written that the pages still listen."""
FOREVER_S, AHEAD_S = 400 * 86_400.0, 3_600.0

Own = Literal["silent", "offline", "broker"]
OWN: tuple[Own, ...] = ("silent", "offline", "broker")
AWAY = "pages"
NO_STATION = ""
"""Of the row of the pages themselves."""
Id = Annotated[int, Field(ge=1, lt=2**62)]
_COLUMNS = ("id", "station", "kind", "cause", "began", "ended", "acknowledged", "acknowledged_by")
_FOUND = f"SELECT {', '.join(_COLUMNS)} FROM alarm"  # noqa: S608 - our words
_Key = tuple[str, str]


class Wanted(Strict):
    """What is left out stands for everything."""

    station: Name | None = None
    unacknowledged: bool = False
    before: Id | None = None
    """Rows older than this one: where the page before ended."""
    limit: Annotated[int, Field(ge=1, le=SHOWN_MAX)] = 50


class AlarmLog:
    """Any thread may use it. What it cannot keep is in `trouble`, and stops nobody."""

    def __init__(
        self, folder: Path, stations: Iterable[str], clock: Callable[[], float] = time.time
    ) -> None:
        """Raises ConfigError for a file of another version, RecordError for a damaged one,
        InUseError where other pages keep theirs there."""
        # not FULL: each of its commits would wait for the disk that stations write to
        self._store = Store(folder, KIND, FILE, synchronous="NORMAL")
        self._clock = clock
        self._lock = threading.Lock()
        self._noted_at = 0.0
        self._trouble: str | None = None
        self._open: dict[str, dict[_Key, int]] = {}
        """Station -> (kind, origin) -> id."""
        try:  # each alarm would be kept by both, and who comes takes the others for ended
            self._held: int | None = lock(KIND, self._store.path, "one state_folder, one hmi")
        except RecordError:
            self._store.close()
            raise
        self._come_back(set(stations))

    @property
    def trouble(self) -> str | None:
        """Why alarms are not kept now."""
        return self._trouble

    def heard(self, station: str, message: dict[str, Any]) -> None:
        """All alarms a station has now, as it says."""
        boot = _word(message.get("boot"))
        now: dict[_Key, tuple[str, float]] = {}
        for each in alarms_of(message)[:AT_ONCE_MAX]:
            since = _word(each.get("since"))
            key = _word(each.get("kind")), f"{boot} {since}"
            now[key] = _word(each.get("cause")), self._began(since)
        with self._lock:
            before = self._open.setdefault(station, {})
            gone = [key for key in before if key[0] not in OWN and key not in now]
            come = [key for key in now if key not in before]
            if gone or come:
                self._write(station, gone, {key: now[key] for key in come})

    def watched(self, station: str, what: Own | None, cause: str = "") -> None:
        """What the pages themselves find of a station: nothing (None), or that it is not heard."""
        with self._lock:
            before = self._open.setdefault(station, {})
            own = [key for key in before if key[0] in OWN]
            if [kind for kind, _ in own] != ([what] if what else []):
                come: dict[_Key, tuple[str, float]] = {}
                if what:
                    come[what, ""] = cause[:TEXT_MAX], self._clock()
                self._write(station, own, come)
            now = time.monotonic()
            if now - self._noted_at >= NOTED_S:
                self._noted_at = now
                self._note()

    def rows(self, wanted: Wanted) -> dict[str, Any]:
        """Newest first; `before` to go on from, None where there is no more. Raises RecordError."""
        rules: list[str] = ["id < ?"]
        given: list[int | str] = [wanted.before or 2**62]
        if wanted.station is not None:
            rules.append("station IN (?, ?)")
            given += [wanted.station, NO_STATION]
        if wanted.unacknowledged:
            rules.append("acknowledged IS NULL")
        query = f"{_FOUND} WHERE {' AND '.join(rules)} ORDER BY id DESC LIMIT ?"
        with self._store.reading() as db:
            found = db.execute(query, (*given, wanted.limit + 1)).fetchall()
            (waiting,) = db.execute(
                "SELECT count(*) FROM alarm WHERE acknowledged IS NULL"
            ).fetchone()
        rows = [dict(zip(_COLUMNS, row, strict=True)) for row in found[: wanted.limit]]
        return {
            "rows": rows,
            "before": rows[-1]["id"] if len(found) > wanted.limit else None,
            "unacknowledged": waiting,
            "trouble": self._trouble,
        }

    def named(self, ids: Iterable[int]) -> list[dict[str, Any]]:
        """Those of them that nobody has acknowledged. Raises RecordError."""
        with self._store.reading() as db:
            query = f"{_FOUND} WHERE id = ? AND acknowledged IS NULL"
            found = [db.execute(query, (each,)).fetchone() for each in sorted(set(ids))]
        return [dict(zip(_COLUMNS, row, strict=True)) for row in found if row]

    def acknowledge(self, ids: Iterable[int], who: str) -> None:
        """The first who does is kept. Raises RecordError."""
        update = "UPDATE alarm SET acknowledged = ?, acknowledged_by = ?"
        with self._store.changing() as db:
            rows = [(self._clock(), who, each) for each in ids]
            db.executemany(f"{update} WHERE id = ? AND acknowledged IS NULL", rows)

    def close(self) -> None:
        """May be called twice."""
        with self._lock, suppress(RecordError):
            self._note()
        self._store.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _come_back(self, stations: set[str]) -> None:
        """What stood when the pages ended, and how long nobody has listened. Raises RecordError."""
        with self._store.changing() as db:
            found = db.execute("SELECT at FROM listening").fetchone()
            now = self._clock()
            if found is None:
                db.execute("INSERT INTO listening VALUES (?)", (now,))
            else:
                heard_to = min(found[0], now)
                own = ", ".join("?" * len(OWN))
                end = f"UPDATE alarm SET ended = ? WHERE ended IS NULL AND kind IN ({own})"  # noqa: S608
                db.execute(end, (heard_to, *OWN))
                self._insert(db, NO_STATION, (AWAY, ""), ("", heard_to), ended=now)
                self._forget(db, NO_STATION)
                db.execute("UPDATE listening SET at = ?", (now,))
            query = "SELECT station, kind, origin, id FROM alarm WHERE ended IS NULL"
            for station, kind, origin, number in db.execute(query).fetchall():
                if station not in stations:  # followed no more
                    db.execute("UPDATE alarm SET ended = ? WHERE id = ?", (now, number))
                    continue
                self._open.setdefault(station, {})[kind, origin] = number

    def _write(self, station: str, gone: list[_Key], come: dict[_Key, tuple[str, float]]) -> None:
        """In memory only once it is in the file: what was refused is tried at the next message."""
        stands = self._open[station]
        try:
            with self._store.changing() as db:
                for key in gone:
                    row = (self._clock(), stands[key])
                    db.execute("UPDATE alarm SET ended = ? WHERE id = ?", row)
                ids = {key: self._insert(db, station, key, what) for key, what in come.items()}
                self._forget(db, station)
        except RecordError as error:
            self._complain(error)
            return
        self._trouble = None
        for key in gone:
            del stands[key]
        stands.update(ids)

    def _insert(
        self, db: Any, station: str, key: _Key, what: tuple[str, float], ended: float | None = None
    ) -> int:
        columns = "INSERT INTO alarm (station, kind, origin, cause, began, ended)"
        done = db.execute(f"{columns} VALUES (?, ?, ?, ?, ?, ?)", (station, *key, *what, ended))
        return int(done.lastrowid)

    def _forget(self, db: Any, station: str) -> None:
        newest = "SELECT id FROM alarm WHERE station = ? ORDER BY id DESC LIMIT -1 OFFSET ?"
        drop = f"DELETE FROM alarm WHERE ended IS NOT NULL AND id IN ({newest})"  # noqa: S608
        db.execute(drop, (station, ROWS_MAX))

    def _note(self) -> None:
        try:
            with self._store.changing() as db:
                db.execute("UPDATE listening SET at = ?", (self._clock(),))
        except RecordError as error:
            self._complain(error)

    def _complain(self, error: RecordError) -> None:
        if self._trouble is None:
            log.error("alarms are not kept: %s", error)
        self._trouble = str(error)

    def _began(self, since: str) -> float:
        """By the station's clock where it says something sensible, else now."""
        now = self._clock()
        with suppress(ValueError, OverflowError):
            at = datetime.fromisoformat(since)
            if at.tzinfo is not None and now - FOREVER_S < at.timestamp() < now + AHEAD_S:
                return at.timestamp()
        return now


def alarms_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Those a message names; what is none is left out."""
    found = message.get("alarms")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _word(value: object) -> str:
    return value[:TEXT_MAX] if isinstance(value, str) else ""
