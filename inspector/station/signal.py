"""What a line's signal shows at one moment, what its controller says, and what a medium must do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from inspector.contract.status import EchoRefusal
from inspector.station.ports import Part


@dataclass(frozen=True, slots=True)
class Signal:
    """Every level at one moment; as it is made, the rest of a station that is not there."""

    ready: bool = False
    busy: bool = False
    acquired: bool = False
    done: bool = False
    """A verdict stands."""
    passes: bool = False
    fault: bool = False
    part: Part | None = None
    """The last one that was in work."""

    @property
    def rejects(self) -> bool:
        return not self.passes


REST = Signal()


@dataclass(frozen=True, slots=True)
class Heard:
    """What the line's controller says it did with one part."""

    sequence: int
    passed: bool
    at: float  # time.monotonic() when it was read
    ejected: bool = False
    """A sensor has seen the rejected part leave the belt."""
    part_id: str | None = None
    trigger_id: str | None = None


class LineDriver(Protocol):
    """One medium. One thread uses it; no call takes much longer than its settings' timeout."""

    kind: str

    def open(self) -> None:
        """Raises DeviceError where it is not there."""

    def write(self, signal: Signal) -> None:
        """Show all of it; returns when the other side has it. Raises DeviceError."""

    def hear(self) -> Sequence[Heard | EchoRefusal]:
        """What the line's controller has said since the last call; waits for nothing but the
        medium's answer. Raises DeviceError."""

    def tend(self, beat: int) -> None:
        """Look after the connection; `beat` counts while the pipeline moves: it is to be shown
        where the medium can. Raises DeviceError."""

    def close(self) -> None:
        """Let go, without a word where it is broken; may be called twice."""
