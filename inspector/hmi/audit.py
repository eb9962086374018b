"""Who did what on the pages: old, new and why, in rows of which none can be changed unseen."""

import json
from collections import deque
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from inspector.contract.chain import FIRST, checked, link
from inspector.contract.errors import RecordError
from inspector.contract.result import utc_text
from inspector.contract.strict import Strict
from inspector.hmi.store import Store

Text = Annotated[str, Field(max_length=500)]
SHOWN_MAX = 500


class Entry(Strict):
    """One row."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    at: str
    """UTC, by this machine's clock; the order is the rows'."""
    who: Text
    """The account; "-" where nobody was logged in."""
    address: Text
    what: Text
    station: Text | None = None
    old: Text | None = None
    new: Text | None = None
    why: Text | None = None
    outcome: Text = "done"


class Audit:
    """Any thread may use it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, *, who: str, address: str, what: str, **words: str | None) -> None:
        """One more row, durably. Raises RecordError: then what it tells of must not be done."""
        limited = {name: text[:500] if text else text for name, text in words.items()}
        given = {k: v for k, v in limited.items() if v is not None}
        at = utc_text(datetime.now(UTC))
        entry = Entry.model_validate(
            {"at": at, "who": who, "address": address, "what": what, **given}
        )
        text = entry.model_dump_json(by_alias=True)
        with self._store.changing() as db:
            # read each time: inspector hmi-user adds rows too
            found = db.execute("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            before = found[0] if found else FIRST
            row = (text, link(before, text))
            db.execute("INSERT INTO audit (entry, hash) VALUES (?, ?)", row)

    def show(self, limit: int = SHOWN_MAX) -> dict[str, Any]:
        """The newest rows, the newest first, and what is wrong with the chain, from its start."""
        rows: deque[dict[str, Any]] = deque(maxlen=limit)
        count, head, tampered = 0, None, None
        with self._store.reading() as db:
            # raw, so that rows behind a changed one are shown all the same
            raw = db.execute("SELECT seq, entry, hash FROM audit ORDER BY seq").fetchall()
        try:
            for seq, _, found in checked(raw, f"audit {self._store.path.name}"):
                count, head = seq, f"{seq}:{found.hex()}"
        except RecordError as error:
            tampered = str(error)
        for seq, text, _ in raw:
            rows.append({"seq": seq, **_read(text)})
        return {
            "rows": list(reversed(rows)), "count": len(raw), "whole_to": count, "head": head,
            "tampered": tampered,
        }  # fmt: skip


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {"what": text[:500]}
    return found if isinstance(found, dict) else {"what": text[:500]}
