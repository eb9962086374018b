"""A connection of its own that listens, on a thread of its own: it rejoins a broker by itself.

Apart from the courier's, so that what comes waits for no result, and no result for what comes.
"""

import threading
from collections.abc import Callable

from inspector.delivery.broker import MqttSettings
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import Inbound, Message
from inspector.delivery.patience import Patience
from inspector.delivery.rejoin import rejoin
from inspector.delivery.versions import Versions
from inspector.delivery.wake import Wake

TURN_S = 0.5
STOP_S = 3.0


class Listening:
    """`take` gets every message, on this thread, and must return at once."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        name: str,
        inbound: Inbound,
        take: Callable[[Message], None],
    ) -> None:
        self.trouble: str | None = "not connected yet"
        """Why nothing can come now; written by this thread, read by any."""
        self._settings = settings
        self._client_id = client_id
        self._inbound = inbound
        self._take = take
        self._patience = Patience(settings)
        self._versions = Versions(settings.protocol)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._stopping = threading.Event()
        self._wake = Wake()

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(STOP_S + self._settings.connect_timeout_s)
        if not self._thread.is_alive():
            self._wake.close()

    def _run(self) -> None:
        rejoin(
            self._settings,
            self._serve,
            self._stopping,
            client_id=self._client_id,
            inbound=self._inbound,
            versions=self._versions,
            patience=self._patience,
        )

    def _serve(self, connection: Connection) -> None:
        """Until the connection is lost or `stop`."""
        while connection.lost is None and not self._stopping.is_set():
            connection.turn(self._wake.out, TURN_S)
            if self.trouble is not None and connection.lost is None and self._inbound.listening:
                self._versions.accepted(connection)
                self._patience.greet(connection.protocol)
                self.trouble = None
            while self._inbound.received:
                self._take(self._inbound.received.popleft())
        if connection.lost is None:
            connection.leave()
            return
        # the usual sign of a client of the same name: a broker ends the older one
        hint = f"; another client may be called {self._client_id}" if connection.ready else ""
        self.trouble = f"broker {self._patience.broker}: {connection.lost}"
        self._patience.say(f"{self._client_id}: {connection.lost}{hint}")
        connection.drop()
