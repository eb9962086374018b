"""/livez, /readyz and /metrics over HTTP, for this machine unless the settings say otherwise."""

import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from inspector.supervise.hands import Hands
from inspector.supervise.metrics import CONTENT_TYPE, exposition
from inspector.supervise.settings import MetricsSettings
from inspector.supervise.vitals import Vitals

log = logging.getLogger(__name__)

REQUEST_S = 5.0
"""For a request as a whole, its answer included."""
REQUESTS_MAX = 8
AGAIN_S = 5.0
LATER_S = 0.5


class HealthPage:
    """A thread that listens, and a few that answer.

    An address that cannot be had (the network is not there yet, another program has the port) is
    no reason not to inspect: it is said, and tried again.
    """

    def __init__(self, settings: MetricsSettings, look: Callable[[], Vitals]) -> None:
        self._where = settings.host, settings.port
        self._look = look
        self._hands = Hands("request", REQUESTS_MAX)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        self._hands.start()
        self._thread.start()

    def alive(self) -> bool:
        return self._thread.is_alive() and self._hands.alive()

    def stop(self) -> None:
        with self._lock:  # from here on none is opened
            self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self._hands.stop()

    def _run(self) -> None:
        said = ""
        while not self._stopping.is_set():
            try:
                with self._lock:
                    if self._stopping.is_set():
                        return
                    self._server = _Server(self._where, _handler(self._look), self._hands)
                break
            except (OSError, OverflowError) as error:
                words = getattr(error, "strerror", None) or str(error)
            if words != said:
                log.warning("metrics %s:%d: %s: it is tried again", *self._where, words)
            said = words
            self._stopping.wait(AGAIN_S)
        if self._server is not None:
            self._server.serve_forever()


class _Server(HTTPServer):
    def __init__(
        self,
        where: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        hands: Hands,
    ) -> None:
        super().__init__(where, handler)
        self._hands = hands
        self._begun: dict[socket.socket, float] = {}

    def server_bind(self) -> None:
        """Without http.server's question for this machine's name: where the network's name server
        is away, as after a power cut, no part would be inspected until it gives up.
        """
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Where no file is left just now, who asks stays at the door, and would be looked for
        without a pause.
        """
        try:
            return super().get_request()
        except OSError:
            time.sleep(LATER_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """One too many is hung up on: a scan must not cost the station its threads."""
        if not self._hands.take(partial(self._serve, request, client_address)):
            self.shutdown_request(request)

    def _serve(self, request: Any, client_address: Any) -> None:
        self._begun[request] = time.monotonic()
        try:
            self.finish_request(request, client_address)
        except Exception:  # noqa: BLE001 - said below
            self.handle_error(request, client_address)
        finally:
            self._begun.pop(request, None)
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second: who sends a byte now and then must not keep others from asking."""
        late = time.monotonic() - REQUEST_S
        for request in [each for each, at in list(self._begun.items()) if at < late]:
            with suppress(OSError):  # its thread has just closed it
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        # who hangs up, or is hung up on, is no news: anybody could fill the log so
        if not isinstance(sys.exception(), OSError):
            log.warning("a request from %s failed", client_address[0], exc_info=True)


def _handler(look: Callable[[], Vitals]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "inspector"
        sys_version = ""
        timeout = REQUEST_S

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/livez":
                    self._say(look().not_live())
                case "/readyz":
                    self._say(look().not_ready())
                case "/metrics":
                    self._send(200, CONTENT_TYPE, exposition(look()))
                case _:
                    self._send(404, "text/plain", b"/livez /readyz /metrics\n")

        def _say(self, trouble: str | None) -> None:
            text = "ok" if trouble is None else trouble
            status = 200 if trouble is None else 503
            self._send(status, "text/plain; charset=utf-8", f"{text}\n".encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's
            """A probe a second is no news."""

    return Handler
