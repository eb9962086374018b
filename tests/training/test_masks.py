"""Masks as drawing programs save them: what is drawn is read, or refused by name."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from training.dataset import Sample
from training.masks import Marks, read_marks


def read(mask: NDArray[np.uint8] | NDArray[np.uint16], folder: Path) -> Marks:
    path = folder / "a_mask.png"
    assert cv2.imwrite(str(path), mask)
    return read_marks(Sample(path, "a.png", "spot", "a", mask=path), *mask.shape[:2])


def test_a_patch_in_another_colour_beside_a_white_one_is_not_called_good(tmp_path: Path) -> None:
    mask = np.zeros((32, 48, 3), np.uint8)
    mask[2:10, 4:12], mask[20:28, 30:38] = (255, 255, 255), (0, 0, 255)
    with pytest.raises(ValueError, match=r"a\.png: .* a patch at 30,20 .* brighter than 76"):
        read(mask, tmp_path)


def test_a_soft_edge_and_traces_of_compression_are_no_patches(tmp_path: Path) -> None:
    mask = np.full((32, 48), 9, np.uint8)
    mask[2:10, 4:12] = 60
    mask[3:9, 5:11] = 255
    mask[20, 30] = 40  # a slip of the brush
    assert read(mask, tmp_path).covered.sum() == 36


def test_white_of_8_bits_in_a_mask_of_16_is_not_read_as_black(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not of 8 bits a pixel \(uint16\)"):
        read(np.full((32, 48), 255, np.uint16), tmp_path)


def test_white_that_is_transparent_is_not_taken_for_a_mark(tmp_path: Path) -> None:
    mask = np.full((32, 48, 4), 255, np.uint8)
    mask[:, 8:, 3] = 0
    with pytest.raises(ValueError, match="is white where it is transparent"):
        read(mask, tmp_path)
    mask[:, 8:, :3] = 0
    assert read(mask, tmp_path).covered.sum() == 32 * 8


@pytest.mark.parametrize("drawn", ["mask", "boxes"])
def test_a_picture_that_its_exif_turns_is_not_marked_at_the_wrong_end(
    drawn: str, tmp_path: Path
) -> None:
    """Turned by half, or a square one by any turn, the marks would fit it as well."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    upright, turned = tmp_path / "upright.jpg", tmp_path / "turned.jpg"
    orientation = PIL.Image.Exif()
    orientation[274] = 3
    PIL.Image.fromarray(noise).save(upright)
    PIL.Image.fromarray(noise).save(turned, exif=orientation)
    mask = tmp_path / "mask.png"
    assert cv2.imwrite(str(mask), np.eye(32, dtype=np.uint8) * 255)
    marks: dict[str, Any] = {"mask": mask, "boxes": ((1, 2, 3, 4),)}
    its = {drawn: marks[drawn]}
    read_marks(Sample(upright, "upright.jpg", "spot", "a", **its), 32, 32)
    with pytest.raises(ValueError, match=r"turned\.jpg: its EXIF turns it, and nobody can tell"):
        read_marks(Sample(turned, "turned.jpg", "spot", "a", **its), 32, 32)
