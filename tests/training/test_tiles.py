"""Tiles at the picture's own resolution: what each shows, and that the station cuts the same."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.contract.errors import DataError
from inspector.contract.image import ImageSpec, Overview, Region, around, cut, decode, fit
from inspector.station.recipe import Recipe, regions_for
from training.dataset import Box, Sample, SplitName, read_dataset
from training.layout import Tile
from training.masks import read_marks
from training.plan_tiles import Tiles
from training.tiles import Task, lay, load_tiles, write_tiles

RULE = Tiles(width=8, height=8, overlap=0.0, crops_per_defect=0, good_per_defect=99)
SPEC = ImageSpec(width=8, height=8, fit="pad")


def silent(items: Iterable[int], _total: int, _title: str) -> Iterable[int]:
    return items


class Plates:
    """Pictures with marks, made one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.samples: list[Sample] = []
        self.splits: list[SplitName] = []

    def add(
        self,
        label: str,
        *marked: Box,
        width: int = 24,
        height: int = 8,
        split: SplitName = "train",
        boxes: bool = False,
    ) -> Sample:
        """A plate of noise; `marked` are white in its mask, or are its boxes."""
        number = len(self.samples)
        noise = np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)
        image = self.folder / f"{number}.png"
        cv2.imwrite(str(image), noise)
        mask = None
        if marked and not boxes:
            drawn = np.zeros((height, width), np.uint8)
            for x, y, wide, high in marked:
                drawn[y : y + high, x : x + wide] = 255
            mask = self.folder / f"{number}_mask.png"
            cv2.imwrite(str(mask), drawn)
        sample = Sample(image, image.name, label, image.stem, split, mask=mask)
        self.samples.append(replace(sample, boxes=marked) if boxes else sample)
        self.splits.append(split)
        return self.samples[-1]

    def task(self, rule: Tiles = RULE, seed: int = 0, **changes: Any) -> Task:
        rule = rule.model_copy(update=changes)
        splits = tuple(self.splits)
        return Task(tuple(self.samples), splits, ("good", "spot"), ("good",), rule, seed)

    def laid(self, rule: Tiles = RULE, seed: int = 0, **changes: Any) -> list[Tile]:
        return lay(self.task(rule, seed, **changes), silent)[0]


@pytest.fixture
def plates(tmp_path: Path) -> Plates:
    return Plates(tmp_path)


GOOD, SPOT = 0, 1


@pytest.mark.parametrize("boxes", ["in a mask", "as a box"])
@pytest.mark.parametrize(
    ("marked", "at_least", "shown"),
    [
        # 4 x 2 pixels, half of them in each of the first two tiles; any tile could hold all 8
        ((6, 2, 4, 2), 0.5, ["spot", "spot", "good"]),
        ((6, 2, 4, 2), 0.51, ["unclear", "unclear", "good"]),
        # 5 of its 6 columns in the first tile, 1 in the second
        ((3, 0, 6, 1), 0.5, ["spot", "unclear", "good"]),
        # larger than a tile: the first is full, the second half full, and full is the most
        ((0, 0, 12, 8), 0.5, ["spot", "spot", "good"]),
        ((0, 0, 12, 8), 0.51, ["spot", "unclear", "good"]),
        # a line through all: each tile holds 8 of its 24 pixels, and no tile could hold more
        ((0, 3, 24, 1), 1.0, ["spot", "spot", "spot"]),
    ],
)
def test_a_tile_shows_a_defect_where_enough_of_it_is_in_it(
    plates: Plates, boxes: str, marked: Box, at_least: float, shown: list[str]
) -> None:
    plates.add("spot", marked, split="validation", boxes=boxes == "as a box")
    plates.add("spot", (0, 0, 8, 8))
    plates.add("good")
    tiles = [tile for tile in plates.laid(defect_overlap_at_least=at_least) if not tile.picture]
    names = {(GOOD, True): "good", (SPOT, True): "spot", (SPOT, False): "unclear"}
    assert [names[tile.target, tile.learned] for tile in tiles] == shown


def test_each_patch_of_a_mask_counts_by_itself_and_a_speck_counts_only_as_not_good(
    plates: Plates,
) -> None:
    sample = plates.add("spot", (0, 0, 8, 8), (10, 0, 2, 2), (16, 0, 1, 1))
    marks = read_marks(sample, 8, 24)
    # 64, 4 and 1 pixels: the last two are 1/16 and 1/64 of the largest; a twentieth is the least
    assert [int(defect.pixels.sum()) for defect in marks.defects] == [64, 4]
    tile = Region(name="tile", x=16, y=0, width=8, height=8)
    assert marks.touches(tile)
    assert not marks.shows(tile, marks.enough(8, 8, 0.01))


def test_what_is_unclear_is_not_trained_on_but_judged_with_the_rest(plates: Plates) -> None:
    for split in ("train", "validation", "calibration", "golden"):
        plates.add("spot", (6, 2, 4, 2), (16, 0, 8, 8), split=split)
        plates.add("good", split=split)
    tiles = plates.laid(defect_overlap_at_least=0.6)
    of = [plates.splits[tile.picture] for tile in tiles]
    assert Counter(of) == {"train": 4, "validation": 6, "calibration": 6, "golden": 6}
    learned = Counter(of[k] for k, tile in enumerate(tiles) if tile.learned)
    assert learned == {"train": 4, "validation": 4}


def test_good_tiles_are_taken_from_every_picture_in_turn(plates: Plates) -> None:
    plates.add("spot", (0, 0, 8, 8))
    for _ in range(5):
        plates.add("good", width=64)
    # one tile shows the defect; the five plates have 8 tiles each, the first has 2 more
    taken = Counter(tile.picture for tile in plates.laid(good_per_defect=8) if not tile.target)
    assert sum(taken.values()) == 8
    assert set(taken) == set(range(6))
    assert max(taken.values()) == 2


def test_crops_show_the_defect_and_depend_on_seed_and_name_alone(plates: Plates) -> None:
    plates.add("spot", (5, 1, 6, 6), (20, 2, 3, 3))
    plates.add("spot", (0, 0, 8, 8), split="validation")
    plates.add("good")
    first = plates.samples[0]
    crops = [tile for tile in plates.laid(crops_per_defect=6) if tile.crop]
    assert len(crops) == 12
    assert {crop.picture for crop in crops} == {0}
    marks = read_marks(first, 8, 24)
    for crop in crops:
        assert (crop.target, crop.learned) == (SPOT, True)
        assert crop.region.x + crop.region.width <= 24
        assert marks.shows(crop.region, marks.enough(8, 8, RULE.defect_overlap_at_least))
    places = [crop.region.x for crop in crops]
    assert len(set(places)) > 4
    plates.add("good", width=40)
    again = [tile.region.x for tile in plates.laid(crops_per_defect=6) if tile.crop]
    assert again == places
    other = [tile.region.x for tile in plates.laid(crops_per_defect=6, seed=1) if tile.crop]
    assert other != places


@pytest.mark.parametrize("more", [{}, {"overview": True}])
def test_the_station_cuts_the_same_tiles_pixel_for_pixel(
    plates: Plates, tmp_path: Path, more: dict[str, Any]
) -> None:
    rule = Tiles(width=16, height=16, overlap=0.3, crops_per_defect=0, **more)
    spec = ImageSpec(width=24, height=24, fit="pad")
    plates.add("spot", (0, 0, 8, 8), width=40, height=33)
    plates.add("good", width=40, height=33)
    for width, height in ((40, 33), (16, 16), (12, 50), (9, 11)):
        plates.add("good", width=width, height=height, split="golden")
    write_tiles(plates.task(rule), spec, tmp_path, silent)
    layout, pixels, _ = load_tiles(tmp_path)
    recipe = Recipe(name="plate", bundle="plate-0")
    for i, sample in enumerate(plates.samples):
        if plates.splits[i] == "golden":
            frame = decode(sample.image.read_bytes())
            regions = regions_for(frame, recipe, rule.tiling)
            shown = np.stack([fit(cut(frame, region), spec) for region in regions])
            mine = layout.picture == i
            parts = (layout.overview, ~layout.overview) if more else (~layout.overview,)
            assert np.array_equal(np.concatenate([pixels[mine & each] for each in parts]), shown)


def test_what_is_found_is_said_with_its_counts(plates: Plates) -> None:
    plates.add("spot", (0, 0, 8, 8))
    plates.add("spot", (6, 2, 4, 2), split="validation")
    plates.add("spot")
    plates.add("good", width=20)
    _, lines = lay(
        plates.task(without_mask="leave_out", crops_per_defect=2, defect_overlap_at_least=0.6),
        silent,
    )
    assert lines == [
        "tiles of 8x8, overlap 0: 11 cut, the grid has 3 a picture (3 to 3)",
        "  train: good 5, spot 3 (2 crops); 3 unclear, not learned from",
        "  validation: good 1, spot 0; 2 unclear, not learned from",
        "  not learned from, nothing is marked in them: 2.png",
    ]


def of_another_size(plates: Plates) -> None:
    plates.add("spot", (0, 0, 8, 8))
    cv2.imwrite(str(plates.samples[-1].mask), np.full((9, 24), 255, np.uint8))


def not_a_picture(plates: Plates) -> None:
    mask = plates.add("spot", (0, 0, 8, 8)).mask
    assert mask is not None
    mask.write_bytes(b"no picture")


def missing(plates: Plates) -> None:
    mask = plates.add("spot", (0, 0, 8, 8)).mask
    assert mask is not None
    mask.unlink()


def grey(plates: Plates) -> None:
    plates.add("spot", (0, 0, 8, 8))
    cv2.imwrite(str(plates.samples[-1].mask), np.full((8, 24), 1, np.uint8))


def marked_though_good(plates: Plates) -> None:
    plates.add("good", (0, 0, 2, 3))


def beyond(plates: Plates) -> None:
    plates.add("spot", (20, 0, 5, 5), boxes=True)


def unmarked(plates: Plates) -> None:
    plates.add("spot")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (of_another_size, r"2.png: its mask .*2_mask.png is 24x9, the picture 24x8"),
        (not_a_picture, r"2.png: its mask .* is not a picture, or is damaged"),
        (missing, r"2.png: its mask .* cannot be read: No such file"),
        (grey, r"2.png: its mask .* has nothing brighter than 1: white \(255\) marks"),
        (marked_though_good, r"2.png: is 'good', but 6 pixels are marked"),
        (beyond, r"2.png: the box 20,0,5,5 leaves the picture, which is 24x8"),
        (unmarked, r"nothing is marked in 2.png"),
    ],
)
def test_marks_that_do_not_fit_are_refused_by_name(
    plates: Plates, spoil: Callable[[Plates], None], words: str
) -> None:
    plates.add("good")
    plates.add("spot", (0, 0, 8, 8))
    spoil(plates)
    with pytest.raises(DataError, match=words):
        plates.laid()


def test_marks_of_parts_that_are_only_judged_need_not_be_there(plates: Plates) -> None:
    plates.add("good")
    plates.add("spot", (0, 0, 8, 8))
    plates.add("spot", split="golden")
    assert sum(tile.picture == 2 for tile in plates.laid()) == 3


def test_tiles_larger_than_every_picture_are_refused(plates: Plates) -> None:
    plates.add("good")
    plates.add("spot", (0, 0, 8, 8), width=20, height=30)
    with pytest.raises(DataError, match=r"tiles of 64x64.*the largest is 20x30; make them smaller"):
        plates.laid(width=64, height=64)


def test_a_class_that_no_training_tile_shows_is_named(plates: Plates) -> None:
    plates.add("good")
    plates.add("spot", (6, 2, 4, 2))
    with pytest.raises(DataError, match="class 'spot': no training tile shows it"):
        plates.laid(defect_overlap_at_least=1.0)


def test_boxes_are_read_from_a_manifest_and_count_in_its_fingerprint(tmp_path: Path) -> None:
    def manifest(boxes: str) -> Path:
        path = tmp_path / "manifest.csv"
        path.write_text(f'image,label,boxes\na.png,good,\nb.png,spot,"{boxes}"\n', "utf-8")
        return path

    first = read_dataset(manifest("1,2,3,4; 5,6,7,8"))
    assert first.samples[1].boxes == ((1, 2, 3, 4), (5, 6, 7, 8))
    second = read_dataset(manifest("1,2,3,5"))
    assert second.fingerprint() == first.fingerprint()
    assert second.fingerprint(marks=True) != first.fingerprint(marks=True)
    for wrong in ("1,2,3", "1,2,0,4", "-1,2,3,4", "a,b,c,d"):
        with pytest.raises(DataError, match=r"manifest.csv, line 3: boxes .*x,y,width,height"):
            read_dataset(manifest(wrong))


def test_with_a_border_a_mark_at_the_edge_is_seen_within_a_tile_too(
    plates: Plates, tmp_path: Path
) -> None:
    plates.add("spot", (0, 0, 2, 2), width=24, height=16)
    plates.add("good", width=24, height=16)
    rule = RULE.model_copy(update={"border": 4, "crops_per_defect": 40})
    for each in (RULE.model_copy(update={"crops_per_defect": 40}), rule):
        crops = [tile.region for tile in plates.laid(each) if tile.crop]
        lefts = {around(crop)[0] for crop in crops}
        assert len(crops) == 40
        assert lefts == set(range(-each.border, 2))
    folder = tmp_path / "tiles"
    folder.mkdir()
    write_tiles(plates.task(rule), SPEC, folder, silent)
    layout, pixels, lines = load_tiles(folder)
    assert "tiles of 8x8, overlap 0, border 4: " in lines[0]
    for row, picture in enumerate(layout.picture):
        image = decode(plates.samples[picture].image.read_bytes())
        assert np.array_equal(fit(cut(image, layout.region(row)), SPEC), pixels[row])
    sticking = [row for row in range(len(pixels)) if around(layout.region(row))[0] == -4]
    assert sticking
    assert not pixels[sticking][:, :, :4].any()


def test_an_overview_is_shown_whole_under_the_pictures_own_label_as_often_as_the_plan_says(
    plates: Plates,
) -> None:
    for split in ("train", "validation", "golden"):
        plates.add("spot", (6, 2, 4, 2), split=split)
        plates.add("good", split=split)
    plates.add("spot", split="train")  # nothing is marked in it, and it is learned from
    changes: dict[str, Any] = {"overview": True, "overview_shows": 3, "without_mask": "leave_out"}
    tiles = plates.laid(**changes)
    whole = [tile for tile in tiles if isinstance(tile.region, Overview)]
    assert all((tile.region.width, tile.region.height) == (24, 8) for tile in whole)
    rows = Counter((plates.splits[t.picture], t.target, t.learned) for t in whole)
    assert rows == {
        ("train", SPOT, True): 6,
        ("train", GOOD, True): 3,
        ("validation", SPOT, True): 1,
        ("validation", GOOD, True): 1,
        ("golden", SPOT, False): 1,
        ("golden", GOOD, False): 1,
    }
    assert [tile for tile in tiles if tile not in whole] == plates.laid(without_mask="leave_out")


def test_an_overview_is_the_picture_in_a_tiles_size(plates: Plates, tmp_path: Path) -> None:
    sample = plates.add("spot", (6, 2, 4, 2))
    plates.add("good")
    spec = ImageSpec(width=8, height=8, fit="pad")
    write_tiles(plates.task(overview=True, overview_shows=1), spec, tmp_path, silent)
    layout, pixels, lines = load_tiles(tmp_path)
    (row,) = np.flatnonzero(layout.overview & (layout.picture == 0))
    assert layout.overview.sum() == 2
    assert isinstance(layout.region(int(row)), Overview)
    assert np.array_equal(pixels[row], fit(decode(sample.image.read_bytes()), spec))
    assert "  2 overviews besides, the pictures whole" in lines
