"""Masks as drawing programs save them: what is drawn is read, or refused by name."""

from pathlib import Path

import cv2
import numpy as np
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
