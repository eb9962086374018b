"""Tiles and the whole picture they were cut from, as one opinion."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.contract.outputs import Outputs, defect_score, with_overview

GOOD = np.array([True, False, False])
"""Of three classes the first may pass."""


def said(*rows: tuple[float, ...], novelty: tuple[float, ...] | None = None) -> Outputs:
    far = None if novelty is None else np.array(novelty, np.float32)
    return Outputs(np.array(rows, np.float32), None, far)


def scores(outputs: Outputs, good: NDArray[np.bool_] = GOOD) -> list[float]:
    return [defect_score(row, good) for row in with_overview(outputs, good).probabilities]


def test_the_overview_has_a_third_of_the_say_in_a_tiles_log_odds() -> None:
    # odds of a defect: overview 8, tiles 1/27 and 1: twice theirs and once its are 2/9 and 2
    found = with_overview(said((1 / 9, 8 / 9, 0.0), (27 / 28, 1 / 28, 0.0), (0.5, 0.0, 0.5)), GOOD)
    first, second = found.probabilities
    assert first == pytest.approx([9 / 11, 2 / 11, 0.0], abs=1e-6)
    # of which kind: 8/9 and 1/2 are the sums of both
    assert second == pytest.approx([1 / 3, 2 / 3 * 16 / 25, 2 / 3 * 9 / 25], abs=1e-6)


def test_an_undecided_overview_draws_a_tile_to_the_middle_and_turns_nothing() -> None:
    undecided = (0.5, 0.25, 0.25)
    eighth = 1 / 9, 8 / 9, 0.0
    good = 8 / 9, 1 / 9, 0.0
    assert scores(said(undecided, eighth, good)) == pytest.approx([0.8, 0.2])


def test_what_is_sure_stays_finite_and_in_order() -> None:
    sure, sure_not = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)
    found = scores(said(sure_not, sure, sure_not))
    assert found == pytest.approx([1 - 1e-4, 1e-12], abs=1e-6)
    assert scores(said(sure, sure, sure_not)) == pytest.approx([1.0, 1e-4], abs=1e-6)


@pytest.mark.parametrize("nonsense", [(math.nan, 0.5, 0.5), (1.5, -0.5, 0.0), (0.2, 0.2, 0.2)])
def test_nonsense_in_a_tile_is_that_tiles_and_in_the_overview_every_tiles(
    nonsense: tuple[float, ...],
) -> None:
    fine = (0.9, 0.1, 0.0)
    assert [math.isnan(each) for each in scores(said(fine, nonsense, fine))] == [True, False]
    assert all(math.isnan(each) for each in scores(said(nonsense, fine, fine)))


def test_the_stranger_of_both_is_how_strange_a_tile_is() -> None:
    rows = [(0.9, 0.1, 0.0)] * 3
    novelty = with_overview(said(*rows, novelty=(2.0, 1.0, 3.0)), GOOD).novelty
    assert novelty is not None
    assert novelty.tolist() == [2.0, 3.0]
    novelty = with_overview(said(*rows, novelty=(math.nan, 1.0, 3.0)), GOOD).novelty
    assert novelty is not None
    assert np.isnan(novelty).all()


def test_every_row_that_comes_out_is_probabilities_of_the_order_it_came_in() -> None:
    rng = np.random.default_rng(2)
    rows = rng.dirichlet([0.2, 0.2, 0.2], 200).astype(np.float32)
    found = with_overview(Outputs(rows, None, None), GOOD).probabilities
    assert found.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    before = np.array([defect_score(row, GOOD) for row in rows[1:]])
    after = np.array([defect_score(row, GOOD) for row in found])
    order = np.argsort(before, kind="stable")
    assert (np.diff(after[order]) >= -1e-6).all(), "of two tiles the worse stays the worse"
