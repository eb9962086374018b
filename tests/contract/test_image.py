"""The pixels the model sees: every shape of picture comes out as the spec says, or not at all."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from inspector.contract.image import (
    ImageSpec,
    Region,
    Tiling,
    cut,
    fit,
    placed,
    tiles_of,
    whole,
)
from tests.support import picture

SPEC = ImageSpec(width=64, height=48)


@pytest.mark.parametrize("fitting", ["stretch", "pad"])
@pytest.mark.parametrize("interpolation", ["halving", "area", "linear"])
@pytest.mark.parametrize("shape", [(48, 64, 3), (10, 9, 3), (300, 17, 3), (1, 1, 3), (480, 640)])
def test_any_picture_gets_the_size_of_the_spec(
    fitting: str, interpolation: str, shape: tuple[int, ...]
) -> None:
    spec = ImageSpec.model_validate(
        {"width": 64, "height": 48, "fit": fitting, "interpolation": interpolation}
    )
    fitted = fit(np.full(shape, 100, np.uint8), spec)
    assert fitted.shape == (48, 64, 3)
    assert fitted.dtype == np.uint8
    assert fitted.max() == 100


def test_padding_keeps_the_aspect_ratio_and_is_black() -> None:
    fitted = fit(np.full((64, 16, 3), 200, np.uint8), ImageSpec(width=32, height=32, fit="pad"))
    assert (fitted[:, 12:20] == 200).all()
    assert not fitted[:, :12].any()
    assert not fitted[:, 20:].any()


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    image = picture(99, width=64, height=48)
    assert np.array_equal(fit(image, SPEC), image)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.uint16),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
        np.zeros(64, np.uint8),
    ],
)
def test_what_is_not_a_picture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="picture"):
        fit(image, SPEC)


def test_a_region_outside_the_picture_is_refused_in_words() -> None:
    image = picture(99, width=64, height=48)
    region = Region(name="edge", x=60, y=0, width=10, height=10)
    with pytest.raises(ValueError, match="reaches to 70x10, the picture is 64x48"):
        cut(image, region)
    assert cut(image, whole(image)).shape == image.shape


def test_tiles_are_laid_as_counted_by_hand() -> None:
    area = Region(name="area", x=10, y=0, width=300, height=128)
    tiles = tiles_of(area, Tiling(width=128, height=128, overlap=0.25))
    # 128 less a quarter is a step of 96: (300 - 128) / 96 needs two more than the first
    assert [(tile.x, tile.y) for tile in tiles] == [(10, 0), (96, 0), (182, 0)]
    assert [tile.name for tile in tiles] == ["r1c1", "r1c2", "r1c3"]


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.75])
@pytest.mark.parametrize(("width", "height"), [(157, 101), (32, 24), (33, 25), (20, 400)])
def test_tiles_cover_every_pixel_at_one_size(width: int, height: int, overlap: float) -> None:
    seen = np.zeros((height, width), int)
    area = Region(name="area", x=0, y=0, width=width, height=height)
    tiles = tiles_of(area, Tiling(width=32, height=24, overlap=overlap))
    for tile in tiles:
        seen[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
        assert (tile.width, tile.height) == (min(32, width), 24)
        assert tile.x + tile.width <= width
        assert tile.y + tile.height <= height
    assert seen.min() >= 1
    lefts = sorted({tile.x for tile in tiles})
    for left, right in pairwise(lefts):
        assert left + 32 - right >= overlap * 32


@pytest.mark.parametrize(("width", "height"), [(157, 101), (32, 24), (33, 25), (20, 400), (9, 9)])
@pytest.mark.parametrize("border", [1, 8, 12])
def test_tiles_with_a_border_are_those_of_the_picture_with_black_around_it(
    width: int, height: int, border: int
) -> None:
    image = picture(99, width=width + 20, height=height + 10)
    area = Region(name="area", x=15, y=4, width=width, height=height)
    tiles = tiles_of(area, Tiling(width=32, height=24, overlap=0.25, border=border))
    within = cut(image, area)  # what lies beyond it in the frame is not looked at
    padded = np.pad(within, ((border, border), (border, border), (0, 0)))
    plain = tiles_of(whole(padded), Tiling(width=32, height=24, overlap=0.25))
    assert [tile.name for tile in tiles] == [tile.name for tile in plain]
    spec = ImageSpec(width=32, height=24, fit="pad")
    seen = np.zeros(image.shape[:2], int)
    for tile, other in zip(tiles, plain, strict=True):
        assert np.array_equal(fit(cut(image, tile), spec), fit(cut(padded, other), spec))
        left, top, wide, high = placed(tile, spec)
        if min(width, height) > 9:  # smaller than a tile both ways it is enlarged
            own = image[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            shown = fit(cut(image, tile), spec)[top : top + high, left : left + wide]
            assert np.array_equal(shown, own)
        seen[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
    inside = np.zeros(image.shape[:2], bool)
    inside[4 : 4 + height, 15 : 15 + width] = True
    assert (seen[inside] > 0).all()
    assert not seen[~inside].any()


def test_a_border_is_at_most_half_a_tile_and_files_without_one_stay_as_they_were() -> None:
    with pytest.raises(ValueError, match=r"border 13: at most half of a tile, which is 32x24"):
        Tiling(width=32, height=24, border=13)
    assert Tiling(width=32, height=24).model_dump() == {"width": 32, "height": 24, "overlap": 0.25}
    assert Tiling(width=32, height=24, border=8).model_dump()["border"] == 8


def test_a_tile_of_a_picture_that_is_too_narrow_is_padded_at_its_own_scale() -> None:
    image = np.full((24, 20, 3), 200, np.uint8)
    (tile,) = tiles_of(whole(image), Tiling(width=32, height=24))
    fitted = fit(cut(image, tile), ImageSpec(width=32, height=24, fit="pad"))
    assert (fitted[:, 6:26] == 200).all()
    assert not fitted[:, :6].any()
    assert not fitted[:, 26:].any()


def test_more_tiles_than_a_line_could_wait_for_are_refused() -> None:
    area = Region(name="area", x=0, y=0, width=4_000, height=4_000)
    with pytest.raises(ValueError, match=r"63 x 63 tiles of 64x64, overlap 0: at most 1024"):
        tiles_of(area, Tiling(width=64, height=64, overlap=0.0))


def test_halving_stays_beside_area_on_a_picture_with_every_detail() -> None:
    image = picture(128, width=960, height=540, seed=3)
    cv2.GaussianBlur(image, (3, 3), 0.8, dst=image)
    image[200:203, 100:800] = 0  # a crack three pixels wide
    spec = {"width": 112, "height": 96}
    by_area = fit(image, ImageSpec.model_validate({**spec, "interpolation": "area"}))
    by_halves = fit(image, ImageSpec.model_validate({**spec, "interpolation": "halving"}))
    apart = np.abs(by_area.astype(int) - by_halves.astype(int))
    assert apart.mean() < 1.0  # grey levels; each halving rounds
    # it stands out of its neighbourhood as far as the area mean has it
    crack = [
        128 - each[30:42, 20:80].min(axis=0).astype(float).mean() for each in (by_area, by_halves)
    ]
    assert crack[1] > 0.85 * crack[0] > 20


def test_halves_of_a_picture_are_its_exact_means() -> None:
    blocks = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    image = blocks.repeat(4, axis=0).repeat(4, axis=1)
    assert np.array_equal(fit(image, SPEC), blocks)


def test_an_odd_side_ends_the_halving_and_the_rest_is_area() -> None:
    image = picture(128, width=8 * 67, height=8 * 50, seed=5)
    half = cv2.resize(image, (268, 200), interpolation=cv2.INTER_AREA)
    # the next halving would leave less than twice 64 x 48
    halves = cv2.resize(half, (134, 100), interpolation=cv2.INTER_AREA)
    assert np.array_equal(
        fit(image, SPEC), cv2.resize(halves, (64, 48), interpolation=cv2.INTER_AREA)
    )
    odd = image[:, :-1]
    assert np.array_equal(fit(odd, SPEC), cv2.resize(odd, (64, 48), interpolation=cv2.INTER_AREA))
