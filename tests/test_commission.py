"""Limits learnt from good parts, tried on other good parts and on every fault we can make."""

import csv
import resource
import shutil
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.badframes import FAULTS, bad_frames
from inspector.commission import learn, limit_of
from inspector.commission_recipe import write_recipe
from inspector.contract.image import Image
from inspector.settings import read_recipe, read_settings
from inspector.station.attest import attest
from inspector.station.attest_rule import Range
from inspector.study.labels import read_pictures
from tests.brokers import Listener, Mosquitto
from tests.support import GREY, make_bundle, run_inspector, write_station

elpv = pytest.importorskip("elpv_dataset")
CELLS = Path(elpv.__file__).parent / "data"
LEARN = 50


def good_cells(count: int) -> list[Image]:
    """Real solar cells labelled functional beyond doubt, spread over the data set."""
    with (CELLS / "labels.csv").open(encoding="utf-8") as file:
        rows = [row[0].split() for row in csv.reader(file)]
    names = [row[0] for row in rows if float(row[1]) == 0.0]
    count = min(count, len(names))
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, count).astype(int)]
    return [np.asarray(cv2.imread(str(CELLS / name)), np.uint8) for name in chosen]


def in_fixture(cells: list[Image]) -> list[Image]:
    """What a station's camera sees: each cell in the same fixture, a lamp, a sensor's noise."""
    random = np.random.default_rng(0)
    fixture = np.full((400, 480, 3), (45, 50, 55), np.uint8)
    cv2.rectangle(fixture, (20, 20), (70, 60), (120, 120, 120), -1)
    cv2.circle(fixture, (440, 360), 22, (140, 130, 120), -1)
    cv2.circle(fixture, (40, 350), 16, (20, 20, 20), -1)
    out = []
    for cell in cells:
        frame = fixture.astype(np.float64)
        x, y = (int(each) for each in random.integers(-1, 2, 2))
        frame[50 + y : 350 + y, 90 + x : 390 + x] = cell * np.array([0.92, 1.0, 1.05])
        seen = cv2.GaussianBlur(frame, (0, 0), 0.6) * random.uniform(0.97, 1.03)
        out.append(np.clip(seen + random.normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8))
    return out


@pytest.fixture(scope="module")
def parts() -> list[Image]:
    return in_fixture(good_cells(150))


def test_no_bad_frame_is_fit_and_good_parts_are(parts: list[Image]) -> None:
    learned = learn(parts[::3])
    rest = [part for i, part in enumerate(parts) if i % 3]
    assert [attest(part, learned.rule).fault for part in rest] == [None] * len(rest)
    passed: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for part in rest[::5]:
        for name, spoilt in bad_frames(part):
            tried[name] += 1
            passed[name] += attest(spoilt, learned.rule).fault is None
    assert set(tried) == set(FAULTS)
    assert +passed == Counter()


def test_pictures_without_a_common_view_get_no_landmarks_and_the_report_says_so() -> None:
    learned = learn(good_cells(LEARN))
    assert learned.rule.shift_px is None
    assert learned.rule.landmarks == ()
    assert learned.left_out == "nothing in the picture stays the same from part to part"
    rejected, tried = learned.caught["moved 10 px across"]
    assert rejected == 0 < tried  # said, not hidden
    assert learned.caught["half grey"] == learned.caught["black"] == (tried, tried)


def test_a_limit_lies_beyond_every_part_seen_and_beyond_the_spread() -> None:
    seen = [10.0, 11.0, 12.0, 13.0, 14.0]
    cast, shift = limit_of("cast", seen), limit_of("shift_px", seen)
    # median 12, deviation 1.4826: so many of them are farther than a part of the way to the last
    assert cast.min == pytest.approx(12 - 6 * 1.4826, rel=1e-3)
    assert cast.max == pytest.approx(12 + 6 * 1.4826, rel=1e-3)
    assert shift.max == pytest.approx(12 + 4.5 * 1.4826, rel=1e-3)
    far = limit_of("cast", [*seen, 12.0, 12.0, 12.0, 60.0])
    assert far.max is not None
    assert far.max >= 60 + (60 - 12) / 2
    still = limit_of("cast", [12.0] * 9)
    assert (still.min, still.max) == (9.0, 15.0)
    assert limit_of("sharpness", seen).max is None
    assert limit_of("blank", seen).min is None


def written(folder: Path, parts: list[Image]) -> Path:
    """The folder, made, with these pictures in it."""
    folder.mkdir()
    for i, part in enumerate(parts):
        cv2.imwrite(str(folder / f"part{i:03d}.png"), part)
    return folder


def test_the_command_writes_the_recipe_keeps_its_comments_and_draws_a_picture(
    tmp_path: Path, parts: list[Image]
) -> None:
    folder = written(tmp_path / "good", parts[:40])
    station = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("# our own words\n" + recipe.read_text(encoding="utf-8"), encoding="utf-8")
    before = recipe.read_text(encoding="utf-8")
    for _ in range(2):
        done = run_inspector("commission", station, "--folder", folder, "--parts", "40")
        assert done.returncode == 0, done.stderr
        assert "40 good parts" in done.stdout
        assert "attestation does not see this" not in done.stdout
    text = recipe.read_text(encoding="utf-8")
    assert text.startswith("# our own words\n")
    assert text.count("[attest]") == 1
    assert (tmp_path / "recipe.toml.before").read_text(encoding="utf-8") != before
    rule = read_recipe(read_settings(station)).attest
    assert rule is not None
    assert attest(parts[50], rule).fault is None
    assert attest(np.zeros_like(parts[50]), rule).fault is not None
    sheet = cv2.imread(str(tmp_path / "recipe.attest.png"))
    assert sheet is not None
    assert sheet.shape[1] == 4 * 320


def test_the_station_rejects_by_what_commissioning_found(
    tmp_path: Path, parts: list[Image]
) -> None:
    written(tmp_path / "pictures", parts[:30])
    station = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    assert run_inspector("commission", station, "--parts", "30").returncode == 0  # by its camera
    recipe = tomllib.loads((tmp_path / "recipe.toml").read_text(encoding="utf-8"))
    assert recipe["attest"]["landmarks"]


LATE = """
import sys
from inspector.contract.errors import DeviceTimeout
from inspector.devices import camera_replay
real, asked = camera_replay.ReplayCamera.grab, []
def grab(self, **words):
    asked.append(words)
    if len(asked) == 5:
        raise DeviceTimeout("no frame came")
    return real(self, **words)
camera_replay.ReplayCamera.grab = grab
from inspector.cli import main
sys.exit(main(["commission", sys.argv[1], "--parts", "25"]))
"""


def test_a_frame_that_cannot_be_read_and_one_that_does_not_come_cost_one_triggered_part_each(
    tmp_path: Path, parts: list[Image]
) -> None:
    folder = written(tmp_path / "pictures", parts[:30])
    (folder / "part002.png").write_bytes(b"spoiled")
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port, "none") as line:
        station = write_station(
            tmp_path,
            make_bundle(tmp_path / "bundles"),
            trigger={"kind": "mqtt", "wait_max_ms": 5_000},
            mqtt={"port": broker.port},
        )
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", LATE, str(station)]
        with subprocess.Popen(command, **pipes) as commission:  # type: ignore[call-overload]
            number, end = 0, time.monotonic() + 90.0
            while commission.poll() is None and time.monotonic() < end:
                number += 1
                line.publish("plant/line/test/trigger", f'{{"id": "T-{number}"}}'.encode())
                time.sleep(0.05)
            commission.kill()
            out, err = commission.communicate()
    assert commission.returncode == 0, err
    assert "25 good parts" in out
    assert "2 parts without a picture, the last: no frame came" in err


def test_too_few_parts_and_faulty_tables_are_said_in_words(
    tmp_path: Path, parts: list[Image]
) -> None:
    station = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    done = run_inspector("commission", station, "--parts", "5")
    assert done.returncode == 78
    assert "--parts 5: at least 20 are needed" in done.stderr
    done = run_inspector("commission", station, "--folder", written(tmp_path / "few", parts[:5]))
    assert done.returncode == 1
    assert "5 parts, at least 20 are needed" in done.stderr
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        recipe.read_text(encoding="utf-8") + "attest = { dark = { max = 1.0 } }\n", encoding="utf-8"
    )
    before = recipe.read_bytes()
    with pytest.raises(Exception, match="write attest as a table"):
        write_recipe(recipe, recipe, learn(parts[:20]))
    assert recipe.read_bytes() == before
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("dark", "drak"), encoding="utf-8")
    assert "attest.drak: is not a key here" in run_inspector("check", station).stdout


def test_copies_of_one_picture_are_no_further_parts(tmp_path: Path, parts: list[Image]) -> None:
    folder, frames = tmp_path / "good", tmp_path / "pictures"
    folder.mkdir()
    frames.mkdir()
    for i in range(25):  # a grabber that is stuck, one file copied
        cv2.imwrite(str(folder / f"part{i:03d}.png"), parts[0])
    station = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    before = (tmp_path / "recipe.toml").read_bytes()
    done = run_inspector("commission", station, "--folder", folder)
    assert done.returncode == 1
    assert "25 parts came, 1 with a picture of its own, at least 20 are needed" in done.stderr
    assert (tmp_path / "recipe.toml").read_bytes() == before
    for i, part in enumerate(parts[:22]):
        cv2.imwrite(str(frames / f"part{i:03d}.png"), part)
        cv2.imwrite(str(frames / f"part{i:03d}-again.png"), part)
    done = run_inspector("commission", station, "--parts", "24")
    assert done.returncode == 1
    assert "the camera: 24 parts came, 12 with a picture of its own" in done.stderr
    assert "s without a picture" not in done.stderr  # none was waited for in vain
    done = run_inspector("commission", station, "--parts", "44")
    assert done.returncode == 0, done.stderr
    assert "22 good parts" in done.stdout


BY_HAND = """
  [ attest ]
  may_repeat = true
  landmarks = [
    [1, 2],
  ]
  [attest.dark]
  max = 1.0

# as agreed with quality
[frame]
width = 480
height = 400
"""


def test_what_cannot_be_written_is_said_before_an_hour_of_parts_and_the_rest_is_kept(
    tmp_path: Path, parts: list[Image]
) -> None:
    folder = written(tmp_path / "good", parts[:20])
    station = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    recipe = tmp_path / "recipe.toml"
    plain = recipe.read_text(encoding="utf-8")
    recipe.write_text(plain + "attest.dark = { max = 1.0 }\n", encoding="utf-8")
    elsewhere = tmp_path / "nowhere" / "recipe.toml"
    for words, told in ((), "write attest as a table"), (("--out", elsewhere), "nowhere"):
        done = run_inspector("commission", station, "--folder", folder, *words)
        assert (done.returncode, done.stdout) == (78, "")
        assert told in done.stderr
        recipe.write_text(plain + BY_HAND, encoding="utf-8")
    done = run_inspector("commission", station, "--folder", folder)
    assert done.returncode == 0, done.stderr
    assert "# as agreed with quality\n[frame]\n" in recipe.read_text(encoding="utf-8")
    rule = read_recipe(read_settings(station)).attest
    assert rule is not None
    assert rule.may_repeat
    assert rule.dark != Range(max=1.0)


def test_an_empty_scene_is_put_in_place_whole_or_refused_in_words(tmp_path: Path) -> None:
    station = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    done = run_inspector("commission", station, "--empty", tmp_path / "empty.picture")
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "empty.picture: cannot be written as a picture: name it .png"
    )
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"as before")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    command = [
        sys.executable,
        "-m",
        "inspector.cli",
        "commission",
        str(station),
        "--empty",
        str(empty),
    ]
    full = subprocess.run(  # a file that may have no more than a byte: as on a full disk
        command,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, limit[1])),
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    assert "File too large" in full.stderr
    assert empty.read_bytes() == b"as before"
    assert not list(tmp_path.glob("empty.png?*"))  # nor does half of one fill the disk further


def test_a_frame_that_cannot_be_read_is_none_of_the_empty_scenes_and_no_end_of_it(
    tmp_path: Path,
) -> None:
    station = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    frames = tmp_path / "pictures"
    shutil.rmtree(frames)
    frames.mkdir()
    for i in range(4):
        (frames / f"{2 * i}.png").write_bytes(b"half a picture")
        cv2.imwrite(str(frames / f"{2 * i + 1}.png"), np.full((48, 64, 3), GREY + 2 * i, np.uint8))
    empty = tmp_path / "empty.png"
    done = run_inspector("commission", station, "--empty", empty)
    assert done.returncode == 0, done.stderr
    assert "the mean of 4 frames (4 could not be read: " in done.stdout
    assert "6.png" in done.stdout
    assert set(np.asarray(cv2.imread(str(empty))).flat) == {GREY + 3}
    for i in range(4):
        (frames / f"{2 * i + 1}.png").unlink()
    none = run_inspector("commission", station, "--empty", empty)
    assert none.returncode == 1
    assert "gives no frames of one size (4 could not be read: " in none.stderr


def test_a_stations_maps_beside_its_pictures_are_no_parts(tmp_path: Path) -> None:
    folder = tmp_path / "labelled" / "good"
    folder.mkdir(parents=True)
    for i in range(12):
        cv2.imwrite(str(folder / f"r-{i}.jpg"), np.full((48, 64, 3), GREY + i, np.uint8))
        cv2.imwrite(str(folder / f"r-{i}.map.png"), np.full((6, 8), i, np.uint8))
    cv2.imwrite(str(folder / "alone.map.png"), np.full((48, 64, 3), GREY, np.uint8))
    bundle = make_bundle(tmp_path / "bundles")
    station = write_station(tmp_path, bundle)
    done = run_inspector("replay", "--bundle", bundle.folder, folder)
    assert "r-1.map.png" not in done.stdout
    assert "alone.map.png" in done.stdout
    assert len(read_pictures(folder.parent)) == 13
    few = run_inspector("commission", station, "--folder", folder)  # 25 files
    assert (few.returncode, "13 parts" in few.stderr) == (1, True)
