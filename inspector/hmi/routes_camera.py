"""Camera: what a frame must be, what it is, and a picture of what the camera sees now."""

import base64
import threading
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import ConfigDict

from inspector.contract.errors import ConfigError, InspectorError
from inspector.contract.strict import Name, Strict, read_toml
from inspector.hmi.asked import address, one_of, visitor
from inspector.hmi.commanding import command_of
from inspector.hmi.follow import Follower
from inspector.hmi.guard import Guard
from inspector.hmi.history import newest
from inspector.station.attest_rule import FIGURES, LANDMARK, Attest

if TYPE_CHECKING:
    from inspector.hmi.app import Parts

POINTS = 120
NOTED_S = 120.0
"""Who looks on and on is one row in so long; the station's own audit has each picture."""
GAP_S = 2.0
"""Between two pictures a station is asked for, whoever asks: a person needs no more."""


class Wanted(Strict):
    result_id: Name


class _Recipe(Strict):
    """What is read of a recipe: the station judges the rest."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: Name
    attest: Attest | None = None


class Turn:
    """One picture of a station at a time, and not too soon again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self) -> bool:
        """Whether it may be asked for now. Then `give` must follow."""
        if not self._lock.acquire(blocking=False):
            return False
        if time.monotonic() < self._free_at:
            self._lock.release()
            return False
        return True

    def give(self) -> None:
        self._free_at = time.monotonic() + GAP_S
        self._lock.release()


def add(app: FastAPI, parts: "Parts", guard: Guard) -> None:  # noqa: ARG001 - as all of them
    turns = {name: Turn() for name in parts.followers}
    noted: dict[tuple[str, str], float] = {}

    Station = Annotated[Follower, Depends(one_of(parts.followers))]  # noqa: N806 - a type

    @app.get("/api/stations/{station}/camera")
    def camera(station: Station) -> dict[str, Any]:
        """Limits, reference and the last figures, as far as they are on this machine."""
        words = _limits(station)
        return {**words, "points": _points(station), "archive": station.place.archive is not None}

    @app.get("/api/stations/{station}/reference")
    def reference(station: Station) -> Response:
        """The recipe's own picture of what the camera is to see, reduced."""
        recipe = _recipe(station)
        text = recipe.attest.reference if recipe and recipe.attest else None
        if text is None:
            raise HTTPException(404, "no_reference")
        data = base64.b64decode("".join(text.split()))  # the recipe was read: it is a picture
        return Response(data, media_type="image/jpeg")

    @app.post("/api/stations/{station}/picture")
    def picture(request: Request, station: Station, wanted: Wanted) -> dict[str, Any]:
        """Signed, through the station's command door; where it kept none, it keeps the next."""
        if not station.commands:
            raise HTTPException(409, "no_commands")
        name = station.place.name
        turn = turns[name]
        if not turn.take():
            raise HTTPException(429, "soon")
        try:
            who = visitor(request).name
            words = {"schema": 2, "action": "image", "result": wanted.result_id}
            reply = station.ask(command_of(who, words))
            now = time.monotonic()
            if now - noted.get((who, name), -NOTED_S) >= NOTED_S:
                noted[who, name] = now
                parts.audit.add(
                    who=who, address=address(request), what="pictures of the camera",
                    station=name, outcome=f"{reply.outcome}: {reply.reason}",
                )  # fmt: skip
            shown = {"outcome": reply.outcome, "reason": reply.reason}
            return {**shown, "jpeg": reply.picture.jpeg if reply.picture else None}
        finally:
            turn.give()


def _recipe(found: Follower) -> _Recipe | None:
    """None where it is not on this machine. Raises ConfigError."""
    path = found.place.recipe
    return read_toml(path, _Recipe) if path is not None and path.exists() else None


def _limits(found: Follower) -> dict[str, Any]:
    trouble: str | None = None
    recipe: _Recipe | None = None
    try:
        recipe = _recipe(found)
    except ConfigError as error:
        trouble = str(error)[:500]
    rule = recipe.attest if recipe and recipe.attest else Attest()
    ranges = {name: getattr(rule, name) for name in FIGURES}
    return {
        "recipe": recipe.name if recipe else None,
        "trouble": trouble,
        "figures": FIGURES,
        "limits": {name: each.model_dump() for name, each in ranges.items() if each},
        "may_repeat": rule.may_repeat,
        "reference": rule.reference is not None,
        "landmarks": rule.landmarks,
        "landmark_px": LANDMARK,
    }


def _points(found: Follower) -> list[dict[str, Any]]:
    path = found.place.journal
    if path is None or not path.exists():
        return []
    try:
        rows = newest(path, POINTS)
    except InspectorError:
        return []  # the figures that come are shown all the same
    shown = ("seq", "evaluation", "cause", "attestation")
    return [{name: each.get(name) for name in shown} for each in rows]
