"""deploy/mosquitto as it is shipped, on a real mosquitto: what each client may do, and what not."""

import os
import pwd
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from inspector.delivery.journal import ConsumerSettings, Journal, JournalSettings
from inspector.delivery.sparkplug_settings import SPARKPLUG as NODE_CONSUMER
from tests.brokers import Mosquitto
from tests.certificates import make_authority
from tests.sparkplug.test_node import edge_node, put
from tests.support import until

DEPLOY = Path(__file__).parent.parent.parent / "deploy" / "mosquitto"
LINE = "acme/plant-1/assembly/line-3"
STATIONS = ("cell-01", "cell-02")
CLIENTS = (*STATIONS, "mes", "foreman", "hmi", "plc-3", "scada", "nobody")

# topic below a station: who may publish there, who may hear it; STATION is the station itself
CERTIFICATE = (("cert_file", "pem"), ("key_file", "key"))
STATION = "STATION"
RULES: dict[str, tuple[set[str], set[str]]] = {
    "result": ({STATION}, {"mes", "plc-3", "hmi"}),
    "state": ({STATION}, {"mes", "plc-3", "foreman", "hmi"}),
    "alarm": ({STATION}, {"mes", "hmi"}),
    "heartbeat": ({STATION}, {"mes", "plc-3", "hmi"}),
    "shadow": ({STATION}, {"mes"}),
    "line": ({STATION}, {"plc-3"}),
    "trigger": ({"plc-3"}, {STATION}),
    "echo": ({"plc-3"}, {STATION}),
    "command/foreman": ({"foreman"}, {STATION}),
    "command/hmi": ({"hmi"}, {STATION}),
    "command/mes": (set(), {STATION}),
    "reply/foreman": ({STATION}, {"foreman"}),
    "reply/foreman/tool-7": ({STATION}, {"foreman"}),
    "reply/hmi": ({STATION}, {"hmi"}),
    "reply/mes": ({STATION}, set()),
    "consumer/mes/ack": ({"mes"}, {STATION}),
    "consumer/mes/replay": ({"mes"}, {STATION}),
    "consumer/mes/replayed": ({STATION}, {"mes"}),
    "consumer/mes/reply": ({STATION}, {"mes"}),
    "consumer/other/ack": (set(), {STATION}),
    "consumer/other/replay": (set(), {STATION}),
    "consumer/other/replayed": ({STATION}, set()),
    "consumer/other/reply": ({STATION}, set()),
    "anything": (set(), set()),
}
# the same of what a station is as a Sparkplug edge node
SPARKPLUG: dict[str, tuple[set[str], set[str]]] = {
    "NBIRTH/{}": ({STATION}, {"scada"}),
    "NDATA/{}": ({STATION}, {"scada"}),
    "NDEATH/{}": ({STATION}, {"scada"}),
    "DBIRTH/{}/inspection": ({STATION}, {"scada"}),
    "DDATA/{}/inspection": ({STATION}, {"scada"}),
    "NCMD/{}": ({"scada"}, {STATION}),
    "DCMD/{}/inspection": ({"scada"}, {STATION}),
    "STATE/{}": (set(), set()),
}
HOST = ({"scada"}, {"scada", *STATIONS})
OF_ONE_STATION = {"plc-3": "cell-01"}
"""The controller belongs to one station; the others to the line."""


def may(client: str, station: str, allowed: set[str]) -> bool:
    if client == station:
        return STATION in allowed
    return client in allowed and OF_ONE_STATION.get(client, station) == station


def all_topics() -> dict[str, tuple[str, set[str], set[str]]]:
    """Each with its station, who may publish there and who may hear it."""
    found: dict[str, tuple[str, set[str], set[str]]] = {"spBv1.0/STATE/scada": ("", *HOST)}
    for station in STATIONS:
        found |= {f"{LINE}/{station}/{what}": (station, *rule) for what, rule in RULES.items()}
        for what, rule in SPARKPLUG.items():
            found[f"spBv1.0/assembly/{what.format(station)}"] = (station, *rule)
    return found


class Client:
    """Under a certificate of its own: listens to everything that it may hear."""

    def __init__(self, port: int, certificates: Path, name: str) -> None:
        self.heard: set[tuple[str, str]] = set()
        self.reasons: dict[int, ReasonCode] = {}
        self.connects = 0
        self._ready = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
        self._client.tls_set_context(context)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_ready
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.connect("localhost", port)
        self._client.loop_start()
        assert until(lambda: self._ready)

    def publish(self, topics: list[str], payload: str, *, retain: bool = False) -> set[str]:
        """Those of the topics that the broker took it on."""
        sent = {topic: self._client.publish(topic, payload, 1, retain).mid for topic in topics}
        assert until(lambda: set(self.reasons) >= set(sent.values()))
        return {topic for topic, mid in sent.items() if not self.reasons[mid].is_failure}

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        self.connects += 1
        client.subscribe("#", 1)

    def _on_ready(self, *_: object) -> None:
        self._ready = True

    def _on_message(self, *words: Any) -> None:
        self.heard.add((words[2].topic, words[2].payload.decode(errors="replace")))

    def _on_publish(self, *words: Any) -> None:
        self.reasons[words[2]] = words[3]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def shipped(port: int, folder: Path) -> str:
    """The shipped configuration, at another port and in another folder."""
    config = (DEPLOY / "mosquitto.conf").read_text(encoding="utf-8")
    config = config.replace("listener 8883", f"listener {port} 127.0.0.1")
    config = config.replace("/etc/mosquitto/", f"{folder}/")
    return config.replace("/var/lib/mosquitto/", f"{folder}/")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mosquitto, Path]]:
    """The shipped files, with a second station's block, in another folder."""
    folder = tmp_path_factory.mktemp("etc")
    certificates = make_authority(folder / "certs", "localhost", *CLIENTS)
    rules = (DEPLOY / "acl").read_text(encoding="utf-8")
    first = rules[rules.index("user cell-01") : rules.index("# A consumer")]
    (folder / "acl").write_text(rules + first.replace("cell-01", "cell-02"), encoding="utf-8")
    with Mosquitto(folder) as broker:
        broker.configure_whole(f"user root\n{shipped(broker.port, folder)}")
        yield broker.start(), certificates


def test_a_broker_that_root_starts_as_shipped_can_read_the_key_that_root_made_for_it() -> None:
    """Mosquitto gives up root for the user mosquitto before it reads its key."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    try:
        owner = pwd.getpwnam("mosquitto").pw_uid
    except KeyError:
        pytest.skip("needs the user mosquitto, of the Debian package")
    with TemporaryDirectory(dir="/tmp") as made:  # pytest's folders are root's alone
        folder = Path(made)
        folder.chmod(0o755)
        key = make_authority(folder / "certs", "localhost", "cell-01") / "broker.key"
        (folder / "acl").write_bytes((DEPLOY / "acl").read_bytes())
        with Mosquitto(folder) as broker:
            broker.configure_whole(shipped(broker.port, folder))
            broker.start()
        assert (key.stat().st_uid, key.stat().st_mode & 0o777) == (owner, 0o600)
        assert key.with_name("cell-01.key").stat().st_uid == 0


def test_everybody_may_do_what_is_theirs_and_nothing_else(
    deployed: tuple[Mosquitto, Path],
) -> None:
    broker, certificates = deployed
    topics = all_topics()
    outside = [f"{LINE}/result", "acme/plant-2/assembly/line-3/cell-01/result"]
    outside += ["spBv1.0/STATE/other", "spBv1.0/paint/NBIRTH/cell-01", "spBv1.0/paint/NCMD/cell-01"]
    with ExitStack() as stack:
        ears = {
            name: stack.enter_context(Client(broker.port, certificates, name)) for name in CLIENTS
        }
        written = {name: ear.publish([*topics, *outside], name) for name, ear in ears.items()}
        for name in CLIENTS:
            assert written[name] == {
                topic
                for topic, (station, writers, _) in topics.items()
                if may(name, station, writers)
            }, name
        for name, ear in ears.items():
            expected = {
                (topic, writer)
                for writer in CLIENTS
                for topic in written[writer]
                if may(name, topics[topic][0], topics[topic][2])
            }
            assert until(lambda ear=ear, wanted=expected: ear.heard >= wanted), name  # type: ignore[misc]
            assert ear.heard == expected, name


def test_the_list_is_enough_for_a_stations_edge_node_and_its_primary_host(
    deployed: tuple[Mosquitto, Path], tmp_path: Path
) -> None:
    broker, certificates = deployed
    own = {name: certificates / f"cell-01.{end}" for name, end in CERTIFICATE}
    mqtt = {"host": "localhost", "tls": {"ca_file": certificates / "ca.pem", **own}}
    names: dict[str, Any] = {"group": "assembly", "node": "cell-01", "primary_host": "scada"}
    node = "spBv1.0/assembly/{}/cell-01"
    journal = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    journal.register([ConsumerSettings(name=NODE_CONSUMER)])
    with Client(broker.port, certificates, "scada") as scada:
        scada.heard.clear()
        state = f'{{"online":true,"timestamp":{time.time_ns() // 1_000_000}}}'
        assert scada.publish(["spBv1.0/STATE/scada"], state, retain=True)
        with edge_node(journal, broker.port, mqtt=mqtt, **names) as edge:
            put(journal, edge, 1)
            wanted = {node.format("NBIRTH"), f"{node.format('DBIRTH')}/inspection"}
            wanted.add(f"{node.format('DDATA')}/inspection")
            assert until(lambda: {topic for topic, _ in scada.heard} >= wanted)
        assert scada.publish(["spBv1.0/STATE/scada"], "", retain=True)  # nothing stays
    journal.close()


def test_who_publishes_where_it_may_not_is_refused_and_stays(
    deployed: tuple[Mosquitto, Path],
) -> None:
    broker, certificates = deployed
    with Client(broker.port, certificates, "mes") as client:
        refused = f"{LINE}/cell-01/command/mes"
        for _ in range(3):
            assert client.publish([refused], "x") == set()
        assert client.connects == 1


def test_every_line_of_the_access_list_is_among_those_tried() -> None:
    """A line that nothing above exercises would be one that nobody has looked at."""
    tried = {
        (name, access, topic)
        for topic, (station, *rule) in all_topics().items()
        for access, allowed in zip(("write", "read"), rule, strict=True)
        for name in CLIENTS
        if may(name, station, allowed)
    }
    user, lines = "", []
    for line in (DEPLOY / "acl").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["user"]:
            user = words[1]
        elif words[:1] == ["topic"]:
            lines.append((user, words[1], words[2]))
    assert len(lines) > 20
    for user, access, pattern in lines:
        assert any(
            (user, access) == (name, how) and paho.topic_matches_sub(pattern, topic)
            for name, how, topic in tried
        ), (user, access, pattern)


def test_without_a_certificate_or_with_a_strangers_nobody_gets_in(
    deployed: tuple[Mosquitto, Path], tmp_path: Path
) -> None:
    broker, certificates = deployed
    strangers = make_authority(tmp_path / "strangers", "localhost", "cell-01")
    for own in (None, strangers / "cell-01"):
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        if own is not None:
            context.load_cert_chain(own.with_suffix(".pem"), own.with_suffix(".key"))
        client.tls_set_context(context)
        accepted: list[Any] = []
        client.on_connect = lambda *words: accepted.append(words)  # noqa: B023 - used at once
        try:
            client.connect("localhost", broker.port)
            client.loop(1.0)
            client.loop(1.0)
        except OSError:
            pass
        assert not accepted
        assert not client.is_connected()
