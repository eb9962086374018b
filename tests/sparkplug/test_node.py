"""The edge node and a real mosquitto: absent, still, flooded; a journal with holes in it."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inspector.contract.command import Reply
from inspector.contract.errors import ConfigError
from inspector.delivery import sparkplug_b_pb2 as proto
from inspector.delivery.broker import MqttSettings
from inspector.delivery.cursors import Cursors
from inspector.delivery.journal import ConsumerSettings, Journal, JournalSettings
from inspector.delivery.sparkplug import EdgeNode, Origin, SparkplugSettings
from inspector.delivery.sparkplug_settings import SPARKPLUG
from inspector.settings import read_settings
from tests.brokers import Listener, Mosquitto
from tests.delivery.results import result
from tests.sparkplug.rules import Names, broken
from tests.sparkplug.wire import Proxy
from tests.support import free_port, make_bundle, start_station, until, write_station

NAMES = Names("plant", "station", "inspection", None)
SCADA = Names("plant", "station", "inspection", "scada")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    opened.register([ConsumerSettings(name=SPARKPLUG)])
    yield opened
    opened.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as made:
        yield made


class Door:
    """The station's command door: notes what it is asked, and does it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, message: bytes, sender: str) -> Reply:
        self.asked.append(json.loads(message))
        return Reply(
            id=self.asked[-1]["id"],
            station="station",
            boot="boot",
            outcome="done",
            reason=f"asked by {sender}",
            state="READY",
            cause="",
            withheld=None,
        )


@contextmanager
def edge_node(
    journal: Journal, port: int, *, door: Door | None = None, mqtt: Any = None, **settings: Any
) -> Iterator[EdgeNode]:
    quick = {"host": "127.0.0.1", "port": port, "backoff_min_s": 0.05, "backoff_max_s": 0.2}
    made = EdgeNode(
        SparkplugSettings.model_validate({"group": "plant", "overlap_s": 0.0, **settings}),
        MqttSettings.model_validate({**quick, **(mqtt or {})}),
        client_id="node",
        journal=journal.path,
        released=journal.released,
        origin=Origin("station", "boot", "0"),
    )
    made.start(door or Door())
    try:
        yield made
    finally:
        made.stop(2.0)
    assert not made.alive()


def put(journal: Journal, node: EdgeNode | None, count: int) -> None:
    for _ in range(count):
        journal.put(result(journal.next_seq()))
        journal.release(journal.last_seq())
        if node is not None:
            node.wake()


def parts(listener: Listener, names: Names = NAMES) -> list[tuple[int, bool]]:
    """(number in the journal, whether it came as history), by the births' aliases."""
    return [(m.long_value, m.is_historical) for m in numbers(listener, names)]


def times(listener: Listener) -> list[tuple[int, int]]:
    """(number in the journal, at what time)."""
    return [(m.long_value, m.timestamp) for m in numbers(listener, NAMES)]


def numbers(listener: Listener, names: Names) -> list[proto.Metric]:
    """The metric of every part that holds its number in the journal."""
    found: list[proto.Metric] = []
    seq_alias = None
    for message in listener.messages:
        if message.topic == names.topic("DBIRTH"):
            metrics = proto.Payload.FromString(message.payload).metrics
            seq_alias = next(m.alias for m in metrics if m.name == "Part/Journal Seq")
        if message.topic == names.topic("DDATA"):
            metrics = proto.Payload.FromString(message.payload).metrics
            found += [m for m in metrics if m.alias == seq_alias]
    return found


def births(listener: Listener) -> int:
    return len(listener.payloads(NAMES.topic("DBIRTH")))


def deaths(listener: Listener) -> int:
    return len(listener.payloads(NAMES.topic("NDEATH")))


def value(listener: Listener, name: str) -> Any:
    """Of a metric as it stands."""
    aliases: dict[int, str] = {}
    now: Any = None
    for message in listener.messages:
        if not message.topic.startswith("spBv1.0/plant/") or "CMD" in message.topic:
            continue
        for m in proto.Payload.FromString(message.payload).metrics:
            if m.name:
                aliases[m.alias] = m.name
            if aliases.get(m.alias) == name and m.WhichOneof("value"):
                now = getattr(m, m.WhichOneof("value"))
    return now


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_waited_for_the_broker_comes_as_history_in_order_and_numbers_wrap(
    journal: Journal, broker: Mosquitto, protocol: str
) -> None:
    with Listener(broker.start().port, "spBv1.0/#") as listener, Proxy(broker.port) as proxy:
        put(journal, None, 300)
        mqtt = {"protocol": protocol}
        with edge_node(journal, proxy.port, mqtt=mqtt, history_per_s=10_000) as node:
            assert until(lambda: len(parts(listener)) == 300)
            put(journal, node, 5)
            assert until(lambda: len(parts(listener)) == 305)
            assert until(lambda: node.consumers[0].acknowledged == 305)
    assert parts(listener) == [(seq, seq <= 300) for seq in range(1, 306)]
    assert broken(proxy.recordings, NAMES) == []


def test_history_keeps_its_pace(journal: Journal, broker: Mosquitto) -> None:
    put(journal, None, 150)
    with Listener(broker.start().port, "spBv1.0/#") as listener:
        begin = time.monotonic()
        with edge_node(journal, broker.port, history_per_s=100):
            assert until(lambda: len(parts(listener)) == 150)
        assert time.monotonic() - begin > 1.2


def test_what_was_sent_a_moment_ago_goes_again_and_what_is_older_does_not(
    journal: Journal, broker: Mosquitto
) -> None:
    with Listener(broker.start().port, "spBv1.0/#") as listener:
        with edge_node(journal, broker.port, overlap_s=1.0) as node:
            assert until(lambda: births(listener) == 1)
            put(journal, node, 10)
            assert until(lambda: node.consumers[0].acknowledged == 10)
            put(journal, node, 10)
            assert until(lambda: len(parts(listener)) == 20)
        with edge_node(journal, broker.port, overlap_s=1.0):
            assert until(lambda: len(parts(listener)) == 30)
            time.sleep(0.3)
    news, again = parts(listener)[:20], parts(listener)[20:]
    assert news == [(seq, False) for seq in range(1, 21)]
    assert again == [(seq, True) for seq in range(11, 21)]


@pytest.mark.parametrize("written_by", ["this program", "an older one"])
def test_parts_without_a_picture_have_times_of_their_own_and_keep_them(
    journal: Journal, broker: Mosquitto, written_by: str
) -> None:
    begin_ms = 1_000 * time.time()
    for seq in range(1, 41):
        journal.put(result(seq).model_copy(update={"captured_at": None}))
        journal.release(seq)
    if written_by == "an older one":
        journal._db.execute("UPDATE result SET stored_at = CAST(stored_at AS INTEGER)")
    with Listener(broker.start().port, "spBv1.0/#") as listener:
        for count in (40, 80):  # what was sent a moment ago goes again after a restart
            with edge_node(journal, broker.port, overlap_s=90.0):
                assert until(lambda count=count: len(times(listener)) == count)  # type: ignore[misc]
    told, again = times(listener)[:40], times(listener)[40:]
    assert len({at for _, at in told}) == 40, "a historian keeps one value of a time"
    assert all(abs(at - begin_ms) < 60_000 for _, at in told)
    assert again == told


@pytest.mark.parametrize("spoilt", [b"\xff\x00", b"{", b"[]"])
def test_a_row_that_a_disk_has_spoilt_is_missing_and_the_others_are_sent(
    journal: Journal, broker: Mosquitto, spoilt: bytes
) -> None:
    put(journal, None, 3)
    for seq in (2, 3):
        journal._db.execute("UPDATE result SET payload = ? WHERE seq = ?", (spoilt, seq))
    with (
        Listener(broker.start().port, "spBv1.0/#") as listener,
        edge_node(journal, broker.port) as node,
    ):
        assert until(lambda: node.consumers[0].acknowledged == 3)
        put(journal, node, 1)
        assert until(lambda: len(parts(listener)) == 2)
        assert until(lambda: value(listener, "Delivery/Missing") == 2)
    assert parts(listener) == [(1, True), (4, False)]


def test_connections_that_never_last_do_not_repeat_a_part_for_ever(
    journal: Journal, broker: Mosquitto
) -> None:
    with (
        Listener(broker.start().port, "spBv1.0/#") as listener,
        Proxy(broker.port) as proxy,
        edge_node(journal, proxy.port, overlap_s=60.0) as node,
    ):
        assert until(lambda: births(listener) == 1)
        put(journal, node, 10)
        for again in (1, 2, 3):
            assert until(lambda: len(parts(listener)) == 10 * again)  # noqa: B023 - asked at once
            assert until(lambda: value(listener, "Delivery/Waiting") == 0)
            time.sleep(0.2)  # the mark behind them
            assert node.consumers[0].acknowledged == 0
            proxy.cut()
            assert until(lambda: births(listener) == again + 1)  # noqa: B023
        assert until(lambda: node.consumers[0].acknowledged == 10)
        put(journal, node, 1)
        assert until(lambda: len(parts(listener)) == 31)
        assert parts(listener)[-1] == (11, False)


def test_a_broker_that_stands_still_is_left_and_nothing_is_lost(
    journal: Journal, broker: Mosquitto
) -> None:
    mqtt = {"acknowledge_timeout_s": 1.0, "connect_timeout_s": 1.0}
    with (
        Listener(broker.start().port, "spBv1.0/#") as listener,
        edge_node(journal, broker.port, mqtt=mqtt) as node,
    ):
        assert until(lambda: births(listener) == 1)
        broker.pause()
        put(journal, node, 10)
        assert until(lambda: not node.connected)
        broker.resume()
        assert until(lambda: {seq for seq, _ in parts(listener)} == set(range(1, 11)))


def test_results_let_go_are_counted_and_told(journal: Journal, broker: Mosquitto) -> None:
    put(journal, None, 20)
    journal._db.execute("DELETE FROM result WHERE seq <= 7")
    with Listener(broker.start().port, "spBv1.0/#") as listener:
        with edge_node(journal, broker.port):
            assert until(lambda: len(parts(listener)) == 13)
            assert until(lambda: value(listener, "Delivery/Missing") == 7)
        assert parts(listener)[0][0] == 8


def test_a_new_edge_node_begins_with_what_comes(journal: Journal, broker: Mosquitto) -> None:
    with Cursors(journal.path) as cursors:
        cursors.forget(SPARKPLUG)
    put(journal, None, 5)
    journal.register([ConsumerSettings(name=SPARKPLUG)])
    with Listener(broker.start().port, "spBv1.0/#") as listener:
        with edge_node(journal, broker.port) as node:
            assert until(lambda: births(listener) == 1)
            put(journal, node, 1)
            assert until(lambda: parts(listener) == [(6, False)])
        assert value(listener, "Part/Journal Seq") == 6


def test_a_storm_of_rebirths_gives_few_births(journal: Journal, broker: Mosquitto) -> None:
    with Listener(broker.start().port, "spBv1.0/#") as listener:
        with edge_node(journal, broker.port, overlap_s=60.0) as node:
            assert until(lambda: births(listener) == 1)
            put(journal, node, 3)
            assert until(lambda: len(parts(listener)) == 3)
            begin = time.monotonic()
            while time.monotonic() - begin < 2.5:
                listener.publish(NAMES.topic("NCMD"), _writes("Node Control/Rebirth", value=True))
            took_s = time.monotonic() - begin
        assert 2 <= births(listener) <= 2 + took_s
        assert parts(listener)[3:] == [(1, True), (2, True), (3, True)], "once, not each time"


def test_what_a_host_missed_twice_comes_twice_but_not_at_once(
    journal: Journal, broker: Mosquitto
) -> None:
    rebirth = _writes("Node Control/Rebirth", value=True)
    again = [(1, True), (2, True), (3, True)]
    with (
        Listener(broker.start().port, "spBv1.0/#") as listener,
        edge_node(journal, broker.port, overlap_s=1.0) as node,
    ):
        assert until(lambda: births(listener) == 1)
        put(journal, node, 3)
        assert until(lambda: len(parts(listener)) == 3)
        listener.publish(NAMES.topic("NCMD"), rebirth)
        assert until(lambda: parts(listener)[3:] == again)
        repeated_at = time.monotonic()
        listener.publish(NAMES.topic("NCMD"), rebirth)
        assert until(lambda: births(listener) == 3)
        assert until(lambda: parts(listener)[6:] == again)
        assert time.monotonic() - repeated_at > 0.7
        assert until(lambda: node.consumers[0].acknowledged == 3)
    assert len(parts(listener)) == 9


def test_an_access_list_that_keeps_births_away_is_named(
    journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rights = tmp_path / "rights"
    rights.write_text("topic read #\n")
    with (
        Mosquitto(tmp_path, "allow_anonymous true", f"acl_file {rights}") as broker,
        edge_node(journal, broker.start().port),
    ):
        assert until(lambda: "may keep us from spBv1.0/plant/NBIRTH/station" in caplog.text)


def test_a_primary_host_is_called_as_its_people_have_called_it(
    journal: Journal, broker: Mosquitto
) -> None:
    with (
        Listener(broker.start().port, "spBv1.0/#") as listener,
        edge_node(journal, broker.port, primary_host="Leitstand Süd (1)"),
    ):
        time.sleep(0.3)
        assert births(listener) == 0
        state = "spBv1.0/STATE/Leitstand Süd (1)"
        listener.publish(state, b'{"online":true,"timestamp":1}', retain=True)
        assert until(lambda: births(listener) == 1)
    with pytest.raises(ValidationError):
        SparkplugSettings(group="plant", primary_host="a/b")


def test_who_floods_does_not_hide_the_hosts_leave(journal: Journal, broker: Mosquitto) -> None:
    with Listener(broker.start().port, "spBv1.0/#") as listener:
        listener.publish(SCADA.state, b'{"online":true,"timestamp":1}', retain=True)
        with edge_node(journal, broker.port, primary_host="scada") as node:
            assert until(lambda: births(listener) == 1)
            broker.pause()
            for _ in range(300):
                listener._client.publish(NAMES.topic("DCMD"), b"?", qos=0)
            listener._client.publish(SCADA.state, b'{"online":false,"timestamp":2}', 1, retain=True)
            broker.resume()
            assert until(lambda: bool(listener.payloads(NAMES.topic("NDEATH"))))
            put(journal, node, 3)
            time.sleep(0.5)
            assert births(listener) == 1
            assert parts(listener) == []
            listener.publish(SCADA.state, b'{"online":true,"timestamp":3}', retain=True)
            assert until(lambda: len(parts(listener)) == 3)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (lambda: b"\xff\xff", "no Sparkplug"),
        (lambda: proto.Payload().SerializeToString(), "0 metrics"),
        (lambda: _writes("Device Control/Reset", value=True), "may not be written"),
        (lambda: _writes("Device Control/Stop", value=False), "only true"),
        (lambda: _writes("Device Control/Stop", text="true"), "only true"),
        (lambda: _writes("Device Control/Trigger", value=True), "as text"),
        (
            lambda: proto.Payload(
                metrics=[proto.Metric(alias=7, boolean_value=True)]
            ).SerializeToString(),
            "may not be written",
        ),
    ],
)
def test_a_command_nobody_understands_reaches_no_door(
    journal: Journal, broker: Mosquitto, payload: Callable[[], bytes], why: str
) -> None:
    door = Door()
    with (
        Listener(broker.start().port, "spBv1.0/#") as listener,
        edge_node(journal, broker.port, door=door, commands=["stop", "trigger"]),
    ):
        assert until(lambda: births(listener) == 1)
        listener.publish(NAMES.topic("DCMD"), payload())
        assert until(lambda: value(listener, "Command/Refused") == 1)
        assert why in value(listener, "Command/Reason")
    assert door.asked == []


def test_a_retained_command_is_refused_and_one_in_time_is_followed(
    journal: Journal, broker: Mosquitto
) -> None:
    door = Door()
    stop = _writes("Device Control/Stop", value=True)
    with Listener(broker.start().port, "spBv1.0/#") as listener:
        listener.publish(NAMES.topic("DCMD"), stop, retain=True)
        with edge_node(journal, broker.port, door=door, commands=["stop", "trigger"]):
            assert until(lambda: value(listener, "Command/Refused") == 1)
            assert door.asked == []
            listener.publish(NAMES.topic("DCMD"), stop)
            listener.publish(NAMES.topic("DCMD"), _writes("Device Control/Trigger", text="part-7"))
            assert until(lambda: value(listener, "Command/Done") == 2)
    stop_asked, trigger_asked = ({**asked, "id": ""} for asked in door.asked)
    assert stop_asked == {"schema": 1, "id": "", "action": "stop"}
    assert trigger_asked == {"schema": 2, "id": "", "action": "trigger", "part": "part-7"}


def test_without_leave_no_command_is_there_to_be_written(
    journal: Journal, broker: Mosquitto
) -> None:
    with Listener(broker.start().port, "spBv1.0/#") as listener:
        with edge_node(journal, broker.port):
            assert until(lambda: births(listener) == 1)
        birth = proto.Payload.FromString(listener.payloads(NAMES.topic("DBIRTH"))[0])
        assert not [m.name for m in birth.metrics if m.name.startswith("Device Control")]


def test_a_killed_station_is_declared_dead_by_the_broker_and_born_with_the_next_number(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_station(
        tmp_path,
        make_bundle(tmp_path / "bundles"),
        camera={"loop": True},
        trigger={"kind": "interval", "period_ms": 20},
        mqtt={"port": broker.start().port},
        sparkplug={"group": "plant", "node": "station", "overlap_s": 60},
    )
    with (
        Listener(broker.port, "spBv1.0/#") as listener,
        Listener(broker.port, "plant/line/test/state", name="states") as states,
    ):
        for life in (1, 2):
            station = start_station(settings)
            try:
                assert until(lambda: births(listener) == life)  # noqa: B023 - asked at once
                alive_at = len(parts(listener))
                assert until(lambda: len(parts(listener)) > alive_at + 30)  # noqa: B023
            finally:
                station.send_signal(signal.SIGKILL)
                station.wait()
            assert until(lambda: deaths(listener) == life)  # noqa: B023 - asked at once
        numbers = [
            proto.Payload.FromString(payload).metrics[0].long_value
            for payload in listener.payloads(NAMES.topic("NDEATH"))
        ]
        assert numbers == [0, 1]
        told = [json.loads(each) for each in states.payloads("plant/line/test/state")]
        assert {"sparkplug"} == {each["name"] for state in told for each in state["consumers"]}
        received = [seq for seq, _ in parts(listener)]
        assert set(received) == set(range(1, max(received) + 1))


def test_a_station_without_one_loads_no_protobuf() -> None:
    code = "import sys, inspector.daemon; print('google.protobuf' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sparkplug": {"group": "STATE"}}, "hosts' own level"),
        ({"sparkplug": {"group": "a/b"}}, "sparkplug.group"),
        ({"sparkplug": {"group": "a", "commands": ["reload"]}}, "sparkplug.commands"),
        ({"sparkplug": {"group": "a", "history": 3}}, "history"),
    ],
)
def test_settings_that_cannot_work_are_said_in_words(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), **changes)
    with pytest.raises(ConfigError, match=words):
        read_settings(path)


def test_no_consumer_may_have_the_edge_nodes_name(tmp_path: Path) -> None:
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    path.write_text(path.read_text() + '\n[[consumers]]\nname = "sparkplug"\n')
    with pytest.raises(ConfigError, match="own name for its edge node"):
        read_settings(path)


def test_an_edge_node_under_the_stations_own_client_id_at_its_broker_is_refused(
    tmp_path: Path,
) -> None:
    """[mqtt] copied to [sparkplug.broker]: each connection threw the other out, for ever."""
    bundle = make_bundle(tmp_path / "bundles")
    mqtt = {"host": "127.0.0.1", "port": free_port(), "client_id": "cell-01"}
    sparkplug: dict[str, Any] = {"group": "plant", "broker": mqtt}
    path = write_station(tmp_path, bundle, mqtt=mqtt, sparkplug=sparkplug)
    with pytest.raises(ConfigError, match=r"sparkplug.broker.client_id cell-01: is that of \[mqtt"):
        read_settings(path)
    for other in ({"client_id": "cell-01-sparkplug"}, {"port": free_port()}):
        sparkplug["broker"] = {**mqtt, **other}
        read_settings(write_station(tmp_path, bundle, mqtt=mqtt, sparkplug=sparkplug))


def _writes(name: str, *, value: bool | None = None, text: str | None = None) -> bytes:
    metric = proto.Metric(name=name)
    if value is not None:
        metric.boolean_value = value
    if text is not None:
        metric.string_value = text
    return bytes(proto.Payload(timestamp=1, metrics=[metric]).SerializeToString())
