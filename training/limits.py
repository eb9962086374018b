"""Where review and reject begin: as few good parts stopped as the escape goals allow.

Or as many as the plan has to spend on what nobody has shown (`quality.overkill_to_spend`).

review_at is a guarantee by risk control, not a threshold that looked well: with the plan's
confidence, over the draw of the calibration parts, no goal is missed on the line, for parts that
come as those did (the same defects in the same mix) and for limits that nothing else chose. How:
`controlled_limit`.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta, binom

from inspector.contract.bounds import say_rate, trials_needed
from inspector.contract.strict import Strict
from inspector.contract.verdict import Limits
from training.dataset import SplitName
from training.evaluate import Held, Rate
from training.plan_quality import Quality
from training.severity import Goal, goals_of

CURVE_POINTS_MAX = 201
ODDS_MIN = 1e-6
"""Surer than this no score is taken for."""
ROUNDING = 1e-9


class GoalHeld(Strict):
    """What one goal allows, and what became of it at the limit that was chosen."""

    name: str
    classes: tuple[str, ...]
    at_most: float
    review_at: float
    """The highest limit that this goal alone would allow."""
    escape: Rate
    """At the chosen review_at, on the parts it was chosen with."""
    overkill_alone: Rate
    """What this goal alone would cost."""
    needed: int
    """Parts that would prove the goal, were every one of them stopped."""
    certified: bool


class CurvePoint(Strict):
    """What another review_at would have meant on the same parts."""

    review_at: float
    escapes: int
    escape_at_most: float
    """Bound of this point alone."""
    overkill: int


class Choice(Strict):
    """Limits, what they hold on the parts they were chosen with, and whether that proves it."""

    limits: Limits
    basis: Literal["certified", "uncertified"]
    chosen_on: SplitName
    goals: tuple[GoalHeld, ...]
    """The one over all defects first."""
    overkill: Rate
    curve: tuple[CurvePoint, ...]
    sentence: str
    needed_review_at: float | None = None
    """What the goals need, where review_at is lower since the plan has overkill to spend."""

    @property
    def escape(self) -> Rate:
        return self.goals[0].escape


def controlled_limit(scores: NDArray[np.float64], goal: float, confidence: float) -> float | None:
    """The highest limit that proves P(defect scores below it) <= goal; None where none does.

    scores: one for each independent defective part, ascending. Learn then test (Angelopoulos,
    Bates et al., arXiv 2110.01052) by fixed sequence: the limits are tested one by one from the
    strictest, each by the exact binomial p-value P(Bin(n, goal) <= escapes), and the first that
    fails ends it. The escape rate grows with the limit, so the first limit that misses the goal
    must be rejected wrongly before any later one is, which has probability 1 - confidence at
    most, for all of them together; nothing is paid for their number, and between two scores
    nothing changes, so no grid is needed. With no equal scores it is the nonparametric tolerance
    limit (Wilks 1941), and `escapes` stays what Clopper and Pearson's upper bound allows.
    """
    steps = np.unique(scores)
    escapes = np.searchsorted(scores, steps, side="left")
    p_values = binom.cdf(escapes, len(scores), goal)
    failing = np.flatnonzero(p_values > 1.0 - confidence)
    passed = int(failing[0]) if len(failing) else len(steps)
    return float(steps[passed - 1]) if passed else None


def choose_limits(
    parts: Held, quality: Quality, margin: float, chosen_on: SplitName = "calibration"
) -> Choice:
    """Choose on parts that chose nothing else; on any other set the choice is uncertified.

    What each goal allows alone is a ceiling, and the lowest of them holds all goals at once with
    the plan's confidence, at no price for their number: for any to be missed, the goal that truly
    allows least must have allowed too much (an intersection-union test, Berger 1982). review_at is
    this ceiling, or below it where that stops no more of the good parts (`at_no_cost`), or where
    the plan has overkill to spend on defects that nobody has shown: these score low. A goal
    that the parts are too few for, even without a miss, takes the highest limit at which the
    observed rate meets it, and proves nothing. reject_at is the lowest limit, not below
    review_at, that rejects no more good parts outright than the plan allows. What the goals need
    stays `margin`, the golden tolerance, below the parts it stops (of small scores half of them:
    `_below`), so that another machine's rounding does not let more calibration parts escape than
    are proven.
    """
    goals = goals_of(quality, parts.defects)
    scores = {goal.name: parts.defect_parts(goal.classes) for goal in goals}
    proven = {
        goal.name: controlled_limit(scores[goal.name], goal.at_most, quality.confidence)
        for goal in goals
    }
    allowed = {
        goal.name: _observed_limit(scores[goal.name], goal.at_most)
        if (limit := proven[goal.name]) is None
        else limit
        for goal in goals
    }
    good = parts.good_parts()
    needed = at_no_cost(min(allowed.values()), good, scores[goals[0].name], margin)
    review_at = min(needed, _spending(quality.overkill_to_spend, good))
    spared = int(quality.reject_overkill_at_most * len(good))
    reject_at = max(review_at, _above(good[max(0, len(good) - 1 - spared)], good))

    def held(goal: Goal) -> GoalHeld:
        mine, alone = scores[goal.name], float(_below(allowed[goal.name], margin))
        return GoalHeld(
            name=goal.name,
            classes=goal.classes,
            at_most=goal.at_most,
            review_at=alone,
            escape=Rate.of(int((mine < review_at).sum()), len(mine), quality.confidence),
            overkill_alone=_overkill(good, alone, quality.confidence),
            needed=trials_needed(goal.at_most, quality.confidence),
            certified=chosen_on == "calibration" and proven[goal.name] is not None,
        )

    results = tuple(held(goal) for goal in goals)
    overkill = _overkill(good, review_at, quality.confidence)
    stopped = str(overkill) if parts.novelty is None else f"{overkill} by score alone"
    return Choice(
        limits=Limits(review_at=review_at, reject_at=reject_at),
        basis="certified" if all(goal.certified for goal in results) else "uncertified",
        chosen_on=chosen_on,
        goals=results,
        overkill=overkill,
        curve=trade_off(scores[goals[0].name], good, review_at, quality.confidence),
        sentence=_sentence(results, stopped, quality.confidence, chosen_on)
        + (_spent_text(quality.overkill_to_spend) if review_at < needed else ""),
        needed_review_at=needed if review_at < needed else None,
    )


def stopped_at_most(n: int, share: float) -> int:
    """How many of n good parts a limit may stop that is to stop at most the share of further ones.

    That one further part is above all but k of n others has a chance of at most (k + 1) / (n + 1),
    on average over such sets (Vovk, Gammerman and Shafer 2005, conformal prediction).
    """
    return max(0, math.floor(share * (n + 1) + ROUNDING) - 1)


def _spending(share: float, good: NDArray[np.float64]) -> float:
    """The lowest limit that stops at most the share of further good parts; 1 where too few are
    known to say. good: one score a part, ascending.
    """
    stopped = stopped_at_most(len(good), share)
    return _above(good[len(good) - 1 - stopped], good) if stopped else 1.0


def at_no_cost(
    ceiling: float, good: NDArray[np.float64], defects: NDArray[np.float64], margin: float
) -> float:
    """The limit that lets fewest defects pass while it stops no more good parts than the ceiling.

    Both limits stay `margin` below the parts they stop; a defect too near above a good part for
    that cannot be stopped for nothing.

    An escape goal says what may be missed, not what is to be: where a model tells good parts from
    defects well, the ceiling lies far above the good ones, and everything between is let through
    for nothing. The limit goes half way (of the log-odds) from the worst good part that passes to
    the least suspicious defect above it. It stays proven: in a fixed sequence every limit below a
    proven one is proven with it. good, defects: one score a part, ascending.
    """
    alone = float(_below(ceiling, margin))
    passing = good[good < alone]
    if not len(passing):
        return alone
    floor = float(passing[-1])
    apart = defects[(_below(defects, margin) > floor) & (defects < ceiling)]
    top = float(apart[0]) if len(apart) else ceiling
    between = np.clip([floor, top], ODDS_MIN, 1.0 - ODDS_MIN)
    half_way = float(expit(logit(between).mean()))
    return min(half_way, float(_below(top, margin)))


def trade_off(
    defects: NDArray[np.float64], good: NDArray[np.float64], review_at: float, confidence: float
) -> tuple[CurvePoint, ...]:
    """Escapes and overkill over review_at, from 0 to 1; at most CURVE_POINTS_MAX points.

    defects, good: one score a part, ascending. Half of the points follow the good parts and half
    the defects, so that neither rate jumps between two of them by more than a hundredth or so.
    """
    shares = np.linspace(0.0, 1.0, (CURVE_POINTS_MAX - 3) // 2)
    drawn = [np.quantile(scores, shares, method="nearest") for scores in (defects, good)]
    limits = np.unique(np.concatenate([*drawn, [0.0, review_at, 1.0]]))
    escapes = np.searchsorted(defects, limits, side="left")
    stopped = len(good) - np.searchsorted(good, limits, side="left")
    n = len(defects)
    bounds = np.ones(len(limits))  # all escaped: nothing bounds it
    some = escapes < n
    bounds[some] = beta.ppf(confidence, escapes[some] + 1, n - escapes[some])
    return tuple(
        CurvePoint(review_at=float(a), escapes=int(b), escape_at_most=float(c), overkill=int(d))
        for a, b, c, d in zip(limits, escapes, bounds, stopped, strict=True)
    )


def _observed_limit(scores: NDArray[np.float64], goal: float) -> float:
    """Nothing passes where there is no such defect to learn from."""
    return float(scores[int(goal * len(scores))]) if len(scores) else 0.0


def _overkill(good: NDArray[np.float64], review_at: float, confidence: float) -> Rate:
    return Rate.of(int((good >= review_at).sum()), len(good), confidence)


def _below(scores: NDArray[np.float64] | float, margin: float) -> NDArray[np.float64]:
    """Where a limit stops such scores though they come out lower by a rounding.

    A margin is one of probabilities in the middle, where 0.02 are 0.08 in log-odds; the same
    rounding moves a small score by far less. So it is never more than half of the score (0.69 in
    log-odds): a limit of 0 would stop every part.
    """
    stopped = np.asarray(scores, np.float64)
    return stopped - np.minimum(margin, stopped / 2.0)


def _above(score: float, good: NDArray[np.float64]) -> float:
    """Half way to the next higher good score, or to 1."""
    higher = good[good > score]
    return float((score + (higher[0] if len(higher) else 1.0)) / 2.0)


def _sentence(
    goals: tuple[GoalHeld, ...], overkill: str, confidence: float, chosen_on: SplitName
) -> str:
    parts = "; ".join(
        f"{'' if goal is goals[0] else f'{goal.name}: '}escape "
        f"{say_rate(goal.escape.events, goal.escape.n, confidence)}"
        for goal in goals
    )
    rates = f"{parts} on {chosen_on} parts, at an overkill of {overkill}"
    if len(goals) > 1:
        strictest = min(goals, key=lambda goal: goal.review_at)
        rates += f", for the sake of {strictest.name}"
    stated = ", ".join(_goal_text(goal) for goal in goals)
    if all(goal.certified for goal in goals):
        met = "the goal is met" if len(goals) == 1 else "all goals are met at once"
        return f"{rates}; {met}: {stated}, with {100 * confidence:g} % confidence"
    if chosen_on != "calibration":
        return (
            f"{rates}; no guarantee for {stated}: these parts also chose the checkpoint and the "
            f"temperature; split.calibration above 0, or parts marked calibration, would give one"
        )
    missing = "; ".join(_missing_text(goal) for goal in goals if not goal.certified)
    return f"{rates}; {missing}"


def _spent_text(share: float) -> str:
    return (
        f"; review_at is lower than the goals need: {100 * share:g} % of the good parts may be "
        f"stopped for the sake of defects that nobody has shown"
    )


def _goal_text(goal: GoalHeld) -> str:
    of = f"{goal.name} ({', '.join(goal.classes)})" if len(goal.classes) < 4 else goal.name
    return f"{of} at most {100 * goal.at_most:g} %"


def _missing_text(goal: GoalHeld) -> str:
    n, classes = goal.escape.n, " or ".join(goal.classes)
    return (
        f"not certifiable: {_goal_text(goal)}: {goal.needed} missed-free defects needed, {n} here; "
        f"collect {goal.needed - n} more of {classes} and mark them as calibration parts"
    )
