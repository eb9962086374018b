"""Limits chosen for an escape goal, and said with their bound."""

import numpy as np
import pytest

from inspector.contract.bounds import upper_bound
from training.limits import choose_limits
from training.plan import Quality


def scores(seed: int, good: int, defects: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.beta(1, 8, good), rng.beta(6, 2, defects)])
    return values, np.arange(good + defects) >= good


def test_the_bound_of_the_escape_rate_meets_the_goal_with_as_little_overkill_as_it_can() -> None:
    values, bad = scores(1, 500, 300)
    quality = Quality(escape_rate_at_most=0.05)
    choice = choose_limits(values, bad, quality, margin=0.0)
    assert choice.basis == "certified"
    assert upper_bound(choice.escapes, 300) <= 0.05 < upper_bound(choice.escapes + 1, 300)
    assert choice.escapes == int((values[bad] < choice.limits.review_at).sum())
    assert choice.overkill == int((values[~bad] >= choice.limits.review_at).sum())


def test_too_few_defects_certify_nothing_and_say_what_is_needed() -> None:
    values, bad = scores(2, 100, 40)
    choice = choose_limits(values, bad, Quality(escape_rate_at_most=0.01), margin=0.0)
    assert choice.basis == "uncertified"
    assert "not certifiable for 1 %: 299 missed-free defects needed, 40 here" in choice.sentence


def test_no_more_good_parts_are_rejected_outright_than_the_plan_allows() -> None:
    values, bad = scores(3, 1_000, 300)
    quality = Quality(escape_rate_at_most=0.01, reject_overkill_at_most=0.02, confidence=0.9)
    limits = choose_limits(values, bad, quality, margin=0.0).limits
    assert limits.review_at < limits.reject_at
    assert (values[~bad] >= limits.reject_at).mean() == pytest.approx(0.02, abs=0.001)


def test_the_margin_of_the_self_test_lowers_the_limit() -> None:
    values, bad = scores(4, 500, 300)
    exact = choose_limits(values, bad, Quality(), margin=0.0).limits
    careful = choose_limits(values, bad, Quality(), margin=0.02).limits
    assert careful.review_at == pytest.approx(exact.review_at - 0.02)


def test_a_model_that_knows_nothing_passes_nothing_it_should_not() -> None:
    values, bad = np.full(200, 0.5), np.arange(200) >= 100
    choice = choose_limits(values, bad, Quality(), margin=0.001)
    assert choice.escapes == 0
    assert choice.overkill == 100
