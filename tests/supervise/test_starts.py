"""A crash loop ends in ERROR, and an ERROR outlives the process until a person has seen it."""

import json
from pathlib import Path

import pytest

from inspector.station.alarm import Rules
from inspector.supervise.starts import StartLog

RULES = Rules(restarts_max=3, restarts_within_min=10.0)


def start(folder: Path, rules: Rules = RULES) -> tuple[StartLog, str | None]:
    log = StartLog(folder, rules)
    return log, log.begin()


def crashes(folder: Path, count: int) -> list[str | None]:
    return [start(folder)[1] for _ in range(count)]


def test_the_start_after_so_many_that_did_not_end_in_order_is_in_error(tmp_path: Path) -> None:
    assert crashes(tmp_path, 3) == [None] * 3
    _, fault = start(tmp_path)
    assert fault == "crash loop: 3 starts within 10 minutes did not end in order"


def test_starts_that_ended_in_order_are_no_crash_loop(tmp_path: Path) -> None:
    for _ in range(10):
        log, fault = start(tmp_path)
        assert fault is None
        log.end()


def test_old_crashes_are_forgotten(tmp_path: Path) -> None:
    crashes(tmp_path, 3)
    path = tmp_path / "starts.json"
    kept = json.loads(path.read_text())
    kept["starts_s"] = [at - 601 for at in kept["starts_s"]]
    path.write_text(json.dumps(kept))
    assert start(tmp_path)[1] is None


def test_a_machine_that_was_switched_off_begins_a_new_list(tmp_path: Path) -> None:
    crashes(tmp_path, 3)
    path = tmp_path / "starts.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine_boot": "another"}))
    assert start(tmp_path)[1] is None


def test_a_fault_is_kept_with_its_first_cause_until_a_person_has_seen_it(tmp_path: Path) -> None:
    log, _ = start(tmp_path)
    log.keep_fault("the camera is gone")
    log.end()
    log, fault = start(tmp_path)
    assert fault == "the camera is gone"
    log.keep_fault(None)
    log.end()
    assert start(tmp_path)[1] is None


def test_a_reset_forgets_the_crashes_before_it(tmp_path: Path) -> None:
    crashes(tmp_path, 3)
    log, fault = start(tmp_path)
    assert fault is not None
    log.keep_fault(fault)
    log.keep_fault(None)
    assert crashes(tmp_path, 2) == [None] * 2


@pytest.mark.parametrize("text", ["", "{}", "null", '{"schema":2,"machine_boot":"x"}'])
def test_a_start_log_that_cannot_be_read_is_a_fault(tmp_path: Path, text: str) -> None:
    (tmp_path / "starts.json").write_text(text)
    fault = start(tmp_path)[1]
    assert fault is not None
    assert "a fault may not have been seen" in fault


def test_a_folder_that_cannot_be_written_keeps_nobody_from_starting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log, fault = start(tmp_path / "file" / "state")
    assert fault is not None  # it cannot be read either
    log.keep_fault(None)
    log.end()
