"""A result as a row of a table: the columns of CSV, Parquet, SQLite and PostgreSQL alike.

Of any schema version: what a row does not have is empty.
"""

import csv
import io
from collections.abc import Iterable
from typing import Any

COLUMNS = (
    "station",
    "seq",
    "result_id",
    "boot",
    "part_id",
    "part_sequence",
    "captured_at",
    "evaluation",
    "pass",
    "late",
    "reason",
    "label",
    "score",
    "novelty",
    "review_at",
    "reject_at",
    "recipe",
    "bundle",
    "total_ms",
    "image",
    "simulated",
)


def cells(result: dict[str, Any]) -> dict[str, Any]:
    """One value a column, in their order."""
    part, limits, times = (result.get(name) or {} for name in ("part", "limits", "times_ms"))
    nested = {
        "part_id": part.get("id"),
        "part_sequence": part.get("sequence"),
        "review_at": limits.get("review_at"),
        "reject_at": limits.get("reject_at"),
        "total_ms": times.get("total"),
    }
    return {name: nested[name] if name in nested else result.get(name) for name in COLUMNS}


def csv_line(values: Iterable[Any]) -> bytes:
    """RFC 4180. A text that a spreadsheet would take for a formula is kept from being one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_plain(value) for value in values])
    return text.getvalue().encode()


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
