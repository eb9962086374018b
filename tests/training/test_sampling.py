"""The order of an epoch."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.sampling import order

ROWS = np.arange(100, 200)
TARGETS = np.repeat([0, 1, 2], [80, 17, 3])


def shown(seed: int) -> NDArray[np.int64]:
    return order(ROWS, TARGETS, [seed, 0], "balanced")


def test_a_natural_epoch_shows_each_image_once() -> None:
    rows = order(ROWS, TARGETS, [7, 3], "natural")
    assert sorted(rows) == sorted(ROWS)
    assert rows.tolist() == np.random.default_rng([7, 3]).permutation(ROWS).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_a_balanced_epoch_shows_each_class_equally_often(seed: int) -> None:
    rows = shown(seed)
    assert len(rows) == 100
    assert sorted(np.bincount(TARGETS[rows - 100])) == [33, 33, 34]


@pytest.mark.parametrize("seed", range(5))
def test_within_a_class_no_image_comes_twice_more_than_another(seed: int) -> None:
    times = np.bincount(shown(seed) - 100, minlength=100)
    for c in range(3):
        assert np.ptp(times[c == TARGETS]) <= 1
    assert times[TARGETS == 0].max() == 1
    assert times[TARGETS == 2].min() >= 11


def test_every_image_of_a_common_class_has_its_turn() -> None:
    seen = np.unique(np.concatenate([shown(seed) for seed in range(20)]))
    assert len(seen) == 100


def test_an_epoch_is_the_same_for_the_same_seed() -> None:
    assert shown(1).tolist() == shown(1).tolist()
    assert shown(1).tolist() != shown(2).tolist()


def test_classes_are_mixed_over_a_balanced_epoch() -> None:
    halves = np.split(TARGETS[shown(4) - 100], 2)
    assert all(np.bincount(half, minlength=3).min() >= 8 for half in halves)


def test_rows_and_targets_belong_together() -> None:
    with pytest.raises(ValueError, match="100 rows, 2 targets"):
        order(ROWS, TARGETS[:2], [0], "balanced")
