"""The pointing game, against what is counted by hand."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from inspector.contract.defect_map import LEAST, MOST, UNSEEN
from inspector.contract.image import ImageSpec
from tests.support import make_model
from tests.training.plates import draw
from training.dataset import SPLITS, Sample, SplitName
from training.job import Data
from training.pointing import Pointing, play, pointing
from training.scan import Images, ScanReport
from training.tiles import Layout


def marked(rows: int, columns: int, *places: tuple[int, int]) -> np.ndarray:
    """A picture of 10 x 10 pixels a place, each place given marked in one pixel."""
    covered = np.zeros((10 * rows, 10 * columns), np.bool_)
    for row, column in places:
        covered[10 * row + 4, 10 * column + 7] = True
    return covered


def test_a_hit_is_the_strongest_place_on_the_mark() -> None:
    grid = np.array([[LEAST, 60], [LEAST, MOST]], np.uint8)
    assert play(grid, marked(2, 2, (1, 1)))[0]
    assert not play(grid, marked(2, 2, (0, 1)))[0]


def test_chance_and_share_are_those_of_the_places_that_touch_it() -> None:
    grid = np.array([[LEAST, LEAST + 100], [LEAST, LEAST + 150]], np.uint8)
    _, chance, inside = play(grid, marked(2, 2, (1, 1), (0, 0)))
    assert (chance, inside) == (0.5, pytest.approx(150 / 250))


def test_places_that_nobody_looked_at_do_not_play() -> None:
    grid = np.array([[UNSEEN, UNSEEN], [LEAST + 10, LEAST + 30]], np.uint8)
    hit, chance, inside = play(grid, marked(2, 2, (0, 0), (1, 1)))
    assert (hit, chance, inside) == (True, 0.5, pytest.approx(0.75))


def test_of_many_strongest_places_most_must_be_right() -> None:
    grid = np.full((2, 2), MOST, np.uint8)
    assert play(grid, marked(2, 2, (0, 0), (0, 1)))[0]
    assert not play(grid, marked(2, 2, (0, 0)))[0]


def test_a_map_that_is_dark_everywhere_has_no_strength() -> None:
    assert play(np.full((2, 2), LEAST, np.uint8), marked(2, 2, (0, 0))) == (False, 0.25, 0.0)


@pytest.fixture
def spots(tmp_path: Path) -> Data:
    """Four good plates and four with a bright spot that a mask marks."""
    rng = np.random.default_rng(1)
    samples, pixels = [], []
    for i in range(8):
        label = "spot" if i % 2 else "good"
        pixels.append(draw(rng, label))
        image, mask = tmp_path / f"{i}.png", tmp_path / f"{i}_mask.png"
        covered = (np.abs(pixels[-1][..., 0].astype(np.int16) - 128) > 60).astype(np.uint8) * 255
        assert cv2.imwrite(str(image), pixels[-1])
        assert cv2.imwrite(str(mask), covered)
        samples.append(Sample(image, image.name, label, part=str(i), mask=mask))
    names = tuple(each.name for each in samples)
    report = ScanReport(
        layout="", images=8, kept=names, classes={}, parts={}, twins=(), findings=()
    )
    none = np.zeros(0, np.int64)
    rows: dict[SplitName, np.ndarray] = dict.fromkeys(SPLITS, none) | {"golden": np.arange(8)}
    images = Images(tuple(samples), np.stack(pixels), report)
    return Data(images, rows, np.arange(8) % 2, ("good", "spot"))


def played(data: Data, model: Path, side: int = 64) -> Pointing:
    found = pointing(data, model, ImageSpec(width=side, height=side), 0.95)
    assert found is not None
    return found


def test_a_model_that_sees_what_is_bright_points_at_bright_spots(
    spots: Data, tmp_path: Path
) -> None:
    make_model(tmp_path / "model.onnx", size=64)
    found = played(spots, tmp_path / "model.onnx")
    assert (found.hits, found.pictures, found.left_out) == (4, 4, 0)
    assert found.inside > 0.9 > 0.5 > found.chance
    assert found.sentence.startswith("the strongest place of the map touches the marked defect in "
                                     "4/4, at least 47.3 % (95 %), by chance ")  # fmt: skip


def test_in_tiles_it_is_played_on_the_map_of_the_part(spots: Data, tmp_path: Path) -> None:
    make_model(tmp_path / "model.onnx", size=32)
    places = [(i, x, y) for i in range(8) for y in (0, 16, 32) for x in (0, 16, 32)]
    pixels = [spots.images.pixels[i, y : y + 32, x : x + 32] for i, x, y in places]
    layout = Layout(
        picture=np.array([i for i, _, _ in places]),
        box=np.array([(x, y, 32, 32) for _, x, y in places]),
        targets=np.zeros(72, np.int64),
        learned=np.ones(72, np.bool_),
    )
    samples = tuple(spots.images.samples[i] for i, _, _ in places)
    images = Images(samples, np.stack(pixels), spots.images.report)
    rows = {**spots.rows, "golden": np.arange(72)}
    tiled = spots._replace(images=images, rows=rows, layout=layout)
    found = played(tiled, tmp_path / "model.onnx", side=32)
    assert (found.hits, found.pictures) == (4, 4)
    assert found.inside > 0.9


def test_marks_that_do_not_fit_stop_nothing_and_are_counted(spots: Data, tmp_path: Path) -> None:
    make_model(tmp_path / "model.onnx", size=64)
    cv2.imwrite(str(tmp_path / "3_mask.png"), np.full((5, 5), 255, np.uint8))
    (tmp_path / "5_mask.png").unlink()
    found = played(spots, tmp_path / "model.onnx")
    assert (found.hits, found.pictures, found.left_out) == (2, 2, 2)
    assert found.sentence.endswith("; 2 pictures left out: no usable marks or map")


@pytest.mark.parametrize("maps", ["nan", "none"])
def test_without_a_map_there_is_nothing_to_tell(
    spots: Data, tmp_path: Path, maps: Literal["nan", "none"]
) -> None:
    make_model(tmp_path / "model.onnx", size=64, maps=maps)
    spec = ImageSpec(width=64, height=64)
    assert pointing(spots, tmp_path / "model.onnx", spec, 0.95) is None
