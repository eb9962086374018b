"""A command on somebody's behalf: signed, sent, and what became of it in the audit of the pages."""

from secrets import token_hex
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from inspector.contract.command import Command
from inspector.contract.errors import DeviceError
from inspector.hmi.asked import address, visitor
from inspector.hmi.follow import Follower

if TYPE_CHECKING:
    from inspector.hmi.app import Parts

SHOWN = ("outcome", "reason", "state", "cause", "withheld")
SLOW_S = 120.0
"""For what loads a bundle: the station itself gives up earlier."""


def command(
    parts: "Parts",
    request: Request,
    station: Follower,
    words: dict[str, Any],
    *,
    row: dict[str, str | None] | None,
    wait_s: float | None = None,
) -> Response:
    """row: what the audit says beside who and what became of it; None: it changes nothing.

    Raises DeviceError where no reply came.
    """
    who = visitor(request)
    sent = command_of(who.name, words)
    known: dict[str, Any] = {
        "who": who.name, "address": address(request), "what": f"command {sent.action}",
        "station": station.place.name, **(row or {}),
    }  # fmt: skip
    try:
        reply = station.ask(sent, wait_s)
    except DeviceError as error:
        if row is not None:
            parts.audit.add(**known, outcome=f"no reply: {error}")
        raise
    if row is not None:
        known = {"new": reply.state, **known}
        parts.audit.add(**known, outcome=f"{reply.outcome}: {reply.reason}")
    return JSONResponse({name: getattr(reply, name) for name in SHOWN})


def command_of(who: str, words: dict[str, Any]) -> Command:
    """The station's own audit keeps the id: it says who, beside our key's name."""
    return Command.model_validate({"id": f"{who}-{token_hex(6)}", **words})
