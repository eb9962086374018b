"""Slow, endless and NaN models; `python -m tests.faults.models` with more parts."""

from argparse import Namespace
from pathlib import Path

import pytest

from tests.faults.bench import Report
from tests.faults.models import HANGS, KINDS, LATE, SLOW_S, Kind, models

PARTS = [False, False, True, False, False]


SHORT = [kind for kind in KINDS if kind.name != LATE]  # tests/system/test_late.py


@pytest.mark.parametrize("kind", SHORT, ids=lambda kind: kind.name)
def test_a_part_its_model_fails_on_is_rejected_and_the_next_one_judged(
    tmp_path: Path, kind: Kind
) -> None:
    report = Report("models", Namespace(out=tmp_path))
    in_time = kind.deadline_ms > 1_000
    models(report, kind, PARTS, silence_max_s=0.75 * SLOW_S if in_time else 10.0)
    assert report.faults == []
    if kind.name == HANGS:
        assert report.trials[0]["silence_s"] > 0.5, "the heart beat for a model that hung"
