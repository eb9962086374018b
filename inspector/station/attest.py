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
    shift_px     how far the picture is from the reference: camera or fixture moved, turned, torn
    match        how like the reference it is there, 0..1: another product, another view

Edges against a blur of known width: Zhuo and Sim, Pattern Recognition 44 (2011). The shift is that
of row and column profiles of the picture's halves, each against the reference's: what differs from
part to part averages out, and a turned or torn picture moves its halves apart. Phase correlation
of whole pictures (cv2.phaseCorrelate) lost its peak to sensor noise and the parts' own texture.
"""

import base64
import binascii
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inspector.contract.image import Image
from inspector.contract.strict import Strict

LINES = 96
"""Rows, and columns, in which edges are looked for."""
SAMPLE_PIXELS = 100_000
REFERENCE_WIDTH = 240
BLUR_PX = 2.0
MARGIN = 8
EDGE_MIN, DETAIL_MIN = 2.0, 8.0
"""Grey levels over two pixels: less is no edge."""
DARK_TO, BRIGHT_FROM = 3, 252
STILL = 0.25
"""Grey levels from pixel to pixel; any live sensor's noise is above it."""

Plane = NDArray[Any]


class Range(Strict):
    """Limits of one figure; either end may be left out."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} must not be above max {self.max:g}")
        return self

    def broken_by(self, value: float) -> str | None:
        """In words; None where the value is within. What is no number is outside."""
        if self.min is not None and not value >= self.min:
            return f"below {self.min:.4g}"
        if self.max is not None and not value <= self.max:
            return f"above {self.max:.4g}"
        return None


class Attest(Strict):
    """What a frame must be to be judged; `inspector commission` finds these from good parts.

    A figure that is left out is measured and is in the result, but stops nothing.
    """

    sharpness: Range | None = None
    detail: Range | None = None
    brightness: Range | None = None
    dark: Range | None = None
    bright: Range | None = None
    blank: Range | None = None
    colour: Range | None = None
    cast: Range | None = None
    shift_px: Range | None = None
    match: Range | None = None
    may_repeat: bool = False
    """True: a live camera may show the same pixels twice. Only a test pattern does."""
    reference: Annotated[str, Field(max_length=65_536)] | None = None
    """The picture that shift_px and match are measured against: reduced, a JPEG in base64."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if (self.shift_px or self.match) and self.reference is None:
            raise ValueError("shift_px and match need a reference: run `inspector commission`")
        if self.reference is not None:
            reference_of(self.reference)
        return self


FIGURES = tuple(name for name in Attest.model_fields if name not in ("may_repeat", "reference"))


@dataclass(frozen=True, slots=True)
class Attested:
    """What was found of one frame."""

    figures: dict[str, float]
    fault: str | None
    """Why the part must not be judged by it; None where every figure is within its limits."""


def attest(image: Image, rule: Attest | None) -> Attested:
    """Measure a frame and hold it against the recipe's limits; without any, only measure."""
    reference = reference_of(rule.reference) if rule and rule.reference else None
    try:
        found = figures(image, reference)
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


def figures(image: Image, reference: Plane | None) -> dict[str, float]:
    """Every figure that this picture has. image: height x width x 3, BGR, uint8.

    reference: from `reduced` or `reference_of`. Raises ValueError where the picture is not of the
    reference's form; measures nothing where it is no picture at all.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        return {}  # `fit` will say what it is
    found = _light(image)
    green = image[:, :, 1]
    if min(green.shape) > 2 * MARGIN + 2:
        rows = np.ascontiguousarray(green[:: max(1, green.shape[0] // LINES)])
        columns = np.ascontiguousarray(green[:, :: max(1, green.shape[1] // LINES)].T)
        sharpness, detail = zip(_edges(rows), _edges(columns), strict=True)
        found["sharpness"] = sum(sharpness) / 2
        found["detail"] = sum(detail) / 2
        found["blank"] = _blank(green)
    if reference is not None:
        shift, found["match"] = _shift(reduced(image), reference)
        found["shift_px"] = shift * image.shape[1] / reference.shape[1]
    return {name: round(float(value), 4) for name, value in found.items()}


def same_pixels(image: Image, other: Image) -> bool:
    """Whether two frames are equal to the last bit. Live sensors' noise ends this at once."""
    if image.shape != other.shape:
        return False
    step = 64
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


def reference_text(picture: Plane) -> str:
    """A reduced picture as it stands in a recipe: a JPEG in base64."""
    _, jpeg = cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8))
    return base64.b64encode(jpeg.tobytes()).decode()


@lru_cache(maxsize=8)
def reference_of(text: str) -> Plane:
    """The reduced picture in a recipe. Raises ValueError where there is none."""
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("reference: is not base64") from None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if picture is None or min(picture.shape) < 8 or picture.shape[1] > REFERENCE_WIDTH:
        raise ValueError("reference: is not a picture that `inspector commission` wrote")
    return picture.astype(np.float32)


def _light(image: Image) -> dict[str, float]:
    step = max(1, round((image.shape[0] * image.shape[1] / SAMPLE_PIXELS) ** 0.5))
    blue, green, red = cv2.split(np.ascontiguousarray(image[::step, ::step]))
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
    blurred = cv2.GaussianBlur(lines, (13, 1), BLUR_PX).astype(np.float32)
    raw = lines.astype(np.float32)
    inner = slice(MARGIN, -MARGIN - 2), slice(MARGIN + 2, -MARGIN)
    step = raw[:, inner[1]] - raw[:, inner[0]]
    soft = blurred[:, inner[1]] - blurred[:, inner[0]]
    line = np.arange(len(lines))
    at = np.abs(soft).argmax(axis=1)
    soft_at = soft[line, at]
    sharpness = _ratio(
        step[line, at] * np.sign(soft_at), np.abs(soft_at), np.abs(soft_at), EDGE_MIN
    )
    at = np.abs(step).argmax(axis=1)
    step_at = np.abs(step[line, at])
    detail = _ratio(step_at, np.abs(soft[line, at]), step_at, DETAIL_MIN)
    return sharpness, detail


def _ratio(top: Plane, bottom: Plane, height: Plane, at_least: float) -> float:
    edge = height >= at_least
    return float(top[edge].sum() / max(bottom[edge].sum(), 1e-6)) if edge.any() else 0.0


def _blank(green: Plane) -> float:
    """Lines that are flat, or that the next one repeats."""
    step = max(1, (green.shape[0] - 1) // LINES)
    lines = np.ascontiguousarray(green[:-1:step])
    below = np.ascontiguousarray(green[1::step])[: len(lines)]
    lines = lines[: len(below)]
    along = cv2.absdiff(lines[:, 1:], lines[:, :-1]).mean(axis=1)
    down = cv2.absdiff(lines, below).mean(axis=1)
    return float((np.minimum(along, down) < STILL).mean())


def _shift(picture: Plane, reference: Plane) -> tuple[float, float]:
    """(shift in pixels of these, match 0..1): the largest, and the least, of four halves."""
    if picture.shape != reference.shape:
        raise ValueError(
            f"the picture reduces to {picture.shape[1]}x{picture.shape[0]}, "
            f"the reference is {reference.shape[1]}x{reference.shape[0]}"
        )
    pairs = zip(_profiles(picture), _profiles(reference), strict=True)
    found = [_offset(one, other) for one, other in pairs]
    return max(abs(offset) for offset, _ in found), min(match for _, match in found)


def _profiles(picture: Plane) -> list[Plane]:
    """How the mean changes along: top half, bottom half, left half, right half."""
    y, x = picture.shape[0] // 2, picture.shape[1] // 2
    means = [picture[:y].mean(0), picture[y:].mean(0)]
    means += [picture[:, :x].mean(1), picture[:, x:].mean(1)]
    return [np.gradient(each) * np.hanning(len(each)) for each in means]


def _offset(one: Plane, other: Plane) -> tuple[float, float]:
    """Where the cross-correlation peaks, to a fraction of a pixel, and its height there."""
    scale = float(np.linalg.norm(one) * np.linalg.norm(other))
    if scale <= 0.0:
        return 0.0, 0.0
    curve = np.correlate(one, other, mode="full") / scale
    peak = int(curve.argmax())
    offset = float(peak - (len(other) - 1))
    if 0 < peak < len(curve) - 1:
        left, middle, right = curve[peak - 1 : peak + 2]
        bend = left - 2 * middle + right
        offset += 0.5 * float((left - right) / bend) if bend else 0.0
    return offset, max(0.0, float(curve[peak]))
