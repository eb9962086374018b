"""A bad network once in each way; `python -m tests.faults.network` does it for minutes."""

from argparse import Namespace
from pathlib import Path

import pytest

from tests.faults.bench import Report
from tests.faults.network import network
from tests.faults.proxy import MODES


@pytest.mark.alone
def test_a_network_that_resets_blackholes_drips_delays_and_cuts_loses_and_slows_nothing(
    tmp_path: Path,
) -> None:
    report = Report("network", Namespace(out=tmp_path))
    network(report, list(MODES), bad_s=0.8, good_s=0.2, seed=1)
    assert report.faults == []
    assert report.figures["lost at the consumer"] == 0
    assert report.figures["connections"] > len(MODES), "it was not bad enough"
    assert report.figures["ratio of the medians"] < 1.5
