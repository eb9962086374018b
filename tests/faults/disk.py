"""A small disk that fills and empties under a station at work: all the station writes is on it.

"near": less is free than the journal wants. Nothing passes, the state says why, rejected parts are
still recorded; with space back it passes again by itself. "full": not a byte is free. ERROR, the
part is counted as unrecorded; with space back reset, select and start bring it to work again.
"""

import os
import random
import tempfile
import time
from argparse import Namespace
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.brokers import Mosquitto
from tests.faults.bench import (
    OUT_OF_ERROR,
    Consumer,
    Report,
    account,
    arguments,
    command,
    order,
    steps,
)
from tests.support import (
    make_bundle,
    small_disk,
    start_station,
    until,
    write_station,
)

NEAR, FULL = "near", "full"
PATIENCE_S = 60.0
MB = 1_000_000


class Plant:
    def __init__(self, folder: Path, started: ExitStack) -> None:
        self.folder = folder
        self.disk = started.enter_context(small_disk(folder / "disk", "24m"))
        broker = started.enter_context(Mosquitto(folder, quiet=True).start())
        self.consumer = started.enter_context(Consumer(broker.port))
        self.settings = write_station(
            folder,
            make_bundle(folder / "bundles"),
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": 20},
            journal={"path": str(self.disk / "journal.db"), "disk_free_min_mb": 4},
            archive={"folder": str(self.disk / "images"), "keep": "all", "disk_free_min_mb": 6},
            mqtt={"port": broker.port},
        )
        self.station = start_station(self.settings)
        started.callback(self.station.wait)
        started.callback(self.station.kill)
        assert self.passes(), (folder / "station.log").read_text(encoding="utf-8")

    def passes(self) -> bool:
        """Whether parts pass, again."""
        before = len(self.consumer.passes)
        return until(lambda: len(self.consumer.passes) > before + 3, PATIENCE_S)

    def fill(self, leave_bytes: int) -> Path:
        """Somebody else's file that leaves so much free; at 0 not a byte."""
        filler = self.disk / "somebody-elses"
        disk = os.statvfs(self.disk)
        with filler.open("wb", buffering=0) as file:
            file.write(bytes(max(0, disk.f_bavail * disk.f_frsize - max(leave_bytes, MB))))
            with suppress(OSError):
                while leave_bytes == 0:
                    file.write(bytes(4_096))
        return filler


def _near(report: Report, plant: Plant, free_mb: float) -> None:
    consumer = plant.consumer
    filler = plant.fill(round(free_mb * MB))
    said = until(lambda: "disk_free_min_mb is 4" in str(consumer.state["withheld"]), PATIENCE_S)
    report.require(said, f"the state does not say why: {consumer.state}")
    report.require("MB are free" in str(consumer.state["withheld"]), "nor how much is free")
    report.require(until(lambda: consumer.alarm["line_stop"], PATIENCE_S), "no line stop asked for")
    passes, highest = len(consumer.passes), consumer.highest
    goes_on = until(lambda: consumer.highest > highest + 10, PATIENCE_S)
    report.require(goes_on, "rejected parts are not recorded any more")
    passed = len(consumer.passes) - passes
    report.require(passed == 0, f"{passed} passed on a disk that is nearly full")
    filler.unlink()
    report.require(plant.passes(), "it does not pass again with space back")
    report.require(until(lambda: consumer.state["withheld"] is None), "still withheld")
    report.require(until(lambda: not consumer.alarm["line_stop"]), "still asks for a stop")


def _full(report: Report, plant: Plant) -> None:
    consumer = plant.consumer
    filler = plant.fill(0)
    in_error = until(lambda: consumer.state["state"] == "ERROR", PATIENCE_S)
    report.require(in_error, f"no ERROR: {consumer.state}")
    report.require("full" in consumer.state["cause"], f"why: {consumer.state['cause']}")
    passes = len(consumer.passes)
    time.sleep(0.3)
    report.require(len(consumer.passes) == passes, "passed in ERROR")
    filler.unlink()
    for action in OUT_OF_ERROR:
        refused = order(plant.disk, action)
        report.require(refused is None, f"{refused}")
    report.require(plant.passes(), "it does not pass again after reset, select and start")


def disk(report: Report, kinds: list[str], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    with tempfile.TemporaryDirectory(prefix="disk-") as name, ExitStack() as started:
        plant = Plant(Path(name), started)
        with suppress(KeyboardInterrupt):
            report.interrupted = True
            for i in steps(len(kinds), "times full"):
                began, free_mb = time.monotonic(), round(chance.uniform(1.5, 3.5), 2)
                if kinds[i] == NEAR:
                    _near(report, plant, free_mb)
                else:
                    _full(report, plant)
                took_s = time.monotonic() - began
                report.trials.append({"number": i, "kind": kinds[i], "took_s": took_s})
            report.interrupted = False
        refused = order(plant.disk, "stop")
        report.require(refused is None, f"{refused}")
        consumer = plant.consumer
        until(lambda: consumer.state["state"] == "READY")
        tally = consumer.state["tally"]
        plant.station.terminate()
        report.require(plant.station.wait(60.0) == 0, "the station did not end in order")
        until(lambda: consumer.highest >= consumer.state["seq"])
        found = account(plant.disk / "journal.db", consumer, unrecorded=tally["unrecorded"])
        report.faults += found.faults
        verdicts = sum(tally["verdicts"].values())
        report.require(
            tally["triggers"] == verdicts + tally["unrecorded"] and verdicts == found.rows,
            f"{tally['triggers']} triggers, {verdicts} verdicts, {tally['unrecorded']} unrecorded, "
            f"{found.rows} rows",
        )
        report.figures |= {
            "times nearly full, full": f"{kinds.count(NEAR)}, {kinds.count(FULL)}",
            "rows": found.rows,
            "passes": found.passes,
            "parts unrecorded": tally["unrecorded"],
            "line stops": tally["line_stops"],
            "images dropped": tally["images_dropped"],
            "lost at the consumer": found.lost,
        }


def main() -> int:
    parser = arguments(__doc__, "disk")
    parser.add_argument("--times", type=int, default=60, help="it fills (default 60)")
    options: Namespace = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311
    kinds = [chance.choice((NEAR, FULL)) for _ in range(options.times)]
    return command(Report("disk", options), lambda report: disk(report, kinds, options.seed))


if __name__ == "__main__":
    raise SystemExit(main())
