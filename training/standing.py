"""Which row stands for a picture: its worst region's, by the station's own rule."""

import numpy as np
from numpy.typing import NDArray

from inspector.contract.verdict import Limits, Prediction, judge, worst
from training.evaluate import defect_scores

NOTHING_PASSES_NAN = Limits(review_at=1.0, reject_at=1.0)
"""Without limits of its own, a score counts by its height; one that is NaN outweighs all but a
certain defect, as the station does not let such a part pass."""


def standing(
    probabilities: NDArray[np.float32],
    pictures: NDArray[np.int64],
    labels: tuple[str, ...],
    good: tuple[str, ...],
) -> NDArray[np.int64]:
    """Of each picture the place of its worst row, in the order in which the pictures come.

    probabilities: rows x classes; pictures: the number of each row's picture. Whatever the limits
    are, the verdict of the worst row by score is the worst verdict of all: `worst` ranks verdicts
    as the limits rank scores.
    """
    scores = defect_scores(probabilities, labels, good).tolist()
    verdicts = [judge(Prediction("", "", score), NOTHING_PASSES_NAN) for score in scores]
    places: dict[int, list[int]] = {}
    for place, picture in enumerate(pictures.tolist()):
        places.setdefault(picture, []).append(place)
    return np.array(
        [
            mine[worst([verdicts[i] for i in mine], [scores[i] for i in mine])]
            for mine in places.values()
        ],
        np.int64,
    )


def farthest(novelty: NDArray[np.float32], pictures: NDArray[np.int64]) -> NDArray[np.float32]:
    """Of each picture the highest novelty of its rows, in the order in which the pictures come.

    One strange region is enough for the station not to decide. NaN outweighs every number.
    """
    _, first, place = np.unique(pictures, return_index=True, return_inverse=True)
    highest = np.full(len(first), -np.inf, np.float32)
    with np.errstate(invalid="ignore"):  # NaN is to be kept
        np.maximum.at(highest, place, novelty)
    return highest[np.argsort(first)]
