"""Where on a part the defect is: the maps of its regions put together, for people to look at.

Nothing is decided by a map. As a file it is a small grey PNG over the whole frame, whatever the
frame's size: 0 where no region was looked at, else 1 to 255 for the model's 0..1. From MIDDLE on a
place is unlike the same place of good parts.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.contract.image import ImageSpec, Region, placed

Cells = NDArray[np.float32]
"""rows x columns over what the model sees of one region, 0..1."""
Grid = NDArray[np.uint8]
"""rows x columns over a whole frame, as the file has it."""

UNSEEN, LEAST, MOST = 0, 1, 255
MIDDLE = 128
"""0.5 of the model's map."""
SIDE_MAX = 256
ROUNDING = 1e-4
"""Outside 0..1 by no more than this a value is rounded, by more it is nonsense."""
FINER = 4
"""Parts of a cell that a place of the grid is, where cells and grid do not lie alike."""


@dataclass(frozen=True, slots=True)
class RegionMaps:
    """What the model said of each place of one frame's regions, still to be put together."""

    regions: tuple[Region, ...]
    cells: tuple[Cells, ...]
    """One a region."""
    spec: ImageSpec


class _Place(NamedTuple):
    """How a region lies in what the model sees, along one axis."""

    start: int
    length: int
    """Of the region in the frame, pixels."""
    inside: int
    """Where it begins in the model's picture."""
    inside_length: int
    size: int
    """Of the model's picture."""
    cells: int

    @property
    def cell(self) -> float:
        """A cell's length in the frame, pixels."""
        return self.size / self.cells * self.length / self.inside_length

    def spread(self, frame: int, count: int) -> tuple[slice, NDArray[np.int64]]:
        """The places of a grid of `count` over the frame that the region touches, and its cell in
        each.
        """
        step = frame / count
        first = int(self.start / step)
        last = min(count, max(first + 1, int(np.ceil((self.start + self.length) / step))))
        centres = (np.arange(first, last) + 0.5) * step - self.start
        seen = self.inside + centres / self.length * self.inside_length
        lowest = int(self.inside * self.cells / self.size)
        highest = int((self.inside + self.inside_length - 1) * self.cells / self.size)
        cells = np.floor(seen * self.cells / self.size).astype(np.int64)
        return slice(first, last), cells.clip(lowest, highest)


def put_together(maps: RegionMaps, width: int, height: int) -> Grid | None:
    """The map of a frame of this size; None where a cell is no number within 0..1.

    Where regions overlap, the highest counts: a part is as bad as its worst region.
    """
    for cells in maps.cells:
        # written so that NaN, which compares false with everything, fails too
        if not (cells.size and cells.min() >= -ROUNDING and cells.max() <= 1.0 + ROUNDING):
            return None
    spec = maps.spec
    boxes = [placed(each, spec) for each in maps.regions]
    places = [
        (
            _Place(region.y, region.height, top, high, spec.height, cells.shape[0]),
            _Place(region.x, region.width, left, wide, spec.width, cells.shape[1]),
        )
        for region, (left, top, wide, high), cells in zip(
            maps.regions, boxes, maps.cells, strict=True
        )
    ]
    rows = _count(height, [down for down, _ in places])
    columns = _count(width, [across for _, across in places])
    grid = np.full((rows, columns), UNSEEN, np.uint8)
    for (down, across), cells in zip(places, maps.cells, strict=True):
        values = (LEAST + np.rint(cells.clip(0.0, 1.0) * (MOST - LEAST))).astype(np.uint8)
        there, r = down.spread(height, rows)
        here, c = across.spread(width, columns)
        grid[there, here] = np.maximum(grid[there, here], values[np.ix_(r, c)])
    return grid


def file_of(maps: RegionMaps, width: int, height: int) -> bytes | None:
    """The PNG of a frame of this size; None where what the model gave is no map."""
    grid = put_together(maps, width, height)
    if grid is None:
        return None
    done, data = cv2.imencode(".png", grid)
    return data.tobytes() if done else None


def _count(frame: int, places: list[_Place]) -> int:
    """Places along an axis: the cells themselves where these fill the frame, else finer ones."""
    only = places[0]
    if len(places) == 1 and (only.length, only.inside_length) == (frame, only.size):
        return min(only.cells, SIDE_MAX)
    finest = min(each.cell for each in places) / FINER
    return int(min(max(1, np.ceil(frame / finest)), SIDE_MAX))
