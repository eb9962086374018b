"""The end of a station: what was accepted has its verdict, though nobody looks any more."""

from collections.abc import Callable

from inspector.station.ports import Clock, Trigger

ENDING_S = 2.0
"""So long the last rows may take: a disk that is slow must not hold up whoever ends the station."""


def give_what_waits(trigger: Trigger, clock: Clock, next_part: Callable[[], None]) -> None:
    """Record what was accepted and waits, refused, so without camera or model.

    next_part: the station's own. What it cannot record in time, or at all, `pause` counts.
    """
    end = clock.monotonic() + ENDING_S
    for _ in range(trigger.end()):
        if clock.monotonic() >= end:
            return
        next_part()
