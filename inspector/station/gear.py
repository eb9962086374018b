"""What a station works with."""

from dataclasses import dataclass

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


def in_the_way(gear: Gear) -> str | None:
    """Why nothing may pass now, however good the part."""
    shortage = gear.journal.shortage()
    if shortage is not None:
        return f"journal: {shortage}"
    trouble = gear.line.trouble
    return None if trouble is None else f"line signal: {trouble}"
