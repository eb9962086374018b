"""Of an archive only what is a picture of a part as the network is to see it is learned from."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inspector.contract.errors import DataError
from inspector.contract.image import ImageSpec
from inspector.delivery.kept import MAP, SUFFIX
from tests.training.plates import PLAN, draw, write_class_folders, written_plan
from tests.training.releases import Forked, short
from training.dataset import SPLITS, SplitName, read_dataset
from training.fit import Machine
from training.job import Data, Job
from training.run import Run
from training.scan import load_images, scan
from training.screen import Screen
from training.unlabelled import Unlabelled, load_unlabelled, read_unlabelled

HIGH, WIDE = 64, 96
"""Of the region that labelled pictures were cut from."""


def frame(seed: int) -> np.ndarray:
    """What a camera sees: the region, and a margin around it."""
    rng = np.random.default_rng(seed)
    picture = cv2.resize(draw(rng, "spot"), (WIDE, HIGH))
    return cv2.copyMakeBorder(picture, 40, 40, 20, 20, cv2.BORDER_REFLECT)


def region(whole: np.ndarray) -> np.ndarray:
    return whole[40:-40, 20:-20]


class Line:
    """Labelled cuts, one of them golden, and an archive beside them."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.archive = folder / "archive"
        self.archive.mkdir()
        for i in range(8):
            path = folder / "data" / "spot" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), region(frame(i)))
        machine = Machine(torch.device("cpu"), 1)
        self.job = Job(written_plan(folder, PLAN), run, machine, Screen(quiet=True))
        dataset, scanned = read_dataset(folder / "data"), folder / "scan"
        scanned.mkdir()
        scan(dataset, ImageSpec(width=64, height=64), 0.97, scanned, lambda samples, _: samples)
        rows: dict[SplitName, np.ndarray] = {name: np.array([], np.int64) for name in SPLITS}
        rows |= {"train": np.arange(1, 8), "golden": np.array([0])}
        images = load_images(dataset, scanned)
        self.data = Data(images, rows, np.zeros(8, np.int64), ("spot",))

    def keep(self, name: str, image: np.ndarray) -> None:
        cv2.imwrite(str(self.archive / name), image)

    def read(self) -> Unlabelled:
        return load_unlabelled(read_unlabelled(self.job, self.data, self.archive))


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    run = Run(tmp_path / "work", lambda _: None)
    try:
        yield Line(tmp_path, run)
    finally:
        run.close()


def test_whole_frames_of_a_station_with_a_region_are_left_out_and_counted(line: Line) -> None:
    line.keep("0.png", frame(0))  # around the golden part, which nobody would recognise
    line.keep("20.png", frame(20))
    line.keep("21.png", region(frame(21)))
    line.keep("22.png", cv2.resize(region(frame(22)), (47, 31)))  # kept small
    found = line.read()
    assert set(found.names) == {"21.png", "22.png"}
    assert found.lines == (
        "unlabelled: 2 of 4 images used",
        "  left out, of another shape than any labelled picture (a station with a region keeps "
        "whole frames): 2",
    )


def test_an_archive_of_whole_frames_alone_says_why_nothing_is_left(line: Line) -> None:
    line.keep("0.png", frame(0))
    with pytest.raises(DataError, match=r"nothing is left to use; .* keeps whole frames\): 1"):
        line.read()


def test_a_stations_maps_are_no_pictures(line: Line) -> None:
    line.keep(f"b-1{SUFFIX}", region(frame(21)))
    line.keep(f"b-1{MAP}", region(frame(23))[:, :, 0])
    line.keep(f"alone{MAP}", region(frame(24)))  # beside no picture: somebody's own
    found = line.read()
    assert set(found.names) == {f"b-1{SUFFIX}", f"alone{MAP}"}
    assert found.lines == ("unlabelled: 2 of 2 images used",)


def test_an_archive_of_no_use_is_refused_before_a_teacher_is_trained(tmp_path: Path) -> None:
    data, archive = write_class_folders(tmp_path / "data"), tmp_path / "archive"
    archive.mkdir()
    cv2.imwrite(str(archive / "frame.png"), frame(0))
    plan = tmp_path / "plan.toml"
    learns = short().replace("[student]", '[student]\nunlabelled = { folder = "archive" }')
    plan.write_text(learns, encoding="utf-8")
    refused = Forked("release", plan, "--data", data, "--out", tmp_path / "out").end()
    assert refused.returncode == 65
    assert "student.unlabelled: nothing is left to use" in refused.stderr
    assert "teacher" not in refused.stderr
