"""Many stations into one real mosquitto, and one `inspector subscribe` that proves it has all.

    python -m tests.benchmarks.stations [--stations 200] [--per-s 5] [--seconds 120]
        [--beat-every-s 0.2]

A station here is the real journal (a row durable before anything leaves) and the real courier
with results, heartbeats and states as often as a station sends them; no camera and no model.
Heartbeats may be half a second apart, and cost as much as results do (--beat-every-s).
Fifty (--per-process) share a process. The consumer stores into SQLite, acknowledges, counts gaps;
what it stored is compared with every journal byte for byte. A row's latency runs from when it was
durable at its station until its commit could be seen in the consumer's store (looked at every
5 ms). It prints what the broker, the consumer and the stations took of the processor, and whether
the stations kept their pace: where they did not, this machine was the limit and not the broker.
"""

import argparse
import heapq
import json
import multiprocessing
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from inspector.contract.status import Heartbeat
from inspector.delivery.journal import JournalReader
from inspector.station.loop import STATE_EVERY_S
from inspector.station.voice import BEAT_EVERY_S
from tests.brokers import Listener, Mosquitto
from tests.consumer.lines import Line, Subscription, write_consumer
from tests.support import until

LOOK_S = 0.005
WAIT_S = 60.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
Seen = dict[str, list[tuple[int, float]]]
"""Up to which row a station's results were in the store, and when that was first seen."""


@dataclass(frozen=True, slots=True)
class Pace:
    per_s: float
    beat_every_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Used:
    """Processor seconds, and what the broker has counted."""

    broker_s: float
    consumer_s: float
    stations_s: float
    busy_s: float
    """Of all cores, whatever runs there."""
    all_s: float
    received: float
    """PUBLISH packets: results, heartbeats, states, acknowledgements. As it said within the last
    second."""
    received_bytes: float
    """Their payloads."""

    def since(self, before: "Used") -> "Used":
        return Used(*(getattr(self, f) - getattr(before, f) for f in self.__slots__))


@dataclass(frozen=True, slots=True)
class Found:
    stations: int
    seconds: float
    """From the first result until the last was stored."""
    rows: int
    """Recorded by all stations."""
    identical: bool
    """The consumer's rows are every journal's, byte for byte, in order, each once."""
    code: int
    said: str
    payload_bytes: float
    """A result's, on average."""
    stored_ms: list[float]
    """From durable at the station until committed in the consumer's store."""
    late_ms: list[float]
    """How long after its time a result began to be recorded."""
    used: Used

    @property
    def gaps(self) -> int:
        """Ranges of rows and stations that the consumer lacks, by its own report."""
        return sum(self.said.count(word) for word in ("  GAP:", "  MISSING:", "  SILENT:"))

    @property
    def kept_pace(self) -> bool:
        """99 of 100 results were recorded before the station's next was due."""
        every_ms = 1000.0 * self.seconds * self.stations / self.rows
        return float(np.percentile(self.late_ms, 99)) < every_ms

    def lines(self) -> list[str]:
        used, cores = self.used, os.cpu_count() or 1
        same = "the same, in order, each once" if self.identical else "NOT THE SAME"
        return [
            f"{self.stations} stations, {self.rows} results in {self.seconds:.1f} s: "
            f"{self.rows / self.seconds:.0f} a second, {self.payload_bytes:.0f} bytes each",
            f"the broker received {used.received / self.seconds:.0f} messages a second, "
            f"{used.received_bytes / self.seconds / 1000:.0f} kB/s of payload",
            f"the consumer's rows are {same}; gaps {self.gaps}; exit code {self.code}",
            f"durable to stored: {_spread(self.stored_ms)}",
            f"recorded after its time: {_spread(self.late_ms)}",
            self._took("broker", used.broker_s),
            self._took("consumer", used.consumer_s),
            self._took("stations", used.stations_s),
            f"machine: {100 * used.busy_s / used.all_s:.0f} % of {cores} cores busy, "
            f"with all else that ran",
            "the stations kept their pace: the limit is further up"
            if self.kept_pace
            else "the stations did NOT keep their pace: the limit was this machine",
            f"extrapolated: at this cost a broker's one thread is full at "
            f"{self.rows / used.broker_s:.0f} results a second, a consumer's at "
            f"{self.rows / used.consumer_s:.0f}",
        ]

    def _took(self, who: str, cpu_s: float) -> str:
        return f"{who}: {cpu_s / self.seconds:.2f} cores, {1e6 * cpu_s / self.rows:.0f} us a result"


def measure(
    folder: Path,
    *,
    stations: int,
    per_s: float,
    seconds: float,
    per_process: int = 50,
    beat_every_s: float = BEAT_EVERY_S,
) -> Found:
    names = [f"cell-{number:03d}" for number in range(1, stations + 1)]
    groups = [names[i : i + per_process] for i in range(0, stations, per_process)]
    context = multiprocessing.get_context("spawn")  # not a copy of the caller with its threads
    begin, end = context.Event(), context.Event()
    with ExitStack() as stack:
        broker = Mosquitto(folder, "sys_interval 1", quiet=True)
        stack.enter_context(broker).start()
        sink = {"kind": "sqlite", "path": "got.db"}
        waits = {"late_after_s": 2.0, "ask_again_s": 5.0, "store_s": 0.2}  # its defaults
        settings = write_consumer(folder, broker.port, sink, stations=names, **waits)
        subscription = Subscription(settings)
        stack.callback(subscription.kill)
        counts = stack.enter_context(Listener(broker.port, "$SYS/broker/publish/#", name="sys"))
        workers = []
        for group in groups:
            pace = Pace(per_s, beat_every_s, seconds)
            words = (folder, broker.port, group, pace, begin, end)
            workers.append(context.Process(target=_simulate, args=words, daemon=True))
            workers[-1].start()
            stack.callback(workers[-1].kill)
        pids = [broker.pid, subscription.process.pid, *(worker.pid or 0 for worker in workers)]
        assert until((folder / "got.db").exists)
        with closing(sqlite3.connect(folder / "got.db", isolation_level=None)) as db:
            assert until(lambda: all(_at(db, names)), WAIT_S), "every station is heard"
            before, start = _used(pids, counts), time.monotonic()
            begin.set()
            seen = _watch(db, names, [folder / f"{group[0]}.json" for group in groups])
        took_s = time.monotonic() - start
        used = _used(pids, counts).since(before)
        code, said = subscription.end()
        end.set()
        for worker in workers:
            worker.join(WAIT_S)
    return _found(folder, groups, seen, used, took_s, (code, said))


def _simulate(
    folder: Path,
    port: int,
    names: list[str],
    pace: Pace,
    begin: Event,
    end: Event,
) -> None:
    """One process: these stations, each a journal and a courier, at their pace."""
    lines = []
    for name in names:
        (folder / name).mkdir()
        lines.append(Line(folder / name, port, station=name))
        assert until(lambda: lines[-1].courier.connected, WAIT_S)
        lines[-1].put(1)  # with the state that tells of it: the consumer may come later
    recorded: dict[str, list[float]] = {name: [] for name in names}
    late: list[float] = []
    begin.wait()
    start = time.monotonic()
    turns: list[tuple[float, int, float, Callable[[float], None]]] = []
    for i, line in enumerate(lines):
        acts = (
            (1.0 / pace.per_s, _recorder(line, recorded[line.station], late)),
            (pace.beat_every_s, _beater(line)),
            (STATE_EVERY_S, lambda _, line=line: line.tell()),
        )
        for every_s, act in acts:
            # spread in time, as stations that know nothing of each other are
            turns.append((start + every_s * i / len(lines), len(turns), every_s, act))
    heapq.heapify(turns)
    while turns[0][0] < start + pace.seconds:
        due, number, every_s, act = turns[0]
        time.sleep(max(0.0, due - time.monotonic()))
        act(due)
        heapq.heapreplace(turns, (due + every_s, number, every_s, act))
    draft = folder / f"{names[0]}.new"
    draft.write_text(json.dumps({"recorded": recorded, "late": late}), encoding="utf-8")
    draft.rename(folder / f"{names[0]}.json")
    end.wait()
    for line in lines:
        line.close()


def _recorder(line: Line, durable: list[float], late: list[float]) -> Callable[[float], None]:
    def act(due: float) -> None:
        late.append(time.monotonic() - due)
        line.record()
        durable.append(time.monotonic())

    return act


def _beater(line: Line) -> Callable[[float], None]:
    def act(_: float) -> None:
        beat = Heartbeat(
            station=line.station, boot="boot", beat=1, state="CONTINUOUS_EXECUTION", seq=1
        )
        line.courier.beat(beat.to_json())

    return act


def _watch(db: sqlite3.Connection, names: list[str], done: list[Path]) -> Seen:
    """Until the stations have ended and all they have recorded is stored, or no more comes."""
    seen: Seen = {name: [] for name in names}
    wanted: list[int] | None = None
    at: list[int] = []
    moved_at, version = time.monotonic(), -1
    while time.monotonic() - moved_at < WAIT_S:
        time.sleep(LOOK_S)
        before, version = version, db.execute("PRAGMA data_version").fetchone()[0]
        if before != version:  # something was committed
            at = _at(db, names)
            moved_at = time.monotonic()
            for name, seq in zip(names, at, strict=True):
                if not seen[name] or seen[name][-1][0] != seq:
                    seen[name].append((seq, moved_at))
        if wanted is None and all(path.exists() for path in done):
            recorded, _ = _recorded(done)
            wanted = [1 + len(recorded[name]) for name in names]  # the first made it known
        if at == wanted:  # as it was noted, not as it may be by now: the last row has a time too
            break
    return seen


def _at(db: sqlite3.Connection, names: Sequence[str]) -> list[int]:
    query = "SELECT coalesce(max(seq), 0) FROM result WHERE station = ?"
    try:
        return [db.execute(query, (name,)).fetchone()[0] for name in names]
    except sqlite3.OperationalError:
        return [0] * len(names)  # the table is not made yet


def _recorded(done: list[Path]) -> tuple[dict[str, list[float]], list[float]]:
    """When each station's rows were durable; how late every one began."""
    found: dict[str, list[float]] = {}
    late: list[float] = []
    for path in done:
        words = json.loads(path.read_bytes())
        found |= words["recorded"]
        late += words["late"]
    return found, late


def _used(pids: list[int], counts: Listener) -> Used:
    """pids: broker, consumer, and whatever the stations run in."""
    ticks = [float(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    idle = ticks[3] + ticks[4]  # 4: waits for a disk
    broker_s, consumer_s, *stations_s = map(_cpu_s, pids)
    base = "$SYS/broker/publish/"
    return Used(
        broker_s,
        consumer_s,
        sum(stations_s),
        (sum(ticks) - idle) / TICKS_PER_S,
        sum(ticks) / TICKS_PER_S,
        float(counts.payloads(f"{base}messages/received")[-1]),
        float(counts.payloads(f"{base}bytes/received")[-1]),
    )


def _cpu_s(pid: int) -> float:
    """User and system time of all its threads."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS_PER_S


def _found(
    folder: Path,
    groups: list[list[str]],
    seen: Seen,
    used: Used,
    took_s: float,
    end: tuple[int, str],
) -> Found:
    recorded, late = _recorded([folder / f"{group[0]}.json" for group in groups])
    rows, total_bytes, identical = 0, 0, True
    stored_ms: list[float] = []
    with closing(sqlite3.connect(folder / "got.db")) as db:
        for name, durable in recorded.items():
            query = "SELECT payload FROM result WHERE station = ? ORDER BY seq"
            stored = [payload.encode() for (payload,) in db.execute(query, (name,))]
            with JournalReader(folder / name / "journal.db") as journal:
                journaled = [payload for _, payload in journal.after(0, len(durable) + 2)]
            identical &= stored == journaled and len(journaled) == 1 + len(durable)
            rows += len(durable)
            total_bytes += sum(map(len, journaled[1:]))
            looks = iter(seen[name])
            at, since = 0, 0.0
            for seq, durable_at in enumerate(durable, start=2):
                while at < seq:
                    at, since = next(looks, (1 << 62, float("inf")))
                stored_ms.append(1000.0 * (since - durable_at))
    return Found(
        stations=len(recorded),
        seconds=took_s,
        rows=rows,
        identical=identical,
        code=end[0],
        said=end[1],
        payload_bytes=total_bytes / rows,
        stored_ms=stored_ms,
        late_ms=[1000.0 * each for each in late],
        used=used,
    )


def _spread(times_ms: list[float]) -> str:
    p50, p99 = np.percentile(times_ms, [50, 99])
    return (
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, at most {max(times_ms):.0f} ms, n = {len(times_ms)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stations", type=int, default=200)
    parser.add_argument("--per-s", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--per-process", type=int, default=50)
    parser.add_argument("--beat-every-s", type=float, default=BEAT_EVERY_S)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(
            Path(folder),
            stations=args.stations,
            per_s=args.per_s,
            seconds=args.seconds,
            per_process=args.per_process,
            beat_every_s=args.beat_every_s,
        )
    print("\n".join(found.lines()))  # noqa: T201 - a command prints


if __name__ == "__main__":
    main()
