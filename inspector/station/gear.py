"""What a station works with."""

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from inspector.contract.strict import Name
from inspector.station.line import NO_LINE
from inspector.station.ports import Archive, Camera, Clock, Journal, LineSignal, Publisher


@dataclass(frozen=True, slots=True)
class Gear:
    """What the cycle works with; all of it lasts from part to part."""

    station: Name
    boot: str
    camera: Camera
    journal: Journal
    archive: Archive
    publisher: Publisher
    clock: Clock
    line: LineSignal = NO_LINE
    attester: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "attest"))
    """One thread, for what is measured of a frame while the model is at work."""


class Obstacle(NamedTuple):
    """Why nothing may pass now, however good the part."""

    cause: Literal["journal", "line"]
    text: str


def in_the_way(gear: Gear) -> Obstacle | None:
    """None where a good part may pass."""
    shortage = gear.journal.shortage()
    if shortage is not None:
        return Obstacle("journal", f"journal: {shortage}")
    trouble = gear.line.trouble
    return None if trouble is None else Obstacle("line", f"line signal: {trouble}")
