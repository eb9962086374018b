"""What a recipe demands of a frame: a range for each figure, and the view it was learned from."""

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inspector.contract.strict import Strict

REFERENCE_WIDTH = 240
LANDMARK, SEARCH = 25, 12
"""Side of a landmark, and how far around its place it is looked for, in the reduced picture."""

Plane = NDArray[Any]
"""One channel, rows x columns."""


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

    def used_by(self, value: float) -> float:
        """How near a value is to the end of the range: 1 is at it, more is outside.

        Between two ends it is 0 in the middle; with one end it is the ratio to it.
        """
        if math.isnan(value):
            return math.inf
        if self.min is not None and self.max is not None:
            half = (self.max - self.min) / 2
            return _ratio(abs(value - (self.min + half)), half)
        if self.max is not None:
            return _ratio(value, self.max)
        low = self.min or 0.0
        return _ratio(low, value) if low > 0.0 else _ratio(-value, -low)


def _ratio(value: float, of: float) -> float:
    """0 or more; with nothing allowed, nothing is all of it."""
    if of > 0.0:
        return max(0.0, value / of)
    return 1.0 if value <= of else math.inf


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
    landmarks: Annotated[tuple[tuple[int, int], ...], Field(max_length=8)] = ()
    """Left and top of each, in the reduced picture."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if (self.shift_px or self.match) and not (self.reference and self.landmarks):
            text = "need a reference and landmarks: run `inspector commission`"
            raise ValueError(f"shift_px and match {text}")
        view_of(self)
        return self

    def used_by(self, figures: Mapping[str, float]) -> dict[str, float]:
        """How near each figure that has limits is to them, as `Range.used_by`."""
        ranges = {name: getattr(self, name) for name in FIGURES if name in figures}
        return {name: each.used_by(figures[name]) for name, each in ranges.items() if each}


NO_FIGURES = ("may_repeat", "reference", "landmarks")
FIGURES = tuple(name for name in Attest.model_fields if name not in NO_FIGURES)


@dataclass(frozen=True, slots=True)
class View:
    """What a station sees when nothing has moved."""

    reference: Plane
    """From `reduced`."""
    landmarks: tuple[tuple[int, int], ...]


def reference_text(picture: Plane) -> str:
    """A reduced picture as it stands in a recipe: a JPEG in base64."""
    _, jpeg = cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8))
    return base64.b64encode(jpeg.tobytes()).decode()


def view_of(rule: Attest) -> View | None:
    """None where the recipe has no landmarks. Raises ValueError where they lie outside."""
    if rule.reference is None:
        return None
    reference = reference_of(rule.reference)
    if not rule.landmarks:
        return None
    height, width = reference.shape
    for x, y in rule.landmarks:
        if not (0 <= x <= width - LANDMARK and 0 <= y <= height - LANDMARK):
            raise ValueError(f"landmarks: {x}, {y} is not in the reference of {width}x{height}")
    return View(reference, rule.landmarks)


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
