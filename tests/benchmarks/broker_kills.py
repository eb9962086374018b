"""The broker is killed -9 again and again under an inspecting station and its consumer.

    python -m tests.benchmarks.broker_kills [--minutes 10] [--every-s 4] [--period-ms 20]

Each time it forgets all it had kept. It prints how many results the station recorded and how
many the acknowledging consumer (`inspector subscribe` into SQLite) lacks or has otherwise.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from inspector.delivery.journal import JournalReader
from tests.brokers import Mosquitto
from tests.consumer.lines import Subscription, stored_in_sqlite, write_consumer
from tests.support import make_bundle, start_station, until, write_station


@dataclass(frozen=True, slots=True)
class Found:
    kills: int
    rows: int
    lacking: int
    identical: bool
    """The consumer's rows are the journal's, byte for byte, in order, each once."""
    code: int
    said: str


def measure(folder: Path, *, seconds: float, every_s: float, period_ms: int) -> Found:
    kills = 0
    with Mosquitto(folder) as broker:
        broker.verbose = False
        broker.start()
        settings = write_station(
            folder,
            make_bundle(folder / "bundles"),
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": period_ms},
            mqtt={"port": broker.port, "backoff_min_s": 0.1, "backoff_max_s": 0.5},
            consumers=[{"name": "historian", "replay_per_s": 2_000}],
            drain_s=10.0,
        )
        station = start_station(settings)
        sink = {"kind": "sqlite", "path": "got.db"}
        consumer = write_consumer(folder, broker.port, sink, stations=["test"])
        subscription = Subscription(consumer)
        try:
            assert until((folder / "journal.db").exists)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(every_s)
                broker.crash()
                broker.start()
                kills += 1
            with JournalReader(folder / "journal.db") as journal:
                # the station is still there for what has to be asked for again
                wanted = journal.last_seq() + 10
                assert until(lambda: journal.acknowledged("historian") >= wanted, 60.0)
                station.terminate()
                assert station.wait(30.0) == 0
                last = journal.last_seq()
                journaled = [payload for _, payload in journal.after(0, last)]
            stored = folder / "got.db"
            assert until(lambda: len(stored_in_sqlite(stored)) >= last, 60.0)
            code, said = subscription.end()
        finally:
            station.kill()
            subscription.kill()
    got = stored_in_sqlite(folder / "got.db")
    return Found(
        kills=kills,
        rows=last,
        lacking=len(set(journaled) - set(got)),
        identical=got[:last] == journaled,
        code=code,
        said=said,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every-s", type=float, default=4.0)
    parser.add_argument("--period-ms", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(
            Path(folder),
            seconds=60.0 * args.minutes,
            every_s=args.every_s,
            period_ms=args.period_ms,
        )
    same = "the same, in order, each once" if found.identical else "NOT THE SAME"
    lines = [
        f"{found.kills} kills, {found.rows} results recorded, {found.lacking} lacking; the "
        f"consumer's are {same}; exit code {found.code}",
        found.said.splitlines()[0],
    ]
    print("\n".join(lines))  # noqa: T201 - a command prints


if __name__ == "__main__":
    main()
