"""What the fault bench's commands share: who listens, what must hold, what was found.

Every command has a short form in tests/system/faults/, which pytest runs.
"""

import argparse
import csv
import hashlib
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from inspector.contract.command import Action, Command
from inspector.contract.errors import DeviceError
from inspector.delivery.journal import JournalReader
from inspector.supervise.door import ask
from tests.brokers import Listener

PLACE = "plant/line/test"
SAY_EVERY_S = 5.0
ROWS_AT_ONCE = 500
OUT_OF_ERROR: tuple[Action, ...] = ("reset", "select", "start")
"""What a person does once the cause has been seen."""
NO_CRASH_LOOP = {"restarts_max": 100, "restarts_within_min": 0.001}
"""The bench kills for hours: a station that waits for a person would end it."""


class Consumer(Listener):
    """A historian with a session that stays: keeps what it was told of each part, checks as it
    comes, and holds no payloads, so that it can listen for hours.
    """

    def __init__(self, port: int, *, name: str = "historian") -> None:
        self.told: dict[int, bytes] = {}
        """The digest of each result by its seq."""
        self.ids: dict[str, int] = {}
        self.passes: set[int] = set()
        self.faults: list[str] = []
        self.repeats = 0
        self.highest = 0
        self.state: dict[str, Any] = {}
        self.states: Counter[str] = Counter()
        self.alarm: dict[str, Any] = {}
        self.judged: list[tuple[float, str]] = []
        """When each judged part was told first, time.monotonic(), and the boot it is of."""
        self.beats: list[float] = []
        """When each heartbeat came, time.monotonic()."""
        super().__init__(port, name=name)

    def took(self, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        match message.topic.removeprefix(f"{PLACE}/"):
            case "result":
                self._result(payload)
            case "heartbeat":
                self.beats.append(time.monotonic())
            case "state":
                self.state = json.loads(payload)
                self.states[self.state["state"]] += 1
            case "alarm":
                self.alarm = json.loads(payload)

    def _result(self, payload: bytes) -> None:
        result = json.loads(payload)
        seq, result_id, digest = result["seq"], result["result_id"], _digest(payload)
        if self.ids.setdefault(result_id, seq) != seq:
            self.faults.append(f"{result_id} was told as seq {self.ids[result_id]} and {seq}")
        if seq in self.told:
            self.repeats += 1
            if self.told[seq] != digest:
                self.faults.append(f"seq {seq} was told twice differently")
            return
        if seq != self.highest + 1:
            self.faults.append(f"seq {seq} was told after {self.highest}")
        self.highest = max(self.highest, seq)
        self.told[seq] = digest
        if result["pass"]:
            self.passes.add(seq)
        if result["evaluation"] != "UNDEFINED":
            self.judged.append((time.monotonic(), result["boot"]))

    @property
    def boot(self) -> str | None:
        """Of the newest judged part."""
        return self.judged[-1][1] if self.judged else None

    def wait_judged(
        self, since: float, timeout_s: float, *, not_boot: str | None = None
    ) -> float | None:
        """Seconds from `since` until a part was judged, of another boot; None where none was."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            for at, boot in reversed(self.judged[-200:]):
                if at <= since:
                    break
                if boot != not_boot:
                    return (
                        min(a for a, b in self.judged[-200:] if a > since and b != not_boot) - since
                    )
            time.sleep(0.005)
        return None

    def longest_silence_s(self, since: float = 0.0) -> float:
        """Between two heartbeats."""
        beats = [at for at in self.beats if at >= since]
        return max((b - a for a, b in pairwise(beats)), default=0.0)


@dataclass
class Account:
    """What is in a journal, read to its end, held against what a consumer was told."""

    rows: int = 0
    passes: int = 0
    faults: list[str] = field(default_factory=list)
    evaluations: Counter[str] = field(default_factory=Counter)
    boots: int = 0
    late: int = 0
    late_passes: int = 0
    """Passed with a `late`, or after a time above the deadline: must be 0."""
    slowest_pass_ms: float = 0.0
    lost: int = 0
    """Rows the consumer was not told."""
    ids: set[str] = field(default_factory=set)

    def count(self, seq: int, result: dict[str, Any], deadline_ms: float) -> None:
        """One row, by itself."""
        self.rows += 1
        if not seq == self.rows == result["seq"]:
            self.faults.append(f"row {self.rows} has seq {seq} and says {result['seq']}")
        if result["result_id"] in self.ids:
            self.faults.append(f"{result['result_id']} is in the journal twice")
        self.ids.add(result["result_id"])
        self.evaluations[result["evaluation"]] += 1
        self.late += result["late"]
        if result["pass"] is not (result["evaluation"] == "OK"):
            self.faults.append(f"seq {seq}: {result['evaluation']} passes")
        if result["pass"]:
            took_ms = result["times_ms"]["total"]
            self.passes += 1
            self.slowest_pass_ms = max(self.slowest_pass_ms, took_ms)
            self.late_passes += result["late"] or took_ms > deadline_ms

    def hold(self, seq: int, payload: bytes, consumer: Consumer) -> None:
        """One row against what was told of it."""
        told = consumer.told.get(seq)
        if told is None:
            self.lost += 1
        elif told != _digest(payload):
            self.faults.append(f"seq {seq} is not in the journal as it was told")


def rows_of(journal: Path, after: int = 0) -> Iterator[tuple[int, bytes]]:
    """Every row behind `after`, without holding them."""
    with JournalReader(journal) as reader:
        while rows := reader.after(after, ROWS_AT_ONCE):
            yield from rows
            after = rows[-1][0]


def account(
    journal: Path, consumer: Consumer, deadline_ms: float = 5_000, *, unrecorded: int = 0
) -> Account:
    """Read the whole journal and say everything that does not hold.

    unrecorded: so many parts have no row, since the journal could not store them.
    """
    found = Account()
    sequences: dict[str, int] = {}
    skipped = 0
    for seq, payload in rows_of(journal):
        result = json.loads(payload)
        found.count(seq, result, deadline_ms)
        found.hold(seq, payload, consumer)
        boot, sequence = result["boot"], result["part"]["sequence"]
        skipped += abs(sequence - sequences.get(boot, 0) - 1)
        sequences[boot] = sequence
    if skipped > unrecorded:
        found.faults.append(f"{skipped} parts have no row, {unrecorded} were not recorded")
    without = [seq for seq in consumer.told if seq > found.rows]
    if without:
        found.faults.append(f"told without a row: {without[:10]}")
    if found.lost:
        found.faults.append(f"{found.lost} rows never reached the consumer")
    if found.late_passes:
        found.faults.append(f"{found.late_passes} passes after their deadline")
    found.boots = len(sequences)
    found.faults += consumer.faults
    return found


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=12).digest()


def capture_children(station: int | None = None) -> list[int]:
    """Capture processes of that station; of every station that is no more where left out."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            continue
        if b"inspector.devices.capture_child" not in words or state == "Z":
            continue
        parent = int(words[words.index(b"inspector.devices.capture_child") + 2])
        if parent == station or (station is None and not Path(f"/proc/{parent}").exists()):
            found.append(int(folder.name))
    return found


def shared_memory() -> set[str]:
    """Names in /dev/shm."""
    return {each.name for each in Path("/dev/shm").iterdir()}  # noqa: S108 - only looked at


class Ledger:
    """Holds each row against what was told of it, as soon as both are there."""

    def __init__(self, journal: Path, consumer: Consumer) -> None:
        self._journal = journal
        self._consumer = consumer
        self.checked = 0

    def last_seq(self) -> int:
        with JournalReader(self._journal) as reader:
            return reader.last_seq()

    def check(self) -> list[str]:
        """What does not hold of the rows that have come since the last time."""
        told, faults = self._consumer.told, []
        highest = self._consumer.highest
        for seq, payload in rows_of(self._journal, self.checked):
            if seq > highest:
                break
            if seq != self.checked + 1:
                faults.append(f"row {seq} follows row {self.checked}")
            if seq in told and told[seq] != _digest(payload):
                faults.append(f"seq {seq} is not in the journal as it was told")
            self.checked = seq
        if self.checked < highest:
            faults.append(f"seq {highest} was told, the journal ends at {self.checked}")
            self.checked = highest
        return faults


class Report:
    """What a command has found: printed, kept as JSON and CSV, and its exit code."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name = name
        self.out: Path = options.out
        self.about = vars(options)
        self.trials: list[dict[str, Any]] = []
        self.figures: dict[str, Any] = {}
        self.faults: list[str] = []
        self.interrupted = False

    def require(self, holds: bool, words: str) -> None:  # noqa: FBT001
        if not holds:
            self.faults.append(words)
            say(f"FAULT: {words}")

    def write(self) -> int:
        """0: all of it holds; 1: something does not; 130: interrupted, what was found is kept."""
        self.out.mkdir(parents=True, exist_ok=True)
        text = {
            "bench": self.name,
            "about": self.about,
            "figures": self.figures,
            "faults": self.faults,
            "interrupted": self.interrupted,
        }
        path = self.out / f"{self.name}.json"
        path.write_text(json.dumps(text, indent=2, default=str) + "\n", encoding="utf-8")
        if self.trials:
            with path.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
                keys = list(dict.fromkeys(key for trial in self.trials for key in trial))
                writer = csv.DictWriter(file, keys)
                writer.writeheader()
                writer.writerows(self.trials)
        for key, value in self.figures.items():
            say(f"  {key:<32} {value}")
        say(f"{self.name}: {self._ended()}; {path}")
        return 130 if self.interrupted else 1 if self.faults else 0

    def _ended(self) -> str:
        words = "interrupted; " if self.interrupted else ""
        return words + (f"{len(self.faults)} FAULTS" if self.faults else "no fault")


def spread_of(values: Sequence[float]) -> str:
    """n, median, 95th and 99th percentile, largest: of times that were measured."""
    if not values:
        return "n = 0"
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return (
        f"n = {len(ordered)}, p50 {at(0.5):.3g}, p95 {at(0.95):.3g}, p99 {at(0.99):.3g}, "
        f"max {ordered[-1]:.3g}"
    )


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201 - a command


def steps(count: int, what: str) -> Iterator[int]:
    """Count from 0, saying now and then how far it is and how long it will take."""
    began, said = time.monotonic(), time.monotonic()
    for i in range(count):
        yield i
        now = time.monotonic()
        if now - said > SAY_EVERY_S or i == count - 1:
            said = now
            rest_min = (now - began) / (i + 1) * (count - 1 - i) / 60
            say(f"{i + 1:>6}/{count} {what}, {rest_min:.1f} min to go")


def arguments(doc: str | None, name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.faults.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="exit codes: 0 all of it holds, 1 a fault was found, 130 interrupted",
    )
    parser.add_argument("--seed", type=int, default=0, help="of every random choice (default 0)")
    parser.add_argument(
        "--out", type=Path, default=Path("faults"), help="folder for what is found (default faults)"
    )
    return parser


def command(report: Report, work: Callable[[Report], None]) -> int:
    """Run to the end, or until Ctrl-C or SIGTERM: what was started ends, what was found is kept."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)  # also where the caller ignores SIGINT
    try:
        work(report)
    except KeyboardInterrupt:
        report.interrupted = True
    return report.write()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def order(folder: Path, action: Action) -> str | None:
    """Ask the station whose state is in this folder, as `inspector command` does.

    None where it was done; else why not, in words.
    """
    try:
        reply = ask(folder, Command(schema=1, id=action, action=action))
    except DeviceError as error:
        return f"{action}: {error}"
    return None if reply.outcome == "done" else f"{action}: {reply.outcome}: {reply.reason}"
