"""The pointing game, against what is counted by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from inspector.contract.image import ImageSpec, fit
from tests.support import make_model
from tests.training.plates import draw
from training.dataset import SPLITS, Sample, SplitName
from training.job import Data
from training.layout import Layout
from training.pointing import Pointing, play, pointing
from training.scan import Images, ScanReport


def game(cells: list[float], *marked: int) -> tuple[bool, float, float]:
    return play(np.array(cells, np.float32), np.isin(np.arange(len(cells)), marked))


def test_a_hit_is_the_strongest_cell_on_the_mark() -> None:
    assert game([0.1, 0.2, 0.3, 0.9], 3)[0]
    assert not game([0.1, 0.2, 0.3, 0.9], 2)[0]


def test_chance_and_share_are_those_of_the_cells_that_touch_it() -> None:
    _, chance, inside = game([0.0, 0.4, 0.0, 0.6], 3, 0)
    assert chance == 0.5
    assert inside == pytest.approx(0.6)


def test_of_many_strongest_cells_most_must_be_right() -> None:
    assert game([1.0, 1.0, 1.0, 1.0], 0, 1)[0]
    assert not game([1.0, 1.0, 1.0, 1.0], 0)[0]


def test_a_map_that_is_dark_everywhere_has_no_strength() -> None:
    assert game([0.0, 0.0, 0.0, 0.0], 0) == (False, 0.25, 0.0)


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
    assert found.sentence.startswith(
        "the strongest cell of the map touches the marked defect in 4/4 (4/4 parts in every "
        "picture, at least 47.3 % with 95 %), by chance "
    )


def test_what_it_proves_is_counted_by_part(spots: Data, tmp_path: Path) -> None:
    make_model(tmp_path / "model.onnx", size=64)
    samples = tuple(replace(sample, part="the same") for sample in spots.images.samples)
    shots = spots._replace(images=replace(spots.images, samples=samples))
    found = played(shots, tmp_path / "model.onnx")
    assert (found.hits, found.pictures) == (4, 4)
    assert "(1/1 parts in every picture, at least 5.0 % with 95 %)" in found.sentence


def test_in_tiles_it_is_played_on_the_map_of_the_part(spots: Data, tmp_path: Path) -> None:
    make_model(tmp_path / "model.onnx", size=32)
    places = [(i, x, y) for i in range(8) for y in (0, 16, 32) for x in (0, 16, 32)]
    pixels = [spots.images.pixels[i, y : y + 32, x : x + 32] for i, x, y in places]
    layout = Layout(
        picture=np.array([i for i, _, _ in places]),
        box=np.array([(x, y, 32, 32) for _, x, y in places]),
        beyond=np.zeros((72, 4), np.int64),
        targets=np.zeros(72, np.int64),
        learned=np.ones(72, np.bool_),
        overview=np.zeros(72, np.bool_),
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


def test_a_picture_padded_with_black_plays_with_the_cells_that_are_on_it(
    spots: Data, tmp_path: Path
) -> None:
    make_model(tmp_path / "model.onnx", size=64)
    spec = ImageSpec(width=64, height=64, fit="pad")
    plates = [np.hstack([pixels] * 2) for pixels in spots.images.pixels]  # twice as wide as high
    for sample, plate in zip(spots.images.samples, plates, strict=True):
        assert sample.mask is not None
        mask = cv2.imread(str(sample.mask), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        cv2.imwrite(str(sample.image), plate)
        cv2.imwrite(str(sample.mask), np.hstack([mask] * 2))
    fitted = np.stack([fit(plate, spec) for plate in plates])
    images = Images(spots.images.samples, fitted, spots.images.report)
    found = pointing(spots._replace(images=images), tmp_path / "model.onnx", spec, 0.95)
    assert found is not None
    assert (found.hits, found.pictures) == (4, 4)  # black is dark, which this model rejects
    assert 2 / 8 <= found.chance <= 1.0


@pytest.mark.parametrize("maps", ["nan", "none"])
def test_without_a_map_there_is_nothing_to_tell(
    spots: Data, tmp_path: Path, maps: Literal["nan", "none"]
) -> None:
    make_model(tmp_path / "model.onnx", size=64, maps=maps)
    spec = ImageSpec(width=64, height=64)
    assert pointing(spots, tmp_path / "model.onnx", spec, 0.95) is None
