"""What has become of the parts since this boot: counts, and how long the last ones took."""

from collections import Counter, deque
from collections.abc import Sequence

from inspector.contract.result import EvaluationName
from inspector.contract.status import Spread, TallyCounts

PARTS_TIMED = 1_000
COMMITS_TIMED = 100


class Tally:
    """One thread counts; `counts()` is what it publishes.

    A part is triggered, then exactly one of: counted under its verdict, unrecorded, withdrawn.
    """

    def __init__(self) -> None:
        self.late = 0
        self.late_released = 0
        self.unrecorded = 0
        self.frames_missed = 0
        self._triggers = 0
        self._verdicts: Counter[EvaluationName] = Counter()
        self._total_ms: deque[float] = deque(maxlen=PARTS_TIMED)
        self._commit_ms: deque[float] = deque(maxlen=COMMITS_TIMED)

    def trigger(self) -> None:
        self._triggers += 1

    def withdraw(self) -> None:
        """The trigger was no part: a finite source had already shown its last."""
        self._triggers -= 1

    def verdict(self, evaluation: EvaluationName, *, total_ms: float, commit_ms: float) -> None:
        """total_ms: from the trigger until the row was durable; commit_ms: the last bit of it."""
        self._verdicts[evaluation] += 1
        self._total_ms.append(total_ms)
        self._commit_ms.append(commit_ms)

    @property
    def slowest_commit_ms(self) -> float:
        """Of the last hundred; 0 before the first."""
        return max(self._commit_ms, default=0.0)

    def counts(self, *, images_dropped: int, triggers_missed: int) -> TallyCounts:
        return TallyCounts(
            triggers=self._triggers,
            triggers_missed=triggers_missed,
            verdicts=dict(self._verdicts),
            late=self.late,
            late_released=self.late_released,
            unrecorded=self.unrecorded,
            frames_missed=self.frames_missed,
            images_dropped=images_dropped,
            trigger_to_verdict_ms=spread(self._total_ms),
        )


def spread(values: Sequence[float]) -> Spread | None:
    """n, median and 99th percentile (nearest rank, so always a value that was measured)."""
    if not values:
        return None
    ordered = sorted(values)
    last = len(ordered) - 1
    return Spread(
        n=len(ordered),
        p50=round(ordered[last // 2], 3),
        p99=round(ordered[-(-last * 99 // 100)], 3),
    )
