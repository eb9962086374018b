"""What an edge node listens to: rebirths and commands asked for, the primary host's STATE."""

from collections.abc import Callable

from inspector.contract.errors import CommandError
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import Inbound
from inspector.delivery.sparkplug_commands import DeviceCommands
from inspector.delivery.sparkplug_host import PrimaryHost
from inspector.delivery.sparkplug_metrics import REBIRTH
from inspector.delivery.sparkplug_payload import read_written
from inspector.delivery.sparkplug_settings import SparkplugPlace


class Heard:
    """Lasts from connection to connection; the edge node's thread owns it."""

    def __init__(self, place: SparkplugPlace, commands: DeviceCommands) -> None:
        self.inbound = Inbound(place.listened())
        self.host = PrimaryHost(place.primary_host)
        self.host_left = False
        """The host was there since the last birth, and went, be it for a moment."""
        self.rebirth_wanted = False
        self.missed = False
        """Who asked for it has missed something; whoever sees to that takes it back."""
        self._place = place
        self._commands = commands
        self._refused = 0

    @property
    def refused(self) -> int:
        """Messages to the node that were not followed, and any that could not be read."""
        return self._refused + self.inbound.oversized + self.inbound.unreadable

    def take(self, connection: Connection, say: Callable[[str], None]) -> None:
        if self.inbound.overflowed:  # the host's STATE may be among what was dropped
            self._refused += self.inbound.overflowed
            self.inbound.overflowed = 0
            connection.lost = "more came at once than can be taken: connects anew for the STATE"
        while self.inbound.received:
            message = self.inbound.received.popleft()
            if message.topic == self._place.of_device("DCMD"):
                self._commands.take(message.payload, retained=message.retain)
                continue
            try:
                if message.topic == self._place.state:
                    self._take_state(message.payload)
                elif message.topic == self._place.of_node("NCMD"):
                    self._take_node_command(message.payload, retained=message.retain)
            except CommandError as error:
                self._refused += 1
                say(f"{message.topic} refused: {error}")

    def answered(self) -> None:
        """A birth goes out."""
        self.rebirth_wanted = self.host_left = self.missed = False

    def restart(self) -> None:
        """The connection is lost."""
        self.host.forget()
        self.answered()
        self.inbound.received.clear()

    def _take_state(self, payload: bytes) -> None:
        """Raises CommandError."""
        if self.host.take(payload) and not self.host.online:
            self.host_left = True

    def _take_node_command(self, payload: bytes, *, retained: bool) -> None:
        """Raises CommandError."""
        if retained:
            raise CommandError("it was retained: nobody knows when it was meant")
        for written in read_written(payload):
            if written.name != REBIRTH.name or written.value is not True:
                raise CommandError(f"only {REBIRTH.name} may be written, with true")
        self.rebirth_wanted = self.missed = True
