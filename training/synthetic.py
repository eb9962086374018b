"""Defects that nobody has photographed yet, painted on good pictures.

A network that was only shown the line's known defects may take another one for good. Shown painted
ones it learns where good ends, not just where its classes are: outlier exposure (Hendrycks et al.
2019), with a patch cut from another place (CutPaste, Li et al. 2021), irregular areas (DRAEM,
Zavrtanik et al. 2021) and blended edges (NSA, Schlueter et al. 2022), or with another finish from
a line onwards, as grinding or a coat of paint leaves it. They teach "some defect", not
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
ZONE_VISIBLE = 8.0
"""As VISIBLE, of a zone: a large area is told from its surroundings sooner."""
GRAIN_PX = 9.0
"""What varies within so many pixels is a surface's grain."""
ZONE_BRIGHTNESS = (0.85, 1.2)

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
        if not within.any() or within.all():
            continue
        filled = _fill(kind, picture, within, donor, rng)
        change = alpha[..., None] * (filled - picture)
        least = ZONE_VISIBLE if kind == "zone" else VISIBLE
        if float(np.sqrt(np.square(change[within]).mean())) >= least:
            return np.clip(np.rint(picture + change), 0, 255).astype(np.uint8)
    return None


def _area(kind: Kind, shape: tuple[int, int], how: Synthetic, rng: np.random.Generator) -> Mask:
    """0 to 1, with a soft edge: how much of each pixel is covered."""
    if kind == "zone":
        mask = _beyond(shape, rng)
    else:
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


def _beyond(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """What lies beyond a line across the picture, or between two; most run along its sides."""
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y / height - 0.5, x / width - 0.5
    askew = rng.normal(0.0, 0.12) if rng.random() < 0.75 else rng.uniform(-0.8, 0.8)
    angle = rng.integers(4) * np.pi / 2.0 + askew
    across = x * np.cos(angle) + y * np.sin(angle)
    along = y * np.cos(angle) - x * np.sin(angle)
    bend = rng.normal(0.0, 0.15) * along**2
    ripple = rng.normal(0.0, 0.004) * np.sin(along * rng.uniform(10.0, 60.0))
    line = rng.uniform(-0.35, 0.35) + bend + ripple
    end = line + rng.uniform(0.1, 0.5) if rng.random() < 0.3 else np.inf
    mask: Mask = ((across > line) & (across < end)).astype(np.float32)
    return mask


def _finish(
    picture: Picture,
    within: NDArray[np.bool_],
    donor: Callable[[], Picture],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Another finish of the surface: another picture's, its grain alone, or the same grain more or
    less marked. within: where it will be seen, height x width.
    """
    how = rng.integers(3)
    other = (donor() if how < 2 else picture).astype(np.float32)
    if how == 0:
        return other
    brightness = np.float32(rng.uniform(*ZONE_BRIGHTNESS))
    if how == 1:
        level, own = np.float32(other[within].mean()), np.float32(picture[within].mean())
        marked = np.float32(rng.uniform(0.6, 1.6))
        alike: NDArray[np.float32] = (other - level) * marked + own * brightness
        return alike
    smooth = cv2.GaussianBlur(other, (0, 0), GRAIN_PX).astype(np.float32)
    marked = np.float32(rng.uniform(1.6, 3.0) if rng.random() < 0.6 else rng.uniform(0.0, 0.5))
    changed: NDArray[np.float32] = (other - smooth) * marked + smooth * brightness
    return changed


def _fill(
    kind: Kind,
    picture: Picture,
    within: NDArray[np.bool_],
    donor: Callable[[], Picture],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """What the area shows: other material, or the same darker or brighter and rougher."""
    if kind == "zone":
        return _finish(picture, within, donor, rng)
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
