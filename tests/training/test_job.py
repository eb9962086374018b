"""What the stages of a release share."""

from pathlib import Path

import numpy as np

from training.dataset import Sample
from training.job import part_numbers
from training.scan import Images, ScanReport


def test_pictures_of_one_part_and_twins_have_one_number() -> None:
    parts = ["a", "b", "a", "c", "d", "e"]
    report = ScanReport(
        layout="",
        images=6,
        kept=tuple("012345"),
        classes={},
        parts={},
        twins=((2, 3), (4, 5)),
        findings=(),
    )
    samples = tuple(Sample(Path(p), p, "ok", part) for p, part in zip("012345", parts, strict=True))
    images = Images(samples, np.zeros((6, 1, 1, 3), np.uint8), report)
    numbers = part_numbers(images).tolist()
    assert numbers[0] == numbers[2] == numbers[3]  # a, and c that looks like its second picture
    assert numbers[4] == numbers[5]
    assert len(set(numbers)) == 3
