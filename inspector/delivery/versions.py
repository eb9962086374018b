"""Which version of MQTT to speak with a broker one does not know."""

from inspector.delivery.broker import MqttSettings, Protocol
from inspector.delivery.connection import Connection


class Versions:
    """Which version of MQTT to try next: what worked, else 5, and 3.1.1 where 5 was not answered.

    A broker that only restarts must cost nothing, one that never answers MQTT 5 one short wait.
    """

    def __init__(self, wanted: str) -> None:
        self._fixed: Protocol | None = None if wanted == "auto" else _protocol(wanted)
        self._preferred: Protocol = self._fixed or "5"
        self._tries = 1  # unanswered tries before the other version gets its turn
        self._unanswered = 0
        self.connections = 0

    def next(self, settings: MqttSettings) -> tuple[Protocol, float]:
        """The version, and how long to wait for the answer to it."""
        if self._fixed is None and self.connections == 0 and not self._other():
            return "5", settings.version_timeout_s
        protocol = self._preferred
        if self._other():
            protocol = "3.1.1" if self._preferred == "5" else "5"
        return protocol, settings.connect_timeout_s

    def accepted(self, connection: Connection) -> None:
        self._preferred, self._tries, self._unanswered = connection.protocol, 3, 0
        self.connections += 1

    def ended(self, connection: Connection) -> bool:
        """Take note of how it ended; returns whether to pause before the next try."""
        if not connection.wrong_version:
            self._unanswered = 0
            return True
        self._unanswered += 1
        return not self._other()

    def _other(self) -> bool:
        return self._fixed is None and self._unanswered % (self._tries + 1) == self._tries


def _protocol(text: str) -> Protocol:
    return "5" if text == "5" else "3.1.1"
