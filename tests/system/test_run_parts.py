"""The whole station as a user starts it: every part has one durable verdict, only OK passes."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.build import new_boot
from inspector.contract.bundle import Bundle
from inspector.delivery.journal import JournalReader
from tests.brokers import Listener, Mosquitto
from tests.support import (
    GREY,
    make_bundle,
    picture,
    small_disk,
    start_station,
    until,
    write_pictures,
    write_station,
)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"), nan_above=0.98)


def rows(folder: Path) -> list[dict[str, Any]]:
    """Every journalled result; the journal's numbers have no gap."""
    path = folder / "journal.db"
    if not path.exists():
        return []
    with JournalReader(path) as journal:
        found = journal.after(0, limit=100_000)
    results = [json.loads(payload) for _, payload in found]
    assert [result["seq"] for result in results] == [seq for seq, _ in found]
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))
    return results


def log(folder: Path) -> str:
    return (folder / "station.log").read_text(encoding="utf-8")


def wait(station: subprocess.Popen[bytes]) -> int:
    return station.wait(timeout=60)


def test_stations_that_start_in_one_second_have_each_a_boot_of_its_own() -> None:
    boots = [new_boot() for _ in range(20_000)]
    assert len(set(boots)) == len(boots)


def test_a_folder_is_judged_to_its_end_without_any_broker(sealed: Bundle, tmp_path: Path) -> None:
    path = write_station(tmp_path, sealed)
    white = tmp_path / "pictures" / "part100-nan.png"
    cv2.imwrite(str(white), np.full((40, 48, 3), 255, np.uint8))
    (tmp_path / "pictures" / "part101-broken.png").write_bytes(b"\x89PNG but not really")
    assert wait(start_station(path)) == 0
    results = rows(tmp_path)
    ok, reject = ("OK", True), ("NOT_OK", False)
    expected = [ok, ok, reject, ok, reject, ok] * 2 + [("UNDEFINED", False)] * 2
    assert [(each["evaluation"], each["pass"]) for each in results] == expected
    assert [each["part"]["id"] for each in results[:2]] == ["part000", "part001"]
    assert "score nan" in results[12]["reason"]
    assert "part101-broken.png" in results[13]["reason"]
    assert len({each["result_id"] for each in results}) == len(results)
    assert all(each["simulated"] for each in results)
    kept = {each["image"] for each in results if each["image"]}
    assert {image.stem for image in (tmp_path / "images").glob("*.jpg")} == kept
    assert len(kept) == 5  # four rejected and the white one; the broken one has no picture


def test_a_file_name_that_is_no_text_is_a_part_like_any_other(
    sealed: Bundle, tmp_path: Path
) -> None:
    path = write_station(tmp_path, sealed)
    names = sorted((tmp_path / "pictures").iterdir())
    names[1].rename(names[1].with_name(os.fsdecode(b"part001-\xff.png")))
    names[1].with_name(os.fsdecode(b"part099-\xfe\nsecond line.png")).write_bytes(b"x")
    assert wait(start_station(path)) == 0
    results = rows(tmp_path)
    assert len(results) == 13
    assert results[1]["part"]["id"] == "part001-\\udcff"
    assert results[12]["evaluation"] == "UNDEFINED"
    assert "part099-\\udcfe\\nsecond line.png" in results[12]["reason"]


def test_a_frame_of_another_size_than_the_recipes_is_not_judged(
    sealed: Bundle, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "pictures", [GREY])
    for name, (width, height) in (("wide", (4_000, 40)), ("dot", (1, 1)), ("turned", (40, 48))):
        other = picture(GREY, width=width, height=height)
        cv2.imwrite(str(tmp_path / "pictures" / f"zz-{name}.png"), other)
    path = write_station(tmp_path, sealed, recipe={"frame": {"width": 48, "height": 40}})
    assert wait(start_station(path)) == 0
    results = rows(tmp_path)
    assert [each["evaluation"] for each in results] == ["OK", *["UNDEFINED"] * 3]
    assert results[1]["reason"] == "the picture is 1x1, the recipe's frame 48x40"


def test_a_list_with_impossible_names_is_shown_to_its_end(sealed: Bundle, tmp_path: Path) -> None:
    names = ["part000.png", "nul\0.png", "x" * 100_000, "pictures/..", "part001.png"]
    (tmp_path / "list.txt").write_text("\n".join(names), encoding="utf-8")
    camera = {"kind": "replay", "folder": "pictures", "list_file": "list.txt"}
    path = write_station(tmp_path, sealed, camera=camera)
    assert wait(start_station(path)) == 0
    results = rows(tmp_path)
    assert [each["pass"] for each in results] == [True, False, False, False, True]
    assert all(len(json.dumps(each)) < 10_000 for each in results)


def test_a_second_start_goes_on_where_the_first_ended(sealed: Bundle, tmp_path: Path) -> None:
    path = write_station(tmp_path, sealed)
    for _ in range(2):
        assert wait(start_station(path)) == 0
    results = rows(tmp_path)
    assert len(results) == 24
    assert len({each["boot"] for each in results}) == 2
    assert len({each["result_id"] for each in results}) == 24


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_between_two_parts_with_exit_0(
    sealed: Bundle, tmp_path: Path, number: signal.Signals
) -> None:
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port) as listener:
        path = write_station(tmp_path, sealed, camera={"loop": True}, mqtt={"port": broker.port})
        station = start_station(path)
        assert until(lambda: len(rows(tmp_path)) > 20), log(tmp_path)
        station.send_signal(number)
        assert wait(station) == 0
        results = rows(tmp_path)
        assert until(lambda: len(listener.payloads("plant/line/test/result")) >= len(results))
        sent = [json.loads(each) for each in listener.payloads("plant/line/test/result")]
        states = [json.loads(each) for each in listener.payloads("plant/line/test/state")]
    assert [each["seq"] for each in sent] == [each["seq"] for each in results]
    assert sent == results
    last = states[-1]
    assert (last["state"], last["cause"], last["seq"]) == ("OFFLINE", "stopped", len(results))
    assert last["tally"]["triggers"] == sum(last["tally"]["verdicts"].values()) == len(results)
    assert "CONTINUOUS_EXECUTION" in {each["state"] for each in states}


def test_a_camera_that_is_gone_rejects_then_faults_and_the_process_stays(
    sealed: Bundle, tmp_path: Path
) -> None:
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port) as listener:
        path = write_station(
            tmp_path,
            sealed,
            camera={"kind": "opencv", "url": "rtsp://user:geheim@127.0.0.1:1/x", "reopen_tries": 2},
            mqtt={"port": broker.port},
            recipe={"frame_timeout_ms": 100},
        )
        station = start_station(path)

        def states() -> list[Any]:
            return [json.loads(each) for each in listener.payloads("plant/line/test/state")]

        assert until(lambda: any(each["state"] == "ERROR" for each in states())), log(tmp_path)
        recorded = len(rows(tmp_path))
        assert "given up after 2 tries" in states()[-1]["cause"]
        assert not until(lambda: len(rows(tmp_path)) != recorded, timeout_s=1.0)
        assert station.poll() is None
        station.send_signal(signal.SIGTERM)
        assert wait(station) == 0
    results = rows(tmp_path)
    assert results
    assert {each["evaluation"] for each in results} == {"UNDEFINED"}
    assert "geheim" not in log(tmp_path) + json.dumps(results)


def test_a_deadline_that_the_model_misses_rejects_every_part(tmp_path: Path) -> None:
    slow = make_bundle(tmp_path / "bundles", work=60)
    path = write_station(tmp_path, slow, recipe={"deadline_ms": 10})
    assert wait(start_station(path)) == 0
    results = rows(tmp_path)
    assert {each["evaluation"] for each in results} == {"UNDEFINED"}
    assert all("deadline of 10 ms missed; judged" in each["reason"] for each in results)
    # a busy disk reads a picture later than that: a part more, which no frame came for
    assert len([each for each in results if "no frame for 10 ms" not in each["reason"]]) == 12
    assert "more than 5 ms, half of the recipe's deadline: parts may be late" in log(tmp_path)


def test_a_full_disk_stops_the_passing_and_the_station_says_so(
    sealed: Bundle, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        path = write_station(
            tmp_path,
            sealed,
            camera={"loop": True},
            journal={"path": str(disk / "journal.db"), "disk_free_min_mb": 0},
        )
        station = start_station(path)
        assert until(lambda: "could not be recorded" in log(tmp_path)), log(tmp_path)
        assert "is full: the disk, or size_max_mb" in log(tmp_path)
        assert until(lambda: "ERROR: part" in log(tmp_path))
        with JournalReader(disk / "journal.db") as journal:
            recorded = journal.last_seq()
            assert not until(lambda: journal.last_seq() != recorded, timeout_s=1.0)
        assert station.poll() is None
        station.send_signal(signal.SIGTERM)
        assert wait(station) == 0


def test_near_the_journals_limit_parts_are_recorded_but_none_passes(
    sealed: Bundle, tmp_path: Path
) -> None:
    path = write_station(tmp_path, sealed, camera={"loop": True}, journal={"size_max_mb": 1})
    station = start_station(path)
    assert until(lambda: "UNDEFINED: journal:" in log(tmp_path)), log(tmp_path)
    station.send_signal(signal.SIGTERM)
    assert wait(station) == 0
    results = rows(tmp_path)
    short = [each for each in results if "of size_max_mb 1 is used" in each["reason"]]
    assert short
    assert {each["evaluation"] for each in short} == {"UNDEFINED"}
    assert all(each["seq"] >= short[0]["seq"] for each in short)
