"""The image archive on a real disk: its cap, its queue, and folders that cannot be written."""

import base64
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.contract.command import PICTURE_BYTES_MAX, Picture
from inspector.contract.defect_map import MIDDLE, RegionMaps
from inspector.contract.errors import ConfigError, InUseError
from inspector.contract.image import Image, ImageSpec, whole
from inspector.contract.verdict import Evaluation
from inspector.delivery.archive import ArchiveSettings, ImageArchive
from inspector.delivery.kept import MAP, read_kept
from inspector.delivery.own_folder import MARK
from tests.support import picture, small_disk, until

NOISE: Image = np.random.default_rng(1).integers(0, 256, (400, 400, 3), np.uint8)
"""About 170 kB as a JPEG of quality 90."""


@contextmanager
def archive(folder: Path, **settings: Any) -> Iterator[ImageArchive]:
    chosen = ArchiveSettings(folder=folder, **{"disk_free_min_mb": 0, **settings})
    made = ImageArchive(chosen)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".jpg")


def maps_of(image: Image, value: float = 0.9) -> RegionMaps:
    """Two cells of one whole region."""
    cells = np.array([[0.1, value]], np.float32)
    return RegionMaps((whole(image),), (cells,), ImageSpec(width=32, height=32))


def test_an_offered_image_is_a_jpeg_that_opens(tmp_path: Path) -> None:
    with archive(tmp_path / "images") as kept:
        kept.offer("boot-1", picture(128))
    read = cv2.imread(str(tmp_path / "images" / "boot-1.jpg"))
    assert read is not None
    assert read.shape == (40, 48, 3)
    assert abs(float(read.mean()) - 128.0) < 2.0
    assert kept.dropped == 0


def test_the_oldest_go_when_the_cap_is_reached_in_this_run_and_in_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for run in range(2):
        with archive(folder, size_max_mb=1) as kept:
            for i in range(10):
                kept.offer(f"run{run}-{i}", NOISE)
                assert until(lambda i=i, run=run: f"run{run}-{i}.jpg" in pictures(folder))  # type: ignore[misc]
        assert sum(path.stat().st_size for path in folder.glob("*.jpg")) <= 1_000_000
        assert pictures(folder)[-1] == f"run{run}-9.jpg"
        assert kept.dropped == 0
    assert pictures(folder)[0].startswith("run1")


def test_a_disk_without_room_is_not_filled_with_what_could_not_be_kept(tmp_path: Path) -> None:
    """Else each part left a file more that nobody counted, until the next start."""
    with small_disk(tmp_path / "disk", "1m") as disk, archive(disk / "images") as kept:
        for i in range(30):
            kept.offer(f"{i}", NOISE, maps_of(NOISE))
            assert until(lambda i=i: kept.dropped + len(pictures(disk / "images")) > i)  # type: ignore[misc]
        assert kept.dropped > 20
        names = {path.name for path in (disk / "images").iterdir()} - {MARK}
        shown = [Path(name).stem for name in pictures(disk / "images")]
        assert names == {f"{name}{ending}" for name in shown for ending in (".jpg", MAP)}


def test_what_cannot_be_looked_at_at_the_start_hides_no_picture_from_the_cap(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "images"
    with archive(folder, size_max_mb=10) as kept:
        for i in range(20):
            kept.offer(f"{i}", NOISE)
            assert until(lambda i=i: f"{i}.jpg" in pictures(folder))  # type: ignore[misc]
    for i in range(20):
        (folder / f"{i}-not-ours.part").mkdir()
    with archive(folder, size_max_mb=1):
        assert until(lambda: len(pictures(folder)) <= 6)


def test_a_smaller_cap_holds_from_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    with archive(folder, size_max_mb=10) as kept:
        for i in range(10):
            kept.offer(f"{i}", NOISE)
    assert len(pictures(folder)) == 10
    with archive(folder, size_max_mb=1):
        assert until(lambda: len(pictures(folder)) <= 6)
    assert "9.jpg" in pictures(folder)


@pytest.mark.alone
def test_offering_never_waits_and_every_drop_is_counted(tmp_path: Path) -> None:
    image: Image = np.tile(NOISE, (5, 5, 1))
    with archive(tmp_path / "images", queue_max=2) as kept:
        slowest_s = 0.0
        for i in range(40):
            start = time.monotonic()
            kept.offer(f"{i:02d}", image)
            slowest_s = max(slowest_s, time.monotonic() - start)
    assert slowest_s < 0.2
    assert kept.dropped > 0
    assert len(pictures(tmp_path / "images")) + kept.dropped == 40


def test_a_folder_that_cannot_be_made_is_counted_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with archive(tmp_path / "file" / "images") as kept:
        for i in range(5):
            kept.offer(str(i), NOISE)
    assert kept.dropped == 5
    assert len([r for r in caplog.records if "images are dropped" in r.message]) == 1


WRITE_READ_ONLY = """
import os, sys
from pathlib import Path
import numpy as np
from inspector.delivery.archive import ArchiveSettings, ImageArchive
from inspector.delivery.kept import MAP, read_kept
from inspector.delivery.own_folder import MARK
if os.geteuid() == 0:
    os.setuid(65534)  # root may write everywhere
kept = ImageArchive(ArchiveSettings(folder=Path(sys.argv[1]), disk_free_min_mb=0))
kept.start()
for i in range(5):
    kept.offer(str(i), np.zeros((8, 8, 3), np.uint8))
kept.stop()
print(kept.dropped)
"""


def test_a_read_only_folder_is_counted_and_told_once() -> None:
    with tempfile.TemporaryDirectory() as outer:  # pytest's own is closed to other users
        Path(outer).chmod(0o755)
        folder = Path(outer) / "images"
        folder.mkdir(mode=0o555)
        command = [sys.executable, "-c", WRITE_READ_ONLY, str(folder)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "5"
    assert run.stderr.count("images are dropped: Permission denied") == 1


def test_images_give_way_before_the_disk_is_full(tmp_path: Path) -> None:
    with archive(tmp_path / "images", disk_free_min_mb=1_000_000) as kept:
        kept.offer("a", NOISE)
    assert kept.dropped == 1
    assert pictures(tmp_path / "images") == []


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/b", "..", ".hidden", "", "a\0b"])
def test_a_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with archive(tmp_path / "images") as kept:
        kept.offer(name, NOISE)
    assert kept.dropped == 1
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [".inspector-archive"]


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(ConfigError, match="give it a folder of its own"):
        ImageArchive(ArchiveSettings(folder=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_two_archives_never_delete_each_others_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    script = """
import sys, time
from pathlib import Path
from inspector.delivery.archive import ArchiveSettings, ImageArchive
kept = ImageArchive(ArchiveSettings(folder=Path(sys.argv[1])))
print("has it", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"has it\n"
        with pytest.raises(InUseError, match=r"shadow.folder .*images: another archive keeps its"):
            ImageArchive(ArchiveSettings(folder=folder), "shadow.folder")
        other.kill()
    with archive(folder):  # however the other ended, it is free
        pass


def test_a_half_written_picture_of_a_killed_station_goes(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    with archive(folder):
        pass
    (folder / "7.jpg.part").write_bytes(b"half")
    with archive(folder):
        assert until(lambda: not list(folder.glob("*.part")))


def test_what_is_kept_is_what_the_settings_say(tmp_path: Path) -> None:
    wanted = {"all": set(Evaluation), "none": set(), "not_ok": set(Evaluation) - {Evaluation.OK}}
    for keep, evaluations in wanted.items():
        settings = ArchiveSettings.model_validate({"folder": tmp_path / "images", "keep": keep})
        made = ImageArchive(settings)
        assert {e for e in Evaluation if made.keeps(e)} == evaluations
        made.stop()


def test_the_next_picture_is_kept_once_for_who_asked_for_one_that_was_not(tmp_path: Path) -> None:
    for keep, expected in (("not_ok", [False, True, False]), ("none", [False, False, False])):
        with archive(tmp_path / keep, keep=keep) as images:
            kept = [images.keeps(Evaluation.OK)]
            words = str(images.picture("passed-1"))
            kept += [images.keeps(Evaluation.OK) for _ in range(2)]
            assert kept == expected
            assert words.endswith("none ever is" if keep == "none" else "the next part has one")


def test_images_in_the_queue_are_written_at_the_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with archive(tmp_path / "images") as kept:
        for i in range(10):
            kept.offer(str(i), NOISE)
    assert len(pictures(tmp_path / "images")) == 10
    assert not caplog.records


def test_a_kept_picture_is_given_as_it_is_or_smaller_where_it_would_fill_a_message(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "images"
    large: Image = np.random.default_rng(2).integers(0, 256, (1200, 1600, 3), np.uint8)
    with archive(folder) as kept:
        kept.offer("boot-1", NOISE)
        kept.offer("boot-2", large)
        assert until(lambda: len(pictures(folder)) == 2)
        small, fitted = kept.picture("boot-1"), kept.picture("boot-2")
    assert isinstance(small, Picture)
    assert (base64.b64decode(small.jpeg), small.scale) == (
        (folder / "boot-1.jpg").read_bytes(),
        1.0,
    )
    assert isinstance(fitted, Picture)
    data = base64.b64decode(fitted.jpeg)
    assert (folder / "boot-2.jpg").stat().st_size > PICTURE_BYTES_MAX >= len(data)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[1] == round(1600 * fitted.scale)
    assert fitted.scale > 0.4, "no smaller than it must be"


def test_nothing_but_the_archives_own_pictures_can_be_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    with archive(folder) as kept:
        kept.offer("boot-1", NOISE)
        assert until(lambda: pictures(folder) == ["boot-1.jpg"])
        (tmp_path / "secret.jpg").write_bytes(b"secret")
        (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
        (folder / "folder.jpg").mkdir()
        for name in ("../secret", str(tmp_path / "secret"), "link", "folder", "boot-2", "", "."):
            assert isinstance(kept.picture(name), str), name


def test_a_map_is_beside_its_picture_and_goes_with_it_in_this_run_and_in_the_next(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "images"
    for run in range(2):
        with archive(folder, size_max_mb=1) as kept:
            for i in range(10):
                kept.offer(f"run{run}-{i}", NOISE, maps_of(NOISE))
                assert until(lambda i=i, run=run: f"run{run}-{i}.jpg" in pictures(folder))  # type: ignore[misc]
                data = read_kept(folder, f"run{run}-{i}", MAP)
                grid = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
                assert grid is not None
                assert (grid > MIDDLE).tolist() == [[False, True]]
        assert kept.maps_dropped == kept.dropped == 0
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 1_000_100
        maps = {path.name.removesuffix(MAP) for path in folder.glob(f"*{MAP}")}
        assert maps == {name.removesuffix(".jpg") for name in pictures(folder)}
        assert 0 < len(maps) < 10


def test_a_map_of_what_is_no_number_is_left_out_and_counted_and_its_picture_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "images"
    with archive(folder) as kept:
        for i, value in enumerate((np.nan, np.inf, 7.0, 0.5)):
            kept.offer(str(i), NOISE, maps_of(NOISE, value))
    assert pictures(folder) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert [path.name for path in folder.glob(f"*{MAP}")] == [f"3{MAP}"]
    assert (kept.maps_dropped, kept.dropped) == (3, 0)
    assert len([r for r in caplog.records if "is no map" in r.message]) == 1


def test_a_map_whose_station_died_before_its_picture_was_written_goes(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    with archive(folder) as kept:
        kept.offer("1", NOISE, maps_of(NOISE))
    (folder / f"2{MAP}").write_bytes(b"alone")
    with archive(folder):
        assert until(lambda: not (folder / f"2{MAP}").exists())
    assert {path.name for path in folder.iterdir()} == {".inspector-archive", "1.jpg", f"1{MAP}"}


# a process of its own: what others left on the heap would hide a growth of 1 MB
MANY_NAMES = """
import sys
from pathlib import Path
import numpy as np
from inspector.delivery.archive import ArchiveSettings, ImageArchive
from inspector.delivery.kept import MAP, read_kept
from inspector.delivery.own_folder import MARK
def resident_kb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4
archive = ImageArchive(ArchiveSettings(folder=Path(sys.argv[1]), size_max_mb=1, disk_free_min_mb=0))
picture = np.zeros((8, 8, 3), np.uint8)
def keep(numbers):
    for i in numbers:
        archive._keep(f"station-{i:09d}", picture)
keep(range(4_000))
before_kb = resident_kb()
keep(range(4_000, 36_000))
assert archive.dropped == 0
print(resident_kb() - before_kb)
"""


def test_names_that_are_gone_leave_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MANY_NAMES, str(tmp_path / "images")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 400
