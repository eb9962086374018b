"""A connection as Sparkplug wants it: its own kind of will and goodbye, payloads that are no JSON.

And a way to know what the broker has of messages at QoS 0, for which it has no answer.
"""

from collections import deque

from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from inspector.delivery.broker import Attempt, MqttSettings
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import Inbound

_WILL_QOS = 1
_WITH_WILL = 0x04


class EdgeConnection(Connection):
    """One connection of an edge node, with its death as the will."""

    def __init__(
        self,
        settings: MqttSettings,
        attempt: Attempt,
        *,
        client_id: str,
        death_topic: str,
        death: bytes,
        inbound: Inbound,
    ) -> None:
        super().__init__(settings, attempt, client_id=client_id, inbound=inbound)
        self.passed: deque[int] = deque()
        """Marks the broker has come past."""
        if not attempt.only_asks:
            self._client.will_set(death_topic, death, _WILL_QOS, retain=False)
        self._client.on_unsubscribe = self._on_unsubscribe

    def say(self, topic: str, payload: bytes, *, qos: int = 0) -> int:
        """Hand one message to the socket, not retained; at QoS 1 its number comes back in
        `acknowledged`."""
        info = self._client.publish(topic, payload, qos)
        self._note(info.rc)
        return info.mid

    def mark(self, topic: str) -> int:
        """Ask what the broker must answer, and what changes nothing: not to be sent `topic`, to
        which nobody here listens.

        A broker reads one thing after the other: once the number is in `passed`, it has all that
        was said before.
        """
        code, number = self._client.unsubscribe(topic)
        self._note(code)
        return number or 0

    @property
    def congested(self) -> bool:
        """The socket takes no more now: what is said meanwhile piles up in memory."""
        return bool(self._client.want_write())

    def _say_goodbye(self) -> None:
        """In MQTT 5 Sparkplug wants the will published even so."""
        reason = None
        if self.protocol == "5":
            reason = ReasonCode(PacketTypes.DISCONNECT, identifier=_WITH_WILL)
        self._client.disconnect(reason)

    def _on_unsubscribe(
        self,
        client: Client,
        userdata: object,
        message: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        self.passed.append(message)
