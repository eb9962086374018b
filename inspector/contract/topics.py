"""Every topic name, built in one place: ROOT/STATION/WHAT, where ROOT is the plant's path.

The root follows ISA-95 where the plant does: `enterprise/site/area/line`.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

from inspector.contract.strict import Name

Root = Annotated[
    str, StringConstraints(pattern=r"^[^/#+$\x00\s][^#+\x00\s]*[^/#+\x00\s]$", max_length=200)
]
"""A path without wildcards, blanks, or a slash at either end."""


def result(root: Root, station: Name) -> str:
    """Every result, QoS 1, not retained."""
    return f"{root}/{station}/result"


def shadow(root: Root, station: Name) -> str:
    """Parts a second bundle would have judged otherwise, QoS 1, not retained, not stored."""
    return f"{root}/{station}/shadow"


def state(root: Root, station: Name) -> str:
    """What the station is doing, QoS 1, retained; the last will says OFFLINE."""
    return f"{root}/{station}/state"


def alarm(root: Root, station: Name) -> str:
    """What needs a person, and whether the line should stop for it: QoS 1, retained."""
    return f"{root}/{station}/alarm"


def heartbeat(root: Root, station: Name) -> str:
    """At most half a second apart while the pipeline moves: QoS 0, not retained."""
    return f"{root}/{station}/heartbeat"


def trigger(root: Root, station: Name) -> str:
    """From the line: a part is there. QoS 1, never retained: a retained one is refused."""
    return f"{root}/{station}/trigger"


def line(root: Root, station: Name) -> str:
    """To the line's machine: busy, verdict, fault. QoS 1, retained but for a pass."""
    return f"{root}/{station}/line"


def echo(root: Root, station: Name) -> str:
    """From the line's controller: what it did with a verdict. QoS 1, never retained."""
    return f"{root}/{station}/echo"


@dataclass(frozen=True, slots=True)
class ConsumerPlace:
    """Every topic of one consumer of one station: its name is a level, so that a broker's access
    list can hold each consumer to its own."""

    ack: str
    """From the consumer, QoS 1, never retained."""
    replay: str
    """From the consumer, QoS 1, never retained."""
    replayed: str
    """From the station, QoS 1, not retained."""
    reply: str
    """From the station, QoS 1, not retained."""


@dataclass(frozen=True, slots=True)
class Place:
    """Every topic of one station."""

    result: str
    state: str
    alarm: str
    heartbeat: str
    shadow: str
    trigger: str
    line: str
    echo: str
    consumers: str
    """The level above the consumers' names."""
    commands: str
    """The level above the senders' names."""
    replies: str

    @property
    def path(self) -> str:
        """ROOT/STATION: no other station of the plant has the same."""
        return self.result.rpartition("/")[0]

    def command(self, sender: Name) -> str:
        """To the station: signed commands of this sender. QoS 1, never retained."""
        return f"{self.commands}/{sender}"

    def reply(self, sender: Name) -> str:
        """From the station: one reply to each of them. QoS 1, not retained."""
        return f"{self.replies}/{sender}"

    def consumer(self, name: Name) -> ConsumerPlace:
        base = f"{self.consumers}/{name}"
        return ConsumerPlace(
            ack=f"{base}/ack",
            replay=f"{base}/replay",
            replayed=f"{base}/replayed",
            reply=f"{base}/reply",
        )

    @classmethod
    def of(cls, root: Root, station: Name) -> "Place":
        return cls(
            result=result(root, station),
            state=state(root, station),
            alarm=alarm(root, station),
            heartbeat=heartbeat(root, station),
            shadow=shadow(root, station),
            trigger=trigger(root, station),
            line=line(root, station),
            echo=echo(root, station),
            consumers=f"{root}/{station}/consumer",
            commands=f"{root}/{station}/command",
            replies=f"{root}/{station}/reply",
        )
