"""Brokers that do not speak MQTT 5: silent ones, ones that refuse, ones that hang up."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from inspector.contract.topics import Place
from inspector.delivery.consumers import Identity
from inspector.delivery.journal import Journal, JournalSettings
from inspector.delivery.mqtt import Courier, MqttSettings
from inspector.demo.broker import EmbeddedBroker
from tests.delivery.results import result
from tests.support import until

PLACE = Place.of("plant/line", "station")
WHO = Identity("station", "boot")
RESULT = PLACE.result


@contextmanager
def courier(journal: Journal, port: int, protocol: str = "auto") -> Iterator[Courier]:
    settings = {"port": port, "protocol": protocol, "backoff_min_s": 0.1, "backoff_max_s": 0.2}
    made = Courier(
        MqttSettings.model_validate(
            {
                "host": "127.0.0.1",
                "version_timeout_s": 0.5,
                "acknowledge_timeout_s": 0.5,
                **settings,
            }
        ),
        journal=journal._path,
        released=journal.released,
        place=PLACE,
        will=b"OFFLINE",
        who=WHO,
    )
    made.start()
    try:
        yield made
    finally:
        made.stop(0.0)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    for seq in range(1, 101):
        opened.put(result(seq))
        opened.release(seq)
    yield opened
    opened.close()


@pytest.mark.parametrize("protocol", ["auto", "3.1.1"])
def test_a_broker_that_never_answers_mqtt_5_is_spoken_to_in_3_1_1(
    tmp_path: Path, journal: Journal, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    received: list[bytes] = []
    with EmbeddedBroker() as broker:
        client = paho.Client(CallbackAPIVersion.VERSION2)
        subscribed = threading.Event()
        client.on_message = lambda _client, _data, message: received.append(bytes(message.payload))
        client.on_subscribe = lambda *_: subscribed.set()
        client.connect(broker.host, broker.port)
        client.loop_start()
        client.subscribe(RESULT, qos=1)
        assert subscribed.wait(5.0)
        with courier(journal, broker.port, protocol) as sender:
            assert until(lambda: sender.acknowledged == 100)
            assert sender.stop(5.0)
        assert until(lambda: len(received) == 100)
        client.disconnect()
        client.loop_stop()
    assert sorted(received) == sorted(payload for _, payload in journal.after(0, 1_000))
    assert "MQTT 3.1.1" in caplog.text
    assert ("no answer to CONNECT in MQTT 5" in caplog.text) is (protocol == "auto")


ACCEPTED = bytes([0x20, 2, 0, 0])
UNACCEPTABLE_VERSION = bytes([0x20, 2, 0, 1])


@contextmanager
def old_broker(answer_to_5: Callable[[socket.socket], None]) -> Iterator[tuple[int, list[int]]]:
    """Accepts 3.1.1 and answers MQTT 5 as told; yields its port and the versions it was offered.

    Node's aedes, which refuses MQTT 5 with a code, is not to be had from pip: these few bytes are
    its answer.
    """
    offered: list[int] = []
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)

        def serve() -> None:
            open_until_end = []
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                open_until_end.append(connection)
                version = connection.recv(4_096)[8]
                offered.append(version)
                if version == 5:
                    answer_to_5(connection)
                else:
                    connection.sendall(ACCEPTED)
            for connection in open_until_end:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], offered
        finally:
            ended.set()
            thread.join()


@pytest.mark.alone
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda connection: connection.sendall(UNACCEPTABLE_VERSION), id="refuses"),
        pytest.param(lambda connection: connection.close(), id="hangs up"),
        pytest.param(lambda connection: connection.sendall(b"\x00\x00"), id="nonsense"),
    ],
)
def test_a_broker_that_refuses_mqtt_5_is_asked_in_3_1_1_at_once(
    tmp_path: Path, journal: Journal, answer: Callable[[socket.socket], None]
) -> None:
    with old_broker(answer) as (port, offered):
        start = time.monotonic()
        with courier(journal, port) as sender:
            assert until(lambda: sender.connected)
            assert time.monotonic() - start < 0.4, "no pause between the two"
        assert offered[:2] == [5, 4]


def test_what_worked_is_tried_first_after_a_restart_of_the_broker(
    tmp_path: Path, journal: Journal
) -> None:
    with old_broker(lambda _: None) as (port, offered), courier(journal, port) as sender:
        for count in range(3):
            assert until(lambda count=count: sender.connected and sender.reconnects == count)  # type: ignore[misc]
            # its acknowledgements never come: the courier leaves and comes again
            assert until(lambda: not sender.connected, timeout_s=15.0)
    assert offered[:4] == [5, 4, 4, 4]
