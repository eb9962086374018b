"""The controller's connection to the broker: triggers out; results, state and line signal in."""

import json
import socket
import time
from collections import deque
from typing import Any

from inspector.contract.echo import EchoMessage
from inspector.contract.errors import DeviceError
from inspector.contract.topics import Place
from inspector.delivery.broker import MqttSettings
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import PACKET_BYTES_MAX, Inbound, Message
from inspector.delivery.versions import Versions
from inspector.linesim.gate import Shown

INBOUND_MAX = 1_000
NEWS_MAX = 1_000


class Link:
    """One thread uses it. Every call raises DeviceError where the broker is gone."""

    names_parts = True

    def __init__(self, mqtt: MqttSettings, place: Place, client_id: str) -> None:
        self._place = place
        self._where = f"broker {mqtt.host}:{mqtt.port}"
        self._mqtt = mqtt
        self._client_id = client_id
        self._inbound = Inbound(
            [place.line, place.result, place.state],
            queue_max=INBOUND_MAX,
            payload_max=PACKET_BYTES_MAX,
        )
        self._idle, self._far = socket.socketpair()
        self._connection: Connection | None = None
        self.results: dict[str, bool] = {}
        """By trigger id: what the station has recorded, whether it passes."""
        self.rows = 0
        self.state: dict[str, Any] = {}
        """What the station last said of itself."""
        self.news: deque[Shown] = deque(maxlen=NEWS_MAX)
        self._shown = Shown(at=time.monotonic())

    def open(self) -> None:
        versions = Versions(self._mqtt.protocol)
        while True:
            attempt = versions.next(self._mqtt)
            connection = Connection(
                self._mqtt, attempt, client_id=self._client_id, inbound=self._inbound
            )
            connection.open()
            while connection.lost is None and not self._inbound.listening:
                connection.turn(self._idle, attempt.answer_timeout_s)
            if connection.lost is None:
                versions.accepted(connection)
                self._connection = connection
                return
            connection.drop()
            if versions.ended(connection):
                raise DeviceError(f"{self._where}: {connection.lost}")

    def turn(self, most_s: float) -> None:
        """Wait for what comes, and take it."""
        connection = self._there()
        connection.turn(self._idle, most_s)
        connection.acknowledged.clear()
        while self._inbound.received:
            self._take(self._inbound.received.popleft())
        self._there()

    def trigger(self, payload: bytes) -> None:
        self._there().publish(self._place.trigger, payload, retain=False)

    def look(self) -> Shown:
        return self._shown

    def echo(self, shown: Shown, *, passed: bool, ejected: bool) -> None:
        message = EchoMessage(
            boot=shown.boot,
            sequence=shown.sequence,
            verdict="pass" if passed else "reject",
            ejected=ejected,
            part=shown.part,
            trigger=shown.trigger,
        )
        self._there().publish(self._place.echo, message.to_json(), retain=False)

    def close(self) -> None:
        if self._connection is not None:
            if self._connection.lost is None:
                self._connection.leave()
            else:
                self._connection.drop()
            self._connection = None
        self._idle.close()
        self._far.close()

    def _there(self) -> Connection:
        if self._connection is None:
            raise DeviceError(f"{self._where}: not connected")
        if self._connection.lost is not None:
            raise DeviceError(f"{self._where}: {self._connection.lost}")
        return self._connection

    def _take(self, message: Message) -> None:
        try:
            words = json.loads(message.payload)
            if message.topic == self._place.state:
                self.state = dict(words)
            elif message.topic == self._place.result:
                self.rows += 1
                if words["trigger"] is not None:
                    self.results[str(words["trigger"]["id"])] = words["pass"] is True
            else:
                self._shown = _shown(words, message.received_at)
                self.news.append(self._shown)
        except (ValueError, KeyError, TypeError) as error:
            raise DeviceError(f"{message.topic}: cannot be read: {error}") from None


def _shown(words: dict[str, Any], at: float) -> Shown:
    """As leniently as a controller's program reads it: only what is literally true is set."""
    return Shown(
        at=at,
        alive=True,  # its last will rejects, and is not ready
        ready=words["ready"] is True,
        busy=words["busy"] is True,
        done=words["done"] is True,
        passes=words["pass"] is True,
        rejects=words["reject"] is not False,
        fault=words["fault"] is True,
        sequence=int(words["sequence"]),
        boot=str(words["boot"]),
        part=words["part"],
        trigger=words["trigger"],
    )
