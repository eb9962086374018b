"""A result as a row of a table: the columns of CSV, Parquet, SQLite and PostgreSQL alike.

Of any schema version: what a row does not have is empty.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

Kind = Literal["text", "whole", "number", "flag", "instant"]

KINDS: dict[str, Kind] = {
    "station": "text",
    "seq": "whole",
    "result_id": "text",
    "boot": "text",
    "part_id": "text",
    "part_sequence": "whole",
    "trigger_id": "text",
    "captured_at": "instant",
    "evaluation": "text",
    "pass": "flag",
    "late": "flag",
    "reason": "text",
    "cause": "text",
    "label": "text",
    "score": "number",
    "novelty": "number",
    "review_at": "number",
    "reject_at": "number",
    "recipe": "text",
    "bundle": "text",
    "total_ms": "number",
    "image": "text",
    "simulated": "flag",
}
"""What a column of a typed table holds."""
COLUMNS = tuple(KINDS)

_WITHIN = {
    "part_id": ("part", "id"),
    "part_sequence": ("part", "sequence"),
    "trigger_id": ("trigger", "id"),
    "review_at": ("limits", "review_at"),
    "reject_at": ("limits", "reject_at"),
    "total_ms": ("times_ms", "total"),
}


def cells(result: dict[str, Any]) -> dict[str, Any]:
    """One value a column, in their order."""
    found = ((name, *_cell(result, name)) for name in COLUMNS)
    return {name: value if there else None for name, value, there in found}


def fitting(result: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The cells that any table of these columns takes, and what stands in the result in place of
    those left empty: another version, or somebody else, wrote something else there.

    result: as `foreign_json` reads it.
    """
    taken: dict[str, Any] = {}
    odd: dict[str, Any] = {}
    for name, kind in KINDS.items():
        value, there = _cell(result, name)
        if there and _fits(kind, value):
            taken[name] = value
        else:
            taken[name], odd[name] = None, value
    return taken, odd


def _cell(result: dict[str, Any], name: str) -> tuple[Any, bool]:
    """The value; or what stands where its table should be, and that it does."""
    outer, inner = _WITHIN.get(name, (name, None))
    found = result.get(outer)
    if inner is None:
        return found, True
    if isinstance(found, dict):
        return found.get(inner), True
    return found, found is None


def _fits(kind: Kind, value: Any) -> bool:
    if value is None:
        return True
    match kind:
        case "text":
            return isinstance(value, str) and "\0" not in value  # PostgreSQL's text ends there
        case "flag":
            return isinstance(value, bool)
        case "whole":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "instant":
            return isinstance(value, str) and _is_instant(value)


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def beyond_head(row: Mapping[str | None, Any]) -> str | None:
    """Why a line with more cells than the head has columns cannot be trusted, in words; None where
    it has none. row: as `csv.DictReader` gives it. Blank cells say nothing.
    """
    more = [cell for cell in row.get(None) or () if cell.strip()]
    if not more:
        return None
    return (
        f"has more cells than the head has columns ({more[0].strip()!r}): a cell with a comma in "
        f'it, as in "0,5", must be quoted'
    )


def csv_line(values: Iterable[Any]) -> bytes:
    """RFC 4180. A text that a spreadsheet would take for a formula is kept from being one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_plain(value) for value in values])
    return text.getvalue().encode()


def csv_table(rows: Iterable[Iterable[Any]]) -> bytes:
    """Several such lines, the head's first."""
    return b"".join(map(csv_line, rows))


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
