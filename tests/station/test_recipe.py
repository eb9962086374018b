"""Regions of a recipe: no pixel of the frame escapes the grid."""

import numpy as np
import pytest
from pydantic import ValidationError

from inspector.contract.errors import ConfigError
from inspector.contract.image import Edge, Overview, Region, Tiling, cut
from inspector.station.recipe import (
    Grid,
    Recipe,
    Rectangle,
    Rectangles,
    Tiles,
    WholeFrame,
    region_rule,
    regions_for,
    regions_of,
)

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


def test_drawn_regions_are_taken_as_they_are_and_one_outside_the_frame_is_refused() -> None:
    left, right = (Region(name=n, x=x, y=3, width=20, height=9) for n, x in (("a", 0), ("b", 137)))
    assert regions_of(FRAME, Rectangles(regions=(left, right))) == (left, right)
    over = right.model_copy(update={"x": 138})
    with pytest.raises(ValueError, match="reaches to 158x12, the picture is 157x101"):
        regions_of(FRAME, Rectangles(regions=(left, over)))


@pytest.mark.parametrize(
    ("regions", "says"),
    [
        ((), "at least 1"),
        ((Region(name="a", x=0, y=0, width=9, height=9),) * 2, "each name once"),
        ((Region(name="a", x=0, y=0, width=9, height=7),), "a: each side at least 8 pixels"),
    ],
)
def test_drawn_regions_that_mean_nothing_are_refused(
    regions: tuple[Region, ...], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        Rectangles(regions=regions)


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


def recipe(regions: Grid | Rectangle | Tiles | WholeFrame | None) -> Recipe:
    return Recipe(name="plate", bundle="plate-0", regions=regions)


def test_a_recipe_that_says_nothing_cuts_as_the_bundle_was_trained() -> None:
    tiling = Tiling(width=64, height=32, overlap=0.5)
    assert region_rule(recipe(None), None) == WholeFrame()
    rule = region_rule(recipe(None), tiling)
    assert rule == Tiles(width=64, height=32, overlap=0.5)
    assert {(r.width, r.height) for r in regions_of(FRAME, rule)} == {(64, 32)}


def test_tiles_stay_within_their_rectangle() -> None:
    within = Rectangle(x=10, y=20, width=90, height=60)
    regions = regions_of(FRAME, Tiles(width=40, height=40, overlap=0.0, within=within))
    assert [(r.x, r.y) for r in regions] == [
        (10, 20),
        (35, 20),
        (60, 20),
        (10, 40),
        (35, 40),
        (60, 40),
    ]


def test_the_overview_of_a_bundle_is_of_the_recipes_rectangle_and_comes_before_its_tiles() -> None:
    tiling = Tiling(width=40, height=40, overlap=0.0, border=4, overview=True)
    within = Rectangle(x=10, y=20, width=90, height=60)
    for rule, place in (
        (None, (0, 0, 157, 101)),
        (Tiles(width=40, height=40, within=within), (10, 20, 90, 60)),
    ):
        overview, *tiles = regions_for(FRAME, recipe(rule), tiling)
        assert isinstance(overview, Overview)
        assert (overview.x, overview.y, overview.width, overview.height) == place
        assert not any(isinstance(tile, Overview) for tile in tiles)
        without = tiling.model_copy(update={"overview": False})
        assert tuple(tiles) == regions_for(FRAME, recipe(rule), without)


@pytest.mark.parametrize(
    "regions",
    [
        WholeFrame(),
        Grid(rows=3, columns=3),
        Rectangle(x=0, y=0, width=64, height=64),
        Tiles(width=64, height=32),
    ],
)
def test_a_recipe_that_shows_a_model_of_tiles_another_scale_is_refused(
    regions: Grid | Rectangle | Tiles | WholeFrame,
) -> None:
    with pytest.raises(ConfigError, match=r"plate-0 judges tiles of 64x64.*width = 64, height"):
        region_rule(recipe(regions), Tiling(width=64, height=64))


def test_a_border_is_the_bundles_whatever_the_recipe_says_of_its_tiles() -> None:
    tiling = Tiling(width=64, height=64, border=16)
    within = Rectangle(x=20, y=10, width=70, height=60)
    for regions, corner in ((None, (0, 0)), (Tiles(width=64, height=64, within=within), (20, 10))):
        first = regions_for(FRAME, recipe(regions), tiling)[0]
        assert isinstance(first, Edge)
        assert ((first.x, first.y), first.beyond) == (corner, (16, 16, 0, 0))
        assert not isinstance(
            regions_for(FRAME, recipe(regions), Tiling(width=64, height=64))[0], Edge
        )


def test_more_overlap_and_a_rectangle_of_the_frame_are_the_engineers_choice() -> None:
    rule = Tiles(width=64, height=64, overlap=0.5, within=Rectangle(x=0, y=0, width=90, height=90))
    assert region_rule(recipe(rule), Tiling(width=64, height=64)) is rule
