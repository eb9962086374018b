"""How a client keeps to a broker: connected, served, and after a pause connected again."""

import threading
import time
from collections.abc import Callable

from inspector.delivery.broker import MqttSettings
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import Inbound
from inspector.delivery.patience import Patience
from inspector.delivery.versions import Versions

STEADY_S = 10.0  # a connection that held this long was a good one


def rejoin(
    settings: MqttSettings,
    serve: Callable[[Connection], None],
    stopping: threading.Event,
    *,
    client_id: str,
    inbound: Inbound,
    versions: Versions,
    patience: Patience,
    pause_max_s: float = float("inf"),
) -> None:
    """Until `stopping`. `serve` has each connection from its opening to its end, and drops it."""
    failures = 0
    while not stopping.is_set():
        connection = Connection(
            settings, versions.next(settings), client_id=client_id, inbound=inbound
        )
        connection.open()
        opened_at = time.monotonic()
        serve(connection)
        failures = 0 if time.monotonic() - opened_at > STEADY_S else failures + 1
        if versions.ended(connection):
            stopping.wait(min(pause_max_s, patience.delay_s(failures)))
