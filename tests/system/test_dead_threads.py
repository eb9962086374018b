"""What ends the process, where a thread of it dies of our own fault: no end in order."""

import json
from pathlib import Path

import pytest

from tests.support import make_bundle, write_station
from tests.system.test_supervision import log, spoilt

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
