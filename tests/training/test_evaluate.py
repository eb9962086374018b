"""Training judges as the station does."""

import numpy as np

from inspector.contract.verdict import Limits
from training.evaluate import defect_scores, verdicts_of

LABELS, GOOD = ("crack", "free", "ok"), ("free", "ok")


def test_the_score_is_one_minus_the_acceptable_classes() -> None:
    rows = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]], np.float32)
    assert np.allclose(defect_scores(rows, LABELS, GOOD), [0.7, 0.0], atol=1e-6)


def test_what_is_no_probability_never_counts_as_passed() -> None:
    rows = np.array([[0.0, np.nan, 1.0], [0.0, 2.0, 2.0], [-1.0, 1.0, 1.0]], np.float32)
    scores = defect_scores(rows, LABELS, GOOD)
    assert np.isnan(scores).all()
    verdicts = verdicts_of(scores, Limits(review_at=1.0, reject_at=1.0))
    assert not any(verdict.passes for verdict in verdicts)
