"""What a controller sees of a station, and the rules by which it opens its gate.

The rules are those of README.md and deploy/plc; the fourth, its own time for the part, is kept by
who calls: a verdict is not asked for after it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """Every level at one moment."""

    at: float
    """time.monotonic() when it came."""
    alive: bool = False
    """The heartbeat moves; over MQTT: there is a station, its last will has not been told."""
    ready: bool = False
    busy: bool = False
    done: bool = False
    passes: bool = False
    rejects: bool = True
    fault: bool = False
    sequence: int = 0
    boot: str = ""
    part: str | None = None
    trigger: str | None = None
    """Boot, part and trigger are told over MQTT only."""


def verdict_of(shown: Shown, *, not_of: int | None, trigger: str | None = None) -> bool | None:
    """Whether this part passes; None: nothing was said of it.

    not_of: the sequence at its own trigger. trigger: its id, where the medium tells it.
    """
    if not (shown.alive and shown.done) or shown.sequence == not_of:
        return None
    if trigger is not None and shown.trigger is not None and shown.trigger != trigger:
        return None
    return shown.passes and not shown.rejects
