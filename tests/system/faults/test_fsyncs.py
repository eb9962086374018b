"""A few of the writes of a run killed or refused; `python -m tests.faults.fsyncs` takes all."""

from argparse import Namespace
from pathlib import Path

import pytest

from tests.faults.bench import Report
from tests.faults.fsyncs import Point, require_strace, suffer
from tests.support import make_bundle


@pytest.mark.parametrize(
    ("point", "unrecorded"),
    [
        (Point("killed at a sync", "journal.db-wal", 7), 0),
        (Point("EIO from a sync", "journal.db-wal", 6), 1),  # and ERROR
        (Point("EIO from a sync", "journal.db.released", 2), 0),
        # SQLite does not raise where it cannot begin its -wal: it says "delete"
        (Point("EIO from a write", "journal.db", 4), 0),
    ],
    ids=str,
)
def test_a_station_whose_disk_fails_at_one_call_passes_nothing_by_it_and_goes_on_afterwards(
    tmp_path: Path, point: Point, unrecorded: int
) -> None:
    require_strace()
    report = Report("fsyncs", Namespace(out=tmp_path))
    assert suffer(report, make_bundle(tmp_path / "bundles"), point), "it did not come about"
    assert report.faults == []
    (trial,) = report.trials
    assert bool(trial["error_states"]) == bool(trial["unrecorded"])
    assert trial["unrecorded"] == unrecorded
    assert trial["passes"]
