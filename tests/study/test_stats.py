"""Agreement and rates against published examples, scipy and scikit-learn."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from inspector.contract.bounds import upper_bound
from inspector.study.stats import (
    Agreement,
    Rate,
    cohen,
    fleiss,
    kappa_with_limits,
    more_needed,
    wilson,
)

# AIAG, Measurement Systems Analysis, 4th edition, III C: 50 parts, three appraisers,
# three trials each. Rows and columns: 0 (reject), 1 (accept); the kappa as printed there.
AIAG = {
    "A to reference": ([[45, 5], [3, 97]], 0.88),
    "B to reference": ([[45, 2], [3, 100]], 0.92),
    "C to reference": ([[42, 9], [6, 93]], 0.77),
    "A to B": ([[44, 6], [3, 97]], 0.86),
    "B to C": ([[42, 5], [9, 94]], 0.79),
    "A to C": ([[43, 7], [8, 92]], 0.78),
}
# J. L. Fleiss, Psychological Bulletin 76 (1971), as retold since: 10 subjects, 14 raters, 5 answers
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


@pytest.mark.parametrize("name", AIAG)
def test_cohens_kappa_is_what_aiag_prints(name: str) -> None:
    table, printed = AIAG[name]
    kappa = cohen(table).kappa
    assert kappa is not None
    assert round(kappa, 2) == printed


def test_cohens_kappa_is_scikit_learns() -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        first, second = random.integers(0, 3, (2, 60))
        table = [[int(((first == i) & (second == j)).sum()) for j in range(3)] for i in range(3)]
        assert cohen(table).kappa == pytest.approx(cohen_kappa_score(first, second))


def test_fleiss_kappa_is_the_published_one_and_with_two_answers_scotts_pi() -> None:
    found = fleiss(FLEISS)
    assert found.observed == pytest.approx(0.378, abs=5e-4)
    assert found.chance == pytest.approx(0.213, abs=5e-4)
    assert found.kappa == pytest.approx(0.210, abs=5e-4)
    # by hand: 3 of 4 parts agree; 5 of 8 answers are the first: chance (5/8)^2 + (3/8)^2
    pi = fleiss([[2, 0], [2, 0], [1, 1], [0, 2]])
    assert pi == Agreement(observed=0.75, chance=34 / 64)


def test_answers_that_are_all_alike_have_no_kappa() -> None:
    assert fleiss([[3, 0], [3, 0]]).kappa is None
    with pytest.raises(ValueError, match="at least two answers"):
        fleiss([[1, 0], [0, 1]])
    with pytest.raises(ValueError, match="at least one pair"):
        cohen([[0, 0], [0, 0]])


def test_kappas_limits_are_a_jackknife_over_parts() -> None:
    found = kappa_with_limits(FLEISS, fleiss, agreeing=1)
    left = [fleiss(FLEISS[:i] + FLEISS[i + 1 :]).kappa for i in range(len(FLEISS))]
    values = np.array(left, float)
    error = math.sqrt((len(values) - 1) * values.var())
    assert found.kappa is not None
    assert found.low == pytest.approx(found.kappa - 1.959964 * error)
    assert found.high == pytest.approx(found.kappa + 1.959964 * error)
    assert found.method == "jackknife"


def test_the_limits_cover_the_truth_about_as_often_as_they_say() -> None:
    """150 studies of 60 parts shown three times, whose answers within a part belong together."""
    random = np.random.default_rng(7)
    # a part is rejected with a chance of its own: 0.05 or 0.9, half of each
    chances = np.array([0.05, 0.9])
    agree, share = np.mean(chances**2 + (1 - chances) ** 2), chances.mean()
    by_chance = share**2 + (1 - share) ** 2
    truth = (agree - by_chance) / (1 - by_chance)
    covered = 0
    for _ in range(150):
        rejects = random.binomial(3, random.choice(chances, 60))
        parts = [[3 - int(each), int(each)] for each in rejects]
        found = kappa_with_limits(parts, fleiss, agreeing=0)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / 150 <= 0.99


def test_perfect_agreement_is_only_as_sure_as_its_parts_are_many() -> None:
    few = kappa_with_limits([[3, 0]] * 5 + [[0, 3]] * 5, fleiss, agreeing=10)
    many = kappa_with_limits([[3, 0]] * 50 + [[0, 3]] * 50, fleiss, agreeing=100)
    # 10 of 10 parts: at least 0.025 ** (1 / 10) agree; half of that is chance
    assert few.low == pytest.approx((0.025**0.1 - 0.5) / 0.5)
    assert (few.kappa, few.high, few.method) == (1.0, 1.0, "bound")
    assert many.low is not None
    assert many.low > 0.9


@pytest.mark.parametrize(("events", "n"), [(0, 20), (3, 612), (42, 50), (45, 50), (7, 7)])
def test_rates_have_the_limits_of_clopper_and_pearson_and_of_wilson(events: int, n: int) -> None:
    rate = Rate.of(events, n)
    exact = binomtest(events, n).proportion_ci(0.95, "exact")
    score = binomtest(events, n).proportion_ci(0.95, "wilson")
    assert (rate.low, rate.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert (rate.wilson_low, rate.wilson_high) == pytest.approx((score.low, score.high))


def test_the_effectiveness_limits_are_what_aiag_prints() -> None:
    """Page 139: A 42/50, 71 % to 93 %; B 45/50, 78 % to 97 %; C 40/50, 66 % to 90 %."""
    printed = {42: (71, 93), 45: (78, 97), 40: (66, 90)}
    for matched, limits in printed.items():
        rate = Rate.of(matched, 50)
        assert (round(100 * rate.low), round(100 * rate.high)) == limits


def test_nothing_tried_has_no_rate() -> None:
    rate = Rate.of(0, 0)
    assert (rate.rate, rate.low, rate.high) == (None, 0.0, 1.0)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("events", "n", "rate", "more"),
    [(0, 0, 0.05, 59), (0, 59, 0.05, 0), (0, 58, 0.05, 1), (0, 100, 0.01, 199)],
)
def test_so_many_more_trials_without_an_event_prove_a_rate(
    events: int, n: int, rate: float, more: int
) -> None:
    assert more_needed(events, n, rate) == more


@pytest.mark.parametrize(("events", "n"), [(1, 40), (13, 164), (5, 5)])
def test_no_fewer_would_do(events: int, n: int) -> None:
    more = more_needed(events, n, 0.04)
    assert upper_bound(events, n + more) <= 0.04 < upper_bound(events, n + more - 1)
