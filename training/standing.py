"""Which row stands for a picture: its worst region's, by the station's own rule."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.outputs import Outputs, joined, with_overview
from inspector.contract.verdict import Limits, Prediction, judge, worst
from training.evaluate import defect_scores
from training.layout import Layout

NOTHING_PASSES_NAN = Limits(review_at=1.0, reject_at=1.0)
"""Without limits of its own, a score counts by its height; one that is NaN outweighs all but a
certain defect, as the station does not let such a part pass."""


class Standing(NamedTuple):
    """What is said of pictures that were judged in tiles, in the order in which they come."""

    rows: NDArray[np.int64]
    """Of each picture the row that stands for it."""
    probabilities: NDArray[np.float32]
    """Of these rows, with the overview's say."""
    novelty: NDArray[np.float32] | None


def of_pictures(
    layout: Layout,
    rows: NDArray[np.int64],
    outputs: Outputs,
    labels: tuple[str, ...],
    good: tuple[str, ...],
) -> Standing:
    """outputs: what a model said of these rows. As the station makes a part's verdict of it."""
    acceptable = np.array([label in good for label in labels])
    pictures, overview = layout.picture[rows], layout.overview[rows]
    if overview.any():
        rows, outputs = _with_overviews(rows, outputs, pictures, overview, acceptable)
        pictures = layout.picture[rows]
    places = standing(outputs.probabilities, pictures, labels, good)
    novelty = None if outputs.novelty is None else farthest(outputs.novelty, pictures)
    return Standing(rows[places], outputs.probabilities[places], novelty)


def _with_overviews(
    rows: NDArray[np.int64],
    outputs: Outputs,
    pictures: NDArray[np.int64],
    overview: NDArray[np.bool_],
    good: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], Outputs]:
    """The rows that are tiles, and what is said of them."""
    tiles: list[NDArray[np.int64]] = []
    said: list[Outputs] = []
    for picture in dict.fromkeys(pictures.tolist()):
        (first, *_), mine = (
            np.flatnonzero((pictures == picture) & kind) for kind in (overview, ~overview)
        )
        tiles.append(mine)
        said.append(with_overview(outputs.of(np.append(first, mine)), good))
    return rows[np.concatenate(tiles)], joined(said)


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
