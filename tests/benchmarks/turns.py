"""What something costs a station's parts: with and without it in turns, so that whatever else the
machine does falls on both kinds alike."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

DRAWS = 2_000


@dataclass(frozen=True, slots=True)
class Turn:
    begin: datetime
    end: datetime
    busy: bool


def times_ms(turns: Sequence[Turn], payloads: Sequence[bytes]) -> list[list[float]]:
    """Trigger to result of the parts captured within each turn."""
    found: list[list[float]] = [[] for _ in turns]
    for payload in payloads:
        part = json.loads(payload)
        at = datetime.fromisoformat(part["captured_at"])
        for turn, times in zip(turns, found, strict=True):
            if turn.begin <= at < turn.end:
                times.append(part["times_ms"]["total"])
    return found


def joined(turns: Sequence[Turn], times: Sequence[list[float]], *, busy: bool) -> list[float]:
    found = zip(turns, times, strict=True)
    return [each for turn, some in found if turn.busy is busy for each in some]


def spread(times: Sequence[float]) -> str:
    if not times:
        return "n = 0"
    p50, p99 = np.percentile(times, [50, 99])
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, n = {len(times)}"


def ratio(turns: Sequence[Turn], times: Sequence[list[float]], percent: float) -> str:
    """Busy to quiet, with the 95 % interval of drawing whole turns again (bootstrap)."""
    sides = [
        [np.asarray(some) for turn, some in zip(turns, times, strict=True) if turn.busy is busy]
        for busy in (True, False)
    ]
    rng = np.random.default_rng(0)

    def drawn(side: list[np.ndarray]) -> float:
        picked = [side[i] for i in rng.integers(0, len(side), len(side))]
        return float(np.percentile(np.concatenate(picked), percent))

    found = [drawn(sides[0]) / drawn(sides[1]) for _ in range(DRAWS)]
    low, high = np.percentile(found, [2.5, 97.5])
    whole = [float(np.percentile(np.concatenate(side), percent)) for side in sides]
    return f"{whole[0] / whole[1]:.3f} (95 %: {low:.3f} to {high:.3f})"
