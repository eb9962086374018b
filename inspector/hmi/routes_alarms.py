"""Alarms: what came and went, and who has seen it."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request
from pydantic import Field

from inspector.contract.strict import Strict
from inspector.hmi.alarm_log import SHOWN_MAX, Id, Wanted
from inspector.hmi.asked import address, visitor
from inspector.hmi.guard import Guard

if TYPE_CHECKING:
    from inspector.hmi.app import Parts


class Seen(Strict):
    ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=SHOWN_MAX)]


def add(app: FastAPI, parts: "Parts", guard: Guard) -> None:  # noqa: ARG001 - as all of them
    @app.get("/api/alarms")
    def alarms(wanted: Annotated[Wanted, Query()]) -> dict[str, Any]:
        return parts.alarms.rows(wanted)

    @app.post("/api/alarms/acknowledged")
    def acknowledged(request: Request, seen: Seen) -> dict[str, Any]:
        """A person has seen them; at the station nothing changes by it."""
        who = visitor(request).name
        found = parts.alarms.named(seen.ids)
        with parts.store.changing():  # first it stands who, then it is done
            for each in found:
                what = f"acknowledge alarm {each['id']}: {each['kind']}"
                station = each["station"] or None
                parts.audit.add(who=who, address=address(request), what=what, station=station)
            parts.alarms.acknowledge([each["id"] for each in found], who)
        return {"acknowledged": len(found)}
