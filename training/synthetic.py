"""Defects that nobody has photographed yet, painted on good pictures.

A network that was only shown the line's known defects may take another one for good. Shown painted
ones it learns where good ends, not just where its classes are: outlier exposure (Hendrycks et al.
2019), with a patch cut from another place (CutPaste, Li et al. 2021), irregular areas (DRAEM,
Zavrtanik et al. 2021) and blended edges (NSA, Schlueter et al. 2022). They teach "some defect", not
which: the target is the same share of every defect class. Nothing of it is left at the station.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from training.plan_synthetic import Kind, Synthetic

VISIBLE = 12.0
"""Grey levels, root mean square in the painted area: less may be no defect to anybody."""
TRIES = 8
FIELD = 5
"""Cells of the noise that makes an edge irregular."""
EDGE_PX = (0.5, 1.5)
"""Standard deviation of the edge's blur."""

Picture = NDArray[np.uint8]
Mask = NDArray[np.float32]


def painted(
    picture: Picture, donor: Callable[[], Picture], how: Synthetic, rng: np.random.Generator
) -> Picture | None:
    """The picture with one defect on it; None where none that can be seen came about.

    picture: height x width x 3. donor: gives any other one, of which patches are.
    """
    for _ in range(TRIES):
        kind = how.kinds[rng.integers(len(how.kinds))]
        alpha = _area(kind, picture.shape[:2], how, rng)
        within = alpha > 0.5
        if not within.any():
            continue
        filled = _fill(kind, picture, donor, rng)
        change = alpha[..., None] * (filled - picture)
        if float(np.sqrt(np.square(change[within]).mean())) >= VISIBLE:
            return np.clip(np.rint(picture + change), 0, 255).astype(np.uint8)
    return None


def _area(kind: Kind, shape: tuple[int, int], how: Synthetic, rng: np.random.Generator) -> Mask:
    """0 to 1, with a soft edge: how much of each pixel is covered."""
    height, width = shape
    side = float(np.exp(rng.uniform(*np.log(how.size)))) * min(height, width)
    centre = rng.uniform((0.0, 0.0), (width, height))
    drawn = _scratch if kind == "scratch" else _blob
    mask = drawn(shape, centre, side, rng)
    soft = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(*EDGE_PX))).astype(np.float32)
    return soft / max(float(soft.max()), 0.1)  # a line of one pixel is not to vanish


def _blob(
    shape: tuple[int, int], centre: NDArray[np.float64], side: float, rng: np.random.Generator
) -> Mask:
    """An ellipse, at most `side` long, with an irregular edge."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, ratio = rng.uniform(0.0, np.pi), rng.uniform(0.35, 1.0)
    along = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    across = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
    radius = np.hypot(along, across / ratio) / max(1.0, side / 2.0)
    coarse = rng.uniform(-0.7, 0.7, (FIELD, FIELD)).astype(np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    mask: Mask = (radius + noise < 1.0).astype(np.float32)
    return mask


def _scratch(
    shape: tuple[int, int], centre: NDArray[np.float64], side: float, rng: np.random.Generator
) -> Mask:
    """A bent line, one to three pixels wide at 128, three times as long as a blob."""
    angle, steps = rng.uniform(0.0, np.pi), 6
    turns = angle + np.cumsum(rng.normal(0.0, 0.25, steps))
    strides = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (3.0 * side / steps)
    points = centre + np.cumsum(strides, axis=0) - strides.sum(axis=0) / 2.0
    thickness = max(1, round(float(rng.uniform(1.0, 3.0)) * min(shape) / 128.0))
    mask = np.zeros(shape, np.float32)
    line = np.rint(points).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(mask, [line], isClosed=False, color=(1.0,), thickness=thickness)
    return mask


def _fill(
    kind: Kind, picture: Picture, donor: Callable[[], Picture], rng: np.random.Generator
) -> NDArray[np.float32]:
    """What the area shows: other material, or the same darker or brighter and rougher."""
    if kind == "patch":
        turned = np.rot90(donor(), 2 * int(rng.integers(2)))
        shift = rng.integers((0, 0), turned.shape[:2])
        moved: Picture = np.roll(turned, tuple(shift.tolist()), axis=(0, 1))
        return moved.astype(np.float32)
    strength = rng.uniform(0.35, 0.9) if rng.random() < 0.5 else rng.uniform(1.1, 1.6)
    offset = rng.uniform(0.0, 50.0) * np.sign(strength - 1.0)
    rough = rng.normal(0.0, rng.uniform(0.0, 12.0), (*picture.shape[:2], 1))
    filled: NDArray[np.float32] = (picture * strength + offset + rough).astype(np.float32)
    return filled
