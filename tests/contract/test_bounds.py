"""Rates carry an exact bound."""

import pytest
from scipy.stats import beta

from inspector.contract.bounds import (
    events_allowed,
    lower_bound,
    say_rate,
    trials_needed,
    upper_bound,
)


@pytest.mark.parametrize(
    ("events", "n"), [(0, 59), (3, 612), (1, 1), (40, 100), (60, 100), (2_000, 50_000)]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_bounds_are_clopper_and_pearsons(events: int, n: int, confidence: float) -> None:
    above = 1.0 if events == n else float(beta.ppf(confidence, events + 1, n - events))
    below = 0.0 if events == 0 else float(beta.ppf(1 - confidence, events, n - events + 1))
    assert upper_bound(events, n, confidence) == pytest.approx(above, abs=1e-9)
    assert lower_bound(events, n, confidence) == pytest.approx(below, abs=1e-9)


@pytest.mark.parametrize(("rate", "needed"), [(0.05, 59), (0.01, 299), (0.001, 2995)])
def test_so_many_trials_without_a_miss_prove_a_rate(rate: float, needed: int) -> None:
    assert trials_needed(rate) == needed
    assert events_allowed(needed, rate) == 0
    assert events_allowed(needed - 1, rate) is None


def test_the_allowed_events_are_the_most_that_still_prove_the_rate() -> None:
    allowed = events_allowed(1_000, 0.05)
    assert allowed is not None
    assert upper_bound(allowed, 1_000) <= 0.05 < upper_bound(allowed + 1, 1_000)


def test_nothing_tried_proves_nothing() -> None:
    assert upper_bound(0, 0) == 1.0
    assert say_rate(0, 0) == "0/0, nothing known"


def test_a_rate_is_said_with_its_n_and_bound() -> None:
    assert say_rate(3, 612) == "3/612, at most 1.26 % (95 %)"


@pytest.mark.parametrize(("events", "n"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(events: int, n: int) -> None:
    with pytest.raises(ValueError, match="must be within"):
        upper_bound(events, n)
