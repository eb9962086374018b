"""The application: its parts put together, its routes, and the check that each has its role."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from inspector import __version__
from inspector.contract.errors import ConfigError, DeviceError, RecordError
from inspector.hmi import (
    routes_accounts,
    routes_alarms,
    routes_bundles,
    routes_camera,
    routes_live,
    routes_recipe,
    routes_review,
    routes_session,
    routes_system,
)
from inspector.hmi.access import require_complete
from inspector.hmi.accounts import AccountError, Accounts
from inspector.hmi.alarm_log import AlarmLog
from inspector.hmi.audit import Audit
from inspector.hmi.follow import Follower
from inspector.hmi.guard import Guard
from inspector.hmi.pages import APART, PAGES, read_static
from inspector.hmi.passwords import BusyError
from inspector.hmi.settings import HmiSettings, places
from inspector.hmi.store import Store
from inspector.hmi.stream import Streams
from inspector.hmi.throttle import Throttle


@dataclass(frozen=True, slots=True)
class Parts:
    """What routes work with."""

    settings: HmiSettings
    store: Store
    accounts: Accounts
    audit: Audit
    alarms: AlarmLog
    throttle: Throttle
    followers: dict[str, Follower]
    streams: Streams

    @classmethod
    def of(cls, settings: HmiSettings) -> "Parts":
        """Raises ConfigError, RecordError."""
        stations = places(settings)
        store = Store(settings.state_folder)
        alarms = AlarmLog(settings.state_folder, [each.name for each in stations])
        followers = {each.name: Follower(each, alarms, settings.stale_after_s) for each in stations}
        return cls(
            settings=settings,
            store=store,
            accounts=Accounts(store, settings.session),
            audit=Audit(store),
            alarms=alarms,
            throttle=Throttle(),
            followers=followers,
            streams=Streams({name: each.known for name, each in followers.items()}),
        )

    def close(self) -> None:
        """The files; followers are stopped."""
        self.alarms.close()
        self.store.close()


def make_app(parts: Parts) -> tuple[FastAPI, Guard]:
    """The routes, and the guard that is to stand before them."""

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        for each in parts.followers.values():
            each.start()
        yield
        parts.streams.closing = True
        for each in parts.followers.values():
            each.stop()
        parts.close()

    app = FastAPI(
        title="inspector hmi",
        version=__version__,
        lifespan=running,
        docs_url=None,  # they load from elsewhere
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    guard = Guard(app, parts.settings.listen, parts.accounts)
    _add_files(app)
    _add_answers(app)
    for routes in (
        routes_session,
        routes_live,
        routes_review,
        routes_camera,
        routes_recipe,
        routes_bundles,
        routes_alarms,
        routes_system,
        routes_accounts,
    ):
        routes.add(app, parts, guard)
    require_complete(app)
    return app, guard


def _add_files(app: FastAPI) -> None:
    files = read_static()
    shell, kind = files["page.html"]

    def page() -> Response:
        return Response(shell, media_type=kind)

    for path in (*PAGES, *APART):
        app.get(path, include_in_schema=False)(page)

    @app.get("/static/{path:path}", include_in_schema=False)
    def static(path: str) -> Response:
        if path not in files:
            return JSONResponse({"error": "not_found"}, 404)
        data, media_type = files[path]
        return Response(data, media_type=media_type)


def _add_answers(app: FastAPI) -> None:
    """What routes raise, as one word of the pages' messages and what is known beyond."""

    def add(kind: type[Exception], status: int, word: str) -> None:
        @app.exception_handler(kind)
        def answer(_request: Request, error: Exception) -> Response:
            return JSONResponse({"error": word, "detail": str(error)[:500]}, status)

    add(RecordError, 503, "not_stored")
    add(ConfigError, 503, "not_stored")
    add(DeviceError, 504, "no_reply")
    add(BusyError, 503, "busy")

    @app.exception_handler(AccountError)
    def account(_request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 409)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, _error: Exception) -> Response:
        return JSONResponse({"error": "invalid"}, 422)

    @app.exception_handler(StarletteHTTPException)
    def http(_request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 500)
        word = str(getattr(error, "detail", "")) if status < 500 else "failed"
        return JSONResponse({"error": word if word.islower() else "not_found"}, status)
