"""Brokers that do not speak MQTT 5: silent ones, ones that refuse, ones that hang up."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from inspector.check_broker import check_broker
from inspector.contract.topics import Place
from inspector.delivery.consumers import Identity
from inspector.delivery.cursors import Cursors
from inspector.delivery.journal import Journal, JournalSettings
from inspector.delivery.mqtt import Courier, MqttSettings
from inspector.demo.broker import EmbeddedBroker
from inspector.settings import read_settings
from tests.brokers import Mosquitto
from tests.delivery.results import result
from tests.support import make_bundle, until, write_station

PLACE = Place.of("plant/line", "station")
WHO = Identity("station", "boot")
RESULT = PLACE.result


@contextmanager
def courier(
    journal: Journal, port: int, protocol: str = "auto", *, version_timeout_s: float = 0.5
) -> Iterator[Courier]:
    settings = {"port": port, "protocol": protocol, "backoff_min_s": 0.1, "backoff_max_s": 0.2}
    made = Courier(
        MqttSettings.model_validate(
            {
                "host": "127.0.0.1",
                "version_timeout_s": version_timeout_s,
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
ACCEPTED_IN_5 = bytes([0x20, 3, 0, 0, 0])
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
                packet = connection.recv(4_096)
                if not packet:  # who only looks whether somebody is there
                    continue
                version = packet[8]
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


def test_mqtt_5_is_tried_first_at_every_connection_and_a_silent_broker_is_found_again(
    tmp_path: Path, journal: Journal
) -> None:
    with old_broker(lambda _: None) as (port, offered), courier(journal, port) as sender:
        for count in range(3):
            assert until(lambda count=count: sender.connected and sender.reconnects == count)  # type: ignore[misc]
            # its acknowledgements never come: the courier leaves and comes again
            assert until(lambda: not sender.connected, timeout_s=15.0)
    assert offered[:8] == [5, 4, 5, 4, 5, 4, 5, 4], "asked twice at the first connection alone"


def test_a_broker_that_has_refused_mqtt_5_in_words_is_not_asked_again(
    tmp_path: Path, journal: Journal
) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.sendall(UNACCEPTABLE_VERSION)

    with old_broker(refuse) as (port, offered), courier(journal, port) as sender:
        for count in range(2):
            assert until(lambda count=count: sender.connected and sender.reconnects == count)  # type: ignore[misc]
            assert until(lambda: not sender.connected, timeout_s=15.0)
    assert offered[:3] == [5, 4, 4]


@pytest.mark.parametrize(
    "at_first",
    [
        pytest.param(lambda _: None, id="silent"),
        pytest.param(lambda connection: connection.close(), id="hung up by a proxy before it"),
    ],
)
def test_a_broker_that_answers_mqtt_5_a_moment_later_is_spoken_to_in_5(
    tmp_path: Path, journal: Journal, at_first: Callable[[socket.socket], None]
) -> None:
    def answer(connection: socket.socket) -> None:
        if offered.count(5) == 1:
            at_first(connection)
        else:
            connection.sendall(ACCEPTED_IN_5)

    with (
        old_broker(answer) as (port, offered),
        courier(journal, port, version_timeout_s=2.0) as sender,
    ):
        assert until(lambda: sender.connected)
        assert offered == [5, 4, 5]


@pytest.mark.alone
def test_a_broker_slow_once_shows_what_its_access_list_forbids(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "acl").write_text(f"topic write {PLACE.state}\n", encoding="utf-8")
    (tmp_path / "acl").chmod(0o600)
    with Mosquitto(tmp_path, f"acl_file {tmp_path / 'acl'}") as broker:
        broker.start().pause()
        with courier(journal, broker.port, version_timeout_s=2.0) as sender:
            assert until(lambda: "no answer to CONNECT in MQTT 5" in caplog.text)
            broker.resume()
            assert until(lambda: "refuses result 1 (Not authorized)" in caplog.text)
            assert sender.acknowledged == 0
    with Cursors(tmp_path / "journal.db") as cursors:
        assert cursors.lowest() == 0, "in 3.1.1 all hundred would have counted as delivered"


def checked(folder: Path, **mqtt: Any) -> list[str]:
    """What `inspector check` finds of the broker."""
    path = write_station(folder, make_bundle(folder / "bundles"), mqtt=mqtt)
    return [f"{each.level} {each.text}" for each in check_broker(read_settings(path))]


@pytest.mark.parametrize("protocol", ["auto", "3.1.1", "5"])
def test_check_says_that_mqtt_3_1_1_hides_refusals(tmp_path: Path, protocol: str) -> None:
    with Mosquitto(tmp_path) as broker:
        found = checked(tmp_path, port=broker.start().port, protocol=protocol)
    notes = [each for each in found if "counts as delivered" in each]
    assert [each.split()[0] for each in notes] == (["note"] if protocol == "3.1.1" else [])
    assert not any(each.startswith("fault") for each in found)


def test_check_finds_a_broker_that_never_answers_mqtt_5(tmp_path: Path) -> None:
    with old_broker(lambda _: None) as (port, offered):
        found = checked(tmp_path, port=port, version_timeout_s=0.5)
    assert offered == [5, 4, 5, 4]
    assert "lets us in, MQTT 3.1.1 in plaintext" in found[0]
    assert "counts as delivered" in found[1]
