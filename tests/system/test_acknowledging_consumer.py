"""The short forms of the proofs in tests/benchmarks: a consumer that acknowledges loses nothing."""

from pathlib import Path

from tests.benchmarks import backlog, broker_kills


def test_a_backlog_arrives_whole_in_order_and_quickly_while_the_station_inspects(
    tmp_path: Path,
) -> None:
    found = backlog.measure(tmp_path, rows=3_000, period_ms=50, quiet_s=1.0)
    assert found.identical, found.said
    assert found.delivered_s < 30.0, "100,000 in 60 s would be 1.8 s, on a machine that is free"
    assert found.busy_ms, "it went on inspecting"


def test_a_broker_killed_again_and_again_loses_nothing_of_an_acknowledging_consumer(
    tmp_path: Path,
) -> None:
    found = broker_kills.measure(tmp_path, seconds=5.0, every_s=1.2, period_ms=20)
    assert found.kills >= 3
    assert (found.lacking, found.identical, found.code) == (0, True, 0), found.said
