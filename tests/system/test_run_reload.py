"""`inspector run` with bundles that come and go: what serves outlives whatever ends the process."""

import json
from pathlib import Path
from typing import Any

import pytest

from inspector.contract.errors import RecordError
from inspector.contract.verdict import Limits
from inspector.delivery.reader import JournalReader
from tests.support import make_bundle, run_inspector, start_station, until, write_station


def bundles_of(folder: Path) -> list[str]:
    """Which bundle judged each part, in order."""
    try:
        with JournalReader(folder / "journal.db") as journal:
            last = journal.last_seq()
            rows: list[Any] = journal.after(max(0, last - 50), limit=50)
    except RecordError:  # the station has not made it yet
        return []
    return [json.loads(payload)["bundle"] for _, payload in rows]


def test_a_station_serves_what_the_pointer_says_and_goes_on_with_it(tmp_path: Path) -> None:
    first = make_bundle(tmp_path / "bundles")
    second = make_bundle(tmp_path / "bundles", limits=Limits(review_at=0.2, reject_at=0.7))
    path = write_station(
        tmp_path,
        first,
        camera={"loop": True},
        shadow={"bundle": second.id, "folder": "shadow"},
        trigger={"kind": "interval", "period_ms": 50},
    )
    served = tmp_path / "journal.db.bundles"
    station = start_station(path)
    try:
        assert until(lambda: first.id in bundles_of(tmp_path)), (
            tmp_path / "station.log"
        ).read_text()
        assert run_inspector("bundle", "use", second.folder).returncode == 0
        assert until(lambda: bundles_of(tmp_path)[-1:] == [second.id], timeout_s=60.0)
        assert until(lambda: served.exists() and second.id in served.read_text())
        station.terminate()
        assert station.wait(30) == 0
        # an end in order ends the trial: the next start goes on with it
        seen = len(bundles_of(tmp_path))
        assert seen
        station = start_station(path)
        assert until(lambda: (tmp_path / "station.log").read_text().count("CONTINUOUS_EXEC") >= 2)
        assert until(lambda: set(bundles_of(tmp_path)[-3:]) == {second.id})
        # a process that dies on trial lets the one before serve
        assert run_inspector("bundle", "use", first.folder).returncode == 0
        assert until(lambda: bundles_of(tmp_path)[-1:] == [first.id], timeout_s=60.0)
        assert until(lambda: f'"serving": "{first.id}"' in served.read_text())
        station.kill()
        station.wait(30)
        station = start_station(path)
        assert until(lambda: set(bundles_of(tmp_path)[-3:]) == {second.id}, timeout_s=60.0)
        assert "while it was on trial" in (tmp_path / "station.log").read_text()
    finally:
        station.terminate()
        station.wait(30)


def test_a_station_that_is_told_to_end_while_a_bundle_loads_does_not_wait_for_itself(
    tmp_path: Path,
) -> None:
    first = make_bundle(tmp_path / "bundles")
    slow = make_bundle(tmp_path / "bundles", work=20)  # a hundred runs of it are timed
    trigger = {"kind": "interval", "period_ms": 50}
    path = write_station(tmp_path, first, camera={"loop": True}, trigger=trigger)
    log = tmp_path / "station.log"
    station = start_station(path)
    try:
        assert until(lambda: first.id in bundles_of(tmp_path)), log.read_text()
        assert run_inspector("bundle", "use", slow.folder).returncode == 0
        assert until(lambda: f"bundle {slow.id}: runs float" in log.read_text())
        station.terminate()
        assert station.wait(20) == 0
        assert f"{slow.id}, asked for by the file current: the station is ending" in log.read_text()
    finally:
        station.kill()
        station.wait()


def test_openvino_that_has_let_go_of_a_model_leaves_the_station_its_end_in_order(
    tmp_path: Path,
) -> None:
    pytest.importorskip("openvino", reason="needs the extra openvino")
    bundle = make_bundle(tmp_path / "bundles")
    runtime, trigger = {"kind": "openvino"}, {"kind": "interval", "period_ms": 50}
    path = write_station(tmp_path, bundle, camera={"loop": True}, runtime=runtime, trigger=trigger)
    station = start_station(path)
    try:
        assert until(lambda: len(bundles_of(tmp_path)) > 3)
        for action in ("reset", "select", "start"):
            assert run_inspector("command", path, action).returncode == 0
        station.terminate()
        assert station.wait(30) == 0
    finally:
        station.kill()
        station.wait()
