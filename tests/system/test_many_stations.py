"""The short form of tests/benchmarks/stations.py: several stations, one broker, one consumer."""

from pathlib import Path

from tests.benchmarks import stations


def test_one_consumer_has_every_result_of_several_stations_and_says_so(tmp_path: Path) -> None:
    found = stations.measure(tmp_path, stations=5, per_s=5.0, seconds=3.0, per_process=3)
    assert (found.identical, found.gaps, found.code) == (True, 0, 0), found.said
    assert found.rows >= 5 * 5 * 3, "each at its pace"
    assert len(found.stored_ms) == found.rows, "each was seen in the store"
    assert max(found.stored_ms) < 60_000.0, "the last ones too"
    assert 0.0 < sorted(found.stored_ms)[found.rows // 2] < 5_000.0
    assert found.used.received > found.rows, "heartbeats, states and acknowledgements came too"
    assert found.used.broker_s <= found.seconds, "it has one thread"
