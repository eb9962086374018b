"""The Node-RED flow in a real Node-RED, fed by a real station over a real mosquitto."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Listener, Mosquitto
from tests.delivery.results import result
from tests.deploy.node_red import FLOW, NodeRed, browser
from tests.support import make_bundle, start_station, until, write_station
from tests.system.test_killed_station import rows

KEEP = 12


@dataclass(frozen=True, slots=True)
class Plant:
    folder: Path
    broker: Mosquitto
    red: NodeRed
    station: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Node-RED listens before the station's first part; its Sparkplug tab as well."""
    folder = tmp_path_factory.mktemp("plant")
    with Mosquitto(folder) as broker:
        broker.start()
        settings = write_station(
            folder,
            make_bundle(folder / "bundles"),
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": 100},
            mqtt={"port": broker.port, "backoff_min_s": 0.1, "backoff_max_s": 0.5},
            sparkplug={"group": "plant"},
        )
        # a busy machine is no hanging station
        env = {"TOPIC_ROOT": "plant/line", "KEEP_PARTS": str(KEEP), "STALE_AFTER_MS": "4000"}
        with NodeRed(folder, broker.port, **env) as red:
            station = start_station(settings)
            try:
                assert until(lambda: red.station("test").get("stale") is False), red.log()
                yield Plant(folder, broker, red, station)
            finally:
                station.kill()
                station.wait()


def counts(parts: list[dict[str, Any]], key: str) -> dict[str, int]:
    return dict(Counter(each[key] for each in parts if each[key] is not None))


def test_the_page_counts_as_the_journal_does(plant: Plant) -> None:
    def agree() -> bool:
        said = plant.red.station("test")
        if not said["parts"]:
            return False
        up_to = [each for each in rows(plant.folder) if each["seq"] <= said["parts"][0]["seq"]]
        same = said["counts"] == counts(up_to, "evaluation")
        same &= said["causes"] == counts(up_to, "cause")
        same &= [p["seq"] for p in said["parts"]] == [r["seq"] for r in up_to[: -KEEP - 1 : -1]]
        return same and len(up_to) > 2 * KEEP and said["skipped"] == 0

    assert until(agree), plant.red.data()
    said = plant.red.station("test")
    assert set(said["counts"]) == {"OK", "NOT_OK"}
    assert said["causes"] == {"defect": said["counts"]["NOT_OK"]}
    assert (said["state"], said["withheld"]) == ("CONTINUOUS_EXECUTION", None)
    assert not said["stale"]
    assert said["unreadable"] == 0


def test_a_page_in_a_browser_shows_the_figures_and_foreign_text_as_text(
    plant: Plant, tmp_path: Path
) -> None:
    changes = {"station": "other", "part": {"id": "<b id=x>P</b>", "sequence": 1}}
    payload = json.dumps({**json.loads(result(1).to_json()), **changes}).encode()
    with Listener(plant.broker.port, "nothing", name="line") as line:
        for sent in (payload, payload, b"{", b'{"pass": true, "evaluation": "NOT_OK"}', b"[[]]"):
            line.publish("plant/line/other/result", sent)
    assert until(lambda: plant.red.station("other").get("unreadable") == 3)
    other = plant.red.station("other")
    assert (other["counts"], other["duplicates"]) == ({"OK": 1}, 1)
    assert (other["stale"], other["withheld"]) == (True, "no state has come"), "never heard alive"
    text, picture = browser(f"http://127.0.0.1:{plant.red.port}/inspector", tmp_path)
    assert "&lt;b id=x&gt;P&lt;/b&gt;" in text
    assert "<b id=" not in text
    assert "CONTINUOUS_EXECUTION" in text
    assert "3 MESSAGES COULD NOT BE READ" in text
    assert text.count('<span class="flag">STALE</span>') == 1
    assert picture.stat().st_size > 10_000


def test_the_sparkplug_tab_decodes_what_the_edge_node_says(plant: Plant) -> None:
    def tags() -> dict[str, Any]:
        nodes = plant.red.data("sparkplug")["nodes"]
        devices = [device for node in nodes for device in node["devices"] if device["online"]]
        return devices[0]["tags"] if devices else {}

    assert until(lambda: bool(tags().get("Part/Result ID"))), plant.red.log()
    said = tags()
    row = next(each for each in rows(plant.folder) if each["result_id"] == said["Part/Result ID"])
    assert said["Part/Pass"] is row["pass"]
    assert said["Part/Journal Seq"] == row["seq"]
    assert said["Part/Score"] == pytest.approx(row["score"])
    node = plant.red.data("sparkplug")["nodes"][0]
    assert (node["lost"], node["unreadable"]) == (0, 0)


def test_a_node_red_that_comes_late_asks_for_the_births_it_has_missed(
    plant: Plant, tmp_path: Path
) -> None:
    with NodeRed(tmp_path, plant.broker.port) as red:

        def born() -> bool:
            nodes = red.data("sparkplug")["nodes"]
            return bool(nodes and nodes[0]["online"] and nodes[0]["devices"])

        assert until(born), red.log()
        assert red.data("sparkplug")["nodes"][0]["rebirths"] >= 1


def test_a_station_that_hangs_or_is_killed_is_stale_though_its_last_state_stands(
    plant: Plant,
) -> None:
    plant.station.send_signal(signal.SIGSTOP)  # SIGSTOP: nothing closes, nothing is said
    assert until(lambda: plant.red.station("test")["stale"])
    assert plant.red.station("test")["state"] == "CONTINUOUS_EXECUTION"
    plant.station.send_signal(signal.SIGCONT)
    assert until(lambda: not plant.red.station("test")["stale"])
    plant.station.kill()
    assert until(lambda: plant.red.station("test")["state"] == "OFFLINE")
    assert until(lambda: plant.red.station("test")["stale"])
    assert plant.red.station("test")["withheld"] is not None
    assert until(lambda: not plant.red.data("sparkplug")["nodes"][0]["online"])


def test_the_flow_is_made_of_the_parts_beside_it(tmp_path: Path) -> None:
    made = tmp_path / "flow.json"
    subprocess.run([sys.executable, FLOW.parent / "make-flow", made], check=True)
    assert made.read_bytes() == FLOW.read_bytes(), "run deploy/node-red/make-flow"
