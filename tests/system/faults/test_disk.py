"""A disk that fills and empties, twice; `python -m tests.faults.disk` does it for minutes."""

from argparse import Namespace
from pathlib import Path

from tests.faults.bench import Report
from tests.faults.disk import FULL, NEAR, disk


def test_a_disk_that_fills_withholds_every_pass_says_why_and_recovers_with_space(
    tmp_path: Path,
) -> None:
    report = Report("disk", Namespace(out=tmp_path))
    disk(report, [NEAR, FULL], seed=0)
    assert report.faults == []
    assert report.figures["parts unrecorded"] == 1
    assert report.figures["line stops"] == 1
    assert report.figures["images dropped"] > 0
