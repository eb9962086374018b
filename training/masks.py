"""Where the defects of a picture are: masks and boxes as people draw them."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.contract.image import Region
from training.dataset import Sample

WHITE_ABOVE = 127
"""A mask's pixel brighter than this is a defect's: a soft edge belongs to it by half."""
SPECK = 0.05
"""A patch smaller than this share of the picture's largest is a slip of the brush or a trace of
compression: no defect by itself, though the pixels it covers are not called good either."""
TRACE = 15
"""Compression leaves grey levels up to about this; what is brighter was drawn."""

Mask = NDArray[np.bool_]
"""height x width."""


class Defect(NamedTuple):
    """One connected patch of a mask, or one box."""

    x: int
    y: int
    pixels: Mask
    """Within its bounding box, whose corner is at x, y."""

    def area_in(self, region: Region) -> int:
        """Its pixels in a region of the picture."""
        left, top = max(0, region.x - self.x), max(0, region.y - self.y)
        right, bottom = region.x + region.width - self.x, region.y + region.height - self.y
        if right <= left or bottom <= top:
            return 0
        return int(self.pixels[top:bottom, left:right].sum())

    def most_in(self, width: int, height: int) -> int:
        """The most of its pixels that any region of this size can hold."""
        rows, columns = self.pixels.shape
        height, width = min(height, rows), min(width, columns)
        sums = cv2.integral(self.pixels.astype(np.uint8))
        held = sums[height:, width:] - sums[:-height, width:]
        held = held - sums[height:, :-width] + sums[:-height, :-width]
        return int(held.max())


@dataclass(frozen=True, slots=True)
class Marks:
    """What is marked in one picture."""

    covered: Mask
    """Every marked pixel of the picture."""
    defects: tuple[Defect, ...]

    def enough(self, width: int, height: int, share: float) -> tuple[float, ...]:
        """Of each defect, the pixels that make a region of this size show it."""
        return tuple(share * defect.most_in(width, height) for defect in self.defects)

    def shows(self, region: Region, enough: tuple[float, ...]) -> bool:
        """Whether the region holds enough of any one defect."""
        pairs = zip(self.defects, enough, strict=True)
        return any(defect.area_in(region) >= wanted for defect, wanted in pairs)

    def touches(self, region: Region) -> bool:
        bottom, right = region.y + region.height, region.x + region.width
        return bool(self.covered[region.y : bottom, region.x : right].any())


def read_marks(sample: Sample, height: int, width: int) -> Marks:
    """Mask and boxes of a picture of this size; both may be given, or neither.

    Raises ValueError in words that begin with the file's name where they do not fit the picture.
    """
    covered: Mask = np.zeros((height, width), np.bool_)
    defects: list[Defect] = []
    _require_upright(sample)
    if sample.mask is not None:
        covered = _mask(sample, height, width)
        defects = _patches(covered)
    for x, y, wide, high in sample.boxes:
        if x + wide > width or y + high > height:
            raise ValueError(
                f"{sample.name}: the box {x},{y},{wide},{high} leaves the picture, "
                f"which is {width}x{height}"
            )
        covered[y : y + high, x : x + wide] = True
        defects.append(Defect(x, y, np.ones((high, wide), np.bool_)))
    return Marks(covered, tuple(defects))


def _require_upright(sample: Sample) -> None:
    """Of a picture that its EXIF turns nobody can tell whether it was marked turned."""
    if sample.mask is None and not sample.boxes:
        return
    with_it = sample.mask is not None and not sample.boxes and _is_turned(sample.mask)
    if _is_turned(sample.image) != with_it:
        raise ValueError(
            f"{sample.name}: its EXIF turns it, and nobody can tell whether its mask and boxes are "
            f"drawn on it turned or as it is stored: save it without, and mark that"
        )


def _is_turned(picture: Path) -> bool:
    """Whether what is read is not what is stored; no for what is no picture."""
    try:
        data = np.frombuffer(picture.read_bytes(), np.uint8)
        read = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        stored = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    except (OSError, cv2.error):
        return False
    return read is not None and stored is not None and not np.array_equal(read, stored)


def _mask(sample: Sample, height: int, width: int) -> Mask:
    where = f"{sample.name}: its mask {sample.mask}"
    try:
        data = np.frombuffer(sample.mask.read_bytes() if sample.mask else b"", np.uint8)
    except OSError as error:
        raise ValueError(f"{where} cannot be read: {error.strerror}") from None
    try:
        mask = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None
        stored = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    except cv2.error:
        mask = stored = None
    if mask is None or stored is None:
        raise ValueError(f"{where} is not a picture, or is damaged")
    if stored.dtype != np.uint8:  # read as 8 bits, 255 of 65535 is black
        raise ValueError(f"{where} is not of 8 bits a pixel ({stored.dtype}), where white is 255")
    if mask.shape != (height, width):
        found = f"{mask.shape[1]}x{mask.shape[0]}"
        raise ValueError(f"{where} is {found}, the picture {width}x{height}")
    if 0 < mask.max() <= WHITE_ABOVE:
        raise ValueError(
            f"{where} has nothing brighter than {mask.max()}: white (255) marks a defect, "
            f"{WHITE_ABOVE} and less does not"
        )
    white = np.asarray(mask > WHITE_ABOVE)
    clear = stored[..., 3] <= WHITE_ABOVE if stored.ndim == 3 and stored.shape[2] == 4 else False
    if (white & clear).any():
        raise ValueError(f"{where} is white where it is transparent: save it without transparency")
    _require_none_dull(where, np.asarray(mask, np.uint8), white)
    return white


def _require_none_dull(where: str, mask: NDArray[np.uint8], white: Mask) -> None:
    """A patch in another colour than white is a defect that would be called good."""
    drawn = (mask > TRACE).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(drawn)
    bright = np.bincount(labels[white], minlength=count) > 0
    areas = stats[:, cv2.CC_STAT_AREA]
    least = SPECK * max((areas[i] for i in range(1, count) if bright[i]), default=0)
    for i in range(1, count):
        if not bright[i] and areas[i] >= least:
            x, y = stats[i, cv2.CC_STAT_LEFT], stats[i, cv2.CC_STAT_TOP]
            raise ValueError(
                f"{where} has a patch at {x},{y} that is nowhere brighter than "
                f"{mask[labels == i].max()}: white (255) marks a defect, {WHITE_ABOVE} and less "
                f"does not"
            )


def _patches(covered: Mask) -> list[Defect]:
    """Connected patches, corners counted, without specks."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(covered.astype(np.uint8))
    areas = stats[1:count, cv2.CC_STAT_AREA]
    patches = []
    for i in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[i])
        if area >= SPECK * areas.max():
            inside = labels[y : y + height, x : x + width] == i
            patches.append(Defect(x, y, inside))
    return patches
