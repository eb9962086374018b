"""A file of a folder that somebody else may write: read, or refused at once."""

import os
from pathlib import Path

import pytest

from inspector.contract.inside import read_inside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.png").write_bytes(b"outside")
    made = tmp_path / "bundle"
    (made / "golden").mkdir(parents=True)
    (made / "golden" / "a.png").write_bytes(b"inside")
    (made / "elsewhere").symlink_to(tmp_path / "outside")
    (made / "golden" / "b.png").symlink_to(made / "golden" / "a.png")
    os.mkfifo(made / "pipe")
    return made


def test_a_file_is_read_by_its_path_and_no_longer_than_is_said(folder: Path) -> None:
    assert read_inside(folder, "golden/a.png", 6) == b"inside"
    with pytest.raises(ValueError, match="longer than 5 bytes"):
        read_inside(folder, "golden/a.png", 5)


@pytest.mark.parametrize(
    "name",
    [
        "elsewhere/a.png",
        "golden/b.png",
        "elsewhere/../golden/a.png",
        "../outside/a.png",
        "/etc/hostname",
        "pipe",
        "golden",
        "golden/none.png",
        "golden/a.png/more",
        "",
        ".",
        "..",
        "a\0b",
    ],
)
def test_what_is_no_file_or_leads_elsewhere_is_refused_and_nothing_stays_open(
    folder: Path, name: str
) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises((OSError, ValueError)):
        read_inside(folder, name, 100)
    assert set(Path("/proc/self/fd").iterdir()) == before
