"""The wall's clock set by a day; `python -m tests.faults.clock` does it for minutes."""

from argparse import Namespace
from pathlib import Path

from tests.faults.bench import Report
from tests.faults.clock import DAY_S, clock


def test_a_clock_set_by_a_day_changes_no_verdict_no_order_and_no_heartbeat(tmp_path: Path) -> None:
    report = Report("clock", Namespace(out=tmp_path))
    clock(report, [DAY_S, -DAY_S, 0], every_s=1.0, silence_max_s=2.0)  # a busy machine
    assert report.faults == []
    assert report.figures["jumps, counted, said"] == "3, 3, 3"
