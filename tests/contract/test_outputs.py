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


def test_the_log_odds_of_tile_and_overview_count_half_each() -> None:
    # odds of a defect: overview 4, tiles 1/9 and 4: their roots of products are 2/3 and 4
    found = with_overview(said((0.2, 0.8, 0.0), (0.9, 0.1, 0.0), (0.2, 0.0, 0.8)), GOOD)
    expected = [[0.6, 0.4, 0.0], [0.2, 0.4, 0.4]]  # by kinds: the sum of both
    assert found.probabilities == pytest.approx(np.array(expected, np.float32), abs=1e-6)


def test_an_overview_that_is_undecided_halves_what_a_tile_is_sure_of_and_turns_nothing() -> None:
    undecided = (0.5, 0.25, 0.25)
    assert scores(said(undecided, (0.2, 0.8, 0.0), (0.8, 0.2, 0.0))) == pytest.approx(
        [2 / 3, 1 / 3]
    )


def test_what_is_sure_stays_finite_and_in_order() -> None:
    sure, sure_not = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)
    assert scores(said(sure_not, sure, sure_not)) == pytest.approx([0.5, 1e-12], abs=1e-9)
    assert scores(said(sure, sure, sure_not)) == pytest.approx([1.0, 0.5], abs=1e-9)


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
