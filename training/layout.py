"""The rows of a file of tiles: of which picture each is, where it lies there, and what it shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.image import Edge, Overview, Region


class Tile(NamedTuple):
    """One tile, or one crop, of one picture."""

    picture: int
    region: Region
    target: int
    """Class number: of what the tile shows, where that is known; else of its part."""
    learned: bool
    """Whether training or validation by tile may use it; judged it is all the same."""
    crop: bool = False


class Layout(NamedTuple):
    """The rows of the pixel file."""

    picture: NDArray[np.int64]
    """Number of the picture each row is cut from."""
    box: NDArray[np.int64]
    """x, y, width, height of each row in its picture."""
    beyond: NDArray[np.int64]
    """Black pixels left, above, right and below of it."""
    targets: NDArray[np.int64]
    learned: NDArray[np.bool_]
    overview: NDArray[np.bool_]
    """Whether a row shows its picture whole."""

    def region(self, row: int) -> Region:
        x, y, width, height = (int(value) for value in self.box[row])
        left, above, right, below = (int(value) for value in self.beyond[row])
        kind = Overview if self.overview[row] else Region
        own = kind(name="tile", x=x, y=y, width=width, height=height)
        if not self.beyond[row].any():
            return own
        return Edge(**own.model_dump(), beyond=(left, above, right, below))


def save_layout(tiles: Sequence[Tile], path: Path) -> None:
    regions = [tile.region for tile in tiles]
    beyond = [r.beyond if isinstance(r, Edge) else (0, 0, 0, 0) for r in regions]
    np.savez(
        path,
        picture=np.array([tile.picture for tile in tiles], np.int64),
        box=np.array([(r.x, r.y, r.width, r.height) for r in regions], np.int64),
        beyond=np.array(beyond, np.int64),
        targets=np.array([tile.target for tile in tiles], np.int64),
        learned=np.array([tile.learned for tile in tiles], np.bool_),
        overview=np.array([isinstance(region, Overview) for region in regions], np.bool_),
    )


def load_layout(path: Path) -> Layout:
    """What `save_layout` wrote."""
    with np.load(path) as found:
        kept = dict(found)
    kept.setdefault("beyond", np.zeros_like(kept["box"]))  # as before there were borders
    kept.setdefault("overview", np.zeros_like(kept["learned"]))  # and overviews
    return Layout(**kept)
