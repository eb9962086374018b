"""Coming in and going out: login, one-time links, what the page may show."""

import math
import secrets
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from inspector.contract.strict import Strict
from inspector.hmi.access import ACCESS, COMMANDS, DANGEROUS, allows
from inspector.hmi.accounts import Visitor
from inspector.hmi.asked import address, cookie, visitor
from inspector.hmi.guard import Guard
from inspector.hmi.pages import PAGES

if TYPE_CHECKING:
    from inspector.hmi.app import Parts

Text = Annotated[str, Field(max_length=1_000)]


class Login(Strict):
    name: Text
    password: Text


class Token(Strict):
    token: Text


class Accept(Strict):
    token: Text
    name: Text | None = None
    password: Text


def add(app: FastAPI, parts: "Parts", guard: Guard) -> None:
    _add_session(app, parts, guard)
    _add_login(app, parts, guard)
    _add_invitations(app, parts, guard)


def _add_session(app: FastAPI, parts: "Parts", guard: Guard) -> None:
    @app.get("/api/session")
    def session(request: Request) -> Response:
        """Who is here, what the role may open and do, and the token for unsafe requests."""
        token = cookie(request)
        headers = {}
        if not token:  # of a stranger too: also a login must come from our own page
            token = secrets.token_urlsafe(32)
            headers["set-cookie"] = guard.cookie_header(token)
        words: dict[str, Any] = {
            "csrf": guard.token_for(token),
            "language": parts.settings.language,
            "stale_after_s": parts.settings.stale_after_s,
            "name": None,
            "role": None,
        }
        if request.state.visitor is not None:
            words |= _allowed(parts, visitor(request))
        return JSONResponse(words, headers=headers)

    @app.post("/api/session/used")
    def used() -> dict[str, Any]:
        """A person is at the page; the guard has noted it."""
        return {}


def _allowed(parts: "Parts", found: Visitor) -> dict[str, Any]:
    pages = {path: page for path, page in PAGES.items() if allows(found.role, ACCESS["GET", path])}
    return {
        "name": found.name,
        "role": found.role,
        "stations": {name: each.commands for name, each in parts.followers.items()},
        "pages": pages,
        "commands": [action for action, role in COMMANDS.items() if allows(found.role, role)],
        "dangerous": sorted(DANGEROUS),
        "acknowledges": allows(found.role, ACCESS["POST", "/api/alarms/acknowledged"]),
    }


def _add_login(app: FastAPI, parts: "Parts", guard: Guard) -> None:
    @app.post("/api/session")
    def log_in(request: Request, login: Login) -> Response:
        account = login.name.strip().casefold()
        wait_s = parts.throttle.wait_s(account, address(request))
        if wait_s > 0.0:
            return _wait(wait_s)
        # counted before it is known: tries at once must not all be free
        parts.throttle.failed(account, address(request))
        came = parts.accounts.log_in(login.name.strip(), login.password)
        if came is None:
            who = login.name.strip()[:32] or "-"
            parts.audit.add(who=who, address=address(request), what="log_in", outcome="refused")
            return JSONResponse({"error": "wrong"}, 403)
        parts.throttle.succeeded(account, address(request))
        parts.audit.add(who=came[0].name, address=address(request), what="log_in")
        return _come_in(parts, guard, came[1])

    @app.delete("/api/session")
    def log_out(request: Request) -> Response:
        parts.accounts.end(cookie(request))
        parts.audit.add(who=visitor(request).name, address=address(request), what="log_out")
        return JSONResponse({}, headers={"set-cookie": guard.cookie_header("", max_age_s=-1)})


def _add_invitations(app: FastAPI, parts: "Parts", guard: Guard) -> None:
    @app.post("/api/invitation")
    def invited(request: Request, token: Token) -> Response:
        wait_s = parts.throttle.wait_s("", address(request))
        if wait_s > 0.0:
            return _wait(wait_s)
        found = parts.accounts.invited(token.token)
        if found is None:
            parts.throttle.failed("", address(request))
            return JSONResponse({"error": "link"}, 409)
        return JSONResponse(found)

    @app.post("/api/invitation/accept")
    def accept(request: Request, given: Accept) -> Response:
        wait_s = parts.throttle.wait_s("", address(request))
        if wait_s > 0.0:
            return _wait(wait_s)
        found = parts.accounts.accept(given.token, given.name, given.password)
        parts.audit.add(who=found.name, address=address(request), what="set_password")
        return _come_in(parts, guard, parts.accounts.begin(found))


def _come_in(parts: "Parts", guard: Guard, token: str) -> Response:
    """A new cookie, whatever the old one was."""
    seconds = 3_600 * max(parts.settings.session.viewer_h, parts.settings.session.absolute_h)
    cookie_header = guard.cookie_header(token, max_age_s=seconds)
    return JSONResponse({}, headers={"set-cookie": cookie_header})


def _wait(seconds: float) -> Response:
    whole = math.ceil(seconds)
    return JSONResponse({"error": "wait", "wait_s": whole}, 429, {"retry-after": str(whole)})
