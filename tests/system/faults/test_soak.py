"""A few seconds of the soak: its books agree and its samples are drawn; memory takes an hour."""

from argparse import Namespace
from pathlib import Path

import pytest

from tests.faults.bench import Report

pytest.importorskip("elpv_dataset")


@pytest.mark.alone
def test_a_station_at_work_with_camera_model_and_broker_closes_its_books(tmp_path: Path) -> None:
    from tests.faults.soak import slope_mb_h, soak

    options = Namespace(
        out=tmp_path, minutes=0.07, rate=15.0, parts=20, camera_rate=40.0, deadline_ms=1_000,
        frames=24, every_s=0.3, warm_up_min=0.0,
    )  # fmt: skip
    report = Report("soak", options)
    soak(report, options)
    assert report.faults == []
    assert report.figures["parts"] >= 20
    assert (tmp_path / "soak.png").stat().st_size > 10_000
    assert all(trial["station_mb"] > 50 and trial["capture_mb"] > 20 for trial in report.trials)
    hours = [i / 100 for i in range(100)]
    leaking = [150 + 3 * hour + (i % 7) for i, hour in enumerate(hours)]
    assert slope_mb_h(hours, leaking)[0] == pytest.approx(3.0, abs=0.5)
