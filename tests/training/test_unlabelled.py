"""An archive without labels never shows what is held back."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.training.plates import PLAN
from training.cli import machine_of
from training.dataset import SplitName
from training.job import Data, Job
from training.plan import read_plan
from training.run import Run
from training.scan import Images, ScanReport
from training.screen import Screen
from training.unlabelled import load_unlabelled, read_unlabelled

REPORT = ScanReport(layout="", images=8, kept=(), classes={}, parts={}, twins=(), findings=())


def test_other_pictures_in_the_same_rows_are_held_back_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
    archive, path = tmp_path / "archive", tmp_path / "plan.toml"
    archive.mkdir()
    for i, image in enumerate(pixels):
        cv2.imwrite(str(archive / f"{i}.png"), image)
    path.write_text(PLAN, encoding="utf-8")
    plan, screen = read_plan(path), Screen(quiet=True)
    run = Run(tmp_path / "work", screen.say)
    job = Job(plan, run, machine_of(plan, path), screen)
    rows: dict[SplitName, NDArray[np.int64]] = {
        "train": np.arange(4),
        "validation": np.array([4]),
        "calibration": np.array([5]),
        "golden": np.array([6, 7]),
    }
    for order in (np.arange(8), np.arange(8)[::-1]):  # the sets are drawn anew
        images = Images((), pixels[order], REPORT)
        data = Data(images, rows, np.zeros(8, np.int64), ("good",))
        shown = load_unlabelled(read_unlabelled(job, data, archive)).pixels
        assert len(shown) == 4
        held_back = {images.pixels[i].tobytes() for i in range(4, 8)}
        assert not held_back & {each.tobytes() for each in shown}
    run.close()
