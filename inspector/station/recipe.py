"""What a station does for one product."""

from typing import Annotated

from pydantic import Field

from inspector.contract.errors import ConfigError
from inspector.contract.image import (
    TILES_MAX,
    Cutting,
    Image,
    Region,
    Tiling,
    seen_of,
    spread,
    whole,
)
from inspector.contract.regions import Grid as Grid
from inspector.contract.regions import Rectangle as Rectangle
from inspector.contract.regions import Rectangles as Rectangles
from inspector.contract.regions import RegionRule as RegionRule
from inspector.contract.regions import Tiles as Tiles
from inspector.contract.regions import WholeFrame as WholeFrame
from inspector.contract.strict import Name, Strict
from inspector.contract.verdict import Limits
from inspector.station.attest_rule import Attest


class FrameSize(Strict):
    """Of the camera's frames, in pixels."""

    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


class Recipe(Strict):
    """What a station does for one product. A new revision needs no restart."""

    name: Name
    bundle: Name
    """The bundle's id: the name of its folder below the station's `bundles`."""
    frame: FrameSize | None = None
    """A frame of another size is UNDEFINED: a camera that lost its set-up shows other pixels.
    Where it is left out, frames of any size are judged.
    """
    regions: RegionRule | None = None
    """Where they are left out, as the bundle was trained: on its tiles, or on the whole frame."""
    limits: Limits | None = None
    """Where they are left out, the bundle's own limits hold; novelty_at may be left out alone."""
    attest: Attest | None = None
    """A frame outside these limits is UNDEFINED; where they are left out, frames are measured only.
    """
    deadline_ms: Annotated[int, Field(gt=0, le=5_000)] = 500
    """From trigger to verdict. A later verdict is UNDEFINED: the part is rejected."""
    frame_timeout_ms: Annotated[int, Field(gt=0, le=5_000)] = 400
    """How long after the trigger a frame may take to come: less than until the next part."""


def limits_of(recipe: Recipe, bundle: Limits) -> Limits:
    """The limits parts are judged by.

    Raises ConfigError where the recipe limits a novelty that the bundle does not measure: no part
    could be judged.
    """
    own = recipe.limits
    if own is None:
        return bundle
    if own.novelty_at is not None and bundle.novelty_at is None:
        raise ConfigError(
            f"recipe {recipe.name}: limits.novelty_at {own.novelty_at:g}: bundle {recipe.bundle} "
            f"measures no novelty; leave it out"
        )
    return own.over(bundle)


def region_rule(recipe: Recipe, tiling: Tiling | None) -> RegionRule:
    """How a recipe cuts frames for a bundle that was trained on `tiling`, None: whole pictures.

    Raises ConfigError where the recipe would show a model of tiles another scale than it learned:
    its scores would mean nothing, and its limits would hold for nothing.
    """
    if recipe.regions is None:
        return WholeFrame() if tiling is None else Tiles(**tiling.cutting.model_dump())
    if tiling is None:
        return recipe.regions
    size = f'{{ kind = "tiles", width = {tiling.width}, height = {tiling.height} }}'
    rule = recipe.regions
    if not isinstance(rule, Tiles) or (rule.width, rule.height) != (tiling.width, tiling.height):
        raise ConfigError(
            f"recipe {recipe.name}: regions: bundle {recipe.bundle} judges tiles of {tiling}; "
            f"leave regions out, or write regions = {size}"
        )
    return rule


def regions_for(image: Image, recipe: Recipe, tiling: Tiling | None) -> tuple[Region, ...]:
    """The regions of one frame, for a bundle that was trained on `tiling`, an overview before them.

    Raises ValueError where the frame does not suit the recipe, ConfigError as `region_rule`.
    """
    require_size(image, recipe.frame)
    return regions_of(image, region_rule(recipe, tiling), tiling)


def require_size(image: Image, size: FrameSize | None) -> None:
    """Raises ValueError where the frame is not what the recipe was made for."""
    height, width = image.shape[:2]
    if size is not None and (width, height) != (size.width, size.height):
        raise ValueError(
            f"the picture is {width}x{height}, the recipe's frame {size.width}x{size.height}"
        )


def regions_of(image: Image, rule: RegionRule, tiling: Tiling | None = None) -> tuple[Region, ...]:
    """The regions of one frame. Raises ValueError where the frame is too small for the rule.

    tiling: the bundle's, for its border and its overview; no recipe has a word in them.
    """
    if image.size == 0:
        raise ValueError("an empty picture")
    frame = whole(image)
    if isinstance(rule, WholeFrame):
        return (frame,)
    if isinstance(rule, Rectangle):
        return (_inside(_region(rule), frame),)
    if isinstance(rule, Rectangles):
        return tuple(_inside(each, frame) for each in rule.regions)
    area = _inside(_region(rule.within), frame) if rule.within else frame
    if isinstance(rule, Tiles):
        own = {name: getattr(rule, name) for name in Cutting.model_fields}
        return seen_of(area, Tiling(**{**(tiling.model_dump() if tiling else {}), **own}))
    if rule.rows * rule.columns > TILES_MAX:
        raise ValueError(f"{rule.rows} x {rule.columns} tiles: at most {TILES_MAX}")
    columns = _spans(area.x, area.width, rule.columns, rule.overlap)
    rows = _spans(area.y, area.height, rule.rows, rule.overlap)
    return tuple(
        Region(name=f"r{r + 1}c{c + 1}", x=x, y=y, width=width, height=height)
        for r, (y, height) in enumerate(rows)
        for c, (x, width) in enumerate(columns)
    )


def _region(rule: Rectangle) -> Region:
    return Region(name="rectangle", x=rule.x, y=rule.y, width=rule.width, height=rule.height)


def _inside(region: Region, frame: Region) -> Region:
    right, bottom = region.x + region.width, region.y + region.height
    if right > frame.width or bottom > frame.height:
        raise ValueError(
            f"the region reaches to {right}x{bottom}, the picture is {frame.width}x{frame.height}"
        )
    return region


def _spans(start: int, length: int, count: int, overlap: int) -> list[tuple[int, int]]:
    """`count` equal spans that cover `length` whole, neighbours sharing at least `overlap`."""
    size = -(-(length + overlap * (count - 1)) // count)
    if size <= overlap and count > 1:
        raise ValueError(f"{count} tiles sharing {overlap} pixels do not fit in {length}")
    return [(first, size) for first in spread(start, length, count, size)]
