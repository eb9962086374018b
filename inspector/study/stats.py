"""Agreement and rates, with limits: what a study says, and how sure that is.

Everything here counts parts or decisions; nothing knows where they came from. The edge has no
scipy: what is here is held against it by the tests.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple, TypeVar

from inspector.contract.bounds import lower_bound, upper_bound
from inspector.contract.strict import Strict

CONFIDENCE = 0.95
TRIALS_MAX = 10_000_000

Part = TypeVar("Part")


class Rate(Strict):
    """events of n, with two-sided limits at `confidence`, and the one-sided upper bound."""

    events: int
    n: int
    rate: float | None
    """null where nothing was tried."""
    low: float
    high: float
    """Clopper and Pearson's: they hold at any n, and are on the wide side."""
    wilson_low: float
    wilson_high: float
    """Wilson's: right on average; statistics programs print these."""
    at_most: float
    """One-sided, by Clopper and Pearson."""
    confidence: float

    @classmethod
    def of(cls, events: int, n: int, confidence: float = CONFIDENCE) -> "Rate":
        """Raises ValueError unless 0 <= events <= n."""
        half = (1.0 + confidence) / 2.0
        wilson_low, wilson_high = wilson(events, n, confidence)
        return cls(
            events=events,
            n=n,
            rate=events / n if n else None,
            low=lower_bound(events, n, half),
            high=upper_bound(events, n, half),
            wilson_low=wilson_low,
            wilson_high=wilson_high,
            at_most=upper_bound(events, n, confidence),
            confidence=confidence,
        )


def wilson(events: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval (Wilson, JASA 22, 1927), two-sided; 0 and 1 where nothing was tried."""
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    rate, share = events / n, z * z / n
    middle = (rate + share / 2.0) / (1.0 + share)
    reach = z / (1.0 + share) * math.sqrt(rate * (1.0 - rate) / n + share / (4.0 * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def more_needed(events: int, n: int, rate: float, confidence: float = CONFIDENCE) -> int:
    """How many further trials without an event prove that the rate is at most `rate`.

    0 where it is proven already. Raises ValueError unless 0 < rate < 1.
    """
    if not 0.0 < rate < 1.0:
        raise ValueError(f"{rate=} must be between 0 and 1")
    if upper_bound(events, n, confidence) <= rate:
        return 0
    low, high = n, max(2 * n, 16)
    while upper_bound(events, high, confidence) > rate and high < TRIALS_MAX:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if upper_bound(events, middle, confidence) <= rate:
            high = middle
        else:
            low = middle
    return high - n


class Agreement(NamedTuple):
    """How often two answers were alike, and how often chance alone would have made them so."""

    observed: float
    chance: float

    @property
    def kappa(self) -> float | None:
        """1 is perfect, 0 what guessing gives; None where all answers are alike whatever was shown:
        there is nothing to tell agreement from chance by."""
        if self.chance >= 1.0 - 1e-12:
            return None
        return (self.observed - self.chance) / (1.0 - self.chance)


Counts = Sequence[int]
"""How often each answer was given."""


def fleiss(parts: Sequence[Counts]) -> Agreement:
    """Of the answers each part got among themselves (Fleiss, Psychol. Bull. 76, 1971).

    parts: a row a part, a column an answer. A part with fewer than two answers says nothing of
    agreement. Raises ValueError where no part has two.
    """
    asked = [row for row in parts if sum(row) > 1]
    if not asked:
        raise ValueError("agreement needs at least two answers of a part")
    alike = [
        sum(count * (count - 1) for count in row) / (sum(row) * (sum(row) - 1)) for row in asked
    ]
    answers = sum(map(sum, asked))
    shares = [sum(column) / answers for column in zip(*asked, strict=True)]
    return Agreement(
        observed=math.fsum(alike) / len(asked),
        chance=math.fsum(share * share for share in shares),
    )


def cohen(table: Sequence[Counts]) -> Agreement:
    """Of two who judged the same (Cohen, Educational and Psychological Measurement 20, 1960).

    table: how often one said the row's answer and the other the column's. Raises ValueError where
    nothing was judged.
    """
    n = sum(map(sum, table))
    if not n:
        raise ValueError("agreement needs at least one pair")
    rows = [sum(row) for row in table]
    columns = [sum(column) for column in zip(*table, strict=True)]
    return Agreement(
        observed=sum(row[i] for i, row in enumerate(table)) / n,
        chance=math.fsum(r * c for r, c in zip(rows, columns, strict=True)) / n**2,
    )


class Kappa(Strict):
    """Agreement beyond chance, with two-sided limits."""

    kappa: float | None
    observed: float
    """Share of the pairs that agree."""
    low: float | None
    high: float | None
    parts: int
    method: Literal["jackknife", "bound", "none"]
    """bound: no part disagreed, so that how many parts that was is all there is to go by."""
    confidence: float


def kappa_with_limits(
    parts: Sequence[Part],
    of: Callable[[Sequence[Part]], Agreement],
    agreeing: int,
    confidence: float = CONFIDENCE,
) -> Kappa:
    """Limits from leaving out one part at a time (Efron and Stein, Annals of Statistics 9, 1981).

    agreeing: how many parts had no answer that disagrees. Presentations of one part are not
    independent of each other, so the usual standard error, which takes them for that, is too small.
    """
    found, n = of(parts), len(parts)
    kappa, low, high = found.kappa, None, None
    method: Literal["jackknife", "bound", "none"] = "none"
    half = (1.0 + confidence) / 2.0
    if kappa is not None and agreeing == n:
        least = lower_bound(n, n, half)
        low, high, method = max(-1.0, (least - found.chance) / (1.0 - found.chance)), 1.0, "bound"
    elif kappa is not None and n > 2:
        left = [of([*parts[:i], *parts[i + 1 :]]).kappa for i in range(n)]
        known = [each for each in left if each is not None]
        if len(known) == n:
            mean = math.fsum(known) / n
            scatter = math.fsum((each - mean) ** 2 for each in known)
            reach = NormalDist().inv_cdf(half) * math.sqrt((n - 1) / n * scatter)
            low, high, method = max(-1.0, kappa - reach), min(1.0, kappa + reach), "jackknife"
    return Kappa(
        kappa=kappa,
        observed=found.observed,
        low=low,
        high=high,
        parts=n,
        method=method,
        confidence=confidence,
    )
