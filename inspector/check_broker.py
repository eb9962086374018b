"""The part of `inspector check` that goes over the network: the broker, as the station meets it."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from inspector.contract.errors import ConfigError
from inspector.delivery.broker import REFUSALS_UNSEEN, MqttSettings, require_files
from inspector.delivery.connection import Connection
from inspector.delivery.keys import read_key
from inspector.delivery.tls import certificate_ends
from inspector.delivery.versions import Versions
from inspector.finding import Finding
from inspector.settings import Settings

DAYS_LEFT_MIN = 30
TRIES_MAX = 5  # MQTT 5, 3.1.1, again where only that was answered, and one to spare


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Passwords and certificates, then the brokers themselves. One that is away is no fault."""
    yield from _check_keys(settings)
    yield from _check_one(settings.mqtt)
    if settings.sparkplug is not None and settings.sparkplug.broker is not None:
        yield from _check_one(settings.sparkplug.broker)


def _check_one(mqtt: MqttSettings) -> Iterator[Finding]:
    try:
        require_files(mqtt)
        yield from _check_end(mqtt)
    except ConfigError as error:
        yield Finding("fault", str(error))
        return
    if mqtt.plaintext_beyond_loopback:
        yield Finding(
            "note",
            "broker: plaintext_beyond_loopback: everybody on the way reads results and password",
        )
    yield from _check_answer(mqtt)


def _check_keys(settings: Settings) -> Iterator[Finding]:
    for each in settings.commands.keys if settings.commands else ():
        try:
            read_key(each)
        except ConfigError as error:
            yield Finding("fault", str(error))
        else:
            may = ", ".join(sorted(each.actions))
            yield Finding("ok", f"commands: {each.name} may {may}")
            if each.schema_min == 1:
                yield Finding(
                    "note",
                    f"commands: {each.name}: schema_min 1: what it signs for a station of this "
                    "name on another line can be sent here",
                )


def _check_end(mqtt: MqttSettings) -> Iterator[Finding]:
    """Certificates run out at night."""
    if mqtt.tls is None or mqtt.tls.cert_file is None:
        return
    what = f"{mqtt.table}.tls."
    ends = certificate_ends(mqtt.tls.cert_file, what=what)
    left = ends - datetime.now(UTC)
    text = f"{what}cert_file {mqtt.tls.cert_file}"
    if left.total_seconds() <= 0:
        yield Finding("fault", f"{text}: has expired on {ends:%Y-%m-%d}, or the clock is wrong")
    elif left.days < DAYS_LEFT_MIN:
        yield Finding("note", f"{text}: expires on {ends:%Y-%m-%d}, in {left.days} days")
    else:
        yield Finding("ok", f"{text}: valid until {ends:%Y-%m-%d}")


def _check_answer(mqtt: MqttSettings) -> Iterator[Finding]:
    where = f"broker: {mqtt.host}:{mqtt.port}"
    try:
        socket.create_connection((mqtt.host, mqtt.port), mqtt.connect_timeout_s).close()
    except OSError as error:
        why = error.strerror or str(error)
        yield Finding("note", f"{where} does not answer ({why}); results wait for it")
        return
    lost = ""
    versions = Versions(mqtt.protocol)
    for _ in range(TRIES_MAX):
        with contextlib.closing(_Try(mqtt, versions)) as attempt:
            lost = attempt.lost or ""
            if not lost:
                by = "over TLS" if mqtt.tls is not None else "in plaintext"
                yield Finding("ok", f"{where} lets us in, MQTT {attempt.protocol} {by}")
                if attempt.protocol == "3.1.1":
                    yield Finding("note", f"{where}: {REFUSALS_UNSEEN}; see that results arrive")
                return
            if attempt.final:
                break
    yield Finding("fault", f"{where}: {lost}")


class _Try:
    """One connection under a name of its own: the station's may be in use."""

    def __init__(self, mqtt: MqttSettings, versions: Versions) -> None:
        attempt = versions.next(mqtt)
        self.protocol = attempt.protocol
        self._connection = Connection(mqtt, attempt, client_id=f"inspector-check-{os.getpid()}")
        self._connection.open()
        end = time.monotonic() + attempt.answer_timeout_s + 1.0
        idle, far = socket.socketpair()
        with idle, far:
            while not self._connection.ready and self._connection.lost is None:
                self._connection.turn(idle, max(0.0, end - time.monotonic()))
        self.lost = self._connection.lost
        self.final = versions.ended(self._connection)

    def close(self) -> None:
        if self.lost is None:
            self._connection.leave()
        else:
            self._connection.drop()
