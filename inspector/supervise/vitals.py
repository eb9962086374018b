"""What is known of a running station, gathered from its threads for whoever asks."""

from collections.abc import Mapping
from dataclasses import dataclass

from inspector.contract.status import ConsumerStatus, StateMessage
from inspector.station.figures import Figures
from inspector.station.voice import Pulse

MOVES_WITHIN_S = 1.0
HANGS_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """Of the courier and the journal."""

    connected: bool
    reconnects: int
    acknowledged_seq: int
    rows: int
    bytes: int
    lag: int
    """Results the broker has not acknowledged."""
    oldest_waiting_s: float
    """0 where every result was acknowledged."""
    consumers: tuple[ConsumerStatus, ...]
    disk_free_bytes: int


@dataclass(frozen=True, slots=True)
class Vitals:
    now: float
    """time.monotonic()"""
    version: str
    state: StateMessage
    pulse: Pulse
    figures: Figures
    dead: tuple[str, ...]
    """Threads that should run and do not."""
    commands: Mapping[tuple[str, str], int]
    """How many, by action and outcome."""
    dropped: Mapping[str, int]
    """Messages on the command topics that got no answer, by reason."""
    audit_rows: int
    maps_dropped: int
    """Defect maps that were none: their pictures were kept without."""
    delivery: Delivery | None
    """None where the journal could not be asked."""

    @property
    def still_s(self) -> float:
        """How long the pipeline has not moved."""
        return self.now - self.pulse.at

    def not_live(self) -> str | None:
        """Why the process should be ended and started again."""
        if self.dead:
            return f"dead: {', '.join(self.dead)}"
        if self.still_s > HANGS_AFTER_S:
            return f"the pipeline has not moved for {self.still_s:.0f} s"
        return None

    def not_ready(self) -> str | None:
        """Why no part would pass now, however good."""
        if self.still_s > MOVES_WITHIN_S:
            return f"the pipeline has not moved for {self.still_s:.1f} s"
        return self.not_live() or self.pulse.withheld
