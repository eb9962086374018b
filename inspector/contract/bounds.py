"""How sure a rate is: the exact binomial bounds of Clopper and Pearson (Biometrika 26, 1934)."""

import math
from collections.abc import Callable


def upper_bound(events: int, n: int, confidence: float = 0.95) -> float:
    """One-sided upper bound of a rate after `events` in `n` trials; 1.0 where n is 0.

    The rate that would give this few events with probability 1 - confidence. Needs no scipy,
    which the edge does not have. Raises ValueError unless 0 <= events <= n.
    """
    _check(events, n, confidence)
    if events == n:
        return 1.0
    return _bisect(lambda rate: _at_most(events, n, rate) > 1.0 - confidence)


def lower_bound(events: int, n: int, confidence: float = 0.95) -> float:
    """One-sided lower bound, the mirror of `upper_bound`; 0.0 where n is 0."""
    _check(events, n, confidence)
    return 1.0 - upper_bound(n - events, n, confidence)


def events_allowed(n: int, rate: float, confidence: float = 0.95) -> int | None:
    """The most events in `n` trials that still prove `rate`; None where not even 0 would."""
    if upper_bound(0, n, confidence) > rate:
        return None
    low, high = 0, n
    while low < high:
        middle = (low + high + 1) // 2
        if upper_bound(middle, n, confidence) <= rate:
            low = middle
        else:
            high = middle - 1
    return low


def trials_needed(rate: float, confidence: float = 0.95) -> int:
    """How many trials without one event prove `rate`: 59 for 5 %, 299 for 1 % (at 95 %)."""
    if not 0.0 < rate < 1.0:
        raise ValueError(f"{rate=} must be between 0 and 1")
    return math.ceil(math.log(1.0 - confidence) / math.log1p(-rate))


def say_rate(events: int, n: int, confidence: float = 0.95) -> str:
    """A rate as we print it: "3/612, at most 1.26 % (95 %)"."""
    if n == 0:
        return "0/0, nothing known"
    bound = upper_bound(events, n, confidence)
    return f"{events}/{n}, at most {100 * bound:.2f} % ({100 * confidence:g} %)"


def _check(events: int, n: int, confidence: float) -> None:
    if not 0 <= events <= n or not 0.0 < confidence < 1.0:
        raise ValueError(f"{events=} must be within 0..{n=}, {confidence=} between 0 and 1")


def _at_most(events: int, n: int, rate: float) -> float:
    """Probability of at most `events` in `n` trials, summed in logarithms: no overflow."""
    if rate in (0.0, 1.0):
        return 1.0 if rate == 0.0 or events == n else 0.0
    if 2 * events > n:  # the shorter tail: a lower bound of few events would sum all the others
        return 1.0 - _chance(range(events + 1, n + 1), n, rate)
    return _chance(range(events + 1), n, rate)


def _chance(counts: range, n: int, rate: float) -> float:
    """Probability that the events in `n` trials are one of these counts."""
    choose_n = math.lgamma(n + 1)
    logs = (
        choose_n
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(rate)
        + (n - k) * math.log1p(-rate)
        for k in counts
    )
    return math.fsum(math.exp(log) for log in logs)


def _bisect(below: Callable[[float], bool]) -> float:
    """Where `below` turns false, between 0 and 1, rounded up: a bound never flatters."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if below(middle) else (low, middle)
    return high
