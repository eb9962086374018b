"""Kills station, capture process and broker at random moments, as often as you like.

The real daemon with a live camera (motion JPEG), a real mosquitto, a consumer with a session that
stays. After each: ready again, no capture process left behind, every row the consumer was told is
in the journal as it was told. At the end: rows without a gap, no number twice, nothing lost at the
consumer, nothing told twice differently, no pass without a row.

Half of the faults are kill -9 of the station; the rest kills and stops (SIGSTOP) of all three.
"""

import os
import random
import signal
import tempfile
import time
from argparse import Namespace
from collections import defaultdict
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.brokers import Mosquitto
from tests.faults.bench import (
    NO_CRASH_LOOP,
    Consumer,
    Ledger,
    Report,
    account,
    arguments,
    capture_children,
    command,
    order,
    say,
    shared_memory,
    spread_of,
    steps,
)
from tests.streams import MjpegServer
from tests.support import make_bundle, start_station, until, write_station

READY_S = 5.0
PATIENCE_S = 30.0
CAMERAS_MAX = 3
"""Camera faults in one life of a station: what comes and goes is opened with growing pauses."""
WEIGHTS = {
    "station killed": 42,
    "starting station killed": 8,
    "capture killed": 20,
    "broker killed": 12,
    "station stopped": 7,
    "capture stopped": 4,
    "broker stopped": 7,
}


class Plant:
    """Camera, station, broker and consumer, each of which may be killed and comes back."""

    def __init__(self, folder: Path, started: ExitStack) -> None:
        self.folder = folder
        camera = MjpegServer().start()
        started.callback(camera.kill)
        self.broker = started.enter_context(Mosquitto(folder, quiet=True).start())
        self.consumer = started.enter_context(Consumer(self.broker.port))
        self.broker.save()  # the consumer's session: it outlives the broker
        self.settings = write_station(
            folder,
            make_bundle(folder / "bundles"),
            camera={"kind": "opencv", "url": camera.url, "latency_ms": 0, "reopen_tries": 1_000},
            trigger={"kind": "interval", "period_ms": 80},
            mqtt={"port": self.broker.port, "backoff_min_s": 0.1, "backoff_max_s": 0.5},
            rules=NO_CRASH_LOOP,
            recipe={"frame_timeout_ms": 200},
        )
        self.ledger = Ledger(folder / "journal.db", self.consumer)
        self.station = start_station(self.settings)
        started.callback(self.end)
        assert self.consumer.wait_judged(0.0, PATIENCE_S) is not None, self.log()

    def log(self) -> str:
        return (self.folder / "station.log").read_text(encoding="utf-8")[-4_000:]

    def end(self) -> None:
        self.station.send_signal(signal.SIGCONT)
        self.station.kill()
        self.station.wait()

    def suffer(self, fault: str, still_s: float) -> float | None:
        """Do it; seconds from when it may be ready again until a part was judged and told.

        still_s: how long a stop lasts. None where nothing came.
        """
        boot = self.consumer.boot
        match fault:
            case "station killed" | "starting station killed":
                self._kill_station()
                if fault == "starting station killed":
                    self.station = start_station(self.settings)
                    time.sleep(still_s)
                    self._kill_station()
                began = time.monotonic()
                self.station = start_station(self.settings)
                return self.consumer.wait_judged(began, PATIENCE_S, not_boot=boot)
            case "station stopped":
                self.station.send_signal(signal.SIGSTOP)
                time.sleep(still_s)
                self.station.send_signal(signal.SIGCONT)
            case "broker killed":
                self.broker.kill()
                self.broker.start()
            case "broker stopped":
                self.broker.pause()
                time.sleep(still_s)
                self.broker.resume()
            case _:
                return self._suffer_capture(fault)
        return self.consumer.wait_judged(time.monotonic(), PATIENCE_S)

    def _kill_station(self) -> None:
        self.station.kill()
        self.station.wait()
        left = until(lambda: not capture_children(self.station.pid), 2.0)
        assert left, f"capture processes outlived station {self.station.pid}"

    def _suffer_capture(self, fault: str) -> float | None:
        """Killed, or stopped until the station kills it."""
        began = time.monotonic()
        (pid,) = capture_children(self.station.pid)
        os.kill(pid, signal.SIGKILL if fault == "capture killed" else signal.SIGSTOP)
        if not until(lambda: capture_children(self.station.pid) not in ([pid], []), PATIENCE_S):
            return None
        again = time.monotonic()
        found = self.consumer.wait_judged(again, PATIENCE_S)
        return None if found is None else found + again - began

    def close_the_books(self, report: Report) -> None:
        """Let everything be delivered, stop in order, and hold journal and consumer together."""
        # an interrupted bench may have left it starting
        stops = until(lambda: order(self.folder, "stop") is None, 30.0)
        report.require(stops, f"it takes no stop: {self.log()}")
        self.station.terminate()
        code = self.station.wait(60.0)
        report.require(code == 0, f"the station ended with {code}: {self.log()}")
        last = self.ledger.last_seq()
        until(lambda: len(self.consumer.told) >= last)
        found = account(self.folder / "journal.db", self.consumer)
        report.faults += found.faults
        report.figures |= {
            "rows": found.rows,
            "boots": found.boots,
            "passes": found.passes,
            "lost at the consumer": found.lost,
            "told again, the same": self.consumer.repeats,
            "late passes": found.late_passes,
            "faults": len(report.faults),
        }


def kills(report: Report, faults: list[str], seed: int, ready_s: float = READY_S) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same faults again
    before = shared_memory()
    ready: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="kills-") as name, ExitStack() as started:
        plant = Plant(Path(name), started)
        with suppress(KeyboardInterrupt):
            report.interrupted = True
            for i in steps(len(faults), "faults"):
                time.sleep(chance.uniform(0.0, 0.7))
                took = plant.suffer(faults[i], chance.uniform(0.1, 1.5))
                report.trials.append({"number": i, "fault": faults[i], "ready_s": took})
                _check(report, plant, i, faults[i], took, ready_s)
                if took is None:
                    break
                ready[faults[i]].append(took)
            report.interrupted = False
        plant.close_the_books(report)
    report.require(not capture_children(), "capture processes were left behind")
    report.require(not shared_memory() - before, "shared memory was left behind")
    for fault, times in sorted(ready.items()):
        report.figures[f"{fault}, ready after s"] = spread_of(times)


def _check(
    report: Report, plant: Plant, number: int, fault: str, took: float | None, ready_s: float
) -> None:
    words = "never" if took is None else f"after {took:.2f} s"
    if took is None or took > ready_s:
        report.require(False, f"{number}: {fault}: ready {words}: {plant.log()}")
    for each in plant.ledger.check():
        report.require(False, f"{number}: {fault}: {each}")


def drawn(count: int, seed: int) -> list[str]:
    """Faults at random, `count` kills among them."""
    chance = random.Random(seed)  # noqa: S311
    faults: list[str] = []
    cameras = 0
    while sum("killed" in each for each in faults) < count:
        (fault,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
        cameras += fault.startswith("capture")
        if fault in ("station killed", "starting station killed"):
            cameras = 0
        elif cameras > CAMERAS_MAX:
            continue
        faults.append(fault)
    return faults


def main() -> int:
    parser = arguments(__doc__, "kills")
    parser.add_argument("--kills", type=int, default=1_000, help="stops come on top of them")
    parser.add_argument("--ready-s", type=float, default=READY_S, help="longer is a fault")
    options: Namespace = parser.parse_args()
    faults = drawn(options.kills, options.seed)
    say(f"{options.kills} kills and {len(faults) - options.kills} stops, seed {options.seed}")
    report = Report("kills", options)
    return command(report, lambda found: kills(found, faults, options.seed, options.ready_s))


if __name__ == "__main__":
    raise SystemExit(main())
