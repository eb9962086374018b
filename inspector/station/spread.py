"""How long things took: counted in buckets for the metrics, and as a spread for the state."""

import bisect
import itertools
import math
from collections.abc import Sequence

from inspector.contract.status import Spread

LIMITS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, math.inf)


class Buckets:
    """How many times were at most so long. One thread adds, any may read."""

    def __init__(self) -> None:
        self._counts = [0] * len(LIMITS_S)
        self.sum_s = 0.0

    def add(self, value_ms: float) -> None:
        seconds = value_ms / 1000
        self._counts[bisect.bisect_left(LIMITS_S, seconds)] += 1
        self.sum_s += seconds

    def cumulated(self) -> list[tuple[float, int]]:
        """(limit in seconds, how many were at most that), the last one infinite."""
        return list(zip(LIMITS_S, itertools.accumulate(self._counts), strict=True))


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
