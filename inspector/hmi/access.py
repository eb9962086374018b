"""Who may do what: the whole matrix of roles and routes, in one table.

What is not in it does not exist: the pages refuse to start with a route that has no entry here, or
with an entry that has no route. A role may all that those before it may.
"""

from typing import Literal

from fastapi import FastAPI
from fastapi.routing import APIRoute

from inspector.contract.command import Action

Role = Literal["viewer", "operator", "engineer", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "engineer", "admin")
OPEN: Literal["open"] = "open"
"""Also for who is not logged in."""

ACCESS: dict[tuple[str, str], Role | Literal["open"]] = {
    # pages
    ("GET", "/login"): OPEN,
    ("GET", "/welcome"): OPEN,
    ("GET", "/"): "viewer",
    ("GET", "/history"): "viewer",
    ("GET", "/review"): "operator",
    ("GET", "/camera"): "viewer",
    ("GET", "/alarms"): "viewer",
    ("GET", "/system"): "viewer",
    ("GET", "/recipe"): "engineer",
    ("GET", "/bundles"): "engineer",
    ("GET", "/audit"): "engineer",
    ("GET", "/accounts"): "admin",
    ("GET", "/static/{path:path}"): OPEN,
    # who am I
    ("GET", "/api/session"): OPEN,
    ("POST", "/api/session"): OPEN,
    ("DELETE", "/api/session"): "viewer",
    ("POST", "/api/session/used"): "viewer",
    ("POST", "/api/invitation"): OPEN,
    ("POST", "/api/invitation/accept"): OPEN,
    # what is there
    ("GET", "/api/stream"): "viewer",
    ("GET", "/api/stations/{station}/pictures/{result_id}"): "viewer",
    ("GET", "/api/stations/{station}/maps/{result_id}"): "viewer",
    ("GET", "/api/stations/{station}/results"): "viewer",
    ("GET", "/api/stations/{station}/results/{seq}"): "viewer",
    ("GET", "/api/stations/{station}/export"): "viewer",
    ("GET", "/api/alarms"): "viewer",
    ("GET", "/api/system"): "viewer",
    ("GET", "/api/audit"): "engineer",
    ("GET", "/api/stations/{station}/audit"): "engineer",
    ("GET", "/api/stations/{station}/camera"): "viewer",
    ("GET", "/api/stations/{station}/reference"): "viewer",
    ("GET", "/api/stations/{station}/sampling"): "operator",
    ("GET", "/api/stations/{station}/recipe"): "engineer",
    ("GET", "/api/stations/{station}/bundles"): "engineer",
    ("GET", "/api/stations/{station}/bundles/{bundle}"): "engineer",
    ("GET", "/api/stations/{station}/bundles/{bundle}/report"): "engineer",
    ("GET", "/api/stations/{station}/bundles/{bundle}/golden/{index}"): "engineer",
    ("GET", "/api/stations/{station}/shadow"): "engineer",
    ("GET", "/api/stations/{station}/shadow/pictures/{result_id}"): "engineer",
    # what is done
    ("POST", "/api/stations/{station}/commands"): "operator",
    ("POST", "/api/stations/{station}/picture"): "operator",
    ("POST", "/api/review/next"): "operator",
    ("POST", "/api/stations/{station}/reviews"): "operator",
    ("POST", "/api/stations/{station}/reviews/{number}/undo"): "operator",
    ("POST", "/api/stations/{station}/classes"): "engineer",
    ("POST", "/api/stations/{station}/sampling"): "engineer",
    ("POST", "/api/alarms/acknowledged"): "operator",
    ("POST", "/api/stations/{station}/recipe"): "engineer",
    ("POST", "/api/stations/{station}/bundles"): "engineer",
    ("GET", "/api/accounts"): "admin",
    ("POST", "/api/accounts"): "admin",
    ("PATCH", "/api/accounts/{name}"): "admin",
    ("DELETE", "/api/accounts/{name}"): "admin",
    ("POST", "/api/accounts/{name}/link"): "admin",
}

COMMANDS: dict[Action, Role] = {
    "select": "operator",
    "start": "operator",
    "single": "operator",
    "stop": "operator",
    "reset": "operator",
    "halt": "operator",
}
"""What Live may ask of a station, and who for it; recipe, reload and rollback have routes of their
own, and nothing else can be asked."""
DANGEROUS: frozenset[Action] = frozenset({"stop", "reset", "halt"})
"""Asked in two steps."""


def allows(role: Role, needed: Role | Literal["open"]) -> bool:
    return needed == OPEN or ROLES.index(role) >= ROLES.index(needed)


def require_complete(app: FastAPI) -> None:
    """Raises ValueError naming every route without an entry, and every entry without a route."""
    there = {
        (method, route.path)
        for route in app.routes
        for method in getattr(route, "methods", None) or ("ANY",)
        if isinstance(route, APIRoute) or hasattr(route, "path")
    }
    without = sorted(f"{method} {path}" for method, path in there - set(ACCESS))
    unused = sorted(f"{method} {path}" for method, path in set(ACCESS) - there)
    if without or unused:
        raise ValueError(f"access: routes without an entry {without}, entries without {unused}")
