"""Listening over a real mosquitto: what comes is noted, what must not be is counted."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from inspector.delivery.broker import Attempt, MqttSettings, Protocol
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import PACKET_BYTES_MAX, PAYLOAD_BYTES_MAX, Inbound
from tests.brokers import Mosquitto
from tests.support import free_port, until

TOPIC = "plant/line/station/trigger"
BOTH: list[Protocol] = ["5", "3.1.1"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as made:
        yield made


@pytest.fixture
def sender(broker: Mosquitto) -> Iterator[paho.Client]:
    broker.start()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


@contextmanager
def connection(port: int, protocol: Protocol, inbound: Inbound) -> Iterator[Connection]:
    made = Connection(
        MqttSettings(host="127.0.0.1", port=port),
        Attempt(protocol, answer_timeout_s=1.0),
        client_id="listens",
        inbound=inbound,
    )
    made.open()
    yield made
    made.drop()


def turn_until(made: Connection, condition: Any, timeout_s: float = 10.0) -> bool:
    idle, far = socket.socketpair()
    with idle, far:
        return until(lambda: (made.turn(idle, 0.02), condition())[1], timeout_s)


def publish(sender: paho.Client, payload: bytes, *, topic: str = TOPIC, **words: Any) -> None:
    sender.publish(topic, payload, qos=1, **words).wait_for_publish(5.0)


@pytest.mark.parametrize("protocol", BOTH)
def test_a_message_is_noted_as_it_came(
    broker: Mosquitto, sender: paho.Client, protocol: Protocol
) -> None:
    inbound = Inbound([TOPIC, "plant/line/station/other"])
    with connection(broker.port, protocol, inbound) as made:
        assert turn_until(made, lambda: inbound.listening)
        asking = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's
        asking.ResponseTopic, asking.CorrelationData = "answers/here", b"\x00\xff7"
        before = time.monotonic()
        publish(sender, b"\xff\x00", properties=asking)
        publish(sender, b"plain", topic="plant/line/station/other")
        assert turn_until(made, lambda: len(inbound.received) == 2)
    first, second = inbound.received
    assert (first.topic, first.payload, first.retain) == (TOPIC, b"\xff\x00", False)
    assert before <= first.received_at <= time.monotonic()
    said = ("answers/here", b"\x00\xff7") if protocol == "5" else (None, None)
    assert (first.response_topic, first.correlation) == said
    assert (second.payload, second.response_topic) == (b"plain", None)


@pytest.mark.parametrize("protocol", BOTH)
def test_what_the_broker_had_kept_is_told_from_what_is_new(
    broker: Mosquitto, sender: paho.Client, protocol: Protocol
) -> None:
    publish(sender, b"kept", retain=True)
    inbound = Inbound([TOPIC])
    with connection(broker.port, protocol, inbound) as made:
        assert turn_until(made, lambda: inbound.listening and len(inbound.received) == 1)
        publish(sender, b"new")
        publish(sender, b"to be kept", retain=True)
        assert turn_until(made, lambda: len(inbound.received) == 3)
    kept, new, to_be_kept = (message.retain for message in inbound.received)
    assert (kept, new) == (True, False)
    assert to_be_kept is (protocol == "5"), "3.1.1 does not tell it"


@pytest.mark.parametrize("protocol", BOTH)
def test_more_than_the_queue_holds_and_longer_than_a_message_may_be_is_counted(
    broker: Mosquitto, sender: paho.Client, protocol: Protocol
) -> None:
    inbound = Inbound([TOPIC], queue_max=3)
    with connection(broker.port, protocol, inbound) as made:
        assert turn_until(made, lambda: inbound.listening)
        publish(sender, bytes(PAYLOAD_BYTES_MAX + 1))
        if protocol == "5":
            publish(sender, bytes(PACKET_BYTES_MAX + 1))  # the broker keeps it
        publish(sender, bytes(PAYLOAD_BYTES_MAX))
        for number in range(4):
            publish(sender, b"%d" % number)
        assert turn_until(made, lambda: inbound.overflowed == 2)
        assert made.lost is None
    assert inbound.oversized == 1
    assert [len(message.payload) for message in inbound.received] == [PAYLOAD_BYTES_MAX, 1, 1]


@pytest.mark.parametrize("protocol", BOTH)
def test_a_refused_subscription_ends_the_connection_in_words(
    tmp_path: Path, protocol: Protocol
) -> None:
    with SubackServer(protocol, refused=True) as server:
        inbound = Inbound(["plant/allowed", TOPIC])
        with connection(server.port, protocol, inbound) as made:
            assert turn_until(made, lambda: made.lost is not None)
            assert made.lost is not None
            assert made.lost.startswith(f"the broker refused the subscription to {TOPIC}: ")
            assert not inbound.listening


def test_a_subscription_without_an_answer_ends_the_connection() -> None:
    with (
        SubackServer("5", refused=None) as server,
        connection(server.port, "5", Inbound([TOPIC])) as made,
    ):
        assert turn_until(made, lambda: made.lost is not None)
        assert made.lost == "no answer to SUBSCRIBE in MQTT 5"
        assert not made.wrong_version


@pytest.mark.parametrize("junk", [b"\x31\x04\x00\x09ab", b"\x30\x02\xff\xff", b"\x90\x01\x00"])
def test_a_broker_that_speaks_no_mqtt_ends_the_connection_and_nothing_else(junk: bytes) -> None:
    with SubackServer("5", refused=False, then=junk) as server:
        inbound = Inbound([TOPIC, "other"])
        with connection(server.port, "5", inbound) as made:
            assert turn_until(made, lambda: made.lost is not None)
            assert not inbound.received


class SubackServer:
    """What mosquitto 2.0 cannot be made to do: refuse a subscription, or not answer it."""

    def __init__(self, protocol: Protocol, *, refused: bool | None, then: bytes = b"") -> None:
        self.port = free_port()
        tail = b"\x00" if protocol == "5" else b""
        self._connack = (b"\x20\x03\x00\x00\x00", b"\x20\x02\x00\x00")[protocol != "5"]
        refusal = b"\x87" if protocol == "5" else b"\x80"
        codes = b"\x01" + (refusal if refused else b"\x01")
        self._suback = None if refused is None else tail + codes
        self._then = then
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client:
            client.recv(4_096)
            client.sendall(self._connack)
            subscribe = client.recv(4_096)
            if self._suback is not None:
                number = subscribe[2:4]
                answer = number + self._suback
                client.sendall(bytes([0x90, len(answer)]) + answer)
                if self._then:
                    client.sendall(self._then)
            client.recv(4_096)

    def __enter__(self) -> "SubackServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10.0)
        self._listener.close()
