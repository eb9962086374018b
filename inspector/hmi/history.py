"""What the journal holds, searched from its newest row back, read-only beside the station.

A search looks at a bounded number of rows and says how far it has come, so that no question costs
the station's disk more than a moment; who wants more asks to go on from there. A last row that the
station has not settled yet is left out: nobody may see an OK that may still be withdrawn.
"""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from inspector.contract.errors import RecordError
from inspector.contract.foreign import foreign_json
from inspector.contract.result import EvaluationName, utc_text
from inspector.contract.strict import Strict
from inspector.contract.table import COLUMNS, cells, csv_line
from inspector.contract.verdict import Cause
from inspector.delivery.reader import JournalReader
from inspector.delivery.release import read_final

LOOKED_AT_MAX = 20_000
PAGE_ROWS = 200
SHOWN_MAX = 200
EXPORT_MAX = 200_000
SPOILT = "this row is no result: a disk has spoilt it"

Seconds = Annotated[float, Field(ge=0.0, le=1e11)]


class Search(Strict):
    """What is left out stands for everything. Times are those of storing, seconds since 1970."""

    since: Seconds | None = None
    until: Seconds | None = None
    evaluation: EvaluationName | None = None
    cause: Cause | None = None
    part: Annotated[str, Field(max_length=256)] | None = None
    """A piece of the part's id, upper or lower case alike."""
    score_from: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    score_to: Annotated[float, Field(ge=0.0, le=1.0)] | None = None

    def covers(self, stored_at: float) -> bool:
        """Asked of each row: where the clock was set, rows of another time lie between."""
        return (self.since is None or stored_at >= self.since) and (
            self.until is None or stored_at < self.until
        )

    def takes(self, result: dict[str, Any]) -> bool:
        """One that cannot be read may be any."""
        if result.get("reason") == SPOILT:
            return True
        if self.evaluation is not None and result.get("evaluation") != self.evaluation:
            return False
        if self.cause is not None and result.get("cause") != self.cause:
            return False
        if self.part and self.part.casefold() not in str(_part_id(result) or "").casefold():
            return False
        if self.score_from is None and self.score_to is None:
            return True
        score = result.get("score")
        if not isinstance(score, (int, float)):
            return False
        return (
            (self.score_from or 0.0) <= score <= (1.0 if self.score_to is None else self.score_to)
        )


class Page(Search):
    """A piece of what a search finds."""

    before: Annotated[int, Field(ge=1, lt=2**62)] | None = None
    """Rows older than this one: where the page before ended."""
    limit: Annotated[int, Field(ge=1, le=SHOWN_MAX)] = 50


def search(path: Path, wanted: Page) -> dict[str, Any]:
    """Newest first; `before` to go on from, None where there is no more.

    Raises RecordError, ConfigError.
    """
    found: list[dict[str, Any]] = []
    looked_at, go_on = 0, None
    with JournalReader(path) as reader:
        for seq, result, stored_at in _backwards(reader, path, wanted, wanted.before):
            looked_at += 1
            if wanted.covers(stored_at) and wanted.takes(result):
                found.append(_row(result, stored_at))
            if len(found) == wanted.limit or looked_at == LOOKED_AT_MAX:
                go_on = seq
                break
        first = reader.first_seq()
        reached = None if go_on is None else utc_text(_instant(reader.stored_at(go_on)))
        if go_on is not None and first is not None and go_on <= first:
            go_on = None
    return {"rows": found, "before": go_on, "looked_at": looked_at, "reached": reached}


def newest(path: Path, count: int) -> list[dict[str, Any]]:
    """The last rows, oldest first, as what is heard is read. Raises RecordError, ConfigError."""
    with JournalReader(path) as reader:
        rows = reader.before(_settled(reader, path) + 1, count)
    found = []
    for _, payload, _ in reversed(rows):
        with suppress(ValueError):
            found.append(foreign_json(payload))
    return [each for each in found if isinstance(each, dict)]


def one(path: Path, seq: int) -> dict[str, Any] | None:
    """A row whole, as it was written. Raises RecordError, ConfigError."""
    with JournalReader(path) as reader:
        payload = reader.row(seq) if seq <= _settled(reader, path) else None
        at = reader.stored_at(seq)
    found = _read(payload) if payload is not None else None
    return {"stored_at": utc_text(_instant(at)), "result": found} if found else None


def export(path: Path, wanted: Search) -> Iterator[bytes]:
    """CSV with the columns of `inspector journal export`, newest first, in pieces."""
    yield csv_line(COLUMNS)
    with JournalReader(path) as reader:
        count = 0
        for _, result, stored_at in _backwards(reader, path, wanted, None):
            if wanted.covers(stored_at) and wanted.takes(result):
                count += 1
                yield csv_line(cells(result).values())
            if count == EXPORT_MAX:
                return


def is_there(path: Path) -> bool:
    """Whether the station's file is on this machine. Raises RecordError."""
    try:
        return path.exists()
    except OSError as error:  # these pages' user is not in the station's group
        raise RecordError(f"{path}: {error.strerror}: may this user read it?") from None


def _backwards(
    reader: JournalReader, path: Path, wanted: Search, before: int | None
) -> Iterator[tuple[int, dict[str, Any], float]]:
    """Number, row and when it was stored; what stands for a row that a disk has spoilt."""
    top = min(_settled(reader, path) + 1, before or 2**62)
    until = math.inf if wanted.until is None else wanted.until
    for end, last in reader.stored_within(wanted.since or 0.0, until):
        seq = min(last + 1, top)
        while (left := seq - end - 1) > 0 and (rows := reader.before(seq, min(PAGE_ROWS, left))):
            for seq, payload, stored_at in rows:
                if seq > end:
                    yield seq, _read(payload) or {"seq": seq, "reason": SPOILT}, stored_at


def _settled(reader: JournalReader, path: Path) -> int:
    """A row with another behind it was settled, and so was one that was noted to be."""
    return max(read_final(path), reader.last_seq() - 1)


def _read(payload: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(payload, parse_constant=lambda _: None)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _row(result: dict[str, Any], stored_at: float) -> dict[str, Any]:
    shown = ("seq", "result_id", "evaluation", "cause", "reason", "score", "label", "image")
    part = {"part": _part_id(result), "stored_at": utc_text(_instant(stored_at))}
    return {**{name: result.get(name) for name in shown}, **part}


def _part_id(result: dict[str, Any]) -> Any:
    part = result.get("part")
    return part.get("id") if isinstance(part, dict) else None


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
