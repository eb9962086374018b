"""What a plan's networks are shown can be looked at before hours are spent."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tests.training.plates import PLAN, write_class_folders
from training.cli import main
from training.report_plots import BAD
from training.views import View
from training.views_plot import PAINTED, said

PAINTING = "[synthetic]\nshare = 0.9\n"


def sheet(folder: Path, plan: str, *more: str) -> np.ndarray:
    folder.mkdir()
    (folder / "plan.toml").write_text(plan, encoding="utf-8")
    data, out = write_class_folders(folder / "data"), folder / "views.png"
    words = ["views", str(folder / "plan.toml"), "--data", str(data), "--out", str(out), *more]
    assert main(words) == 0
    image = cv2.imread(str(out))
    assert image is not None
    return image


def framed(image: np.ndarray) -> int:
    """Pixels in the colour of a frame."""
    red, green, blue = (round(255 * part) for part in to_rgb(BAD))
    return int((image == (blue, green, red)).all(axis=2).sum())


def test_painted_views_are_framed_on_a_sheet_with_rows_of_every_class(tmp_path: Path) -> None:
    plain, painted = sheet(tmp_path / "plain", PLAN), sheet(tmp_path / "painted", PLAN + PAINTING)
    assert framed(plain) == 0 < framed(painted)
    one = sheet(tmp_path / "one", PLAN, "--each", "1")
    assert one.shape[1] == plain.shape[1]
    assert plain.shape[0] / one.shape[0] == pytest.approx(3.0, rel=0.1)


def test_above_a_view_stands_what_it_is_taught_as() -> None:
    picture, labels = np.zeros((8, 8, 3), np.uint8), ("crack", "good")
    mixed = View(picture, np.array([0.3, 0.7], np.float32), 0.0)
    assert said(mixed, labels) == "0.30 crack\n+ 0.70 good"
    assert said(mixed._replace(target=np.array([0.0, 1.0], np.float32)), labels) == "good"
    assert said(mixed._replace(painted=True), labels) == PAINTED


def test_as_many_rows_as_nobody_looks_at_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["views", str(tmp_path / "plan.toml"), "--data", str(tmp_path), "--out", "x.png"]
    assert main([*words, "--each", "0"]) == 78
    assert "--each 0: must be 1 to 50" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named_in_a_line(
    tmp_path: Path, class_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, taken, nowhere = tmp_path / "plan.toml", tmp_path / "taken", tmp_path / "no" / "x"
    plan.write_text(PLAN, encoding="utf-8")
    taken.touch()
    both = [str(plan), "--data", str(class_folders), "--out"]
    for words in (["scan", str(class_folders), "--json"], ["views", *both]):
        assert main([*words, str(nowhere)]) == 78
        assert "must be a file in a folder that is there" in capsys.readouterr().err
    assert main(["release", *both, str(taken)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"{taken / 'work'}: Not a directory"


def test_what_is_read_is_never_written_over(
    tmp_path: Path, class_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, manifest = tmp_path / "plan.toml", class_folders / "parts.csv"
    plan.write_text(PLAN, encoding="utf-8")
    manifest.write_text("image,label\ngood/0.png,good\nscratch/0.png,scratch\n")
    before = manifest.read_text()
    for words in (
        ["scan", str(manifest), "--json", str(manifest)],
        ["views", str(plan), "--data", str(manifest), "--out", str(manifest)],
        ["views", str(plan), "--data", str(manifest), "--out", str(plan)],
    ):
        assert main(words) == 78
        assert "is what is read: name another file" in capsys.readouterr().err
    assert (manifest.read_text(), plan.read_text()) == (before, PLAN)
