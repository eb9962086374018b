"""Where review and reject begin: the fewest good parts stopped that the escape goal allows."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspector.contract.bounds import events_allowed, say_rate, trials_needed, upper_bound
from inspector.contract.strict import Strict
from inspector.contract.verdict import Limits
from training.plan import Quality


class Choice(Strict):
    """Limits, what they hold on the calibration parts, and whether that proves the goal."""

    limits: Limits
    basis: Literal["certified", "uncertified"]
    escapes: int
    defects: int
    overkill: int
    good: int
    sentence: str


def choose_limits(
    scores: NDArray[np.float64], is_defect: NDArray[np.bool_], quality: Quality, margin: float
) -> Choice:
    """Choose on parts that chose nothing else.

    review_at is the highest limit at which the exact upper bound of the escape rate (Clopper and
    Pearson 1934) meets the goal; where the parts are too few to prove it even without a miss, the
    highest limit at which the observed rate meets the goal, and the choice says that it proves
    nothing. reject_at is the lowest limit, not below review_at, that rejects no more good parts
    outright than the plan allows. Both move down by `margin`, the golden tolerance, so that
    another machine's rounding does not let a part of the calibration set escape.
    """
    defects = np.sort(scores[is_defect])
    good = np.sort(scores[~is_defect])
    n = len(defects)
    goal, confidence = quality.escape_rate_at_most, quality.confidence
    allowed = events_allowed(n, goal, confidence)
    misses = int(goal * n) if allowed is None else allowed
    review_at = _below(defects[min(misses, n - 1)], margin)
    spared = int(quality.reject_overkill_at_most * len(good))
    reject_at = max(review_at, _above(good[len(good) - 1 - spared], good))
    limits = Limits(review_at=review_at, reject_at=reject_at)
    escapes = int((defects < limits.review_at).sum())
    stopped = int((good >= limits.review_at).sum())
    proven = upper_bound(escapes, n, confidence) <= goal
    return Choice(
        limits=limits,
        basis="certified" if proven else "uncertified",
        escapes=escapes,
        defects=n,
        overkill=stopped,
        good=len(good),
        sentence=_sentence(escapes, n, stopped, len(good), quality, proven=proven),
    )


def _below(score: float, margin: float) -> float:
    return float(min(1.0, max(0.0, score - margin)))


def _above(score: float, good: NDArray[np.float64]) -> float:
    """Half way to the next higher good score, or to 1."""
    higher = good[good > score]
    return float((score + (higher[0] if len(higher) else 1.0)) / 2.0)


def _sentence(
    escapes: int, n: int, overkill: int, good: int, quality: Quality, *, proven: bool
) -> str:
    rates = (
        f"escape {say_rate(escapes, n, quality.confidence)} on calibration parts, "
        f"at an overkill of {overkill}/{good}"
    )
    goal = f"{100 * quality.escape_rate_at_most:g} %"
    if proven:
        return f"{rates}; the goal of {goal} is met"
    needed = trials_needed(quality.escape_rate_at_most, quality.confidence)
    return f"{rates}; not certifiable for {goal}: {needed} missed-free defects needed, {n} here"
