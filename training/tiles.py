"""Tiles at the picture's own resolution: where they lie, what each shows, and their pixels.

The grid is the station's (`contract.image.tiles_of`). Validation, calibration and golden parts are
cut whole, every tile of the grid, since a part is judged by its worst one. Training takes from its
parts' grids what is clearly good or clearly a defect, and more crops of each defect, at places
that depend on the seed, the picture's name and its marks alone.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.errors import DataError
from inspector.contract.image import (
    Image,
    ImageSpec,
    Region,
    around,
    cut,
    decode,
    fit,
    overview_of,
    tile_at,
    tiles_of,
    whole,
)
from inspector.contract.whole import write_whole
from training.dataset import Sample, SplitName
from training.layout import Layout, Tile, load_layout, save_layout
from training.masks import Marks, read_marks
from training.plan_tiles import Tiles
from training.room import blank

CROP_TRIES = 16
LAYOUT = "layout.npz"
SHOWN = 5
"""Of many faults of one kind, as many are told by name."""


class Task(NamedTuple):
    """What tiles are cut from, and for what."""

    samples: tuple[Sample, ...]
    splits: tuple[SplitName, ...]
    """Of each sample."""
    labels: tuple[str, ...]
    good: tuple[str, ...]
    rule: Tiles
    seed: int


Progress = Callable[[Iterable[int], int, str], Iterable[int]]


def write_tiles(task: Task, spec: ImageSpec, folder: Path, progress: Progress) -> None:
    """Lay the tiles and cut them: layout.npz, pixels.npy and lines.json in the folder.

    Raises DataError in words where the marks do not fit the pictures or nothing can be learned,
    InspectorError where the disk has no room for the pixels.
    """
    tiles, lines = lay(task, progress)
    shape = (len(tiles), spec.height, spec.width, 3)
    pixels = blank(folder / "pixels.npy", np.uint8, shape)
    image, read = np.zeros((0, 0, 3), np.uint8), -1
    for row in progress(range(len(tiles)), len(tiles), "cutting tiles"):
        if tiles[row].picture != read:
            read = tiles[row].picture
            image = _read(task.samples[read])
        pixels[row] = fit(cut(image, tiles[row].region), spec)
    pixels.flush()
    save_layout(tiles, folder / LAYOUT)
    write_whole(folder / "lines.json", json.dumps(lines).encode())


def load_tiles(folder: Path) -> tuple[Layout, NDArray[np.uint8], tuple[str, ...]]:
    """What `write_tiles` left: the rows, their pixels, and what was found, in words."""
    lines = json.loads((folder / "lines.json").read_text(encoding="utf-8"))
    layout = load_layout(folder / LAYOUT)
    return layout, np.load(folder / "pixels.npy", mmap_mode="r"), tuple(lines)


def lay(task: Task, progress: Progress) -> tuple[list[Tile], list[str]]:
    """The tiles that are cut, picture by picture, and what is to be said of them."""
    tiles: list[Tile] = []
    overviews: list[Tile] = []
    counts: list[int] = []
    largest = (0, 0)
    small = 0
    faults: list[str] = []
    unmarked: list[str] = []
    for i in progress(range(len(task.samples)), len(task.samples), "laying tiles"):
        sample = task.samples[i]
        image = _read(sample)
        height, width = image.shape[:2]
        largest = max(largest, (width, height), key=lambda size: size[0] * size[1])
        border = 2 * task.rule.border
        small += width + border < task.rule.width or height + border < task.rule.height
        try:
            grid = tiles_of(whole(image), task.rule)
            mine = _tiles_of_picture(task, i, image, grid)
            overviews += _overviews(task, i, image)
        except ValueError as error:
            text = str(error)
            faults.append(text if text.startswith(sample.name) else f"{sample.name}: {text}")
            continue
        if mine and not any(t.learned for t in mine) and task.splits[i] in ("train", "validation"):
            unmarked.append(sample.name)
        counts.append(len(grid))
        tiles += mine
    _require(task, faults, unmarked, counts, largest)
    taken = _take(task, tiles)
    _require_classes(task, taken)
    lines = _lines(task, tiles, taken, counts)
    if overviews:
        lines.append(f"  {len(overviews)} overviews besides, the pictures whole")
        taken = sorted([*taken, *overviews], key=lambda tile: tile.picture)
    if small:
        lines.append(f"  {small} pictures are narrower or lower than a tile: padded with black")
    if unmarked:
        lines.append(f"  not learned from, nothing is marked in them: {_some(unmarked)}")
    return taken, lines


def _tiles_of_picture(task: Task, i: int, image: Image, grid: tuple[Region, ...]) -> list[Tile]:
    """Every tile of one picture's grid with what it shows; crops where it is for training."""
    sample, split = task.samples[i], task.splits[i]
    own = task.labels.index(sample.label)
    if split in ("calibration", "golden"):  # judged by part: their marks are nobody's business
        return [Tile(i, region, own, learned=False) for region in grid]
    marks = read_marks(sample, *image.shape[:2])
    if sample.label in task.good:
        if marks.covered.any():
            count = int(marks.covered.sum())
            raise ValueError(f"{sample.name}: is {sample.label!r}, but {count} pixels are marked")
        return [Tile(i, region, own, learned=True) for region in grid]
    if not marks.defects:
        return [Tile(i, region, own, learned=False) for region in grid]
    clean = task.labels.index(task.good[0])
    size = around(grid[0])[2:]
    enough = marks.enough(*size, task.rule.defect_overlap_at_least)
    tiles = []
    for region in grid:
        if marks.shows(region, enough):
            tiles.append(Tile(i, region, own, learned=True))
        elif marks.touches(region):
            tiles.append(Tile(i, region, own, learned=False))
        else:
            tiles.append(Tile(i, region, clean, learned=True))
    if split == "train":
        tiles += [Tile(i, crop, own, True, True) for crop in _crops(task, i, marks, size, enough)]
    return tiles


def _overviews(task: Task, i: int, image: Image) -> list[Tile]:
    """The picture whole, if the plan wants that: as often as training is shown it, else once."""
    if not task.rule.overview:
        return []
    label, split = task.samples[i].label, task.splits[i]
    learned = split in ("train", "validation")
    tile = Tile(i, overview_of(whole(image)), task.labels.index(label), learned)
    return [tile] * (task.rule.overview_shows if split == "train" else 1)


def _crops(
    task: Task, i: int, marks: Marks, size: tuple[int, int], enough: tuple[float, ...]
) -> list[Region]:
    """Regions of a tile's size around the defects, the same for the same seed, name and marks."""
    digest = hashlib.sha256(task.samples[i].name.encode()).digest()
    rng = np.random.default_rng([task.seed, int.from_bytes(digest[:8], "big")])
    height, width = marks.covered.shape
    area = Region(name="picture", x=0, y=0, width=width, height=height)
    border = task.rule.border
    crops = []
    for defect in marks.defects:
        spots = np.argwhere(defect.pixels)
        for _ in range(task.rule.crops_per_defect):
            for _ in range(CROP_TRIES):
                row, column = (int(value) for value in spots[rng.integers(len(spots))])
                x = _begin(rng, defect.x + column, size[0], area.width, border)
                y = _begin(rng, defect.y + row, size[1], area.height, border)
                crop = tile_at("crop", (x, y, *size), area)
                if marks.shows(crop, enough):
                    crops.append(crop)
                    break
    return crops


def _begin(rng: np.random.Generator, spot: int, size: int, length: int, border: int) -> int:
    """Where a span of `size` within `length` and its border may begin that holds the spot."""
    return int(rng.integers(max(-border, spot - size + 1), min(spot, length + border - size) + 1))


def _take(task: Task, tiles: list[Tile]) -> list[Tile]:
    """All tiles of the sets that are judged; of training's, what is learned, good ones by share.

    Good tiles are drawn picture by picture in turn, so that no picture is left out for another's
    second tile.
    """
    good = {task.labels.index(label) for label in task.good}
    train = [k for k, tile in enumerate(tiles) if task.splits[tile.picture] == "train"]
    learned = [k for k in train if tiles[k].learned]
    drawn = np.random.default_rng([task.seed, len(tiles)]).permutation(learned)
    turn: Counter[int] = Counter()
    candidates: list[tuple[int, int, int]] = []
    for order, k in enumerate(drawn):
        tile = tiles[int(k)]
        if tile.target in good:
            candidates.append((turn[tile.picture], order, int(k)))
            turn[tile.picture] += 1
    room = round(task.rule.good_per_defect * (len(learned) - len(candidates)))
    left_out = set(train) - set(learned) | {k for _, _, k in sorted(candidates)[room:]}
    return [tile for k, tile in enumerate(tiles) if k not in left_out]


def _require(
    task: Task,
    faults: list[str],
    unmarked: list[str],
    counts: list[int],
    largest: tuple[int, int],
) -> None:
    """Raises DataError where the pictures and their marks do not suit the plan."""
    if faults:
        more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
        raise DataError("\n".join([*faults[:SHOWN], *more]))
    if max(counts) == 1:
        raise DataError(
            f"plan: tiles of {task.rule.tiling}: no picture is larger than one, the largest is "
            f"{largest[0]}x{largest[1]}; make them smaller, or leave [tiles] out"
        )
    if unmarked and task.rule.without_mask == "refuse":
        raise DataError(
            f"plan: tiles need a mask or boxes that mark each defect of train and validation, or "
            f'tiles.without_mask = "leave_out"; nothing is marked in {_some(unmarked)}'
        )


def _require_classes(task: Task, taken: list[Tile]) -> None:
    """Raises DataError for a class that no training tile shows."""
    # defects first: where none is shown, no good tile is taken beside them
    classes = sorted(task.labels, key=lambda label: label in task.good)
    shown = {t.target for t in taken if task.splits[t.picture] == "train"}
    for label in classes:
        if task.labels.index(label) not in shown:
            raise DataError(
                f"class {label!r}: no training tile shows it; its training parts need masks or "
                f"boxes, or tiles.defect_overlap_at_least must be lower"
            )


def _lines(task: Task, tiles: list[Tile], taken: list[Tile], counts: list[int]) -> list[str]:
    spread = f"{int(np.median(counts))} a picture ({min(counts)} to {max(counts)})"
    lines = [f"tiles of {task.rule.tiling}: {len(taken)} cut, the grid has {spread}"]
    for split in ("train", "validation"):
        mine = [tile for tile in taken if task.splits[tile.picture] == split]
        there = [tile for tile in tiles if task.splits[tile.picture] == split and not tile.crop]
        each = []
        for number, label in enumerate(task.labels):
            n = sum(tile.learned and tile.target == number for tile in mine)
            crops = sum(tile.crop and tile.target == number for tile in mine)
            of = sum(tile.learned and tile.target == number for tile in there)
            part = f" of {of}" if n < of else ""
            each.append(f"{label} {n}{part}" + (f" ({crops} crops)" if crops else ""))
        unclear = sum(not tile.learned for tile in there)
        lines.append(f"  {split}: {', '.join(each)}; {unclear} unclear, not learned from")
    return lines


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _read(sample: Sample) -> Image:
    try:
        return decode(sample.image.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{sample.name}: {error}; it could be read when it was scanned") from None
