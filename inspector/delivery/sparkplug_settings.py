"""The `[sparkplug]` section of station.toml, and every name and topic that follows from it.

The station's process is the edge node, since an edge node is one MQTT connection with one will;
what it inspects is one device below it. So a host sees apart whether the program is there (node)
and what the camera position does and made (device), and a command to the position is a DCMD.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from inspector.contract.strict import Name, Strict
from inspector.delivery.broker import MqttSettings

SPARKPLUG: Name = "sparkplug"
"""Its name among the journal's consumers."""

Control = Literal["select", "start", "single", "stop", "reset", "halt", "trigger"]
Level = Annotated[str, StringConstraints(pattern=r"^[^/#+\x00-\x1f]{1,64}$")]
"""Of a topic, as others have named it: any text without '/', '#' and '+'."""


class NodeBroker(MqttSettings):
    """As [mqtt], of a broker of its own."""

    table: ClassVar[str] = "sparkplug.broker"


class SparkplugSettings(Strict):
    """The same results as a Sparkplug B 3.0 edge node."""

    group: Level
    node: Name | None = None
    """Left out, it is the station's name. Two stations of a group must not share one."""
    device: Name = "inspection"
    primary_host: Level | None = None
    """Left out, nobody is waited for. Else what comes while this host is away waits for it."""
    broker: NodeBroker | None = None
    """Left out, it is that of [mqtt]."""
    commands: Annotated[tuple[Control, ...], Field(max_length=16)] = ()
    """What a host may ask of the station; Sparkplug does not say who asks, so by itself nothing:
    who may write to the DCMD topic is a matter of the broker's access list."""
    history_per_s: Annotated[int, Field(ge=10, le=10_000)] = 500
    """So many results a second are sent afterwards; above the line's own rate, or it never ends."""
    overlap_s: Annotated[float, Field(ge=0.0, le=3_600.0)] = 90.0
    """What was sent in the last so many seconds goes again, as historical, after a host, broker or
    station was gone: one and a half times the host's keep-alive, which is how long it may be gone
    unnoticed."""
    may_lose: bool = False
    """As of a consumer: False, and nothing passes once a host stayed away until the journal is
    full. True, and the oldest results not sent are let go then, counted, with an alarm."""

    @model_validator(mode="after")
    def _group_is_no_host(self) -> Self:
        if self.group == "STATE":
            raise ValueError("group: STATE is the hosts' own level of the topics")
        return self


@dataclass(frozen=True, slots=True)
class SparkplugPlace:
    """Every topic of one edge node and its device."""

    group: str
    node: str
    device: str
    primary_host: str | None

    def of_node(self, kind: Literal["NBIRTH", "NDEATH", "NDATA", "NCMD"]) -> str:
        return f"spBv1.0/{self.group}/{kind}/{self.node}"

    def of_device(self, kind: Literal["DBIRTH", "DDATA", "DCMD"]) -> str:
        return f"spBv1.0/{self.group}/{kind}/{self.node}/{self.device}"

    @property
    def state(self) -> str | None:
        """Where the primary host says whether it is there."""
        return f"spBv1.0/STATE/{self.primary_host}" if self.primary_host else None

    def listened(self) -> list[str]:
        topics = [self.of_node("NCMD"), self.of_device("DCMD")]
        return [*topics, self.state] if self.state else topics

    @classmethod
    def named(cls, settings: SparkplugSettings, station: Name) -> "SparkplugPlace":
        node = settings.node or station
        return cls(settings.group, node, settings.device, settings.primary_host)
