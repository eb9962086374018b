"""The tests between plans, against values worked out by hand."""

import numpy as np
import pytest

from training.paired import caveat, difference, holm, part_test


def test_the_corrected_t_test_is_that_of_the_paper() -> None:
    # d = 2, 1, 3, 0, 4 points: mean 2, variance 2.5; five folds of 80/20, so 1/5 + 1/4.
    found = difference([0.5] * 5, [0.52, 0.51, 0.53, 0.50, 0.54], 0.25)
    assert found.mean == pytest.approx(0.02)
    assert found.sd == pytest.approx(0.0158114, abs=1e-6)
    # t = 0.02 / sqrt(0.45 * 0.00025) = 1.88562; with 4 degrees of freedom P(|T| > t) = 0.132414
    assert found.p == pytest.approx(0.132414, abs=1e-5)
    # t(0.975, 4) = 2.776445
    assert found.low == pytest.approx(0.02 - 2.776445 * 0.0106066, abs=1e-6)
    assert found.high == pytest.approx(0.02 + 2.776445 * 0.0106066, abs=1e-6)


def test_five_runs_of_one_sign_are_not_significant_for_wilcoxon() -> None:
    found = difference([0.0] * 5, [0.02, 0.01, 0.03, 0.05, 0.04], 0.25)
    assert found.p_wilcoxon == pytest.approx(2 / 2**5)


def test_differences_of_the_same_size_have_the_same_rank_whatever_their_last_bits() -> None:
    # +1 -1 +2 +1 -1 +1 parts of 100: ranks 3 3 6 3 3 3, of which 3 + 3 are negative. Of 64 signs
    # 1 + 5 + 10 + 1 have a sum of at most 6 on the negative side, and as many on the other.
    first = [n / 100 for n in (61, 69, 82, 92, 69, 60)]
    second = [n / 100 for n in (62, 68, 84, 93, 68, 61)]
    assert difference(first, second, 0.25).p_wilcoxon == pytest.approx(34 / 64)
    nothing = difference([0.1 + 0.2, 0.5], [0.3, 0.5], 0.25)
    assert (nothing.mean, nothing.p, nothing.p_wilcoxon) == (0.0, 1.0, 1.0)


def test_runs_that_agree_to_the_last_digit_show_no_difference() -> None:
    found = difference([0.5, 0.6], [0.5, 0.6], 0.25)
    assert (found.mean, found.p, found.p_wilcoxon) == (0.0, 1.0, 1.0)


def test_what_cannot_be_told_is_not_told() -> None:
    alone = difference([0.5], [0.9], 0.25)
    assert (alone.p, alone.p_wilcoxon, alone.low) == (None, None, None)
    constant = difference([0.5, 0.5], [0.75, 0.75], 0.25)
    assert (constant.mean, constant.p) == (0.25, None)


def test_holm_adjusts_from_the_smallest() -> None:
    # 3 * 0.01, then 2 * 0.03, then 0.04 but not below the one before; what is unknown counts not.
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])


def test_parts_that_one_plan_alone_tells_right_are_counted_once_each() -> None:
    # Nine parts differ, 8 for the second and 1 for the first: 2 * (1 + 9) / 2**9.
    parts = np.arange(12)
    first = np.array([True] + [False] * 8 + [True] * 3)
    second = np.array([False] + [True] * 8 + [True] * 3)
    found = part_test(parts, first, second)
    assert (found.first_better, found.second_better, found.parts) == (1, 8, 12)
    assert found.p == pytest.approx(20 / 512)
    twice = part_test(np.tile(parts, 2), np.tile(first, 2), np.tile(second, 2))
    assert twice == found
    undecided = part_test(np.array([0, 0]), np.array([True, False]), np.array([False, True]))
    assert (undecided.first_better, undecided.second_better, undecided.p) == (0, 0, 1.0)


def test_few_runs_are_called_few() -> None:
    assert "One run shows no scatter" in caveat(1, 1, 1)
    assert "cannot come below p = 0.062" in caveat(5, 1, 5)
    assert "few" not in caveat(15, 3, 5)
