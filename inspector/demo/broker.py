"""An MQTT broker inside the demo, so that nothing has to be installed beside it.

amqtt speaks MQTT 3.1.1. It listens on loopback only, lets everybody there in and keeps nothing:
good for a demo, not for a plant.
"""

import asyncio
import logging
import socket
import threading
from typing import Self

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.errors import AMQTTError

from inspector.contract.errors import DeviceError

USUAL_PORT = 1_883
START_S = 10.0
STOP_S = 5.0


class EmbeddedBroker:
    """A context: listening inside, gone after. Raises DeviceError where it cannot listen."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = _free_port(self.host)
        self._started = threading.Event()
        self._error: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def __enter__(self) -> Self:
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        self._thread.start()
        if not self._started.wait(START_S) or self._error is not None:
            raise DeviceError(f"the demo's broker cannot listen on port {self.port}: {self._error}")
        return self

    def __exit__(self, *_error: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (AMQTTError, OSError) as error:
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        broker = Broker(
            BrokerConfig(
                listeners={"default": ListenerConfig(bind=f"{self.host}:{self.port}")},
                plugins={
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
                },
            )
        )
        await broker.start()
        self._started.set()
        await self._stop.wait()
        await asyncio.wait_for(broker.shutdown(), STOP_S)


def _free_port(host: str) -> int:
    """The usual port where nobody has it, else any free one."""
    for port in (USUAL_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DeviceError("no TCP port is free")
