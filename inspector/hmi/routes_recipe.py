"""The recipe: what holds, and its change in two steps, the first of which the station looks at."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import Field

from inspector.contract.regions import say_regions
from inspector.contract.revision import RecipeChange, say_limits
from inspector.contract.strict import Strict
from inspector.contract.verdict import Limits
from inspector.hmi.asked import one_of
from inspector.hmi.commanding import SLOW_S, command
from inspector.hmi.follow import Follower
from inspector.hmi.guard import Guard
from inspector.hmi.recipes import recipe_of

if TYPE_CHECKING:
    from inspector.hmi.app import Parts


class Change(Strict):
    change: RecipeChange
    confirmed: Annotated[bool, Field(strict=True)] = False
    """The second step; the first has only_check."""


def add(app: FastAPI, parts: "Parts", guard: Guard) -> None:  # noqa: ARG001 - as all of them

    def station(found: Annotated[Follower, Depends(one_of(parts.followers))]) -> Follower:
        if found.place.recipe is None:
            raise HTTPException(404, "no_recipe")
        return found

    Station = Annotated[Follower, Depends(station)]  # noqa: N806 - a type

    @app.get("/api/stations/{station}/recipe")
    def recipe(station: Station) -> dict[str, Any]:
        return recipe_of(station.place, station.known.message() or {})

    @app.post("/api/stations/{station}/recipe")
    def change(request: Request, station: Station, asked: Change) -> Response:
        """Signed, through the station's command door; its answer says whether and why not."""
        if not asked.change.only_check and not asked.confirmed:
            raise HTTPException(409, "confirm")
        if not station.commands:
            raise HTTPException(409, "no_commands")
        words = {"schema": 3, "action": "recipe", "recipe": asked.change}
        row = None if asked.change.only_check else _row(station, asked.change)
        return command(parts, request, station, words, row=row, wait_s=SLOW_S)


def _row(station: Follower, change: RecipeChange) -> dict[str, str | None]:
    """Old, new and why; the numbers of the revisions lead to the whole of them."""
    known = recipe_of(station.place, station.known.message() or {})
    limits = (known["bundle"] or {}).get("limits")
    own = Limits.model_validate(limits) if limits else None
    old = RecipeChange.model_validate(
        {**known["holds"], "based_on": 0, "why": "-", "bundle": change.bundle}
    )
    return {
        "old": f"revision {known['revision']}: {_say(old, own)}",
        "new": _say(change, own),
        "why": change.why,
    }


def _say(change: RecipeChange, own: Limits | None) -> str:
    return f"limits {say_limits(change.limits, own)}; regions {say_regions(change.regions)}"
