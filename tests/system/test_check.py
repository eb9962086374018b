"""What keeps `inspector run` from starting, or from inspecting, `inspector check` says before."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.contract.verdict import Limits
from inspector.delivery.ledger import ledger_path
from inspector.delivery.release import released_path
from inspector.devices.aravis_calls import LIBRARY
from inspector.runtime.served import Record, Served, served_path
from inspector.settings import read_recipe, read_settings
from inspector.station.alarm import Rules
from inspector.supervise.starts import StartLog
from tests.brokers import Mosquitto
from tests.support import (
    GREY,
    evaluations_in,
    make_bundle,
    picture,
    run_inspector,
    start_station,
    until,
    write_station,
)
from tests.system.test_run_reload import bundles_of


def no_such_bundle(folder: Path) -> dict[str, str]:
    del folder
    return {"bundle": "no-such-bundle"}


def damaged_bundle(folder: Path) -> dict[str, str]:
    other = make_bundle(folder / "bundles", "other")
    other.model_path.write_bytes(b"not a model")
    return {"bundle": other.id}


def folder_of_somebody(folder: Path) -> dict[str, str]:
    (folder / "shadow").mkdir()
    (folder / "shadow" / "thesis.odt").touch()
    return {"bundle": make_bundle(folder / "bundles", "other").id}


@pytest.mark.parametrize("shadow", [no_such_bundle, damaged_bundle, folder_of_somebody])
def test_check_refuses_the_shadow_that_run_refuses(
    tmp_path: Path, shadow: Callable[[Path], dict[str, str]]
) -> None:
    bundle = make_bundle(tmp_path / "bundles")
    path = write_station(tmp_path, bundle, shadow={"folder": "shadow", **shadow(tmp_path)})
    checked, ran = run_inspector("check", path), run_inspector("run", path)
    assert (checked.returncode, ran.returncode) == (78, 78)
    words = ran.stderr.splitlines()[-1]
    assert f"FAULT {words}" in checked.stdout.splitlines()
    assert "archive.folder" not in words  # it is the shadow's


def test_check_finds_nothing_wrong_with_a_good_shadow_and_writes_nothing_for_it(
    tmp_path: Path,
) -> None:
    bundle, other = make_bundle(tmp_path / "bundles"), make_bundle(tmp_path / "bundles", "other")
    path = write_station(tmp_path, bundle, shadow={"bundle": other.id, "folder": "shadow"})
    done = run_inspector("check", path)
    assert done.returncode == 0, done.stdout
    assert f"shadow: bundle {other.id}: whole, and passes its self-test" in done.stdout
    assert not (tmp_path / "shadow").exists()


def test_a_shadow_in_the_archives_folder_is_refused(tmp_path: Path) -> None:
    """Each would delete the other's oldest pictures, and count them as its own."""
    bundle = make_bundle(tmp_path / "bundles")
    shadow = {"bundle": bundle.id, "folder": "./images"}
    path = write_station(tmp_path, bundle, shadow=shadow)
    for command in ("check", "run"):
        done = run_inspector(command, path)
        assert done.returncode == 78
        words = "shadow.folder images: is the archive's own: give it a folder of its own"
        assert words in done.stdout + done.stderr


def not_a_database(ledger: Path) -> None:
    ledger.write_bytes(b"what a disk has made of it " * 400)


def another_kind_of_file(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("CREATE TABLE shopping (thing TEXT)")
        db.commit()


@pytest.mark.parametrize("spoil", [not_a_database, another_kind_of_file])
def test_check_refuses_the_command_file_that_run_refuses(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    assert run_inspector("run", path).returncode == 0  # all twelve parts
    ledger = ledger_path(tmp_path / "journal.db")
    ledger.unlink()
    spoil(ledger)
    checked, ran = run_inspector("check", path), run_inspector("run", path)
    assert checked.returncode == 78
    assert ran.returncode in (1, 78)
    assert f"FAULT {ran.stderr.splitlines()[-1]}" in checked.stdout.splitlines()


def test_check_says_that_a_station_would_begin_in_error(tmp_path: Path) -> None:
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    starts = StartLog(tmp_path, Rules())
    starts.begin()
    starts.keep_fault("the light has burst")
    before = (tmp_path / "starts.json").read_bytes()
    checked = run_inspector("check", path)
    assert checked.returncode == 0
    assert "it would begin in ERROR: the light has burst" in checked.stdout
    assert (tmp_path / "starts.json").read_bytes() == before


def test_check_says_nothing_of_a_start_that_ended_in_order(tmp_path: Path) -> None:
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), rules={"restarts_max": 1})
    assert run_inspector("run", path).returncode == 0
    assert "ERROR" not in run_inspector("check", path).stdout


def test_check_refuses_an_empty_scene_of_another_size_than_the_cameras_pictures(
    tmp_path: Path,
) -> None:
    cv2.imwrite(str(tmp_path / "empty.png"), picture(GREY, width=96, height=80))
    trigger = {"kind": "part_present", "empty": "empty.png"}
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), trigger=trigger)
    done = run_inspector("check", path)
    assert done.returncode == 78
    words = "the picture is 48x40, the empty scene 96x80: no part would be seen"
    assert f"FAULT trigger part_present: {words}" in done.stdout


def test_check_looks_at_the_rest_where_the_cameras_library_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libraries").mkdir()
    (tmp_path / "libraries" / LIBRARY).touch()  # found first, and none
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "libraries"))
    (tmp_path / "images").touch()
    camera = {"kind": "genicam", "camera": "Basler-1"}
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), camera=camera)
    done = run_inspector("check", path)
    assert done.returncode == 78
    assert "FAULT camera: genicam cameras need Aravis" in done.stdout
    assert "FAULT archive" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 faults"


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir], ids=["file", "folder"])
def test_check_refuses_what_has_the_name_of_the_command_socket_and_run_says_what_is_wrong(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """run said only that an address is in use."""
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    make(tmp_path / "command.sock")
    checked, ran = run_inspector("check", path), run_inspector("run", path)
    assert (checked.returncode, ran.returncode) == (78, 78)
    words = f"{tmp_path / 'command.sock'}: is no socket, and the station needs the name"
    assert f"FAULT {words}: move it away" in checked.stdout.splitlines()
    assert words in ran.stderr
    assert (tmp_path / "command.sock").exists()


def test_check_and_bench_look_at_the_bundle_that_a_start_would_begin_with(tmp_path: Path) -> None:
    """Not at the one that the recipe names: another serves since a reload, and it was cleared away.
    `bench --runtimes` measured that one for ever, while "auto" asked for the other to be measured.
    """
    first = make_bundle(tmp_path / "bundles")
    second = make_bundle(tmp_path / "bundles", limits=Limits(review_at=0.2, reject_at=0.7))
    trigger = {"kind": "interval", "period_ms": 50}
    path = write_station(
        tmp_path, first, camera={"loop": True}, trigger=trigger, runtime={"kind": "auto"}
    )
    station = start_station(path)
    try:
        assert until(lambda: (tmp_path / "command.sock").exists())
        asked = run_inspector("command", path, "reload", second.id)
        assert asked.returncode == 0, asked.stdout + asked.stderr
    finally:
        station.terminate()
        assert station.wait(30) == 0
    shutil.rmtree(first.folder)
    checked = run_inspector("check", path)
    assert checked.returncode == 0, checked.stdout
    assert f"bundle {second.id}: whole, and passes its self-test" in checked.stdout
    assert f"recipe {tmp_path / 'recipe.toml'}: names {first.id}, {second.id} serves" in (
        checked.stdout
    )
    measured = run_inspector("bench", "--runtimes", path, "--parts", "5")
    assert measured.returncode == 0, measured.stderr
    assert "runtime.json says so" in run_inspector("check", path).stdout
    timed = run_inspector("bench", path, "--parts", "5")
    assert f"bundle {second.id}, frames of" in timed.stdout, timed.stderr


def test_check_says_which_bundle_takes_the_place_of_one_that_cannot_serve(tmp_path: Path) -> None:
    """As a start does: it is no reason not to start."""
    first = make_bundle(tmp_path / "bundles")
    second = make_bundle(tmp_path / "bundles", limits=Limits(review_at=0.2, reject_at=0.7))
    path = write_station(tmp_path, first)
    recipe = read_recipe(read_settings(path))
    served = Served(commissioned=first.id, serving=second.id, previous=first.id)
    Record(served_path(tmp_path / "journal.db")).keep(recipe, served)
    second.model_path.write_bytes(b"not a model")
    checked, ran = run_inspector("check", path), run_inspector("run", path)
    assert (checked.returncode, ran.returncode) == (0, 0)
    assert f"bundle {first.id}: whole, and passes its self-test" in checked.stdout
    (said,) = (line for line in checked.stdout.splitlines() if second.id in line)
    assert said.startswith("note")
    assert said.endswith(f": {first.id} takes its place")
    assert set(bundles_of(tmp_path)) == {first.id}


def test_check_says_that_a_journal_is_gone_of_which_results_were_recorded(tmp_path: Path) -> None:
    """As `run`, also where its cursors went with it."""
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    released_path(tmp_path / "journal.db").write_bytes(b"%020d" % 5)
    checked = run_inspector("check", path)
    assert "ends at 0, but 5 results were recorded: bring the right journal" in checked.stdout
    assert checked.returncode == 78
    assert run_inspector("run", path).returncode == 78


def commissioned(path: Path, width: int, height: int) -> None:
    """With pictures of this size, as a person does who has them from somewhere else."""
    scene = cv2.GaussianBlur(picture(GREY, width, height).astype(np.float32), (0, 0), 3.0)
    scene = 40.0 + 180.0 * (scene - scene.min()) / np.ptp(scene)
    (path.parent / "good").mkdir()
    for number in range(20):
        part = scene + picture(8, width, height, seed=number)
        cv2.imwrite(str(path.parent / "good" / f"{number:02}.png"), part)
    done = run_inspector("commission", path, "--folder", path.parent / "good")
    assert done.returncode == 0, done.stderr


def test_check_refuses_an_attest_that_was_learned_from_pictures_of_another_form(
    tmp_path: Path,
) -> None:
    """No part would pass, whatever is in view."""
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"))
    commissioned(path, width=240, height=240)
    done = run_inspector("check", path)
    assert done.returncode == 78
    words = "the picture reduces to 48x40, the reference is 240x240: no part would pass"
    assert f"FAULT recipe tiny: attest: {words}" in done.stdout


def test_check_says_what_attestation_has_against_the_cameras_picture(tmp_path: Path) -> None:
    recipe = {"attest": {"brightness": {"min": 200.0}}}
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), recipe=recipe)
    done = run_inspector("check", path)
    assert done.returncode == 0, done.stdout
    assert "note  recipe tiny: attest: this picture is rejected: brightness 128 is below 200" in (
        done.stdout
    )


def test_check_says_that_a_model_is_too_slow_for_the_deadline(tmp_path: Path) -> None:
    """A start says so in its log alone, and each part is late."""
    recipe = {"deadline_ms": 20, "frame_timeout_ms": 20}
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles", work=60), recipe=recipe)
    done = run_inspector("check", path)
    assert done.returncode == 0, done.stdout
    (said,) = (line for line in done.stdout.splitlines() if "half of the recipe's deadline" in line)
    assert said.startswith("note  bundle tiny-")
    assert said.endswith("parts may be late, and are rejected then")


AS_ANOTHER = """
import os, sys
from inspector.cli import main
main(["check", sys.argv[1]])  # as root: what is imported may lie where others cannot read
print("now as another", flush=True)
os.setgroups([])
os.setgid(64_003)
os.setuid(64_003)
sys.exit(main(["check", sys.argv[1]]))
"""


def test_check_by_another_user_leaves_a_running_stations_line_alone() -> None:
    """It may not ask the station, took it for one that does not run, and took its place at the
    broker: the line was lost, which is ERROR.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        with Mosquitto(folder).start() as broker:
            path = write_station(
                folder,
                make_bundle(folder / "bundles"),
                camera={"loop": True},
                trigger={"kind": "interval", "period_ms": 100},
                line={"kind": "mqtt"},
                mqtt={"port": broker.port},
            )
            station, log = start_station(path), path.with_name("station.log")
            try:
                assert until(lambda: "OK" in evaluations_in(folder), timeout_s=60.0)
                command = [sys.executable, "-c", AS_ANOTHER, str(path)]
                checked = subprocess.run(command, capture_output=True, text=True, check=False)
                time.sleep(2.0)  # longer than a line may be gone
                status = run_inspector("command", path, "status")
            finally:
                station.terminate()
                station.wait(60)
        assert checked.returncode == 78, checked.stderr
        said = checked.stdout.partition("now as another")[2]
        words = "whether a station runs there cannot be asked: Permission denied: check as its user"
        assert f"FAULT state_folder {folder}: {words}" in said
        assert "line mqtt: not tried, a station may be running" in said
        assert "another archive" not in said  # it is the station's own
        assert "CONTINUOUS_EXECUTION" in status.stdout, log.read_text()


def test_check_says_that_the_pictures_would_stop_the_line(tmp_path: Path) -> None:
    """They filled the disk beyond the journal's limit, and nothing passed until a person came."""
    bundle = make_bundle(tmp_path / "bundles")
    path = write_station(tmp_path, bundle, journal={"disk_free_min_mb": 600})
    words = (
        "archive.disk_free_min_mb 500 is not above journal.disk_free_min_mb 600, on the same disk"
    )
    assert f"note  {words}: pictures may fill it until nothing passes" in (
        run_inspector("check", path).stdout
    )
    path = write_station(tmp_path, bundle)
    assert "until nothing passes" not in run_inspector("check", path).stdout


def test_check_looks_at_recipe_and_bundle_also_where_windows_saved_a_faulty_file(
    tmp_path: Path,
) -> None:
    bundle = make_bundle(tmp_path / "bundles")
    path = write_station(tmp_path, bundle, drain_s=-1.0)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert f"bundle {bundle.id}: whole" in run_inspector("check", path).stdout
