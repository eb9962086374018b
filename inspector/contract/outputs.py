"""What a bundle's model says of pictures, and what is made of it: here and in training."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.bundle import Golden, Manifest
from inspector.contract.verdict import Prediction

SUM_TOLERANCE = 0.02
"""Probabilities that sum to something else are none; an int8 softmax is this near."""
RANGE_TOLERANCE = 1e-4
OVERVIEW_SHARE = 1 / 3
"""Of an opinion that tile and overview have together: alone it is the weaker judge. Of 0, 1/5, 1/3,
1/2 and 2/3 this and 1/5 were the best on grouped magnetic tile (README, Figures)."""
LEAST = 1e-12
"""Of a probability whose logarithm is taken: what a network rounds to nothing."""


class Outputs(NamedTuple):
    """What the model gives, one row an image."""

    probabilities: NDArray[np.float32]
    defect_maps: NDArray[np.float32] | None
    """None where the bundle has none."""
    novelty: NDArray[np.float32] | None
    """None where the bundle measures none."""

    def of(self, rows: NDArray[np.int64]) -> "Outputs":
        """The same of these rows, in their order."""
        probabilities, maps, novelty = self
        return Outputs(
            probabilities[rows],
            None if maps is None else maps[rows],
            None if novelty is None else novelty[rows],
        )


def defect_score(probabilities: NDArray[np.float32], good: NDArray[np.bool_]) -> float:
    """One minus what the acceptable classes have; NaN where these are no probabilities."""
    row = probabilities.astype(np.float64)
    low, high, total = float(row.min()), float(row.max()), float(row.sum())
    # written so that NaN, which compares false with everything, fails too
    if not (low >= -RANGE_TOLERANCE and high <= 1.0 + RANGE_TOLERANCE):
        return math.nan
    if not abs(total - 1.0) <= SUM_TOLERANCE:
        return math.nan
    return min(1.0, max(0.0, 1.0 - float(row[good].sum())))


def with_overview(outputs: Outputs, good: NDArray[np.bool_]) -> Outputs:
    """What is said of tiles, once the whole picture has been looked at too.

    outputs: the overview's row first, then a row a tile, which are returned; good: which classes
    are acceptable. Whether a tile is good is told by the weighted mean of both log-odds (a
    logarithmic opinion pool: Genest and Zidek 1986, Statistical Science 1, p. 119), of which kind
    by the sum of both; its novelty is the higher one. NaN where either is no probabilities.
    """
    rows = outputs.probabilities.astype(np.float64)
    rows[[math.isnan(defect_score(row, good)) for row in outputs.probabilities]] = np.nan
    bad = np.maximum(rows[:, ~good].sum(axis=1), LEAST)
    fine = np.maximum(rows[:, good].sum(axis=1), LEAST)
    odds = (bad[1:] / fine[1:]) ** (1.0 - OVERVIEW_SHARE) * (bad[0] / fine[0]) ** OVERVIEW_SHARE
    kinds = np.maximum(rows[1:] + rows[0], LEAST)
    for mine, share in ((~good, odds / (1.0 + odds)), (good, 1.0 / (1.0 + odds))):
        kinds[:, mine] *= (share / kinds[:, mine].sum(axis=1))[:, None]
    maps, novelty = outputs.defect_maps, outputs.novelty
    return Outputs(
        kinds.astype(np.float32),
        None if maps is None else maps[1:],
        None if novelty is None else np.maximum(novelty[1:], novelty[0]),
    )


def expected_of(manifest: Manifest) -> Outputs:
    """What the manifest says of its golden pictures, a row each."""
    golden = manifest.golden
    novelty = None if golden[0].novelty is None else [each.novelty for each in golden]
    return Outputs(
        np.array([each.probabilities for each in golden], np.float32),
        None,
        None if novelty is None else np.array(novelty, np.float32),
    )


def golden_parts(manifest: Manifest, outputs: Outputs) -> tuple[list[Golden], Outputs]:
    """What is said of the parts of which the golden pictures are: the overview has its say.

    outputs: a row for each golden picture; returned is one for each that is no overview.
    """
    parts = [each for each in manifest.golden if not each.overview]
    if len(parts) == len(manifest.golden):
        return parts, outputs
    good = acceptable(manifest)
    tiles = range(0, len(manifest.golden), 2)
    return parts, joined([with_overview(outputs.of(np.array([i + 1, i])), good) for i in tiles])


def joined(parts: Sequence[Outputs]) -> Outputs:
    """The same in one, in their order."""
    maps = [each.defect_maps for each in parts if each.defect_maps is not None]
    novelty = [each.novelty for each in parts if each.novelty is not None]
    return Outputs(
        np.concatenate([each.probabilities for each in parts]),
        np.concatenate(maps) if maps else None,
        np.concatenate(novelty) if novelty else None,
    )


def scored(outputs: Outputs, good: NDArray[np.bool_]) -> list[Prediction]:
    """Each row as `judge` takes it, without names."""
    rows, _, novelty = outputs
    far = [None] * len(rows) if novelty is None else novelty.tolist()
    return [
        Prediction("", "", defect_score(row, good), novelty=each)
        for row, each in zip(rows, far, strict=True)
    ]


def acceptable(manifest: Manifest) -> NDArray[np.bool_]:
    """Which of the classes a part may have and pass."""
    return np.array([label in manifest.good for label in manifest.labels])
