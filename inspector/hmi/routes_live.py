"""What a station shows and is asked: the stream, pictures, results, commands."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import StreamingResponse
from pydantic import Field, StringConstraints
from starlette.types import Receive, Scope, Send

from inspector.contract.command import Action
from inspector.contract.strict import Strict
from inspector.delivery.kept import MAP, is_file_name, read_kept
from inspector.hmi.access import COMMANDS, DANGEROUS, allows
from inspector.hmi.asked import cookie, one_of, visitor
from inspector.hmi.commanding import command as send
from inspector.hmi.follow import Follower
from inspector.hmi.guard import Guard
from inspector.hmi.history import Page, Search, export, is_there, one, search
from inspector.hmi.stream import Seat

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


class Held(StreamingResponse):
    """Has something from its beginning to its end, also where nobody is there to hear it: in the
    generator's own hands, one that never began would keep it for good.
    """

    def __init__(
        self,
        held: AbstractContextManager[None],
        content: AsyncIterator[str] | Iterator[bytes],
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__(content, 200, headers, media_type)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


def add(app: FastAPI, parts: "Parts", guard: Guard) -> None:  # noqa: ARG001 - as all of them
    Station = Annotated[Follower, Depends(one_of(parts.followers))]  # noqa: N806 - a type
    _add_commands(app, parts, Station)
    _add_results(app, Station)
    _add_maps(app, Station)

    @app.get("/api/stream")
    async def stream(request: Request) -> Response:
        """Server-sent events: one stream a browser, whatever number of stations and tabs."""
        token = cookie(request)
        seat = Seat(session=token, account=visitor(request).name)

        def still_in() -> bool:
            return parts.accounts.visitor(token, used=False) is not None

        events = parts.streams.events(seat, still_in)
        headers = {"x-accel-buffering": "no"}  # nginx would gather some kilobytes first
        return Held(parts.streams.seated(seat), events, "text/event-stream", headers)

    @app.get("/api/stations/{station}/pictures/{result_id}")
    def picture(station: Station, result_id: ResultId, *, soon: bool = False) -> Response:
        """The kept picture of a result, by its id, as the archive has it, or the shadow.

        soon: it may be on its way into the archive; no content where it is not there yet, since a
        browser would call it an error.
        """
        if station.place.archive is None:
            raise HTTPException(404, "no_archive")
        for folder in filter(None, (station.place.archive, station.place.shadow)):
            with suppress(OSError, ValueError):
                return Response(read_kept(folder, result_id), media_type="image/jpeg")
        if soon and is_file_name(result_id):
            return Response(status_code=204)
        raise HTTPException(404, "no_picture")


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
        lines = export(_journal(station), wanted)
        name = f'attachment; filename="{station.place.name}.csv"'
        return Held(_one_of(exports), lines, "text/csv", {"content-disposition": name})


@contextmanager
def _one_of(some: BoundedSemaphore) -> Iterator[None]:
    if not some.acquire(blocking=False):
        raise HTTPException(429, "too_many")
    try:
        yield
    finally:
        some.release()


def _add_maps(app: FastAPI, station_type: Any) -> None:
    @app.get("/api/stations/{station}/maps/{result_id}")
    def defect_map(station: station_type, result_id: ResultId) -> Response:
        """Where the bundle saw a defect on a kept picture, a PNG of contract/defect_map.py; no
        content where nothing was kept: that is no error, and a browser would call it one.
        """
        if station.place.archive is None:
            return Response(status_code=204)
        try:
            data = read_kept(station.place.archive, result_id, MAP)
        except FileNotFoundError:
            return Response(status_code=204)
        except (OSError, ValueError):
            raise HTTPException(404, "no_picture") from None
        return Response(data, media_type="image/png")


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
        row = {"old": station.known.station_state(), "why": asked.why or None}
        return send(parts, request, station, {"schema": 2, "action": asked.action}, row=row)
