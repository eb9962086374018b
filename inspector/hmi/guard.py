"""The door of the pages: decides of every request, before anything reads it, whether it comes in.

In this order: over TLS where a proxy does it, called by a name that is ours (no rebinding of DNS),
small enough, a route that is in the table, for an unsafe method from our own page (Origin) with
its token (CSRF), a session whose role suffices. Everything else is refused, and every answer
carries the same headers.
"""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Literal
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Match

from inspector.contract.errors import RecordError
from inspector.hmi.access import ACCESS, OPEN, Role, allows
from inspector.hmi.accounts import Accounts, Visitor
from inspector.hmi.settings import ListenSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SAFE = ("GET", "HEAD")
BODY_BYTES_MAX = 65_536
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
SANDBOX = {
    "content-security-policy": "sandbox; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "x-frame-options": "SAMEORIGIN",
}
"""Of a page that somebody else made, shown inside one of ours: no script, nothing loaded."""
BY_ITSELF = ("/api/stream", "/api/session", "/api/review/next")
"""What a page asks without a person, as all that it only looks at: no sign that anybody is there.
A page tells of clicks and keys by itself (/api/session/used)."""
DETAILS = {
    "plaintext": "these pages are reached by their reverse proxy alone, over HTTPS: it must be "
    "named under listen.proxies and send X-Forwarded-Proto: https",
    "host": "these pages are not called by this name: see listen.origins",
}


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: FastAPI, listen: ListenSettings, accounts: Accounts) -> None:
        self._app = app
        self._secure = listen.secure
        self._proxied = listen.behind_proxy
        self._hsts_s = 86_400 * listen.hsts_days if listen.secure else 0
        self._accounts = accounts
        self._origins = frozenset(listen.known_origins)
        self._hosts = frozenset(urlsplit(each).netloc for each in listen.known_origins)
        self._secret = secrets.token_bytes(32)
        # cookies do not tell ports apart: two of us on one machine must not share one
        plain = f"inspector_{listen.port}"
        self.cookie = f"__Host-{plain}" if self._secure else plain

    def token_for(self, cookie: str) -> str:
        """What an unsafe request of this session must bring in X-CSRF-Token."""
        return hmac.digest(self._secret, cookie.encode(), "sha256").hex()

    def cookie_header(self, value: str, *, max_age_s: int = 0) -> str:
        """max_age_s: 0, until the browser is closed; below, now."""
        words = [f"{self.cookie}={value}", "Path=/", "HttpOnly", "SameSite=Strict"]
        words += ["Secure"] if self._secure else []
        words += [f"Max-Age={max(0, max_age_s)}"] if max_age_s else []
        return "; ".join(words)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there is no websocket here
        send = self._with_headers(send)
        try:
            refusal = await self._decide(scope)
        except RecordError:
            refusal = 503, "not_stored"
        if refusal is None:
            await self._app(scope, _limited(receive), send)
        else:
            await _refuse(scope, send, *refusal)

    async def _decide(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        refusal = self._refused_unread(scope, headers)
        if refusal is not None:
            return refusal
        needed = self._needed(scope)
        if needed is None:
            return 404, "not_found"
        token = self._cookie_of(headers)
        if scope["method"] not in SAFE:
            if headers.get("origin") not in self._origins:
                return 403, "origin"
            brought = headers.get("x-csrf-token", "")
            if not hmac.compare_digest(brought.encode(), self.token_for(token).encode()):
                return 403, "csrf"
        visitor: Visitor | None = None
        if token:
            looks = scope["method"] in SAFE and scope["path"].startswith("/api/")
            used = not looks and scope["path"] not in BY_ITSELF
            visitor = await run_in_threadpool(self._accounts.visitor, token, used=used)
        scope["state"] = {**scope.get("state", {}), "visitor": visitor, "cookie": token}
        if needed == OPEN:
            return None
        if visitor is None:
            return 401, "log_in"
        return None if allows(visitor.role, needed) else (403, "role")

    def _refused_unread(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Whatever it asks for, and whoever it is."""
        if self._proxied and scope["scheme"] != "https":
            return 403, "plaintext"  # not from a named proxy, or that one did no TLS
        if headers.get("host", "") not in self._hosts:
            return 421, "host"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            return 413, "too_long"
        return None

    def _needed(self, scope: Scope) -> Role | Literal["open"] | None:
        """Of the route that will be taken; None where there is none."""
        for route in self._app.routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return ACCESS.get((scope["method"], getattr(route, "path", "")))
        return None

    def _cookie_of(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return found.value[:128] if found else ""

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if self._hsts_s:
                    headers["strict-transport-security"] = f"max-age={self._hsts_s}"
            await send(message)

        return sending


def _limited(receive: Receive) -> Receive:
    """A body without a length is measured as it comes."""
    got = 0

    async def receiving() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > BODY_BYTES_MAX:
            return {"type": "http.disconnect"}
        return message

    return receiving


async def _refuse(scope: Scope, send: Send, status: int, word: str) -> None:
    """A person who opens a page is sent to the login, a program gets a word."""
    headers = [(b"content-type", b"application/json")]
    if status == 401 and not scope["path"].startswith("/api/"):
        status = 303
        headers.append((b"location", b"/login"))
    words = {"error": word}
    if word in DETAILS:
        words["detail"] = DETAILS[word]
    body = json.dumps(words).encode()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
