"""Regions of a recipe: no pixel of the frame escapes the grid."""

import numpy as np
import pytest

from inspector.contract.image import cut
from inspector.station.recipe import Grid, Rectangle, WholeFrame, regions_of

FRAME = np.zeros((101, 157, 3), np.uint8)


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
@pytest.mark.parametrize("columns", [1, 4, 5])
@pytest.mark.parametrize("overlap", [0, 1, 8])
def test_a_grid_covers_every_pixel_with_tiles_of_one_size(
    rows: int, columns: int, overlap: int
) -> None:
    seen = np.zeros(FRAME.shape[:2], int)
    regions = regions_of(FRAME, Grid(rows=rows, columns=columns, overlap=overlap))
    for region in regions:
        seen[region.y : region.y + region.height, region.x : region.x + region.width] += 1
        assert cut(FRAME, region).shape[:2] == (regions[0].height, regions[0].width)
    assert seen.min() >= 1
    assert len({region.name for region in regions}) == rows * columns


@pytest.mark.parametrize("overlap", [1, 8])
def test_neighbours_share_at_least_the_overlap(overlap: int) -> None:
    first, second, *_ = regions_of(FRAME, Grid(rows=1, columns=4, overlap=overlap))
    assert first.x + first.width - second.x >= overlap


def test_a_grid_stays_within_its_rectangle() -> None:
    within = Rectangle(x=10, y=20, width=90, height=60)
    regions = regions_of(FRAME, Grid(rows=2, columns=3, within=within))
    assert min(region.x for region in regions) == 10
    assert min(region.y for region in regions) == 20
    assert max(region.x + region.width for region in regions) == 100
    assert max(region.y + region.height for region in regions) == 80


def test_the_whole_frame_is_one_region() -> None:
    (region,) = regions_of(FRAME, WholeFrame())
    assert (region.x, region.y, region.width, region.height) == (0, 0, 157, 101)


@pytest.mark.parametrize(
    "rule",
    [
        Rectangle(x=100, y=0, width=100, height=50),
        Grid(rows=2, columns=2, within=Rectangle(x=0, y=90, width=20, height=20)),
        Grid(rows=128, columns=128),
        Grid(rows=1, columns=2, overlap=200),
    ],
)
def test_a_frame_that_does_not_suit_the_rule_is_refused(rule: Rectangle | Grid) -> None:
    with pytest.raises(ValueError, match=r"picture|tiles"):
        regions_of(FRAME, rule)
