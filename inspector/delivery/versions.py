"""Which version of MQTT to speak with a broker one does not know."""

from inspector.delivery.broker import Attempt, MqttSettings, Protocol
from inspector.delivery.connection import Connection

TRIES = 3
"""Unanswered ones in the version that was spoken last, before the other gets its turn."""


class Versions:
    """MQTT 5 first at every connection, 3.1.1 where that is not answered, and never by mistake.

    In 3.1.1 a broker cannot say that it refuses a message (REFUSALS_UNSEEN). So one that was only
    slow, or still behind a proxy, must not be taken for one that speaks no 5: before 3.1.1 is
    spoken in earnest the broker is asked whether it is awake in it, and once it has answered that,
    5 is tried again. Only one that refuses 5 in words (0x84) is remembered as one of 3.1.1.

    A broker that only restarts costs nothing, one that never answers MQTT 5 two short waits at the
    first connection and one at each after it.
    """

    def __init__(self, wanted: str) -> None:
        self._fixed: Protocol | None = None if wanted == "auto" else _protocol(wanted)
        self._preferred: Protocol = self._fixed or "5"
        self._turn: Protocol = self._preferred
        self._tries = 1
        self._unanswered = 0
        self._awake = False
        """It has just answered 3.1.1, and 5 is asked once more."""
        self._sure = False
        """It speaks 3.1.1 and does not answer 5 though it is awake, or refuses it in words."""
        self.connections = 0

    def next(self, settings: MqttSettings) -> Attempt:
        """The version, and how long to wait for the answer to it."""
        if self._fixed is not None:
            return Attempt(self._fixed, settings.connect_timeout_s)
        if self._turn == "3.1.1":
            return Attempt("3.1.1", settings.connect_timeout_s, only_asks=not self._sure)
        quick = self._tries == 1  # nobody has spoken it with this broker yet
        return Attempt("5", settings.version_timeout_s if quick else settings.connect_timeout_s)

    def accepted(self, connection: Connection) -> None:
        protocol = connection.protocol
        if protocol == "5":
            self._preferred = self._fixed or "5"
        self._sure = protocol == "3.1.1"
        self._tries = TRIES if protocol == self._preferred else 1
        self._unanswered, self._awake, self._turn = 0, False, self._preferred
        self.connections += 1

    def ended(self, connection: Connection) -> bool:
        """Take note of how it ended; returns whether to pause before the next try."""
        if self._fixed is not None:
            return True
        asked_again, self._awake = self._awake, connection.awake
        if connection.awake:
            self._turn = "5"
            return False
        if connection.refused_version:
            return self._refused(connection.protocol)
        if not connection.wrong_version or connection.protocol != self._preferred:
            self._turn = self._preferred
            self._unanswered = 0
            return True
        self._unanswered += 1
        self._sure = self._sure or asked_again
        if self._unanswered >= self._tries or asked_again:
            self._turn, self._unanswered = _other(self._preferred), 0
        return self._turn == self._preferred

    def _refused(self, protocol: Protocol) -> bool:
        """It said so itself: the other one from now on."""
        self._turn = self._preferred = _other(protocol)
        self._sure = self._turn == "3.1.1"
        self._tries, self._unanswered = 1, 0
        return self._turn == "5"  # else two that both are refused would be tried without a pause


def _other(protocol: Protocol) -> Protocol:
    return "3.1.1" if protocol == "5" else "5"


def _protocol(text: str) -> Protocol:
    return "5" if text == "5" else "3.1.1"
