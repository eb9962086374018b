"""The line's signal over MQTT, on a connection whose last will says: not ready, reject. What the
controller says it did with a verdict comes on the same one.
"""

import logging
import socket
import time
from collections import Counter
from typing import Annotated, Literal

from pydantic import Field

from inspector.contract.echo import EchoMessage, parse_echo
from inspector.contract.errors import CommandError, DeviceError
from inspector.contract.line import LineMessage
from inspector.contract.status import EchoRefusal
from inspector.contract.strict import Name
from inspector.delivery.broker import MqttSettings
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import Inbound, Message
from inspector.delivery.versions import Versions
from inspector.station.echo import Asked
from inspector.station.signal import REST, Heard, Signal

PASS_EXPIRY_S = 1  # the least MQTT 5 knows

log = logging.getLogger(__name__)


class MqttLineSettings(Asked):
    """On ROOT/STATION/line, to the broker of [mqtt]; echoes come on ROOT/STATION/echo."""

    kind: Literal["mqtt"] = "mqtt"
    pulse_ms: Annotated[int, Field(ge=10, le=10_000)] = 100
    """How long a verdict stands; shorter than the gap between parts."""
    timeout_ms: Annotated[int, Field(ge=10, le=5_000)] = 500
    """For the broker's acknowledgement."""


class MqttLine:
    """station.line.LineDriver. It says that the broker has it, not that the line has it."""

    kind = "mqtt"

    def __init__(
        self,
        settings: MqttLineSettings,
        mqtt: MqttSettings,
        *,
        topic: str,
        echo_topic: str,
        client_id: str,
        station: Name,
        boot: str,
    ) -> None:
        self._timeout_s = settings.timeout_ms / 1000
        self._mqtt = mqtt
        self._topic = topic
        self._client_id = client_id
        self._station, self._boot = station, boot
        self._versions = Versions(mqtt.protocol)
        self._connection: Connection | None = None
        self._inbound = Inbound([echo_topic]) if settings.asks else None
        self._uncounted: Counter[EchoRefusal] = Counter()
        """Of what the connection could not take, already said."""
        self._said = False
        self._idle, self._far = socket.socketpair()  # nobody wakes it: a turn needs one to look at
        self._release()

    def open(self) -> None:
        self._release()
        self._said = False
        self._idle, self._far = socket.socketpair()
        attempt = self._versions.next(self._mqtt)
        connection = Connection(
            self._mqtt,
            attempt,
            client_id=self._client_id,
            will_topic=self._topic,
            will=self._message(REST).to_json(),
            inbound=self._inbound,
        )
        connection.open()
        self._connection = connection
        while not self._complete(connection) and connection.lost is None:
            connection.turn(self._idle, attempt.answer_timeout_s)
        if connection.lost is not None:
            self._versions.ended(connection)
            raise DeviceError(f"broker {self._mqtt.host}:{self._mqtt.port}: {connection.lost}")
        self._versions.accepted(connection)

    def write(self, signal: Signal) -> None:
        connection = self._there()
        payload = self._message(signal).to_json()
        expiry_s = PASS_EXPIRY_S if signal.passes else None
        number = connection.publish(
            self._topic, payload, retain=not signal.passes, expiry_s=expiry_s
        )
        by = time.monotonic() + self._timeout_s
        while True:
            while connection.acknowledged:
                answer = connection.acknowledged.popleft()
                if answer.message == number and answer.refusal is None:
                    return
                if answer.message == number:
                    raise DeviceError(f"the broker refuses {self._topic}: {answer.refusal}")
            rest_s = by - time.monotonic()
            if rest_s <= 0.0:  # without a goodbye, so that the last will takes back what it has
                connection.lost = f"no acknowledgement within {self._timeout_s * 1000:.0f} ms"
            else:
                connection.turn(self._idle, rest_s)
            self._there()

    def hear(self) -> list[Heard | EchoRefusal]:
        if self._inbound is None:
            return []
        self._there().turn(self._idle, 0.0)
        self._there()
        heard: list[Heard | EchoRefusal] = []
        while self._inbound.received:
            heard.append(self._read(self._inbound.received.popleft()))
        came: tuple[tuple[EchoRefusal, int], ...] = (
            ("oversized", self._inbound.oversized),
            ("overflow", self._inbound.overflowed),
        )
        for why, count in came:
            heard += [why] * (count - self._uncounted[why])
            self._uncounted[why] = count
        return heard

    def tend(self, beat: int) -> None:  # noqa: ARG002 - the last will tells the line
        self._there().turn(self._idle, 0.0)
        self._there()

    def close(self) -> None:
        if self._connection is None:
            return
        if self._connection.lost is None and self._connection.ready:
            self._connection.leave()
        else:
            self._connection.drop()
        self._connection = None
        self._release()

    def _complete(self, connection: Connection) -> bool:
        """The broker has accepted us, and what we listen to."""
        return connection.ready and (self._inbound is None or self._inbound.listening)

    def _read(self, message: Message) -> Heard | EchoRefusal:
        if message.retain:
            return "retained"
        try:
            echo: EchoMessage = parse_echo(message.payload)
        except CommandError as error:
            if not self._said:  # the rest is counted: whoever floods us would fill the disk
                log.warning("an echo cannot be read: %s", error)
            self._said = True
            return "malformed"
        if echo.boot != self._boot:
            return "stale"
        return Heard(
            sequence=echo.sequence,
            passed=echo.verdict == "pass",
            at=message.received_at,
            ejected=echo.ejected,
            part_id=echo.part,
            trigger_id=echo.trigger,
        )

    def _release(self) -> None:
        self._idle.close()
        self._far.close()

    def _there(self) -> Connection:
        if self._connection is None:
            raise DeviceError("not connected")
        if self._connection.lost is not None:
            where = f"broker {self._mqtt.host}:{self._mqtt.port}"
            raise DeviceError(f"{where}: {self._connection.lost}")
        return self._connection

    def _message(self, signal: Signal) -> LineMessage:
        part = signal.part
        return LineMessage(
            station=self._station,
            boot=self._boot,
            ready=signal.ready,
            busy=signal.busy,
            acquired=signal.acquired,
            done=signal.done,
            passed=signal.passes,
            reject=signal.rejects,
            fault=signal.fault,
            sequence=part.sequence if part else 0,
            part=part.part_id if part else None,
            trigger=part.trigger_id if part else None,
        )
