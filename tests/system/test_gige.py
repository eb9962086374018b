"""A GigE Vision camera as the commissioning engineer and the station meet it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gige import ADDRESS, GigeCamera, require_gige_camera
from tests.support import (
    evaluations_in,
    make_bundle,
    run_inspector,
    start_station,
    until,
    write_station,
)


@pytest.fixture
def server() -> Iterator[GigeCamera]:
    require_gige_camera()
    server = GigeCamera().start()
    yield server
    server.end()


def test_the_list_names_a_camera_as_the_settings_do_and_check_measures_it(
    server: GigeCamera, tmp_path: Path
) -> None:
    listed = run_inspector("cameras")
    assert listed.returncode == 0
    assert f'kind = "genicam", camera = "{server.id}"    Aravis Fake' in listed.stdout
    assert f"GigEVision at {ADDRESS}" in listed.stdout
    camera = {"kind": "genicam", "camera": server.id, "exposure_us": 10_000, "width": 320}
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), camera=camera)
    checked = run_inspector("check", path)
    assert checked.returncode == 0
    said = next(line for line in checked.stdout.splitlines() if "camera: gives" in line)
    size, _, rate = said.partition(", ")
    assert size.endswith("frames of 320x512")
    assert 10 < float(rate.removesuffix(" a second")) < 30  # it makes 25; a busy machine loses some


def test_check_says_what_the_camera_refuses(server: GigeCamera, tmp_path: Path) -> None:
    camera = {"kind": "genicam", "camera": server.serial, "exposure_us": 2}
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), camera=camera)
    checked = run_inspector("check", path)
    assert checked.returncode == 78
    assert "exposure_us 2: this camera allows 10 to 10000000" in checked.stdout


def test_check_looks_at_the_picture_it_has_though_a_later_one_is_spoiled(tmp_path: Path) -> None:
    """What spoiled the measuring of the pace took the first picture along: nothing was said of it,
    and an attest of another form was not found."""
    require_gige_camera()
    server = GigeCamera(lost_per_thousand=2).start()
    try:
        camera = {"kind": "genicam", "camera": ADDRESS, "trigger": "software"}
        path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), camera=camera)
        said = ""
        for _ in range(8):  # the first may be the spoiled one
            said = run_inspector("check", path).stdout
            if "camera: gives" in said:
                break
        assert "ok    camera: gives frames of 512x512\n" in said, said
        assert "a frame is not whole" in said
        assert "regions a frame" in said
    finally:
        server.end()


def test_check_says_of_a_camera_on_a_wire_that_it_waits_for_the_line(
    server: GigeCamera, tmp_path: Path
) -> None:
    """A station starts there with the line at rest; check called it a fault."""
    camera = {"kind": "genicam", "camera": ADDRESS, "trigger": "line", "line": "Line0"}
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), camera=camera)
    checked = run_inspector("check", path)
    assert checked.returncode == 0, checked.stdout
    assert 'no frame within 10 s; with trigger = "line" it gives one when a part passes' in (
        checked.stdout
    )


def test_check_leaves_the_camera_to_the_running_station(server: GigeCamera, tmp_path: Path) -> None:
    """It called a fault that another program has it: that is the station itself."""
    camera = {"kind": "genicam", "camera": ADDRESS, "exposure_us": 10_000}
    trigger = {"kind": "interval", "period_ms": 300}
    path = write_station(
        tmp_path, make_bundle(tmp_path / "bundles"), camera=camera, trigger=trigger
    )
    station = start_station(path)
    try:
        assert until(lambda: len(evaluations_in(tmp_path)) >= 3, timeout_s=60.0)
        checked = run_inspector("check", path)
        assert checked.returncode == 0, checked.stdout
        assert "note  camera: not tried, the running station has it" in checked.stdout
    finally:
        station.terminate()
        station.wait()


def test_a_camera_that_dies_rejects_until_it_is_back(server: GigeCamera, tmp_path: Path) -> None:
    camera = {"kind": "genicam", "camera": ADDRESS, "exposure_us": 10_000, "reopen_tries": 100}
    path = write_station(
        tmp_path,
        make_bundle(tmp_path / "bundles"),
        camera={**camera, "trigger": "software"},
        trigger={"kind": "interval", "period_ms": 150},
        recipe={"frame_timeout_ms": 140},
    )
    station = start_station(path)

    def evaluations(after: int = 0) -> list[str]:
        return evaluations_in(tmp_path, after)

    def judged(after: int) -> int:
        return sum(each != "UNDEFINED" for each in evaluations(after))

    try:
        assert until(lambda: judged(0) >= 3)
        server.kill()
        killed_at = len(evaluations())
        assert until(lambda: evaluations(killed_at)[1:].count("UNDEFINED") >= 3)
        assert judged(killed_at + 1) == 0  # what was in flight may still be judged
        server.start()
        back_at = len(evaluations())
        assert until(lambda: judged(back_at) >= 3, timeout_s=30.0)
        station.send_signal(signal.SIGTERM)
        assert station.wait(timeout=60) == 0
    finally:
        station.kill()
        station.wait()
