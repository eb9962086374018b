"""What the line has seen of a station, in figures, and whether that was all it should."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

GOOD, NO_VERDICT, MISMATCH, NOT_THERE = 0, 3, 4, 5
TIMED_MAX = 100_000


@dataclass(slots=True)
class Summary:
    parts: int = 0
    triggers: int = 0
    """Sent; a duplicate is no further one."""
    late: int = 0
    duplicates: int = 0
    lost: int = 0
    passed: int = 0
    rejected: int = 0
    unanswered: int = 0
    """Triggered in time, and no verdict in the controller's own time."""
    by_itself: int = 0
    """Of which the trigger was lost or late: rejected without a verdict, as it must be."""
    mismatches: int = 0
    """Two verdicts of one part, or another one than was recorded."""
    compared: int = 0
    """Verdicts that are beside their row."""
    echoes: int = 0
    echoes_lost: int = 0
    echoes_wrong: int = 0
    ejected: int = 0
    not_ejected: int = 0
    fault: str | None = None
    """Why the station is in ERROR."""
    not_ready: str | None = None
    """Why it was not ready at the start."""
    times_ms: deque[float] = field(default_factory=lambda: deque(maxlen=TIMED_MAX))

    @property
    def code(self) -> int:
        if self.mismatches:
            return MISMATCH
        if self.fault is not None or self.not_ready is not None:
            return NOT_THERE
        return NO_VERDICT if self.unanswered else GOOD

    def lines(self) -> Iterator[str]:
        verdicts = self.passed + self.rejected
        yield (
            f"{self.parts} parts, {self.triggers} triggers sent "
            f"({self.late} of them late, {self.duplicates} twice), {self.lost} lost"
        )
        yield (
            f"{verdicts} verdicts: {self.passed} passed, {self.rejected} rejected; "
            f"{self.unanswered + self.by_itself} parts without one were rejected, "
            f"{self.unanswered} of these had a trigger in time"
        )
        yield f"{self.mismatches} mismatches; {self.compared} verdicts compared with their rows"
        yield (
            f"echoes: {self.echoes} right, {self.echoes_wrong} wrong, {self.echoes_lost} lost; "
            f"rejected parts seen to leave: {self.ejected}, not seen: {self.not_ejected}"
        )
        if self.times_ms:
            p50, p99 = _rank(self.times_ms, 0.5), _rank(self.times_ms, 0.99)
            most = max(self.times_ms)
            yield (
                f"trigger to verdict as the line sees it: n = {len(self.times_ms)}, "
                f"p50 {p50:.1f} ms, p99 {p99:.1f}, most {most:.1f}"
            )
        if self.not_ready is not None:
            yield f"NOT READY: {self.not_ready}"
        if self.fault is not None:
            yield f"FAULT: {self.fault}"


def _rank(values: Sequence[float], share: float) -> float:
    """The nearest rank: always a value that was measured."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
