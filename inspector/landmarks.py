"""Where a picture shows the same, in the same place, whatever part is in it."""

from collections.abc import Sequence
from itertools import product

import cv2
import numpy as np

from inspector.station.attest import look_for
from inspector.station.attest_rule import LANDMARK, Plane

CANDIDATES = 8
"""Tried in each quarter of the picture."""
MATCH_MIN = 0.6
WANDERS_MAX = 1.5
"""In pixels of the reduced picture."""


def landmarks(small: Sequence[Plane], reference: Plane) -> tuple[tuple[int, int], ...]:
    """The best of each quarter of the picture, as far as there are any that hold."""
    corners = cv2.cornerMinEigenVal(reference, 5)
    strength = cv2.boxFilter(corners, -1, (LANDMARK, LANDMARK), normalize=True)
    half = LANDMARK // 2
    inner = strength[half : -half - 1, half : -half - 1]  # where a whole landmark has room
    middle = inner.shape[0] // 2, inner.shape[1] // 2
    chosen = []
    halves = [(slice(0, at), slice(at, None)) for at in middle]
    for rows, columns in product(*halves):
        quarter = inner[rows, columns].copy()
        tried = [
            _strongest(quarter, rows.start or 0, columns.start or 0) for _ in range(CANDIDATES)
        ]
        rated = [(_holds(at, small, reference), at) for at in tried]
        best, at = max(rated)
        if best >= MATCH_MIN:
            chosen.append(at)
    return tuple(chosen)


def _strongest(quarter: Plane, top: int, left: int) -> tuple[int, int]:
    """Left and top of the piece with most contrast; its surroundings are not tried again."""
    y, x = (int(each) for each in np.unravel_index(quarter.argmax(), quarter.shape))
    around = LANDMARK // 3
    quarter[max(0, y - around) : y + around, max(0, x - around) : x + around] = -1.0
    return left + x, top + y


def _holds(at: tuple[int, int], small: Sequence[Plane], reference: Plane) -> float:
    """How like itself a landmark stays over all good parts; 0 where it wanders."""
    found = [look_for(at, each, reference) for each in small]
    wanders = float(np.quantile([shift for shift, _ in found], 0.95))
    likeness = float(np.quantile([match for _, match in found], 0.05))
    return likeness if wanders <= WANDERS_MAX else 0.0
