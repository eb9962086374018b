"""Where a recipe has the model look: the rules by which frames are cut, as files and commands have
them. What they mean for one frame is in station/recipe.py."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inspector.contract.image import Cutting, Region
from inspector.contract.strict import Strict

REGIONS_MAX = 64
"""Drawn one by one; a grid or tiles may be more."""
SIDE_MIN = 8
"""Pixels: as the smallest picture a model takes."""


class WholeFrame(Strict):
    """The frame is one region."""

    kind: Literal["whole"] = "whole"


class Rectangle(Strict):
    """One rectangle of the frame, in pixels."""

    kind: Literal["rectangle"] = "rectangle"
    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


class Rectangles(Strict):
    """Rectangles of the frame, each with its name. What none of them covers is not looked at."""

    kind: Literal["rectangles"] = "rectangles"
    regions: Annotated[tuple[Region, ...], Field(min_length=1, max_length=REGIONS_MAX)]

    @model_validator(mode="after")
    def _each_its_own(self) -> Self:
        names = [each.name for each in self.regions]
        if len(set(names)) < len(names):
            raise ValueError("each name once")
        small = [each.name for each in self.regions if min(each.width, each.height) < SIDE_MIN]
        if small:
            raise ValueError(f"{small[0]}: each side at least {SIDE_MIN} pixels")
        return self


class Grid(Strict):
    """The frame, or a rectangle of it, cut into tiles that share `overlap` pixels."""

    kind: Literal["grid"] = "grid"
    rows: Annotated[int, Field(ge=1, le=128)]
    columns: Annotated[int, Field(ge=1, le=128)]
    overlap: Annotated[int, Field(ge=0, le=1_024)] = 0
    within: Rectangle | None = None


class Tiles(Cutting):
    """The frame, or a rectangle of it, in tiles of one size in pixels, as many as it takes."""

    kind: Literal["tiles"] = "tiles"
    within: Rectangle | None = None


RegionRule = Annotated[
    WholeFrame | Rectangle | Rectangles | Grid | Tiles, Field(discriminator="kind")
]


def say_regions(rule: RegionRule | None) -> str:
    """In words, for a log and an audit."""
    match rule:
        case None:
            return "as the bundle was trained"
        case WholeFrame():
            return "the whole frame"
        case Rectangle():
            return _box("", rule)
        case Rectangles():
            return ", ".join(_box(each.name, each) for each in rule.regions)
        case Grid():
            overlap = f" sharing {rule.overlap} px" if rule.overlap else ""
            return f"grid {rule.rows} x {rule.columns}{overlap}{_within(rule.within)}"
        case Tiles():
            return f"tiles of {rule}{_within(rule.within)}"


def _within(area: Rectangle | None) -> str:
    return f" within {_box('', area)}" if area else ""


def _box(name: str, box: Rectangle | Region) -> str:
    return f"{name} {box.x},{box.y} {box.width}x{box.height}".strip()
