"""The system's figures, and the audits."""

import os
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException

from inspector import __version__
from inspector.contract.errors import InspectorError, RecordError
from inspector.contract.strict import Name
from inspector.delivery.ledger import ledger_path, read_audit
from inspector.delivery.reader import JournalReader
from inspector.hmi.audit import SHOWN_MAX
from inspector.hmi.follow import Follower
from inspector.hmi.guard import Guard
from inspector.hmi.history import is_there

if TYPE_CHECKING:
    from inspector.hmi.app import Parts


def add(app: FastAPI, parts: "Parts", guard: Guard) -> None:  # noqa: ARG001 - as all of them
    started_at = time.time()

    @app.get("/api/system")
    def system() -> dict[str, Any]:
        return {
            "version": __version__,
            "started_at": started_at,
            "streams": parts.streams.open,
            "accounts": len(parts.accounts.all()),
            "stations": [_station(each) for each in parts.followers.values()],
        }

    @app.get("/api/audit")
    def audit() -> dict[str, Any]:
        return parts.audit.show()

    @app.get("/api/stations/{station}/audit")
    def station_audit(station: Name) -> dict[str, Any]:
        """The station's own, of every command of every door."""
        found = parts.followers.get(station)
        path = found.place.journal if found else None
        if path is None or not is_there(ledger_path(path)):
            raise HTTPException(404, "no_audit")
        return _station_audit(path)


def _station_audit(path: Path) -> dict[str, Any]:
    rows: deque[dict[str, Any]] = deque(maxlen=SHOWN_MAX)
    count, head, tampered = 0, None, None
    try:
        for seq, entry, found in read_audit(path):
            count, head = seq, f"{seq}:{found}"
            rows.append({"seq": seq, **entry.model_dump(exclude={"schema_version", "nonce"})})
    except RecordError as error:
        tampered = str(error)
    return {
        "rows": list(reversed(rows)), "count": count, "whole_to": count, "head": head,
        "tampered": tampered,
    }  # fmt: skip


def _station(follower: Follower) -> dict[str, Any]:
    place = follower.place
    return {
        "name": place.name,
        "topic_root": place.topic_root,
        "broker": f"{place.mqtt.host}:{place.mqtt.port}",
        "commands": follower.commands,
        "state": follower.known.message(),
        "unreadable": follower.known.unreadable,
        "journal": _journal(place.journal),
        "archive": place.archive is not None,
    }


def _journal(path: Path | None) -> dict[str, Any] | None:
    try:
        if path is None or not is_there(path):
            return None
        with JournalReader(path) as reader:
            first, last = reader.first_seq(), reader.last_seq()
            disk = os.statvfs(path.parent)
            return {
                "first": first,
                "last": last,
                "rows": reader.rows(),
                "bytes": path.stat().st_size,
                "disk_free_bytes": disk.f_bavail * disk.f_frsize,
                "acknowledged": reader.acknowledged(),
            }
    except (InspectorError, OSError) as error:
        return {"trouble": str(error)[:300]}
