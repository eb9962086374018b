"""`inspector hmi`: the pages of some stations, until SIGTERM."""

import logging
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from inspector.contract.errors import ConfigError
from inspector.delivery.tls import certificate_ends, make_server_context
from inspector.hmi.app import Parts, make_app
from inspector.hmi.connections import Listening, Patient
from inspector.hmi.guard import Guard
from inspector.hmi.settings import ListenSettings, read_hmi_settings

log = logging.getLogger(__name__)

LEAVE_S = 2
WARN_DAYS = 30


def serve(path: Path) -> int:
    """Raises ConfigError, RecordError where it cannot start."""
    settings = read_hmi_settings(path)
    context = _context(settings.listen)
    bound = bind(settings.listen)
    parts = Parts.of(settings)
    guard = make_app(parts)[1]
    config = configure(guard, settings.listen, bound, context)
    _introduce(parts)
    server = Server(config)
    server.parts = parts
    server.run(sockets=[bound])
    return 0


def configure(
    app: Guard,
    listen: ListenSettings,
    bound: Listening,
    context: ssl.SSLContext | None = None,
) -> uvicorn.Config:
    """How the pages are served, to those whom `bound` takes."""

    class Protocol(Patient):
        listening = bound

    return uvicorn.Config(
        app,
        lifespan="on",
        log_config=None,  # ours is set up already
        access_log=False,  # who did what is in the audit; what was looked at is nobody's business
        server_header=False,
        proxy_headers=listen.behind_proxy,
        forwarded_allow_ips=list(listen.proxies),
        ssl_context_factory=(lambda *_: context) if context else None,
        timeout_graceful_shutdown=LEAVE_S,
        h11_max_incomplete_event_size=32_768,
        http=Protocol,
        ws="none",
        loop="inspector.hmi.connections:Loop",
    )


class Server(uvicorn.Server):
    """Tells the streams to end before it waits for them."""

    parts: Parts

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.parts.streams.closing = True
        await super().shutdown(sockets)


def _context(listen: ListenSettings) -> ssl.SSLContext | None:
    """None without TLS of our own. Raises ConfigError."""
    if listen.cert_file is None or listen.key_file is None:
        return None
    context = make_server_context(listen.cert_file, listen.key_file, what="listen.")
    context.set_alpn_protocols(["http/1.1"])
    left_days = (certificate_ends(listen.cert_file, what="listen.") - datetime.now(UTC)).days
    if left_days < WARN_DAYS:
        log.warning("listen.cert_file %s: ends in %d days", listen.cert_file, left_days)
    return context


def bind(listen: ListenSettings) -> Listening:
    """Before anything is written or promised: a port that is taken is a fault of the settings."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    found = Listening(family, listen.proxies if listen.behind_proxy else ())
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((listen.host, listen.port))
    except OSError as error:
        found.close()
        raise ConfigError(f"listen {listen.host}:{listen.port}: {error.strerror}") from None
    return found


def _introduce(parts: Parts) -> None:
    """The address, and at the first start the link by which the first administrator comes in."""
    (origin, *_) = parts.settings.listen.known_origins
    print(f"pages    {origin}/", flush=True)
    token = parts.accounts.first_link()
    if token is not None:
        print(f"first administrator, once, within an hour: {origin}/welcome#{token}", flush=True)
