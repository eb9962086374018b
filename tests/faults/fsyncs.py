"""Kills the station at, or fails, every one of its writes to the journal's disk: strace injects.

For each file the station writes (journal, its -wal and -shm, the released mark, cursors, start log)
and each N: a new station is started, at the N-th fsync (or write) of that file it is killed, or
told EIO or ENOSPC. What must hold then: where it goes into ERROR the state says why, nothing is
recorded or passes until reset, select and start, and then it inspects again; where it cannot start
it says so in words. The next start runs to its end, with rows without a gap, none told twice
differently, none lost at the consumer, no pass without a row.

strace counts the calls of each thread by themselves: N is the thread's that reaches it first.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from inspector.contract.bundle import Bundle
from tests.brokers import Mosquitto
from tests.faults.bench import (
    OUT_OF_ERROR,
    Consumer,
    Report,
    account,
    arguments,
    command,
    order,
    say,
    steps,
)
from tests.support import GREY, make_bundle, until, write_pictures, write_station

SYNC, WRITE = "fsync,fdatasync", "pwrite64"
FILES = (
    "starts.json.part",
    "journal.db",
    "journal.db-wal",
    "journal.db-shm",
    "journal.db.released",
    "journal.db.lock",
    "journal.db.cursors",
    "journal.db.cursors-wal",
    "journal.db.cursors-shm",
)
HOW = {
    "killed at a sync": (SYNC, "signal=SIGKILL"),
    "killed at a write": (WRITE, "signal=SIGKILL"),
    "EIO from a sync": (SYNC, "error=EIO"),
    "EIO from a write": (WRITE, "error=EIO"),
    "ENOSPC from a write": (WRITE, "error=ENOSPC"),
}
PARTS = 12
END_S = 30.0


@dataclass(frozen=True, slots=True)
class Point:
    how: str
    file: str
    """Empty: the folder itself."""
    number: int

    def __str__(self) -> str:
        return f"{self.how}: {self.file or 'the folder'}, number {self.number}"


def require_strace() -> None:
    """Skip where it is not there, or not permitted."""
    if not shutil.which("strace"):
        pytest.skip("needs the Debian package strace")
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("strace is not permitted here")


class Trial:
    """One station in a folder of its own, and its consumer."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.folder = folder
        self.trace = folder / "trace"
        write_pictures(folder / "pictures", [GREY] * PARTS)
        self.broker = Mosquitto(folder).start()
        self.consumer = Consumer(self.broker.port)
        self.settings = write_station(
            folder,
            bundle,
            trigger={"kind": "interval", "period_ms": 15},
            mqtt={"port": self.broker.port},
            journal={"disk_free_min_mb": 0},
            drain_s=5.0,
        )

    def close(self) -> None:
        self.consumer.__exit__()
        self.broker.kill()

    def start(self, *strace: str) -> subprocess.Popen[bytes]:
        run = [sys.executable, "-m", "inspector.cli", "run", str(self.settings)]
        if strace:
            run = ["strace", "-f", "-qq", "-y", "-o", str(self.trace), *strace, *run]
        with (self.folder / "station.log").open("ab") as log:
            return subprocess.Popen(run, stdout=log, stderr=log, process_group=0)

    def log(self) -> str:
        return (self.folder / "station.log").read_text(encoding="utf-8")

    def calls(self) -> Counter[tuple[str, str]]:
        """How often a thread calls each kind for each file, at most; nothing is injected."""
        assert self.start("-e", f"trace={SYNC},{WRITE}").wait(END_S) == 0, self.log()
        by_thread: Counter[tuple[str, str, str]] = Counter()
        for line in self.trace.read_text(encoding="utf-8", errors="replace").splitlines():
            thread, _, rest = line.partition(" ")
            call, _, arguments = rest.strip().partition("(")
            path = Path(arguments.partition("<")[2].partition(">")[0])
            if call in (*SYNC.split(","), WRITE) and self.folder in (path, path.parent):
                kind = WRITE if call == WRITE else SYNC
                by_thread[thread, kind, "" if path == self.folder else path.name] += 1
        most: Counter[tuple[str, str]] = Counter()
        for (_, kind, file), count in by_thread.items():
            most[kind, file] = max(most[kind, file], count)
        return most

    def suffer(self, point: Point) -> dict[str, object]:
        """Run once with the fault, once without; what was found."""
        calls, fault = HOW[point.how]
        path = self.folder / point.file if point.file else self.folder
        inject = f"inject={calls}:{fault}:when={point.number}"
        station = self.start("-P", str(path), "-e", f"trace={calls}", "-e", inject)
        faults: list[str] = []
        unrecorded = 0

        def ended_or_in_error() -> bool:
            return station.poll() is not None or self.consumer.state.get("state") == "ERROR"

        try:
            if not until(ended_or_in_error, END_S):
                faults.append("it neither ended nor went into ERROR")
            elif station.poll() is None:
                faults += self._leave_error()
            unrecorded = self.consumer.state.get("tally", {}).get("unrecorded", 0)
            with suppress(subprocess.TimeoutExpired):
                station.wait(END_S)
        finally:
            self._end(station)
        fired = "INJECTED" in self.traced() or station.returncode == -9
        faults += self._ended_as_it_should(point, station.returncode, fired=fired)
        faults += self._start_again()
        found = self._account(unrecorded)
        return {
            "point": str(point),
            "fired": fired,
            "exit": station.returncode,
            "error_states": self.consumer.states["ERROR"],
            "unrecorded": unrecorded,
            "rows": found.rows,
            "passes": found.passes,
            "faults": "; ".join(faults + found.faults),
        }

    def _start_again(self) -> list[str]:
        """Whatever it was, the next start inspects to its end."""
        station = self.start()
        try:
            code = station.wait(END_S)
        except subprocess.TimeoutExpired:
            return [f"the next start does not end: {self.log()[-1500:]}"]
        finally:
            station.kill()
            station.wait()
        return [] if code == 0 else [f"the next start ended with {code}: {self.log()[-1500:]}"]

    def traced(self) -> str:
        return self.trace.read_text(encoding="utf-8", errors="replace")

    def _account(self, unrecorded: int):  # type: ignore[no-untyped-def]
        until(lambda: self.consumer.state.get("state") == "OFFLINE")
        last = int(self.consumer.state["seq"])
        until(lambda: len(self.consumer.told) >= last, 10.0)
        return account(self.folder / "journal.db", self.consumer, unrecorded=unrecorded)

    def _leave_error(self) -> list[str]:
        """What a person does; meanwhile nothing may be recorded, so nothing passes."""
        state = self.consumer.state
        faults = []
        if "I/O error" not in state["cause"] and "full" not in state["cause"]:
            faults.append(f"ERROR does not say why: {state['cause']}")
        if not (state["withheld"] or "").startswith("ERROR"):
            faults.append(f"in ERROR, withheld is {state['withheld']}")
        highest = self.consumer.highest
        for action in OUT_OF_ERROR:
            refused = order(self.folder, action)
            if refused is not None:
                faults.append(refused)
            if action == "reset" and self.consumer.highest > highest + PARTS:
                faults.append("it went on inspecting in ERROR")
        self.consumer.state = {**state, "state": "left"}
        return faults

    def _ended_as_it_should(self, point: Point, code: int, *, fired: bool) -> list[str]:
        if not fired or "killed" in point.how:
            return []
        faults = []
        if "Traceback" in self.log():
            faults.append(f"a traceback: {self.log()[-1500:]}")
        if code not in (0, 1):
            faults.append(f"exit code {code}")
        return faults

    def _end(self, station: subprocess.Popen[bytes]) -> None:
        """strace, and what it traced."""
        if station.poll() is None:
            children = Path(f"/proc/{station.pid}/task/{station.pid}/children").read_text()
            for child in children.split():
                with suppress(ProcessLookupError):
                    os.kill(int(child), 9)
            station.kill()
            station.wait()


def points(bundle: Bundle) -> list[Point]:
    """Every call of a whole run, by each kind of fault."""
    with tempfile.TemporaryDirectory(prefix="calls-") as name:
        trial = Trial(Path(name), bundle)
        try:
            most = trial.calls()
        finally:
            trial.close()
    return [
        Point(how, file, number)
        for how, (calls, _) in HOW.items()
        for file in ("", *FILES)
        for number in range(1, most[calls, file] + 1)
    ]


def suffer(report: Report, bundle: Bundle, point: Point) -> bool:
    """Whether the fault came about."""
    with tempfile.TemporaryDirectory(prefix="fsync-") as name:
        trial = Trial(Path(name), bundle)
        try:
            found = trial.suffer(point)
        finally:
            trial.close()
    report.trials.append(found)
    report.require(not found["faults"], f"{point}: {found['faults']}")
    return bool(found["fired"])


def fsyncs(report: Report, options: Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="fsyncs-") as name:
        bundle = make_bundle(Path(name) / "bundles")
        todo = points(bundle)
        if options.sample:
            chance = random.Random(options.seed)  # noqa: S311
            todo = chance.sample(todo, min(options.sample, len(todo)))
        say(f"{len(todo)} points")
        fired: Counter[str] = Counter()
        tried: Counter[str] = Counter()
        try:
            for i in steps(len(todo), "points"):
                tried[todo[i].how] += 1
                fired[todo[i].how] += suffer(report, bundle, todo[i])
        except KeyboardInterrupt:
            report.interrupted = True
    for how, count in tried.items():
        report.figures[how] = f"{fired[how]} of {count} came about"
    report.figures |= {
        "went into ERROR": sum(bool(each["error_states"]) for each in report.trials),
        "did not start, in words": sum(each["exit"] == 1 for each in report.trials),
        "parts unrecorded": sum(each["unrecorded"] for each in report.trials),
        "rows": sum(each["rows"] for each in report.trials),
        "faults": len(report.faults),
    }


def main() -> int:
    parser = arguments(__doc__, "fsyncs")
    parser.add_argument("--sample", type=int, default=0, help="so many points, drawn (default all)")
    options = parser.parse_args()
    require_strace()
    return command(Report("fsyncs", options), lambda report: fsyncs(report, options))


if __name__ == "__main__":
    raise SystemExit(main())
