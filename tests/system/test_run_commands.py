"""The other commands, as a user types them."""

import csv
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from zlib import compress, crc32

import pytest

from inspector import __version__
from inspector.cli_delivery import SENT
from inspector.contract.bundle import Bundle
from tests.support import (
    DARK,
    GREY,
    make_bundle,
    run_inspector,
    write_pictures,
    write_station,
)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    notice = "for evaluation only"
    return make_bundle(tmp_path_factory.mktemp("bundles"), notice=notice)


def test_replay_prints_a_table_and_a_summary(sealed: Bundle, tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures" / "good", [GREY] * 3)
    write_pictures(tmp_path / "pictures" / "dark", [DARK] * 2)
    (tmp_path / "pictures" / "good" / "broken.png").write_bytes(b"x")
    table = tmp_path / "table.csv"
    done = run_inspector("replay", "--bundle", sealed.folder, tmp_path / "pictures", "--csv", table)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["good/part000.png", "OK"] in [line[:2] for line in lines]
    assert ["dark/part001.png", "NOT_OK"] in [line[:2] for line in lines]
    assert ["good/broken.png", "UNDEFINED"] in [line[:2] for line in lines]
    assert ["all", "6", "2", "1", "0", "3"] in lines
    assert "for evaluation only" in done.stderr
    with table.open(encoding="utf-8") as file:
        assert [row["evaluation"] for row in csv.DictReader(file)].count("OK") == 3


def test_a_pictures_name_is_no_formula_in_the_table_of_replay(
    sealed: Bundle, tmp_path: Path
) -> None:
    write_pictures(tmp_path, [GREY, DARK])
    (tmp_path / "part000.png").rename(tmp_path / '=HYPERLINK("evil","OK").png')
    table = tmp_path / "table.csv"
    done = run_inspector("replay", "--bundle", sealed.folder, tmp_path, "--csv", table)
    assert done.returncode == 0, done.stderr
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == ['\'=HYPERLINK("evil","OK").png', "part001.png"]
    assert [row["evaluation"] for row in rows] == ["OK", "NOT_OK"]


def test_replay_takes_regions_and_limits_from_a_recipe(sealed: Bundle, tmp_path: Path) -> None:
    recipe = {
        "regions": {"kind": "grid", "rows": 2, "columns": 2},
        "limits": {"review_at": 0.0, "reject_at": 1.0},
    }
    write_station(tmp_path, sealed, recipe=recipe)
    done = run_inspector(
        "replay",
        *("--bundle", sealed.folder, "--recipe", tmp_path / "recipe.toml", tmp_path / "pictures"),
    )
    assert "NOT_DECIDABLE" in done.stdout
    assert " OK " not in done.stdout.split("folder")[0]
    assert "r1c1: " in done.stdout


def test_replay_without_pictures_or_bundle_says_so(sealed: Bundle, tmp_path: Path) -> None:
    done = run_inspector("replay", "--bundle", sealed.folder, tmp_path)
    assert (done.returncode, done.stdout.count("\n")) == (1, 0)
    assert "there are no pictures in it" in done.stderr
    done = run_inspector("replay", "--bundle", tmp_path / "x", tmp_path)
    assert done.returncode == 78
    assert "there is no such folder" in done.stderr


def test_bench_measures_model_and_station_in_one_run(sealed: Bundle, tmp_path: Path) -> None:
    for source in (
        ("--bundle", sealed.folder, "--size", "64x48", "--disk", tmp_path),
        ("--bundle", sealed.folder, "--size", "640x480", "--disk", tmp_path, "--live"),
        (write_station(tmp_path, sealed),),
    ):
        done = run_inspector("bench", *source, "--parts", "50")
        assert done.returncode == 0, done.stderr
        assert "n = 50 parts" in done.stdout
        for line in ("onnxruntime alone", "exposure to verdict", "overhead", "journal commit"):
            assert line in done.stdout
    assert not list(tmp_path.glob("inspector-bench-*"))


def test_a_small_file_that_unfolds_to_a_huge_picture_is_refused(
    sealed: Bundle, tmp_path: Path
) -> None:
    write_pictures(tmp_path, [GREY])
    (tmp_path / "huge.png").write_bytes(huge_png(12_000))
    done = run_inspector("replay", "--bundle", sealed.folder, tmp_path)
    lines = [line.split()[:2] for line in done.stdout.splitlines()]
    assert ["huge.png", "UNDEFINED"] in lines
    assert ["part000.png", "OK"] in lines


def huge_png(side: int) -> bytes:
    """So many pixels square, all black, one bit each: a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = compress(bytes(side * (1 + side // 8)))
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("command", [("schema", "result"), ("bundle", "show", "BUNDLE")])
def test_a_reader_who_has_seen_enough_is_no_error(sealed: Bundle, command: tuple[str, ...]) -> None:
    arguments = [str(sealed.folder) if word == "BUNDLE" else word for word in command]
    with subprocess.Popen(
        [sys.executable, "-m", "inspector.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.close()
        assert done.stderr.read() == b""


def test_a_file_that_cannot_be_written_is_named(sealed: Bundle, tmp_path: Path) -> None:
    write_pictures(tmp_path, [GREY])
    table = tmp_path / "nowhere" / "table.csv"
    done = run_inspector("replay", "--bundle", sealed.folder, tmp_path, "--csv", table)
    assert done.returncode == 78
    assert done.stderr == f"--csv {table}: must be a file in a folder that is there\n"


def test_bench_gives_no_figures_for_parts_it_could_not_judge(
    sealed: Bundle, tmp_path: Path
) -> None:
    regions = {"kind": "rectangle", "x": 0, "y": 0, "width": 4_000, "height": 10}
    path = write_station(tmp_path, sealed, recipe={"regions": regions})
    done = run_inspector("bench", path, "--parts", "5")
    assert done.returncode == 1
    assert "reaches to 4000x10" in done.stderr
    assert not done.stdout


def test_bundle_shows_and_verifies(sealed: Bundle, tmp_path: Path) -> None:
    shown = run_inspector("bundle", "show", sealed.folder).stdout
    assert sealed.id in shown
    assert "a test bundle promises nothing" in shown
    assert "passes its self-test" in run_inspector("bundle", "verify", sealed.folder).stdout
    copy = Path(shutil.copytree(sealed.folder, tmp_path / sealed.id))
    (copy / "report.json").write_text("[]")
    done = run_inspector("bundle", "verify", copy)
    assert done.returncode == 78
    assert "report.json is damaged" in done.stderr


@pytest.mark.parametrize("what", [*SENT, "settings", "recipe"])
def test_schemas_are_json(what: str) -> None:
    schema = json.loads(run_inspector("schema", what).stdout)
    assert schema["type"] == "object"
    if what in SENT:
        # older ones stay: whoever reads old rows needs them
        newest = max((Path(__file__).parent.parent / "data").glob(f"{what}-v*.json"))
        assert schema == json.loads(newest.read_text(encoding="utf-8"))


def test_help_names_every_command_with_examples() -> None:
    said = run_inspector("--help").stdout
    for command in ("run", "demo", "check", "replay", "bench", "bundle", "schema", "version"):
        assert f"    {command} " in said
    assert "examples:" in said
    assert run_inspector("version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("bench STATION --threads 4", "bench STATION.TOML: --threads goes with --profile alone"),
        ("bench --bundle BUNDLE --json x", "bench --bundle: --json goes with --runtimes alone"),
        ("bench --runtimes BUNDLE --size 9x9", "bench --runtimes: --size goes with --bundle alone"),
        ("bundle use BUNDLE --key x", "bundle use: --key goes with sign and verify alone"),
        ("bundle show BUNDLE --key x", "bundle show: --key goes with sign and verify alone"),
        ("command STATION stop --out x", "command stop: --out goes with image alone"),
        ("commission STATION --empty x.png --folder y", "commission --empty: takes the camera's"),
    ],
)
def test_an_option_that_would_have_no_effect_is_refused(
    sealed: Bundle, tmp_path: Path, words: str, told: str
) -> None:
    """Who asked for four threads, or for a signature to be looked at, has got neither."""
    station = write_station(tmp_path, sealed)
    named = {"STATION": station, "BUNDLE": sealed.folder}
    done = run_inspector(*(named.get(word, word) for word in words.split()))
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith(told)
    assert not (sealed.folder.parent / "current").exists()


@pytest.mark.parametrize(
    "words",
    ["replay --bundle BUNDLE FOLDER --csv OUT", "bench --runtimes BUNDLE --json OUT",
     "bench --profile OUT"],
)  # fmt: skip
@pytest.mark.parametrize("out", ["", "not-there/file"])
def test_what_cannot_be_written_is_said_before_the_work(
    sealed: Bundle, tmp_path: Path, words: str, out: str
) -> None:
    write_pictures(tmp_path / "pictures", [GREY])
    named = {"BUNDLE": sealed.folder, "FOLDER": tmp_path / "pictures", "OUT": tmp_path / out}
    done = run_inspector(*(named.get(word, word) for word in words.split()))
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.endswith("must be a file in a folder that is there\n")


@pytest.mark.parametrize(
    "words", ["bench --profile STATION", "bench --runtimes BUNDLE --json STATION"]
)
def test_bench_writes_over_nobodys_settings(sealed: Bundle, tmp_path: Path, words: str) -> None:
    """As where --profile is taken for --runtimes, which asks for station.toml."""
    station = write_station(tmp_path, sealed)
    before = station.read_bytes()
    named = {"STATION": station, "BUNDLE": sealed.folder}
    done = run_inspector(*(named.get(word, word) for word in words.split()))
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.endswith("is there and is no JSON, and would be written over\n")
    assert station.read_bytes() == before


@pytest.mark.parametrize(
    "words", ["replay --bundle BUNDLE FOLDER --csv", "command STATION image a-1 --out"]
)
def test_a_table_or_picture_is_written_over_no_file_that_is_none(
    sealed: Bundle, tmp_path: Path, words: str
) -> None:
    """A folder's picture, or station.toml, was gone."""
    (picture,) = write_pictures(tmp_path / "pictures", [GREY])
    station = write_station(tmp_path, sealed)
    named = {"STATION": station, "BUNDLE": sealed.folder, "FOLDER": picture.parent}
    for there in (picture, station):
        before = there.read_bytes()
        done = run_inspector(*(named.get(word, word) for word in words.split()), there)
        assert (done.returncode, done.stdout) == (78, "")
        assert done.stderr.endswith(", and would be written over\n")
        assert there.read_bytes() == before


def test_a_command_without_the_name_it_needs_or_with_one_too_many_is_told_so(
    tmp_path: Path,
) -> None:
    station = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    for words, told in (
        (["reload"], "command reload: needs NAME, a bundle's folder"),
        (["image"], "command image: needs NAME, the result_id of a part"),
        (["recipe"], "command recipe: needs NAME, a JSON file"),
        (["stop", "now"], "command stop: takes no NAME, 'now' is one too many"),
        (["trigger", "P-1"], "takes no NAME, 'P-1' is one too many: a part is named by --part"),
        (["start", "--part", "P-1"], "command start: --part"),
    ):
        done = run_inspector("command", station, *words)
        assert (done.returncode, done.stdout) == (78, "")
        assert told in done.stderr
