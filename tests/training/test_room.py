"""A disk that is full is said in words, before a file on it is filled."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support import small_disk
from tests.training.plates import ALONE, write_class_folders, written_plan
from tests.training.releases import PATIENCE_S, Forked
from training.room import blank

KEEP = """
import sys, pathlib, numpy
from inspector.contract.errors import InspectorError
from training.views import Kept
try:
    Kept(pathlib.Path(sys.argv[1]), numpy.arange(1000), 16, 8)
except InspectorError as error:
    print(error)
"""


def test_a_disk_too_small_for_the_pictures_ends_the_job_in_words(tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "data")
    written_plan(tmp_path, ALONE)
    with small_disk(tmp_path / "out", "256k") as out:
        words = ("release", tmp_path / "plan.toml", "--data", data, "--out", out)
        ended = Forked(*words).end()
        assert ended.returncode == 1, ended.stderr
        (scan,) = out.glob("work/scan-*")
        needed = 36 * 64 * 64 * 3
        expected = f"{scan}: the disk has no room for pixels.npy: it needs {needed:,} bytes, "
        assert ended.stderr.splitlines()[-1].startswith(expected)
        assert "Traceback" not in ended.stderr
        assert not (scan / "pixels.npy").exists()


def test_a_disk_too_small_for_a_teachers_answers_is_said_in_words(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        asked = [sys.executable, "-c", KEEP, str(disk / "answers.npy")]
        done = subprocess.run(
            asked, check=False, capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{disk}: the disk has no room for answers.npy.part: it ")
        assert list(disk.iterdir()) == []  # what is there of it is given back


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_a_blank_file_is_zeros_and_all_of_it_is_on_the_disk(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "some.npy"
    blank(path, np.uint8, (rows, 64, 3))[:1] = 7
    held = path.stat()
    assert held.st_blocks * 512 >= held.st_size
    expected = np.zeros((rows, 64, 3), np.uint8)
    expected[:1] = 7
    assert np.array_equal(np.load(path), expected)
