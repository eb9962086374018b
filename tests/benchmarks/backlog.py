"""A backlog of results is delivered to an acknowledging consumer while the station inspects.

    python -m tests.benchmarks.backlog [--rows 100000] [--period-ms 50] [--quiet-s 30]
    python -m tests.benchmarks.backlog --turns 10     what delivering costs the parts, in turns

Results are queued with the broker away, by the station's own journal. Then a real station (the
demo's bundle) inspects beside a real mosquitto and `inspector subscribe` into SQLite. It prints
how long the backlog took, what was lost or came twice, and the parts' p99 before and meanwhile.
With --turns the broker stands still every other four seconds, so that whatever else the machine
does falls on both kinds alike.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from inspector.contract.bundle import read_bundle
from inspector.delivery.journal import ConsumerSettings, Journal, JournalReader, JournalSettings
from tests.benchmarks.turns import Turn, joined, spread, times_ms
from tests.brokers import Mosquitto
from tests.consumer.lines import Subscription, stored_in_sqlite, write_consumer
from tests.delivery.results import result
from tests.support import start_station, until, write_pictures, write_station

DEMO = Path("inspector/demo/bundle/elpv-9b49b7960e37")
TURN_S = 4.0
SETTLE_S = 0.5
HISTORIAN = {"name": "historian", "replay_per_s": 2_000}


@dataclass(frozen=True, slots=True)
class Found:
    rows: int
    """In the journal at the end."""
    queued: int
    """When the broker came."""
    delivered_s: float
    """From the broker's start until the consumer had stored and acknowledged all of them."""
    identical: bool
    """The consumer's rows are the journal's, byte for byte, in order, each once."""
    quiet_ms: list[float]
    busy_ms: list[float]
    said: str

    def lines(self) -> list[str]:
        rate = self.queued / self.delivered_s
        return [
            f"{self.queued} results queued; stored by the consumer and acknowledged "
            f"{self.delivered_s:.1f} s after the broker came ({rate:.0f} a second)",
            f"{self.rows} in the journal at the end; the consumer's are "
            f"{'the same, in order, each once' if self.identical else 'NOT THE SAME'}",
            f"trigger to result, nothing to deliver: {spread(self.quiet_ms)}",
            f"trigger to result, meanwhile:          {spread(self.busy_ms)}",
            self.said.splitlines()[0],
        ]


def measure(folder: Path, *, rows: int, period_ms: int, quiet_s: float) -> Found:
    write_pictures(folder / "pictures", [128, 90, 160, 128])
    with Mosquitto(folder) as broker:
        broker.verbose = False
        settings = _station(folder, broker.port, period_ms)
        _queue(folder / "journal.db", rows)
        station = start_station(settings)
        sink = {"kind": "sqlite", "path": "got.db"}
        subscription = Subscription(
            write_consumer(folder, broker.port, sink, store_s=0.2, ask_again_s=5.0)
        )
        try:
            with JournalReader(folder / "journal.db") as journal:
                assert until(lambda: journal.last_seq() > rows + 20)  # it inspects
                time.sleep(quiet_s)
                queued, start = journal.last_seq(), time.monotonic()
                broker.start()
                assert until(lambda: journal.acknowledged("historian") >= queued, 300.0)
                delivered_s = time.monotonic() - start
                busy_to = journal.last_seq()
                station.terminate()
                assert station.wait(30.0) == 0
                last = journal.last_seq()
                assert until(lambda: len(stored_in_sqlite(folder / "got.db")) >= last, 60.0)
                code, said = subscription.end()
                assert code == 0, said
                journaled = [payload for _, payload in journal.after(0, last)]
        finally:
            station.kill()
            subscription.kill()
    totals = [json.loads(payload)["times_ms"]["total"] for payload in journaled[rows:]]
    return Found(
        rows=len(journaled),
        queued=queued,
        delivered_s=delivered_s,
        identical=stored_in_sqlite(folder / "got.db") == journaled,
        quiet_ms=totals[20 : queued - rows],  # the first ones find everything cold
        busy_ms=totals[queued - rows : busy_to - rows],
        said=said,
    )


def compare(folder: Path, *, rows: int, period_ms: int, turns: int) -> list[str]:
    """The parts' times while rows are delivered and while none can be, in turns."""
    write_pictures(folder / "pictures", [128, 90, 160, 128])
    windows: list[Turn] = []
    with Mosquitto(folder) as broker:
        broker.verbose = False
        settings = _station(folder, broker.start().port, period_ms)
        _queue(folder / "journal.db", rows)
        broker.pause()
        station = start_station(settings)
        sink = {"kind": "sqlite", "path": "got.db"}
        subscription = Subscription(write_consumer(folder, broker.port, sink))
        try:
            with JournalReader(folder / "journal.db") as journal:
                assert until(lambda: journal.last_seq() > rows + 20)
                for turn in range(2 * turns):
                    delivers = turn % 2 == 0
                    broker.resume() if delivers else broker.pause()
                    begin = datetime.now(UTC) + timedelta(seconds=SETTLE_S)
                    time.sleep(TURN_S)
                    windows.append(Turn(begin, datetime.now(UTC), delivers))
                left = rows - journal.acknowledged("historian")
                payloads = [payload for _, payload in journal.after(rows, 1_000_000)]
        finally:
            station.kill()
            subscription.kill()
    times = times_ms(windows, payloads)
    return [
        f"{turns} turns of {TURN_S:g} s each, {left} of {rows} rows left at the end",
        f"trigger to result, nothing can leave: {spread(joined(windows, times, busy=False))}",
        f"trigger to result, rows delivered:    {spread(joined(windows, times, busy=True))}",
    ]


def _station(folder: Path, port: int, period_ms: int) -> Path:
    return write_station(
        folder,
        read_bundle(DEMO.resolve()),
        station="station",
        camera={"loop": True},
        trigger={"kind": "interval", "period_ms": period_ms},
        mqtt={"port": port, "backoff_max_s": 1.0},
        consumers=[HISTORIAN],
    )


def _queue(path: Path, rows: int) -> None:
    journal = Journal(JournalSettings(path=path, disk_free_min_mb=0))
    journal._db.execute("PRAGMA synchronous = OFF")  # 100,000 fsyncs are not what is measured
    journal.register([ConsumerSettings.model_validate(HISTORIAN)])
    for seq in range(1, rows + 1):
        journal.put(result(seq))
        journal.release(seq)
    journal.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--period-ms", type=int, default=50)
    parser.add_argument("--quiet-s", type=float, default=30.0)
    parser.add_argument("--turns", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, rows, period_ms = Path(name), args.rows, args.period_ms
        if args.turns:
            lines = compare(folder, rows=rows, period_ms=period_ms, turns=args.turns)
        else:
            found = measure(folder, rows=rows, period_ms=period_ms, quiet_s=args.quiet_s)
            lines = found.lines()
    print("\n".join(lines))  # noqa: T201 - a command prints


if __name__ == "__main__":
    main()
