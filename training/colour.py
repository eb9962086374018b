"""Which steps of an augmentation look at colours: to them it matters which channel is red."""

from collections.abc import Mapping
from typing import Any

_ALIKE = frozenset(
    {
        "Affine",
        "Blur",
        "D4",
        "GaussianBlur",
        "HorizontalFlip",
        "Perspective",
        "RandomBrightnessContrast",
        "RandomGamma",
        "RandomRotate90",
        "Rotate",
        "ShiftScaleRotate",
        "SquareSymmetry",
        "Transpose",
        "VerticalFlip",
    }
)
"""Steps that treat all channels alike, but for what they fill in."""


def sees_colour(name: str, options: Mapping[str, Any]) -> bool:
    """Whether a step's views hang on the order of the channels."""
    return name not in _ALIKE or "fill" in options
