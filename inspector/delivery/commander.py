"""The other side of the command door: sends one signed command, waits for its one reply."""

import os
import socket
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from inspector.contract.command import REPLY_BYTES_MAX, Command, Reply
from inspector.contract.errors import DeviceError
from inspector.contract.strict import Name, Strict
from inspector.contract.topics import Place, Root
from inspector.delivery.broker import MqttSettings
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import Inbound
from inspector.delivery.keys import Signer
from inspector.delivery.versions import Versions

SEND_AGAIN_S = 3.0
PAUSE_S = 0.5


class CommanderSettings(Strict):
    """Who sends commands to stations over the broker: commander.toml."""

    sender: Name
    """The name that the stations have its key under."""
    key_file: Path
    """The Ed25519 private key in PEM, or the HMAC key, for nobody else to read."""
    topic_root: Root
    """As the stations have it; signed too."""
    station: Name | None = None
    """Left out, `--station` names it."""
    lifetime_s: Annotated[float, Field(gt=0.0, le=3_600.0)] = 30.0
    """How long a command is valid; at most the station's lifetime_max_s."""
    wait_s: Annotated[float, Field(gt=0.0, le=600.0)] = 100.0
    """For the reply: a bundle takes its time to load."""
    mqtt: MqttSettings


def send(settings: CommanderSettings, station: Name, command: Command) -> Reply:
    """Send it, again and again with the same nonce, until its reply is here.

    Raises ConfigError where the key cannot be used, DeviceError where no reply comes.
    """
    envelope = Signer(settings.sender, settings.key_file, settings.topic_root).seal(
        command, station, settings.lifetime_s
    )
    place = Place.of(settings.topic_root, station)
    inbound = Inbound([place.reply(settings.sender)], payload_max=REPLY_BYTES_MAX)
    versions = Versions(settings.mqtt.protocol)
    end = time.monotonic() + settings.wait_s
    why = "no reply came"
    idle, far = socket.socketpair()
    with idle, far:
        while time.monotonic() < end:
            connection = Connection(
                settings.mqtt,
                versions.next(settings.mqtt),
                client_id=settings.mqtt.client_id or f"inspector-{settings.sender}-{os.getpid()}",
                inbound=inbound,
            )
            connection.open()
            sent_at = 0.0
            while connection.lost is None and time.monotonic() < end:
                now = time.monotonic()
                if inbound.listening and now - sent_at > SEND_AGAIN_S:
                    topic = place.command(settings.sender)
                    connection.publish(topic, envelope.to_json(), retain=False)
                    sent_at = now
                connection.turn(idle, PAUSE_S)
                while inbound.received:
                    reply = read_reply(inbound.received.popleft().payload, command)
                    if reply is not None:
                        connection.leave()
                        return reply
            why = connection.lost or (
                f"no reply came within {settings.wait_s:g} s: does it run? "
                "A sender, key or schema it does not know gets none either: its log counts those"
            )
            connection.drop()
            if versions.ended(connection):
                time.sleep(PAUSE_S)
    raise DeviceError(f"station {station} over {settings.mqtt.host}:{settings.mqtt.port}: {why}")


def read_reply(payload: bytes, command: Command) -> Reply | None:
    """The reply to this command; None for another's, or what is none."""
    try:
        reply = Reply.model_validate_json(payload)
    except ValidationError:
        return None
    return reply if reply.id == command.id else None
