"""Is one plan better than another, told from a few runs of both on the same folds and seeds?

The runs of a plan share training parts, so their scatter is smaller than that of independent
trials, and a plain t-test or Wilcoxon finds differences that are none. The corrected resampled
t-test allows for it (Nadeau and Bengio, Inference for the generalization error, Machine Learning
52, 2003). Holm (Scandinavian Journal of Statistics 6, 1979) allows for several pairs. The sign
test on parts asks something else: of the parts on which just these runs differ, does one plan get
more right (with one seed: McNemar's exact test, Psychometrika 12, 1947).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, t, wilcoxon

from inspector.contract.strict import Strict

FEW_RUNS = 10
DIGITS = 12
"""Of a difference: 0.69 - 0.68 and 0.62 - 0.61 differ in their last bits, not in their rank."""


class Difference(Strict):
    """The second less the first, over the runs both have."""

    runs: int
    mean: float
    sd: float
    low: float | None
    """95 % interval of the mean by the corrected t-test; None where it says nothing."""
    high: float | None
    p: float | None
    """Two-sided, corrected resampled t-test."""
    p_wilcoxon: float | None
    """Two-sided signed-rank test, which takes the runs for independent: too hopeful."""


class Parts(Strict):
    """Parts of the golden sets that the two judge differently."""

    first_better: int
    second_better: int
    parts: int
    p: float
    """Two-sided, exact."""


def difference(first: Sequence[float], second: Sequence[float], test_to_train: float) -> Difference:
    """Paired by run. test_to_train: golden parts for each part that is not golden."""
    d = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    d = d.round(DIGITS)
    n = len(d)
    mean, sd = float(d.mean()), float(d.std(ddof=1)) if n > 1 else 0.0
    same = bool(np.all(d == 0.0))
    low = high = p = ranks = None
    if n > 1 and sd > 1e-12:
        error = sd * math.sqrt(1.0 / n + test_to_train)
        reach = float(t.ppf(0.975, n - 1)) * error
        low, high = mean - reach, mean + reach
        p = float(2.0 * t.sf(abs(mean) / error, n - 1))
    elif n > 1 and same:
        low = high = 0.0
        p = 1.0
    if n > 1:
        ranks = 1.0 if same else float(wilcoxon(d).pvalue)
    return Difference(runs=n, mean=mean, sd=sd, low=low, high=high, p=p, p_wilcoxon=ranks)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for how many there are; None stays None and is not counted."""
    known = sorted((p, i) for i, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        adjusted[i] = highest
    return adjusted


def part_test(
    parts: NDArray[np.int64], first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> Parts:
    """parts: the part of each judged picture, all runs after one another; right or wrong by both.

    A part is one trial: that in which a plan was right more often counts for it.
    """
    numbers, place = np.unique(parts, return_inverse=True)
    score = np.bincount(place, second.astype(np.float64) - first.astype(np.float64))
    better, worse = int((score > 0.5).sum()), int((score < -0.5).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return Parts(first_better=worse, second_better=better, parts=len(numbers), p=p)


def caveat(runs: int, seeds: int, folds: int) -> str:
    """What so many runs can show, in words."""
    words = f"{runs} run(s) of each plan ({seeds} seed(s), {max(folds, 1)} fold(s)). "
    if runs < 2:
        return words + "One run shows no scatter: nothing here tells luck from merit."
    if runs < FEW_RUNS:
        words += (
            f"So few find only large differences: Wilcoxon cannot come below p = "
            f"{2.0 ** (1 - runs):.2g} at all. No proof of a difference is no proof of sameness. "
        )
    return words + (
        "The runs share training parts; the corrected t-test allows for that, Wilcoxon does not. "
        "The test on parts compares just these trained models, not the plans."
    )
