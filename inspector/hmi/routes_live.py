"""What a station shows and is asked: the stream, pictures, results, commands."""

import logging
from collections.abc import AsyncIterator, Iterator
from secrets import token_hex
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import Field, StringConstraints

from inspector.contract.command import Action, Command
from inspector.contract.errors import DeviceError
from inspector.contract.strict import Name, Strict
from inspector.delivery.archive import read_kept
from inspector.hmi.access import COMMANDS, DANGEROUS, allows
from inspector.hmi.asked import address, cookie, visitor
from inspector.hmi.follow import Follower
from inspector.hmi.guard import Guard
from inspector.hmi.history import Page, Search, export, is_there, one, search

if TYPE_CHECKING:
    from inspector.hmi.app import Parts

log = logging.getLogger(__name__)

Seq = Annotated[int, PathParameter(ge=1, lt=2**62)]
ResultId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
EXPORTS_MAX = 2


class Ask(Strict):
    action: Action
    why: Annotated[str, Field(max_length=300)] = ""
    confirmed: bool = False
    """The second step, of what is dangerous."""


def add(app: FastAPI, parts: "Parts", guard: Guard) -> None:  # noqa: ARG001 - as all of them

    def station(station: Name) -> Follower:
        found = parts.followers.get(station)
        if found is None:
            raise HTTPException(404, "no_station")
        return found

    Station = Annotated[Follower, Depends(station)]  # noqa: N806 - a type
    _add_commands(app, parts, Station)
    _add_results(app, Station)

    @app.get("/api/stream")
    async def stream(request: Request) -> Response:
        """Server-sent events: one stream a browser, whatever number of stations and tabs."""
        if parts.streams.full:
            raise HTTPException(429, "too_many")
        token = cookie(request)

        def still_in() -> bool:
            return parts.accounts.visitor(token, used=False) is not None

        events: AsyncIterator[str] = parts.streams.events(still_in)
        headers = {"x-accel-buffering": "no"}  # nginx would gather some kilobytes first
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    @app.get("/api/stations/{station}/pictures/{result_id}")
    def picture(station: Station, result_id: ResultId) -> Response:
        """The kept picture of a result, by its id, as the archive has it."""
        if station.place.archive is None:
            raise HTTPException(404, "no_archive")
        try:
            data = read_kept(station.place.archive, result_id)
        except (OSError, ValueError):
            raise HTTPException(404, "no_picture") from None
        return Response(data, media_type="image/jpeg")


def _add_results(app: FastAPI, station_type: Any) -> None:
    exports = BoundedSemaphore(EXPORTS_MAX)

    @app.get("/api/stations/{station}/results")
    def results(station: station_type, wanted: Annotated[Page, Query()]) -> dict[str, Any]:
        return search(_journal(station), wanted)

    @app.get("/api/stations/{station}/results/{seq}")
    def result(station: station_type, seq: Seq) -> dict[str, Any]:
        found = one(_journal(station), seq)
        if found is None:
            raise HTTPException(404, "no_result")
        return found

    @app.get("/api/stations/{station}/export")
    def exported(station: station_type, wanted: Annotated[Search, Query()]) -> Response:
        """CSV of all that the search finds."""
        path = _journal(station)
        if not exports.acquire(blocking=False):
            raise HTTPException(429, "too_many")

        def lines() -> Iterator[bytes]:
            try:
                yield from export(path, wanted)
            finally:
                exports.release()

        name = f'attachment; filename="{station.place.name}.csv"'
        return StreamingResponse(lines(), 200, {"content-disposition": name}, "text/csv")


def _journal(station: Follower) -> Any:
    path = station.place.journal
    if path is None or not is_there(path):
        raise HTTPException(404, "no_journal")
    return path


def _add_commands(app: FastAPI, parts: "Parts", station_type: Any) -> None:
    @app.post("/api/stations/{station}/commands")
    def command(request: Request, station: station_type, asked: Ask) -> Response:
        """Signed, sent through the station's command door; answers with its reply."""
        who = visitor(request)
        needed = COMMANDS.get(asked.action)
        if needed is None or not allows(who.role, needed):
            raise HTTPException(403, "role")
        if asked.action in DANGEROUS and not asked.confirmed:
            raise HTTPException(409, "confirm")
        if not station.commands:
            raise HTTPException(409, "no_commands")
        old = station.known.station_state()
        row = {
            "who": who.name, "address": address(request), "what": f"command {asked.action}",
            "station": station.place.name, "old": old, "why": asked.why or None,
        }  # fmt: skip
        # the station's own audit keeps the id: it says who, beside our key's name
        words = {"schema": 2, "id": f"{who.name}-{token_hex(6)}", "action": asked.action}
        try:
            reply = station.ask(Command.model_validate(words))
        except DeviceError as error:
            parts.audit.add(**row, outcome=f"no reply: {error}")
            raise
        parts.audit.add(**row, new=reply.state, outcome=f"{reply.outcome}: {reply.reason}")
        shown = ("outcome", "reason", "state", "cause", "withheld")
        return JSONResponse({name: getattr(reply, name) for name in shown})
