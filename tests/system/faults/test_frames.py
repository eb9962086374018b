"""Some bad frames in a live stream; `python -m tests.faults.frames` shows all, again and again."""

from argparse import Namespace
from pathlib import Path

import pytest

from tests.faults.bench import Report

pytest.importorskip("elpv_dataset")


def test_no_bad_frame_of_a_live_camera_passes_at_a_commissioned_station(tmp_path: Path) -> None:
    from tests.faults.frames import frames

    report = Report("frames", Namespace(out=tmp_path))
    names = ["black", "blurred 2 px", "moved 10 px across", "frozen", "stale"]
    frames(report, names, seconds=0.4, learn_from=50)
    assert report.faults == []
    good, *bad = report.trials
    assert good["passed"] > 0.5 * good["parts"]
    assert {trial["frames"] for trial in bad} == set(names)
