"""What ends the process, where a thread of it dies of our own fault: no end in order."""

import json
from pathlib import Path
from typing import Any

import pytest

from inspector.runtime.folder import point_to
from tests.support import make_bundle, until, write_station
from tests.system.test_supervision import log, rows, spoilt

LOADER = """
from inspector.runtime import reload
reload.Reloader._look = lambda *_: 1 / 0
"""
STATION = """
from inspector.contract.errors import ConfigError
from inspector.station import loop
def refuse(*_):
    raise ConfigError("on no account")
loop.inspect_part = refuse
"""
RUN = """
import sys
from inspector.cli import main
sys.exit(main(["run", sys.argv[1]]))
"""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (LOADER, ("ended: dead: loader", "ZeroDivisionError")),
        (STATION, ("ended: the program failed: ConfigError", "on no account")),
    ],
    ids=["loader", "station"],
)
def test_a_thread_that_dies_ends_the_process_with_a_code_that_systemd_restarts_and_is_counted(
    tmp_path: Path, code: str, words: tuple[str, ...]
) -> None:
    path = write_station(tmp_path, make_bundle(tmp_path / "bundles"), camera={"loop": True})
    with spoilt(path, code + RUN) as station:
        assert station.wait(60.0) == 1
    assert all(each in log(path) for each in words), log(path)
    assert len(json.loads((tmp_path / "starts.json").read_bytes())["starts_s"]) == 1


SECOND = """
import os
from inspector.station import loop
real = loop.inspect_part
def inspect_part(part, job, *more):
    if job.runtime.notice == "the second":
        HOW_IT_ENDS
    return real(part, job, *more)
loop.inspect_part = inspect_part
"""


def served(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "journal.db.bundles").read_bytes())["recipes"]["tiny"]
    found["handled"] = bool(found["handled"])
    return {name: found[name] for name in ("serving", "previous", "on_trial", "handled")}


@pytest.mark.parametrize(("ends", "code"), [("raise ZeroDivisionError", 1), ("os.abort()", -6)])
def test_a_bundle_that_ends_the_process_with_its_first_part_is_left_for_the_one_before(
    tmp_path: Path, ends: str, code: int
) -> None:
    bundles = tmp_path / "bundles"
    first, second = make_bundle(bundles), make_bundle(bundles, notice="the second")
    path = write_station(tmp_path, first, camera={"loop": True})
    program = SECOND.replace("HOW_IT_ENDS", ends) + RUN
    with spoilt(path, program) as station:
        assert until(lambda: rows(path) > 5), log(path)
        point_to(second.folder)
        assert station.wait(60.0) == code
    there = {"serving": second.id, "previous": first.id, "on_trial": True, "handled": True}
    assert served(tmp_path) == there
    before = rows(path)
    with spoilt(path, program):
        assert until(lambda: rows(path) > before + 5), log(path)
    assert f"bundle {second.id}: the station did not end in order while it was on trial" in log(
        path
    )
    there = {"serving": first.id, "previous": None, "on_trial": False, "handled": True}
    assert served(tmp_path) == there, "and the pointer is not followed again"
