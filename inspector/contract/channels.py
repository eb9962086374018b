"""Every topic of a station in one table: who publishes, how, what, and one example of each."""

from dataclasses import dataclass
from typing import Literal

from inspector.contract import examples
from inspector.contract.command import Reply
from inspector.contract.consumer import (
    Acknowledgement,
    ConsumerReply,
    ReplayedResult,
    ReplayRequest,
)
from inspector.contract.echo import EchoMessage
from inspector.contract.line import LineMessage
from inspector.contract.result import InspectionResult
from inspector.contract.shadow import ShadowMessage
from inspector.contract.signed import SignedCommand
from inspector.contract.status import AlarmMessage, Heartbeat, StateMessage
from inspector.contract.strict import Strict
from inspector.contract.topics import Place
from inspector.contract.trigger import TriggerMessage

HEARTBEAT_EXPIRY_S = 2
REPLY_EXPIRY_S = 60

_PLACE = Place.of("{root}", "{station}")
_CONSUMER = _PLACE.consumer("{consumer}")


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic. From a consumer, a commander or the line: the station listens, at QoS 1."""

    name: str
    address: str
    by: Literal["station", "consumer", "commander", "line"]
    """Who publishes."""
    qos: Literal[0, 1]
    retain: bool
    expiry_s: int | None
    """MQTT 5's message expiry; None: none. In 3.1.1 there is no such thing."""
    model: type[Strict]
    example: Strict
    text: str


CHANNELS: tuple[Channel, ...] = (
    Channel(
        name="result",
        address=_PLACE.result,
        by="station",
        qos=1,
        retain=False,
        expiry_s=None,
        model=InspectionResult,
        example=examples.RESULT,
        text="One a part, in order of seq, each at least once: drop a result_id you have seen. "
        "Committed to the station's disk before it is sent.",
    ),
    Channel(
        name="state",
        address=_PLACE.state,
        by="station",
        qos=1,
        retain=True,
        expiry_s=None,
        model=StateMessage,
        example=examples.STATE,
        text="What the station is doing, why no part would pass, and how far each consumer is. "
        "Every two seconds and at every change; the last will says OFFLINE.",
    ),
    Channel(
        name="alarm",
        address=_PLACE.alarm,
        by="station",
        qos=1,
        retain=True,
        expiry_s=None,
        model=AlarmMessage,
        example=examples.ALARM,
        text="What needs a person now, and whether the line should stop. At every change.",
    ),
    Channel(
        name="heartbeat",
        address=_PLACE.heartbeat,
        by="station",
        qos=0,
        retain=False,
        expiry_s=HEARTBEAT_EXPIRY_S,
        model=Heartbeat,
        example=examples.HEARTBEAT,
        text="At most half a second apart while the pipeline moves; a station that hangs sends "
        "none, whatever its state says.",
    ),
    Channel(
        name="shadow",
        address=_PLACE.shadow,
        by="station",
        qos=1,
        retain=False,
        expiry_s=None,
        model=ShadowMessage,
        example=examples.SHADOW,
        text="A part that a second bundle would have judged otherwise. Not kept for who is away.",
    ),
    Channel(
        name="trigger",
        address=_PLACE.trigger,
        by="line",
        qos=1,
        retain=False,
        expiry_s=None,
        model=TriggerMessage,
        example=examples.TRIGGER,
        text="A part is there: exactly one verdict for each that is accepted. One that is "
        "retained, stale, or has an id that came before is counted and not acted on.",
    ),
    Channel(
        name="line",
        address=_PLACE.line,
        by="station",
        qos=1,
        retain=True,
        expiry_s=None,
        model=LineMessage,
        example=examples.LINE,
        text="Levels for the line's machine, as on wires. All but a pass are retained; a pass "
        'expires after a second. The last will rejects. Only with [line] kind = "mqtt".',
    ),
    Channel(
        name="echo",
        address=_PLACE.echo,
        by="line",
        qos=1,
        retain=False,
        expiry_s=None,
        model=EchoMessage,
        example=examples.ECHO,
        text="What the controller did with a verdict of topic line, as soon as it has acted; of a "
        "rejected part once more, with ejected, when a sensor has seen it leave the belt. One that "
        "is missing (echo_max_ms, eject_max_ms) or tells of another verdict is a fault. Only with "
        '[line] kind = "mqtt".',
    ),
    Channel(
        name="ack",
        address=_CONSUMER.ack,
        by="consumer",
        qos=1,
        retain=False,
        expiry_s=None,
        model=Acknowledgement,
        example=examples.ACK,
        text="A registered consumer has everything up to this row on its own disk. It may leave "
        "rows out: the newest stands for all before it. One that is retained is refused.",
    ),
    Channel(
        name="replay",
        address=_CONSUMER.replay,
        by="consumer",
        qos=1,
        retain=False,
        expiry_s=None,
        model=ReplayRequest,
        example=examples.REPLAY,
        text="Send these rows again. A newer request takes the place of the one under way. One "
        "that is retained is refused, and so is one that asks for a row that is not there.",
    ),
    Channel(
        name="replayed",
        address=_CONSUMER.replayed,
        by="station",
        qos=1,
        retain=False,
        expiry_s=None,
        model=ReplayedResult,
        example=examples.REPLAYED,
        text="A row that this consumer asked for, in order, at a bounded rate, behind new results.",
    ),
    Channel(
        name="consumer-reply",
        address=_CONSUMER.reply,
        by="station",
        qos=1,
        retain=False,
        expiry_s=REPLY_EXPIRY_S,
        model=ConsumerReply,
        example=examples.CONSUMER_REPLY,
        text="How a replay ended, or why an acknowledgement or a request was refused, and which "
        "rows there are.",
    ),
    Channel(
        name="command",
        address=_PLACE.command("{sender}"),
        by="commander",
        qos=1,
        retain=False,
        expiry_s=None,
        model=SignedCommand,
        example=examples.ENVELOPE,
        text="A signed command: eight lines joined by line feeds are what is signed "
        "(inspector-command-2, sender, topic_root, station, nonce, issued_ms, expires_ms, "
        "command). Schema 1 (inspector-command-1, the same without topic_root) is refused where "
        "the station's settings do not allow it to this sender. Sent again with the same nonce it "
        "gets the same reply and no second effect. Not answered: what is retained, unreadable, or "
        "not signed by this sender's key.",
    ),
    Channel(
        name="reply",
        address=_PLACE.reply("{sender}"),
        by="station",
        qos=1,
        retain=False,
        expiry_s=REPLY_EXPIRY_S,
        model=Reply,
        example=examples.REPLY,
        text="One to each command, with the correlation data that it brought. Of MQTT 5's response "
        "topic only one below this is followed.",
    ),
)
