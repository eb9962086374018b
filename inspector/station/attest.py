"""Is this frame fit to be judged? Figures of one picture, and the recipe's limits for them.

Pure functions on a sample of the pixels:

    sharpness    how much steeper the strongest edges are than after a blur of 2 px; noise
                 cancels out: a lens out of focus, also in a noisy picture
    detail       the same where the picture changes most, noise included: pixels smoothed
    brightness   mean of all channels, 0..255: light off or drifting, wrong exposure
    dark bright  share of pixels at either end of the range: a covered lens, saturation
    blank        share of lines in which nothing changes: half a frame, one line repeated
    colour       mean spread of the three channels: grey instead of colour, and the reverse
    cast         red less blue, mean: channels swapped, another lamp
    shift_px     how far the landmark that moved most has moved: camera or fixture moved, turned
    match        how like itself the least like landmark is, -1..1: torn, hidden, another view

Edges against a blur of known width: Zhuo and Sim, Pattern Recognition 44 (2011). Landmarks are
small pieces of the reference that all good parts show alike (`inspector commission` finds them),
looked for around their places by normalised cross-correlation. Phase correlation of whole pictures
lost its peak to sensor noise and to the parts' own texture; profiles of halves lost it to the
latter.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.contract.image import Image
from inspector.station.attest_rule import (
    FIGURES,
    LANDMARK,
    REFERENCE_WIDTH,
    SEARCH,
    Attest,
    Plane,
    View,
    view_of,
)

LINES = 96
"""Rows, and columns, in which edges are looked for."""
SAMPLE_PIXELS = 100_000
BLUR_PX = 2.0
MARGIN = 8
EDGE_MIN, DETAIL_MIN = 2.0, 8.0
"""Grey levels over two pixels: less is no edge."""
DARK_TO, BRIGHT_FROM = 3, 252
STILL = 0.25
"""Grey levels from pixel to pixel; any live sensor's noise is above it."""


@dataclass(frozen=True, slots=True)
class Attested:
    """What was found of one frame."""

    figures: dict[str, float]
    fault: str | None
    """Why the part must not be judged by it; None where every figure is within its limits."""


def attest(image: Image, rule: Attest | None) -> Attested:
    """Measure a frame and hold it against the recipe's limits; without any, only measure."""
    try:
        found = figures(image, view_of(rule) if rule else None)
    except ValueError as error:
        return Attested({}, str(error))
    for name in FIGURES:
        limits = getattr(rule, name) if rule else None
        if limits is None:
            continue
        value = found.get(name)
        if value is None:
            return Attested(found, f"{name} cannot be measured in this picture")
        fault = limits.broken_by(value)
        if fault:
            return Attested(found, f"{name} {value:.4g} is {fault}")
    return Attested(found, None)


def figures(image: Image, view: View | None) -> dict[str, float]:
    """Every figure that this picture has. image: height x width x 3, BGR, uint8.

    Raises ValueError where the picture is not of the
    reference's form; measures nothing where it is no picture at all.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        return {}  # `fit` will say what it is
    found = _light(image)
    green = image[:, :, 1]
    if min(green.shape) > 2 * MARGIN + 2:
        rows = np.ascontiguousarray(green[:: max(1, green.shape[0] // LINES)])
        # read along the rows: down the columns every pixel would be a cache line of its own
        columns = np.ascontiguousarray(
            np.ascontiguousarray(green[:, :: max(1, green.shape[1] // LINES)]).T
        )
        sharpness, detail = zip(_edges(rows), _edges(columns), strict=True)
        found["sharpness"] = sum(sharpness) / 2
        found["detail"] = sum(detail) / 2
        found["blank"] = _blank(green)
    if view is not None:
        shift, found["match"] = registration(reduced(image), view)
        found["shift_px"] = shift * image.shape[1] / view.reference.shape[1]
    return {name: round(float(value), 4) for name, value in found.items()}


def same_pixels(image: Image, other: Image) -> bool:
    """Whether two frames are equal to the last bit. Live sensors' noise ends this at once."""
    if image.shape != other.shape:
        return False
    step = 32
    return all(
        np.array_equal(image[y : y + step], other[y : y + step])
        for y in range(0, image.shape[0], step)
    )


def reduced(image: Image) -> Plane:
    """The picture as the registration sees it: grey, at most REFERENCE_WIDTH wide, float32."""
    height, width = image.shape[:2]
    to = min(REFERENCE_WIDTH, width)
    step = max(1, width // (2 * to))  # an area mean of all pixels would take 5 ms
    sample = np.ascontiguousarray(image[::step, ::step, 1])
    size = (to, max(1, round(to * height / width)))
    return cv2.resize(sample, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _light(image: Image) -> dict[str, float]:
    step = max(1, round((image.shape[0] * image.shape[1] / SAMPLE_PIXELS) ** 0.5))
    rows = np.ascontiguousarray(image[::step])
    pixels = np.ascontiguousarray(rows.view("V3")[:, ::step])  # whole pixels: half the time
    blue, green, red = cv2.split(pixels.view(np.uint8).reshape(*pixels.shape[:2], 3))
    most = cv2.max(cv2.max(blue, green), red)
    least = cv2.min(cv2.min(blue, green), red)
    means = [cv2.mean(each)[0] for each in (blue, green, red)]
    return {
        "brightness": sum(means) / 3,
        "dark": float(np.count_nonzero(most <= DARK_TO)) / most.size,
        "bright": float(np.count_nonzero(most >= BRIGHT_FROM)) / most.size,
        "colour": cv2.mean(most)[0] - cv2.mean(least)[0],
        "cast": means[2] - means[0],
    }


def _edges(lines: Plane) -> tuple[float, float]:
    """(sharpness, detail) along the lines; 1 would be a picture that a blur does not change.

    Both are a step's height over its height after the blur, at one place a line. Sharpness looks
    where the blurred picture is steepest, so that noise has no say in where, and keeps the sign, so
    that it cancels out.
    """
    blurred = cv2.GaussianBlur(lines, (13, 1), BLUR_PX)
    inner = slice(MARGIN, -MARGIN - 2), slice(MARGIN + 2, -MARGIN)
    # whole numbers until the places are known: all pixels as floats would take four times as long
    step = cv2.absdiff(lines[:, inner[1]], lines[:, inner[0]])
    soft = cv2.absdiff(blurred[:, inner[1]], blurred[:, inner[0]])
    line = np.arange(len(lines))
    at = soft.argmax(axis=1)
    soft_at = soft[line, at].astype(np.float32)
    same_sign = _signed(lines, line, at) * np.sign(_signed(blurred, line, at))
    sharpness = _ratio(same_sign, soft_at, soft_at, EDGE_MIN)
    at = step.argmax(axis=1)
    step_at = step[line, at].astype(np.float32)
    detail = _ratio(step_at, soft[line, at].astype(np.float32), step_at, DETAIL_MIN)
    return sharpness, detail


def _signed(lines: Plane, line: NDArray[np.intp], at: NDArray[np.intp]) -> Plane:
    """The step over two pixels at one place of each line, with its sign."""
    right, left = lines[line, at + MARGIN + 2], lines[line, at + MARGIN]
    return right.astype(np.float32) - left.astype(np.float32)


def _ratio(top: Plane, bottom: Plane, height: Plane, at_least: float) -> float:
    edge = height >= at_least
    return float(top[edge].sum() / max(bottom[edge].sum(), 1e-6)) if edge.any() else 0.0


def _blank(green: Plane) -> float:
    """Lines that are flat, or that the next one repeats."""
    step = max(1, (green.shape[0] - 1) // LINES)
    lines = np.ascontiguousarray(green[:-1:step])
    below = np.ascontiguousarray(green[1::step])[: len(lines)]
    lines = lines[: len(below)]
    along = cv2.reduce(
        cv2.absdiff(lines[:, 1:], lines[:, :-1]), 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F
    )
    down = cv2.reduce(cv2.absdiff(lines, below), 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F)
    return float((np.minimum(along, down) < STILL).mean())


def registration(picture: Plane, view: View) -> tuple[float, float]:
    """(shift in pixels of the reduced picture, match): the most, and the least, of the landmarks.

    Raises ValueError where the picture, reduced, is not of the reference's form.
    """
    if picture.shape != view.reference.shape:
        raise ValueError(
            f"the picture reduces to {picture.shape[1]}x{picture.shape[0]}, "
            f"the reference is {view.reference.shape[1]}x{view.reference.shape[0]}"
        )
    found = [look_for(at, picture, view.reference) for at in view.landmarks]
    return max(shift for shift, _ in found), min(match for _, match in found)


def look_for(landmark: tuple[int, int], picture: Plane, reference: Plane) -> tuple[float, float]:
    """(how far it is from its place, how like itself it is there)."""
    x, y = landmark
    left, top = max(0, x - SEARCH), max(0, y - SEARCH)
    window = picture[top : y + LANDMARK + SEARCH, left : x + LANDMARK + SEARCH]
    piece = reference[y : y + LANDMARK, x : x + LANDMARK]
    likeness = cv2.matchTemplate(window, piece, cv2.TM_CCOEFF_NORMED)
    _, match, _, (column, row) = cv2.minMaxLoc(likeness)
    across = left + column + _between(likeness[row], column) - x
    down = top + row + _between(likeness[:, column], row) - y
    return float(np.hypot(across, down)), float(np.nan_to_num(match))


def _between(curve: Plane, peak: int) -> float:
    """Where a parabola through the peak and its neighbours has its top."""
    if not 0 < peak < len(curve) - 1:
        return 0.0
    left, middle, right = (float(each) for each in curve[peak - 1 : peak + 2])
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0
