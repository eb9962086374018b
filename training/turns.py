"""What several models take on one machine, so that their times can be compared."""

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

TURN = 10
"""Rounds that one of them has before it is the next one's turn."""
WARM_UP_TURNS = 1


def in_turns(calls: Sequence[Callable[[int], object]], rounds: int) -> NDArray[np.float64]:
    """Milliseconds, rounds x calls: A A A B B B A A A ..., each is told the number of its round.

    Turns, so that what else the machine does slows all alike. Several rounds a turn, because no
    machine runs a model after each of its rivals: the first of each turn, which finds the caches
    full of another's weights, is not counted, nor is the whole first turn. What a station does
    between two parts costs a small model some of its caches too: `inspector bench` has that.
    rounds: those counted, rounded up to whole turns.
    """
    turns = WARM_UP_TURNS + math.ceil(rounds / TURN)
    times = np.empty((turns, 1 + TURN, len(calls)))
    for n, turn in enumerate(times):
        for k, call in enumerate(calls):
            for i, row in enumerate(turn, n * len(turn)):
                started = time.perf_counter()
                call(i)
                row[k] = (time.perf_counter() - started) * 1e3
    counted: NDArray[np.float64] = times[WARM_UP_TURNS:, 1:].reshape(-1, len(calls))
    return counted
