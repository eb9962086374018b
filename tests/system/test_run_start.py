"""What cannot start says so in words, all of it, and exits 78."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.contract.bundle import Bundle
from inspector.contract.image import Tiling
from inspector.delivery.journal import JournalReader
from tests.support import (
    make_bundle,
    make_model,
    run_inspector,
    start_station,
    until,
    write_station,
)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


def test_a_typing_slip_is_named_with_the_keys_that_exist(sealed: Bundle, tmp_path: Path) -> None:
    path = write_station(tmp_path, sealed, camera={"foldr": "x"}, runtime={"threads": 0})
    done = run_inspector("run", path)
    assert done.returncode == 78
    assert f"{path}: camera.replay.foldr: is not a key here; known keys:" in done.stderr
    assert "runtime.threads 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_bundle_is_refused_at_the_start(sealed: Bundle, tmp_path: Path) -> None:
    bundle = replace(sealed, folder=tmp_path / "bundles" / sealed.id)
    shutil.copytree(sealed.folder, bundle.folder)
    path = write_station(tmp_path, bundle)
    model = bytearray(bundle.model_path.read_bytes())
    model[len(model) // 2] ^= 1
    bundle.model_path.write_bytes(model)
    done = run_inspector("run", path)
    assert done.returncode == 78
    assert "model.onnx is damaged" in done.stderr
    assert not (tmp_path / "journal.db").exists()


def test_a_model_of_another_shape_is_refused_at_the_start(tmp_path: Path) -> None:
    def other(draft: Path) -> None:
        make_model(draft / "model.onnx", size=64)

    path = write_station(tmp_path, make_bundle(tmp_path / "bundles", spoil=other))
    done = run_inspector("run", path)
    assert done.returncode == 78
    assert "64" in done.stderr
    assert "expected" in done.stderr


def test_a_journal_that_cannot_be_written_is_said(sealed: Bundle, tmp_path: Path) -> None:
    path = write_station(tmp_path, sealed, journal={"path": "station.toml/journal.db"})
    done = run_inspector("run", path)
    assert done.returncode == 1
    assert "journal" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_finds_nothing_wrong_with_a_good_station(sealed: Bundle, tmp_path: Path) -> None:
    done = run_inspector("check", write_station(tmp_path, sealed))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passes its self-test (3 pictures)" in done.stdout
    assert "results wait for it" in done.stdout  # no broker is a note, not a fault
    assert not (tmp_path / "journal.db").exists()


def test_files_that_begin_with_a_byte_order_mark_are_read(sealed: Bundle, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("part000.png\n", encoding="utf-8")
    camera = {"kind": "replay", "folder": "pictures", "list_file": "list.txt"}
    path = write_station(tmp_path, sealed, camera=camera)
    for written in (path, tmp_path / "recipe.toml", tmp_path / "list.txt"):
        written.write_text(written.read_text(encoding="utf-8"), encoding="utf-8-sig")
    done = run_inspector("check", path)
    assert done.returncode == 0, done.stdout
    assert "gives frames of 48x40" in done.stdout


def test_check_tells_what_a_recipes_own_limits_let_pass(sealed: Bundle, tmp_path: Path) -> None:
    limits = {"review_at": 1.0, "reject_at": 1.0}
    done = run_inspector("check", write_station(tmp_path, sealed, recipe={"limits": limits}))
    assert done.returncode == 0, done.stdout
    assert "the recipe's pass 2 of 2 golden defects, the bundle's 0" in done.stdout


def test_check_explains_faults_in_every_file_at_once(sealed: Bundle, tmp_path: Path) -> None:
    path = write_station(
        tmp_path,
        sealed,
        topic_root="with/#/wildcard",
        trigger={"kind": "sometimes"},
        recipe={"deadline_ms": 0, "colour": "red", "limits": {"review_at": 0.9, "reject_at": 0.1}},
        bundles="nowhere",
    )
    done = run_inspector("check", path)
    assert done.returncode == 78
    for fault in (
        f"{path}: topic_root",
        "trigger.kind 'sometimes': must be one of 'interval', 'continuous'",
        "recipe.toml: deadline_ms 0",
        "recipe.toml: colour: is not a key here",
        "review_at 0.9 must not be above reject_at 0.1",
        "nowhere",
    ):
        assert fault in done.stdout
    assert "6 faults" in done.stdout
    assert "Traceback" not in done.stderr


def test_check_tries_camera_journal_and_regions(sealed: Bundle, tmp_path: Path) -> None:
    path = write_station(
        tmp_path,
        sealed,
        journal={"disk_free_min_mb": 1_000_000},
        archive={"folder": "pictures"},
        recipe={"regions": {"kind": "rectangle", "x": 0, "y": 0, "width": 500, "height": 5}},
    )
    done = run_inspector("check", path)
    assert done.returncode == 78
    assert "disk_free_min_mb is 1000000" in done.stdout
    assert "pictures: holds files that are not the archive's" in done.stdout
    assert "the region reaches to 500x5, the picture is 48x40" in done.stdout
    shutil.rmtree(tmp_path / "pictures")
    assert "there is no such folder" in run_inspector("check", path).stdout


@pytest.mark.parametrize("key", ["folder", "list_file"])
def test_a_replay_of_what_is_not_there_is_refused_with_file_and_key(
    sealed: Bundle, tmp_path: Path, key: str
) -> None:
    path = write_station(tmp_path, sealed, camera={key: "absent"})
    done = run_inspector("run", path)
    what = "folder" if key == "folder" else "file"
    said = f"{path}: camera.{key} {tmp_path / 'absent'}: there is no such {what}"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (78, said)
    assert not (tmp_path / "journal.db").exists()


def test_check_and_run_refuse_regions_that_the_bundle_was_not_trained_on(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundles", tiles=Tiling(width=16, height=16))
    path = write_station(tmp_path, bundle, recipe={"regions": {"kind": "whole"}})
    said = "judges tiles of 16x16, overlap 0.25; leave regions out, or write"
    checked, ran = run_inspector("check", path), run_inspector("run", path)
    assert (checked.returncode, ran.returncode) == (78, 78)
    assert said in checked.stdout
    assert said in ran.stderr
    tiles = {"kind": "tiles", "width": 16, "height": 16, "overlap": 0.5}
    write_station(tmp_path, bundle, recipe={"regions": tiles})
    checked = run_inspector("check", path)
    assert checked.returncode == 0, checked.stdout
    assert "its certificate does not hold for the recipe's regions" in checked.stdout
    write_station(tmp_path, bundle, recipe={})
    checked = run_inspector("check", path)
    assert "certificate" not in checked.stdout
    assert "recipe tiny: 12 regions a frame" in checked.stdout  # 48x40 in steps of 12


def test_check_refuses_the_journal_that_run_refuses(sealed: Bundle, tmp_path: Path) -> None:
    path = write_station(tmp_path, sealed)
    assert run_inspector("run", path).returncode == 0
    done = run_inspector("check", path)
    assert done.returncode == 0, done.stdout
    assert "journal.db ends at 12" in done.stdout
    (tmp_path / "journal.db").write_bytes(b"not a database at all")
    checked, ran = run_inspector("check", path), run_inspector("run", path)
    assert ran.returncode != 0
    assert checked.returncode == 78
    assert "is damaged" in checked.stdout
    assert "is damaged" in ran.stderr


def test_a_renamed_station_does_not_go_on_in_the_journal_of_its_old_name(
    sealed: Bundle, tmp_path: Path
) -> None:
    def named(name: str, folder: str = ".") -> Path:
        journal = {"path": f"{folder}/journal.db"}
        return write_station(tmp_path, sealed, station=name, journal=journal, drain_s=0.0)

    assert run_inspector("run", named("cell-01")).returncode == 0
    path = named("cell-02")
    checked, ran = run_inspector("check", path), run_inspector("run", path)
    for said in (checked.stdout, ran.stderr):
        assert "journal.db: is of station cell-01, and this is station cell-02" in said
        assert "12 of its results wait still" in said
    assert (checked.returncode, ran.returncode) == (78, 78)
    assert run_inspector("run", named("cell-02", folder="cell-02")).returncode == 0
    with JournalReader(tmp_path / "cell-02/journal.db") as reader:
        assert json.loads(reader.row(12) or b"")["station"] == "cell-02"
    with JournalReader(tmp_path / "journal.db") as reader:
        assert json.loads(reader.row(reader.last_seq()) or b"")["station"] == "cell-01"


def test_two_stations_share_no_state_folder_though_each_has_a_journal_of_its_own(
    sealed: Bundle, tmp_path: Path
) -> None:
    """Else the second would follow the HALT that somebody gives the first, which went on."""
    paths = []
    for name in ("cell-01", "cell-02"):
        (tmp_path / name).mkdir()
        journal = {"path": f"../var/{name}.db"}
        camera = {"kind": "replay", "folder": "pictures", "loop": True}
        settings = {"station": name, "journal": journal, "camera": camera, "drain_s": 0.0}
        paths.append(write_station(tmp_path / name, sealed, **settings))
    first = start_station(paths[0])
    try:
        assert until(lambda: run_inspector("command", paths[0], "status").returncode == 0)
        before = (tmp_path / "var/starts.json").read_bytes()
        ran, checked = run_inspector("run", paths[1]), run_inspector("check", paths[1])
        assert (ran.returncode, checked.returncode) == (1, 78)
        assert "a station runs there already" in ran.stderr
        assert "station cell-01 runs there" in checked.stdout
        assert (tmp_path / "var/starts.json").read_bytes() == before
        halted = run_inspector("command", paths[0], "halt")
        assert "HALTED" in halted.stdout
        first.terminate()
        assert first.wait(60) == 0
    finally:
        first.kill()
        first.wait()
    assert run_inspector("check", paths[1]).returncode == 0


def test_two_stations_share_no_folder_of_pictures(sealed: Bundle, tmp_path: Path) -> None:
    """Else each deletes the other's oldest, and may take the names of its pictures."""
    paths = []
    for name in ("cell-01", "cell-02"):
        (tmp_path / name).mkdir()
        camera = {"kind": "replay", "folder": "pictures", "loop": True}
        archive = {"folder": "../images"}
        settings = {"station": name, "archive": archive, "camera": camera, "drain_s": 0.0}
        paths.append(write_station(tmp_path / name, sealed, **settings))
    first = start_station(paths[0])
    try:
        assert until(lambda: run_inspector("command", paths[0], "status").returncode == 0)
        its, ran = run_inspector("check", paths[0]), run_inspector("run", paths[1])
        checked = run_inspector("check", paths[1])
        assert (its.returncode, ran.returncode, checked.returncode) == (0, 1, 78)
        for said in (ran.stderr, checked.stdout):
            assert "images: another archive keeps its pictures there" in said
        first.terminate()
        assert first.wait(60) == 0
    finally:
        first.kill()
        first.wait()
    assert run_inspector("check", paths[1]).returncode == 0


def test_a_station_inspects_though_its_health_page_has_no_address_yet(
    sealed: Bundle, tmp_path: Path
) -> None:
    """As after a power cut, where it is there before the network is."""
    metrics = {"host": "192.0.2.254", "port": 9464}
    done = run_inspector("run", write_station(tmp_path, sealed, metrics=metrics, drain_s=0.0))
    assert done.returncode == 0, done.stderr
    assert "metrics 192.0.2.254:9464: Cannot assign requested address" in done.stderr
    with JournalReader(tmp_path / "journal.db") as reader:
        assert reader.last_seq() == 12


def test_a_password_file_that_cannot_be_read_is_named(sealed: Bundle, tmp_path: Path) -> None:
    path = write_station(tmp_path, sealed, mqtt={"user": "line", "password_file": "secret"})
    said = f"mqtt.password_file {tmp_path / 'secret'}: No such file"
    checked, ran = run_inspector("check", path), run_inspector("run", path)
    assert checked.returncode == 78
    assert said in checked.stdout
    assert said in ran.stderr  # and goes on: the broker is not needed to judge
    (tmp_path / "secret").write_bytes("gehéim".encode("latin-1"))
    assert "others may read it" in run_inspector("check", path).stdout
    (tmp_path / "secret").chmod(0o600)
    checked = run_inspector("check", path)
    assert "is not UTF-8" in checked.stdout
    assert "0xe9" not in checked.stdout
