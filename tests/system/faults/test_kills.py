"""Each kind of kill and stop once; `python -m tests.faults.kills` does a thousand."""

from argparse import Namespace
from pathlib import Path

import pytest

from tests.faults.bench import Report
from tests.faults.kills import PATIENCE_S, WEIGHTS, kills


@pytest.mark.alone
def test_nothing_is_lost_or_told_twice_differently_however_station_camera_and_broker_die(
    tmp_path: Path,
) -> None:
    report = Report("kills", Namespace(out=tmp_path))
    kills(report, list(WEIGHTS), seed=1, ready_s=PATIENCE_S)  # this machine may be busy
    assert report.faults == []
    assert len(report.trials) == len(WEIGHTS)
    assert report.figures["passes"] > 0
    assert report.figures["boots"] >= 3
