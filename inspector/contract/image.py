"""The only code that shapes pixels before the model: training and station both call it."""

import math
from typing import Annotated, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from inspector.contract.strict import Name, Strict

Pixels = Annotated[int, Field(ge=8, le=8192)]
Border = Annotated[int, Field(ge=0, le=1024, exclude_if=lambda pixels: not pixels)]
"""Left out of files where there is none: bundles without it stay what they were."""
Wanted = Annotated[bool, Field(exclude_if=lambda wanted: not wanted)]
"""Left out of files where it is not, for the same reason."""
Image = NDArray[np.uint8]
"""height x width x 3, BGR, uint8."""
TILES_MAX = 1_024
"""A part with more regions has no deadline a line could keep."""

_INTERPOLATION = {
    "halving": cv2.INTER_AREA,
    "area": cv2.INTER_AREA,
    "linear": cv2.INTER_LINEAR,
}

_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
"""Of 8 bits a channel the same as IMREAD_COLOR, which cuts more down to 8 without a word."""


class ImageSpec(Strict):
    """What the model takes: uint8 BGR of this size. Scaling and channel order are in the graph."""

    width: Pixels
    height: Pixels
    fit: Literal["stretch", "pad"] = "stretch"
    """stretch: both sides to size. pad: keep the aspect ratio, black around it."""
    interpolation: Literal["halving", "area", "linear"] = "halving"
    """area keeps small defects when shrinking; halving is area too, after exact halvings (from
    1920x1080 to 224x224 in 1.9 ms, area in 4.3); linear is quick and aliases."""


class Region(Strict):
    """A named rectangle of the frame, in pixels, judged on its own."""

    name: Name
    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]


class Edge(Region):
    """A tile that sticks out of the picture: the region is what of it lies within."""

    beyond: tuple[int, int, int, int]
    """Black pixels left, above, right and below of it."""


class Overview(Region):
    """All of an area that is cut into tiles: what their model sees of it besides, made smaller."""


class Cutting(Strict):
    """Tiles of one size, cut from a picture at its own resolution, each judged on its own."""

    width: Pixels
    height: Pixels
    overlap: Annotated[float, Field(ge=0.0, le=0.9)] = 0.25
    """Share of a tile that neighbours have in common, at least."""

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, overlap {self.overlap:g}"


class Tiling(Cutting):
    """How a bundle's pictures were cut in training."""

    border: Border = 0
    """Pixels by which tiles stick out of the picture, black there: what lies at the picture's edge
    is seen within a tile too, not only at its rim. At most half a tile."""
    overview: Wanted = False
    """Whether the model sees all of the picture too, made as small as a tile: it has a third
    of the say in each tile's score (contract/outputs.py)."""

    @property
    def cutting(self) -> Cutting:
        """What of it a recipe may state too."""
        return Cutting(width=self.width, height=self.height, overlap=self.overlap)

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if 2 * self.border > min(self.width, self.height):
            raise ValueError(
                f"border {self.border}: at most half of a tile, which is {self.width}x{self.height}"
            )
        return self

    def __str__(self) -> str:
        border = f", border {self.border}" if self.border else ""
        return super().__str__() + border + (", and an overview" if self.overview else "")


def decode(data: bytes) -> Image:
    """The picture in a file's bytes, as BGR. Raises ValueError where there is none, or half of one,
    or one of more than 8 bits a channel: no station's camera gives such, and of 12 that lie in a
    file of 16 the upper 8 hold next to nothing.

    Training, self-test and replay all read pictures here: `imread` would take a truncated JPEG
    that this refuses, and then they would see other pixels than the station.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _AS_STORED) if data else None
    except cv2.error:
        image = None
    if image is None:
        raise ValueError("is not a picture, or is damaged")
    if image.dtype != np.uint8:
        raise ValueError(
            f"has {8 * image.itemsize} bits a channel: bring it to 8 as the camera does"
        )
    return image.astype(np.uint8, copy=False)


def whole(image: Image) -> Region:
    """The region that is all of the image."""
    return Region(name="whole", x=0, y=0, width=image.shape[1], height=image.shape[0])


def cut(image: Image, region: Region) -> Image:
    """The region's pixels, of an edge with the black beyond it; else a view.

    Raises ValueError where the region leaves the image.
    """
    bottom, right = region.y + region.height, region.x + region.width
    if bottom > image.shape[0] or right > image.shape[1]:
        raise ValueError(
            f"region {region.name} reaches to {right}x{bottom}, "
            f"the picture is {image.shape[1]}x{image.shape[0]}"
        )
    own = image[region.y : bottom, region.x : right]
    if not isinstance(region, Edge):
        return own
    left, above, right, below = region.beyond
    bordered = cv2.copyMakeBorder(own, above, below, left, right, cv2.BORDER_CONSTANT, value=0)
    return bordered.astype(np.uint8, copy=False)


def around(region: Region) -> tuple[int, int, int, int]:
    """Left, top, width and height of all that `cut` gives of a region, beyond the picture too."""
    left, above, right, below = region.beyond if isinstance(region, Edge) else (0, 0, 0, 0)
    width, height = region.width + left + right, region.height + above + below
    return region.x - left, region.y - above, width, height


def tile_at(name: str, box: tuple[int, int, int, int], area: Region) -> Region:
    """The tile of an area with this left, top, width and height; it may stick out of the area."""
    x, y, width, height = box
    left, above = max(0, area.x - x), max(0, area.y - y)
    right = max(0, x + width - area.x - area.width)
    below = max(0, y + height - area.y - area.height)
    beyond = left, above, right, below
    place = {"name": name, "x": x + left, "y": y + above}
    size = {"width": width - left - right, "height": height - above - below}
    if not any(beyond):
        return Region.model_validate({**place, **size})
    return Edge.model_validate({**place, **size, "beyond": beyond})


def tiles_of(area: Region, tiling: Tiling) -> tuple[Region, ...]:
    """The tiles of an area, row by row: the only code that lays them, here and in training.

    As few as cover it and its border whole with at least the overlap, evenly spread. Where that is
    narrower or lower than a tile, so are its tiles, and `fit` = pad brings them to size. Raises
    ValueError where there would be more than TILES_MAX.
    """
    wide, high = area.width + 2 * tiling.border, area.height + 2 * tiling.border
    width, height = min(tiling.width, wide), min(tiling.height, high)
    columns = _count(wide, width, tiling.overlap)
    rows = _count(high, height, tiling.overlap)
    if rows * columns > TILES_MAX:
        raise ValueError(f"{rows} x {columns} tiles of {tiling}: at most {TILES_MAX}")
    return tuple(
        tile_at(f"r{r + 1}c{c + 1}", (x, y, width, height), area)
        for r, y in enumerate(spread(area.y - tiling.border, high, rows, height))
        for c, x in enumerate(spread(area.x - tiling.border, wide, columns, width))
    )


def seen_of(area: Region, tiling: Tiling) -> tuple[Region, ...]:
    """All that a model of tiles is shown of an area: its tiles, behind the overview if it has one.

    Raises ValueError as `tiles_of`.
    """
    tiles = tiles_of(area, tiling)
    return (overview_of(area), *tiles) if tiling.overview else tiles


def overview_of(area: Region) -> Overview:
    return Overview(**{**area.model_dump(), "name": "overview"})


def spread(start: int, length: int, count: int, size: int) -> list[int]:
    """Where `count` spans of `size` begin that are evenly spread from `start` over `length`."""
    if count == 1:
        return [start]
    return [start + round(i * (length - size) / (count - 1)) for i in range(count)]


def _count(length: int, size: int, overlap: float) -> int:
    """The fewest spans of `size` that cover `length`, neighbours sharing at least the overlap."""
    step = max(1, size - math.ceil(round(size * overlap, 6)))
    return 1 + math.ceil((length - size) / step)


def fitted(width: int, height: int, spec: ImageSpec) -> tuple[int, int, int, int]:
    """Left, top, width and height of a picture of this size in what the model sees of it."""
    if spec.fit == "stretch":
        return 0, 0, spec.width, spec.height
    scale = min(spec.width / width, spec.height / height)
    wide = max(1, min(spec.width, round(width * scale)))
    high = max(1, min(spec.height, round(height * scale)))
    return (spec.width - wide) // 2, (spec.height - high) // 2, wide, high


def placed(region: Region, spec: ImageSpec) -> tuple[int, int, int, int]:
    """Left, top, width and height of a region's own pixels in what the model sees of it."""
    x, y, width, height = around(region)
    left, top, wide, high = fitted(width, height, spec)
    columns = [round((each - x) / width * wide) for each in (region.x, region.x + region.width)]
    rows = [round((each - y) / height * high) for each in (region.y, region.y + region.height)]
    wide, high = max(1, columns[1] - columns[0]), max(1, rows[1] - rows[0])
    return left + columns[0], top + rows[0], wide, high


def fit(image: Image, spec: ImageSpec) -> Image:
    """Bring pixels to the model's size; a grey image becomes three equal channels.

    image: height x width (x 3), uint8. Returns spec.height x spec.width x 3, uint8.
    Raises ValueError for anything else.
    """
    if image.dtype != np.uint8 or image.size == 0 or image.ndim not in (2, 3):
        raise ValueError(f"not a picture: {image.dtype} of shape {image.shape}")
    if image.ndim == 3 and image.shape[2] != 3:
        raise ValueError(f"a picture has 1 or 3 channels, this one {image.shape[2]}")
    left, top, width, height = fitted(image.shape[1], image.shape[0], spec)
    if image.shape[:2] != (height, width):
        # area is meant for shrinking; enlarging with it repeats pixels, so that is linear
        shrinks = width <= image.shape[1] and height <= image.shape[0]
        how = _INTERPOLATION[spec.interpolation] if shrinks else cv2.INTER_LINEAR
        if spec.interpolation == "halving":
            image = _halved(image, width, height)
        image = cv2.resize(image, (width, height), interpolation=how).astype(np.uint8, copy=False)
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR).astype(np.uint8, copy=False)
    if (width, height) == (spec.width, spec.height):
        return image
    canvas = np.zeros((spec.height, spec.width, 3), np.uint8)
    canvas[top : top + height, left : left + width] = image
    return canvas


def _halved(image: Image, width: int, height: int) -> Image:
    """The picture halved while that is exact and leaves at least twice the width and height.

    OpenCV has a vector kernel for means of 2 x 2 pixels, and none for the fractional ones: most of
    the work of an area resize is done by the quick one. An odd side ends it. Halved further, a
    crack on the border of two pixels would be spread over both (a quarter of its contrast lost).
    """
    rows, columns = image.shape[:2]
    while rows % 2 == columns % 2 == 0 and rows >= 4 * height and columns >= 4 * width:
        rows, columns = rows // 2, columns // 2
        image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )
    return image
