"""The rules of Sparkplug B 3.0 for an edge node with one device, over a whole recorded run.

`broken` walks through every connection's packets in their order and says each rule that did not
hold, in the specification's words where they are short.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from inspector.delivery import sparkplug_b_pb2 as proto
from tests.sparkplug.wire import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    SUBSCRIBE,
    Packet,
    Recording,
    read_connect,
    read_subscribe,
)

_DATA = ("NDATA", "DDATA")
_BIRTHS = ("NBIRTH", "DBIRTH")
_WITH_WILL = 4
_FIELDS = {
    3: "int_value",
    4: "long_value",
    10: "double_value",
    11: "boolean_value",
    12: "string_value",
    13: "long_value",
}
_JOURNAL_SEQ, _INT64, _BOOLEAN = "Part/Journal Seq", 4, 11


@dataclass(slots=True)
class _Session:
    """What is known at one moment of one connection."""

    number: int
    """bdSeq of its will."""
    level: int
    seq: int = -1
    node_born: bool = False
    device_born: bool = False
    dead: bool = False
    aliases: dict[int, tuple[str, int]] = field(default_factory=dict)
    subscribed: dict[str, int] = field(default_factory=dict)
    host_online: bool = False
    host_left: bool = False
    rebirths: int = 0
    rebirths_asked: int = 0
    """One asked for may cross the birth before it on the way: only their number is compared."""
    told_up_to: int = 0
    """The birth's newest part."""


@dataclass(frozen=True, slots=True)
class Names:
    group: str
    node: str
    device: str
    host: str | None

    def topic(self, kind: str) -> str:
        below = f"/{self.device}" if kind.startswith("D") else ""
        return f"spBv1.0/{self.group}/{kind}/{self.node}{below}"

    @property
    def state(self) -> str:
        return f"spBv1.0/STATE/{self.host}"


def broken(recordings: Sequence[Recording], names: Names) -> list[str]:
    """Every breach; nothing where all rules held."""
    found: list[str] = []
    expected = 0
    for i, recording in enumerate(recordings):
        packets = recording.packets
        if not packets or packets[0].kind != CONNECT:
            continue
        session = _Session(-1, recording.level)
        breaches = [*_connect(packets[0], names, session, expected)]
        for packet in packets[1:]:
            breaches += (
                _sent(packet, names, session) if packet.sent else _came(packet, names, session)
            )
        if session.host_left and not session.dead:
            breaches.append("the primary host went offline and no NDEATH followed")
        expected = (session.number + 1) % 256
        found += [f"connection {i}: {breach}" for breach in breaches]
    return found


def _connect(packet: Packet, names: Names, session: _Session, expected: int) -> Iterator[str]:
    said = read_connect(packet)
    if not said.clean or said.expires_s:
        yield "CONNECT must ask for a clean session that ends with the connection"
    if said.will_topic != names.topic("NDEATH") or said.will_qos != 1 or said.will_retain:
        yield "the will must be the NDEATH, QoS 1, not retained"
    number = _death(said.will)
    if number is None:
        yield "the will must hold bdSeq as Int64 alone, and no seq"
        number = expected
    if number != expected:
        yield f"bdSeq {number} in the will, not one more than in the CONNECT before: {expected}"
    session.number = number


def _death(payload: bytes) -> int | None:
    message = proto.Payload.FromString(payload)
    if message.HasField("seq") or [m.name for m in message.metrics] != ["bdSeq"]:
        return None
    metric = message.metrics[0]
    return metric.long_value if metric.datatype == _INT64 and metric.HasField("timestamp") else None


def _came(packet: Packet, names: Names, session: _Session) -> Iterator[str]:
    if packet.kind != PUBLISH:
        return
    if packet.topic == names.state:
        online = json.loads(packet.payload)["online"]
        session.host_left = session.host_left or (session.node_born and not online)
        session.host_online = online
    elif packet.topic == names.topic("NCMD"):
        written = proto.Payload.FromString(packet.payload).metrics
        session.rebirths_asked += any(
            m.name == "Node Control/Rebirth" and m.boolean_value for m in written
        )
    yield from ()


def _sent(packet: Packet, names: Names, session: _Session) -> Iterator[str]:
    if packet.kind == SUBSCRIBE:
        session.subscribed |= read_subscribe(packet)
    elif packet.kind == DISCONNECT:
        if not session.dead:
            yield "DISCONNECT before NDEATH"
        if session.level == 5 and packet.body[:1] != bytes([_WITH_WILL]):
            yield "DISCONNECT of MQTT 5 must ask for the will"
    elif packet.kind == PUBLISH:
        yield from _published(packet, names, session)


def _published(packet: Packet, names: Names, session: _Session) -> Iterator[str]:
    kind = packet.topic.split("/")[2]
    if packet.topic != names.topic(kind) or kind not in (*_DATA, *_BIRTHS, "NDEATH"):
        yield f"published on {packet.topic}"
        return
    if packet.retain or packet.qos != (1 if kind == "NDEATH" else 0):
        yield f"{kind} with QoS {packet.qos}, retain {packet.retain}"
    if session.dead:
        yield f"{kind} after NDEATH"
    if kind == "NDEATH":
        session.dead = True
        if _death(packet.payload) != session.number:
            yield "NDEATH must hold its connection's bdSeq alone, and no seq"
        return
    message = proto.Payload.FromString(packet.payload)
    if not message.HasField("timestamp") or not message.HasField("seq"):
        yield f"{kind} without timestamp or seq"
    yield from _in_order(kind, message, names, session)
    for metric in message.metrics:
        yield from _metric(kind, metric, session)
    current = [m.timestamp for m in message.metrics if not m.is_historical]
    if current != sorted(current):
        yield f"{kind}: current values must be in chronological order"
    if kind == "DDATA":
        yield from _history(message, session)


def _in_order(kind: str, message: proto.Payload, names: Names, session: _Session) -> Iterator[str]:
    if kind == "NBIRTH":
        yield from _node_birth(message, names, session)
    elif message.seq != (session.seq + 1) % 256:
        yield f"{kind}: seq {message.seq} after {session.seq}"
    if kind == "DBIRTH":
        if not session.node_born:
            yield "DBIRTH before NBIRTH"
        session.device_born = True
        parts = [m.long_value for m in message.metrics if m.name == _JOURNAL_SEQ and not m.is_null]
        session.told_up_to = parts[0] if parts else 0
    if kind in _DATA and not (session.node_born and session.device_born):
        yield f"{kind} before every birth"
    session.seq = message.seq


def _node_birth(message: proto.Payload, names: Names, session: _Session) -> Iterator[str]:
    if message.seq != 0:
        yield f"NBIRTH with seq {message.seq}"
    wanted = [names.topic("NCMD"), names.topic("DCMD"), *([names.state] if names.host else [])]
    if any(session.subscribed.get(topic) != 1 for topic in wanted):
        yield f"NBIRTH before a subscription at QoS 1 to each of {wanted}"
    if names.host and not session.host_online:
        yield "NBIRTH while the primary host is not online"
    by_name = {metric.name: metric for metric in message.metrics}
    number, rebirth = by_name.get("bdSeq"), by_name.get("Node Control/Rebirth")
    if number is None or number.datatype != _INT64 or number.long_value != session.number:
        yield "NBIRTH must repeat the will's bdSeq, as Int64"
    if rebirth is None or rebirth.datatype != _BOOLEAN or rebirth.HasField("alias"):
        yield "NBIRTH must have Node Control/Rebirth, Boolean, without alias"
    elif rebirth.WhichOneof("value") != "boolean_value" or rebirth.boolean_value:
        yield "Node Control/Rebirth must be false in a birth"
    session.rebirths += session.node_born
    if session.rebirths > session.rebirths_asked:
        yield "one more NBIRTH than was asked for"
    session.node_born, session.device_born = True, False
    session.aliases = {}


def _metric(kind: str, metric: proto.Metric, session: _Session) -> Iterator[str]:
    if not metric.HasField("timestamp"):
        yield f"{kind}: metric {metric.name or metric.alias} without timestamp"
    if kind in _BIRTHS:
        yield from _defined(kind, metric, session)
        name, datatype = metric.name, metric.datatype
    elif metric.HasField("name") or metric.HasField("datatype"):
        yield f"{kind}: {metric.name}: data must be by alias alone"
        return
    elif metric.alias not in session.aliases:
        yield f"{kind}: alias {metric.alias} before its birth"
        return
    else:
        name, datatype = session.aliases[metric.alias]
    value = metric.WhichOneof("value")
    if metric.is_null is (value is not None):
        yield f"{kind}: {name} must have a value or be null, not both, not neither"
    if value is not None and value != _FIELDS[datatype]:
        yield f"{kind}: {name}: {value} for datatype {datatype}"
    if value == "double_value" and not math.isfinite(metric.double_value):
        yield f"{kind}: {name} is {metric.double_value}"


def _defined(kind: str, metric: proto.Metric, session: _Session) -> Iterator[str]:
    """By a birth."""
    if not metric.name or not metric.HasField("datatype"):
        yield f"{kind}: metric {metric.alias} without name or datatype"
    if metric.is_historical:
        yield f"{kind}: {metric.name} is historical"
    if metric.HasField("alias"):
        if metric.alias in session.aliases:
            yield f"{kind}: alias {metric.alias} twice"
        session.aliases[metric.alias] = (metric.name, metric.datatype)
    elif metric.name != "Node Control/Rebirth":
        yield f"{kind}: {metric.name} without alias"
    if len(metric.properties.keys) != len(metric.properties.values):
        yield f"{kind}: {metric.name}: properties' keys and values differ in number"


def _history(message: proto.Payload, session: _Session) -> Iterator[str]:
    """A part the birth has told of, or an older one, is history; all of its metrics together."""
    named = {session.aliases.get(m.alias, ("", 0))[0]: m for m in message.metrics}
    part = named.get(_JOURNAL_SEQ)
    flags = {m.is_historical for m in message.metrics}
    if len(flags) > 1:
        yield "one message must be all history or all news"
    if part is None:
        if True in flags:
            yield "what is no part has no history"
    elif part.long_value <= session.told_up_to and flags != {True}:
        yield f"part {part.long_value} was there before the birth and is not historical"
