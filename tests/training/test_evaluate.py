"""Training judges as the station does."""

import numpy as np

from inspector.contract.verdict import Limits
from training.evaluate import (
    Held,
    defect_scores,
    escape_at_overkill,
    figures,
    held,
    overkill_at_escape,
    verdicts_of,
)

LABELS, GOOD = ("crack", "free", "ok"), ("free", "ok")


def test_the_score_is_one_minus_the_acceptable_classes() -> None:
    rows = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]], np.float32)
    assert np.allclose(defect_scores(rows, LABELS, GOOD), [0.7, 0.0], atol=1e-6)


def test_what_is_no_probability_never_counts_as_passed() -> None:
    rows = np.array([[0.0, np.nan, 1.0], [0.0, 2.0, 2.0], [-1.0, 1.0, 1.0]], np.float32)
    parts = held(rows, np.array([0, 1, 2]), LABELS, GOOD)
    assert np.isnan(parts.scores).all()
    verdicts = verdicts_of(parts, Limits(review_at=1.0, reject_at=1.0))
    assert not any(verdict.passes for verdict in verdicts)


def test_what_novelty_alone_stops_is_counted_once_a_part() -> None:
    """Two pictures of the first good part, one of them strange; then a good one, three defects."""
    free = [[0.1, 0.9, 0.0]] * 3
    rows = np.array([*free, [0.9, 0.1, 0.0], *free[:2]], np.float32)
    targets = np.array([1, 1, 1, 0, 0, 0])
    far = np.array([1.0, 3.0, 1.0, 3.0, 3.0, 1.0], np.float32)
    parts = held(rows, targets, LABELS, GOOD, np.array([0, 0, 1, 2, 3, 4]), far)
    novelty = parts.good_novelty()
    assert novelty is not None
    assert np.allclose(novelty, [1.0, 3.0])
    limits = Limits(review_at=0.3, reject_at=0.7, novelty_at=2.0)
    found = figures(rows, parts, limits, 0.95)
    assert (found.overkill.events, found.overkill.n) == (1, 2)
    assert (found.escape.events, found.escape.n) == (1, 3)  # one by score, one by novelty
    assert found.novelty_overkill is not None
    assert found.novelty_caught is not None
    assert (found.novelty_overkill.events, found.novelty_overkill.n) == (1, 2)
    assert (found.novelty_caught.events, found.novelty_caught.n) == (1, 3)
    without = figures(
        rows, parts._replace(novelty=None), limits.model_copy(update={"novelty_at": None}), 0.95
    )
    assert (without.escape.events, without.overkill.events) == (2, 0)
    assert without.novelty_overkill is None


def test_novelty_alone_stops_no_part_that_a_score_stops_or_that_escapes_all_the_same() -> None:
    """A good part, then two defects, of two pictures each: one strange; the other is stopped by its
    score, passes, and is stopped by its score. By novelty alone only the last would escape.
    """
    passes, stopped = [0.1, 0.9, 0.0], [0.9, 0.1, 0.0]
    rows = np.array([passes, stopped, passes, passes, passes, stopped], np.float32)
    far = np.array([3.0, 1.0, 3.0, 1.0, 3.0, 1.0], np.float32)
    numbers = np.array([0, 0, 1, 1, 2, 2])
    parts = held(rows, np.array([1, 1, 0, 0, 0, 0]), LABELS, GOOD, numbers, far)
    found = figures(rows, parts, Limits(review_at=0.3, reject_at=0.7, novelty_at=2.0), 0.95)
    assert (found.overkill.events, found.escape.events) == (1, 1)
    assert found.novelty_overkill is not None
    assert found.novelty_caught is not None
    assert (found.novelty_overkill.events, found.novelty_overkill.n) == (0, 1)
    assert (found.novelty_caught.events, found.novelty_caught.n) == (1, 2)


def test_escape_at_a_fixed_overkill_is_what_counting_gives() -> None:
    # 20 good parts at 0.00 .. 0.19: 5 % of them is one, so the limit is just above 0.18.
    scores = np.array([*np.arange(20) / 100, 0.05, 0.18, 0.185, 0.9])
    targets = np.array([0] * 20 + [1] * 4)
    parts = Held(scores, targets, ("good", "bad"), ("good",), np.arange(24))
    assert escape_at_overkill(parts, 0.05) == 2 / 4
    # of a defect's two pictures one passes: the part escapes, one of two pictures does
    twice = Held(
        np.array([*np.arange(20) / 100, 0.1, 0.9]),
        np.array([0] * 20 + [1] * 2),
        ("good", "bad"),
        ("good",),
        np.array([*range(20), 20, 20]),
    )
    assert escape_at_overkill(twice, 0.05) == 1.0
    assert escape_at_overkill(twice.by_picture, 0.05) == 0.5
    # None of four defects may escape at 5 %: the limit is 0.05, and 15 good parts are stopped.
    assert overkill_at_escape(parts, 0.05) == 15 / 20
    assert overkill_at_escape(parts, 0.25) == 2 / 20
