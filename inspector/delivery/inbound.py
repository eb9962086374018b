"""What a connection listens to, and what came: noted, bounded, counted, never acted on here."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from inspector.delivery.broker import Protocol

PAYLOAD_BYTES_MAX = 65_536
PACKET_BYTES_MAX = 1_048_576
"""What a broker of MQTT 5 is told to send at most; 3.1.1 has no word for it: limit it there."""
QUEUE_MAX = 64

_QOS = 1


@dataclass(frozen=True, slots=True)
class Message:
    """One message that came, as it came: it is somebody else's."""

    topic: str
    payload: bytes
    retain: bool
    """The broker had kept it, or it was sent to be kept; 3.1.1 tells the first alone."""
    received_at: float
    """time.monotonic() when it was read from the socket."""
    response_topic: str | None = None
    correlation: bytes | None = None


class Inbound:
    """Lasts from connection to connection; the thread of the connection uses it.

    Where `queue_max` messages wait already, the next is dropped and counted: who listens decides
    what that means, since nothing here can wait.
    """

    def __init__(
        self,
        topics: Sequence[str],
        *,
        queue_max: int = QUEUE_MAX,
        payload_max: int = PAYLOAD_BYTES_MAX,
    ) -> None:
        self.received: deque[Message] = deque()
        self.overflowed = 0
        self.oversized = 0
        """Longer than `payload_max`."""
        self.unreadable = 0
        """On a topic that is no text."""
        self.listening = False
        """The broker has granted every subscription on this connection."""
        self._topics = tuple(topics)
        self._queue_max = queue_max
        self._payload_max = payload_max
        self._end: Callable[[str], None] = lambda _: None

    def attach(self, client: Client, end: Callable[[str], None]) -> None:
        """Listen on a client that is not yet connected; `end` is told why it cannot go on."""
        self.listening = False
        self._end = end
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    def subscribe(self, client: Client, protocol: Protocol) -> None:
        """Once the broker has accepted us. A refusal ends the connection, in words."""
        if protocol == "5":
            # as published: a message that is to be kept is told from one for now
            options = SubscribeOptions(qos=_QOS, retainAsPublished=True)
            client.subscribe([(topic, options) for topic in self._topics])
        else:
            client.subscribe([(topic, _QOS) for topic in self._topics])

    def _on_subscribe(
        self,
        client: Client,
        userdata: object,
        message: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        for topic, reason in zip(self._topics, reasons, strict=False):
            if reason.is_failure:
                self._end(f"the broker refused the subscription to {topic}: {reason}")
                return
        if len(reasons) != len(self._topics):
            self._end(f"the broker answered {len(reasons)} of {len(self._topics)} subscriptions")
            return
        self.listening = True

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        at = time.monotonic()
        if len(message.payload) > self._payload_max:
            self.oversized += 1
            return
        if len(self.received) >= self._queue_max:
            self.overflowed += 1
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self.unreadable += 1
            return
        properties = message.properties
        self.received.append(
            Message(
                topic=topic,
                payload=bytes(message.payload),
                retain=bool(message.retain),
                received_at=at,
                response_topic=getattr(properties, "ResponseTopic", None),
                correlation=getattr(properties, "CorrelationData", None),
            )
        )
