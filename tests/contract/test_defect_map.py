"""The map of a part: put together from its regions', in the file that people's pictures get."""

import cv2
import numpy as np
import pytest

from inspector.contract.defect_map import (
    LEAST,
    MIDDLE,
    MOST,
    SIDE_MAX,
    UNSEEN,
    Cells,
    Grid,
    RegionMaps,
    file_of,
    put_together,
)
from inspector.contract.image import Image, ImageSpec, Region, Tiling, cut, fit, tiles_of, whole

STRETCH = ImageSpec(width=64, height=64)
PAD = ImageSpec(width=64, height=64, fit="pad")


def cells_of(*rows: list[float]) -> Cells:
    return np.array(rows, np.float32)


def region(x: int, y: int, width: int, height: int) -> Region:
    return Region(name="some", x=x, y=y, width=width, height=height)


def grid_of(maps: RegionMaps, width: int, height: int) -> Grid:
    grid = put_together(maps, width, height)
    assert grid is not None
    return grid


def test_one_whole_region_is_its_cells_as_they_are() -> None:
    cells = cells_of([0.0, 0.5, 1.0], [0.25, 0.75, 0.1])
    grid = grid_of(RegionMaps((region(0, 0, 300, 200),), (cells,), STRETCH), 300, 200)
    assert grid.tolist() == [[LEAST, MIDDLE, MOST], [65, 191, 26]]


def brightest(image: Image, cells: int) -> Cells:
    """A model that says of each cell whether it is bright."""
    side = len(image) // cells
    blocks = image[..., 0].reshape(cells, side, cells, side).max(axis=(1, 3))
    return np.asarray(blocks > 100, np.float32)


@pytest.mark.parametrize("spec", [STRETCH, PAD], ids=["stretch", "pad"])
@pytest.mark.parametrize("size", [(300, 200), (120, 333), (64, 64)], ids=str)
@pytest.mark.parametrize(
    "tiling",
    [None, *(Tiling(width=50, height=50, overlap=0.3, border=border) for border in (0, 20))],
    ids=str,
)
def test_a_spot_is_where_the_map_says_it_is(
    spec: ImageSpec, size: tuple[int, int], tiling: Tiling | None
) -> None:
    width, height = size
    rng = np.random.default_rng(width)
    for _ in range(20):
        image: Image = np.zeros((height, width, 3), np.uint8)
        x, y = int(rng.integers(8, width - 8)), int(rng.integers(8, height - 8))
        image[y - 7 : y + 8, x - 7 : x + 8] = 255
        regions = tiles_of(whole(image), tiling) if tiling else (whole(image),)
        cells = tuple(brightest(fit(cut(image, each), spec), 8) for each in regions)
        grid = grid_of(RegionMaps(regions, cells, spec), width, height)
        assert max(grid.shape) <= SIDE_MAX
        rows, columns = grid.shape
        assert grid[int((y + 0.5) / height * rows), int((x + 0.5) / width * columns)] > MIDDLE
        strong = np.argwhere(grid > MIDDLE)
        away_y = np.abs((strong[:, 0] + 0.5) / rows * height - y).max()
        away_x = np.abs((strong[:, 1] + 0.5) / columns * width - x).max()
        largest = max(each.width for each in regions), max(each.height for each in regions)
        longest = max(largest) if spec.fit == "pad" else 0
        # a cell beyond the spot at most, and a place of the grid
        assert away_x <= 8 + max(largest[0], longest) / 8 + width / columns
        assert away_y <= 8 + max(largest[1], longest) / 8 + height / rows


def test_what_no_region_looked_at_is_unseen_and_the_worst_of_two_counts() -> None:
    left, right = region(0, 0, 60, 100), region(40, 0, 40, 100)
    maps = RegionMaps((left, right), (cells_of([0.2]), cells_of([0.9])), STRETCH)
    grid = grid_of(maps, 100, 100)
    low, high = LEAST + round(0.2 * 254), LEAST + round(0.9 * 254)
    columns = grid.shape[1]
    assert set(grid[:, : int(0.39 * columns)].ravel()) == {low}
    assert set(grid[:, int(0.42 * columns) : int(0.79 * columns)].ravel()) == {high}
    assert set(grid[:, int(0.82 * columns) :].ravel()) == {UNSEEN}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.01, -0.01])
def test_what_is_no_number_from_0_to_1_makes_no_map(value: float) -> None:
    maps = RegionMaps((region(0, 0, 9, 9),), (cells_of([0.5, value]),), STRETCH)
    assert put_together(maps, 9, 9) is None
    assert file_of(maps, 9, 9) is None


def test_a_thousand_tiles_of_a_large_frame_stay_a_small_file() -> None:
    frame = region(0, 0, 5_472, 3_648)
    tiles = tiles_of(frame, Tiling(width=224, height=224, overlap=0.25))
    rng = np.random.default_rng(0)
    cells = tuple(rng.random((7, 7), np.float32) for _ in tiles)
    data = file_of(RegionMaps(tiles, cells, STRETCH), 5_472, 3_648)
    assert data is not None
    assert len(data) < 64_000  # of noise, which does not pack
    grid = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert grid is not None
    assert grid.ndim == 2
    assert max(grid.shape) == SIDE_MAX
    assert grid.min() >= LEAST
