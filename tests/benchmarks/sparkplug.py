"""The Sparkplug edge node for longer: the broker killed again and again, and a long absence.

    python -m tests.benchmarks.sparkplug kills [--minutes 10] [--every-s 4] [--period-ms 20]
    python -m tests.benchmarks.sparkplug away [--rows 20000] [--period-ms 50] [--quiet-s 30]

kills: what a host of another make lacks of the journal, and which rules of the specification the
recorded run broke. away: results queued while the primary host is away, then sent as history
beside an inspecting station; how long that took, and the parts' p99 before and meanwhile.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inspector.contract.bundle import read_bundle
from inspector.delivery.journal import ConsumerSettings, Journal, JournalReader, JournalSettings
from inspector.delivery.sparkplug_settings import SPARKPLUG
from tests.benchmarks.backlog import DEMO
from tests.brokers import Mosquitto
from tests.delivery.results import result
from tests.sparkplug.oracles import Host
from tests.sparkplug.rules import Names, broken
from tests.sparkplug.wire import Proxy
from tests.support import make_bundle, start_station, until, write_pictures, write_station

NAMES = Names("plant", "station", "inspection", "scada")


@dataclass(frozen=True, slots=True)
class Kills:
    kills: int
    rows: int
    lacking: int
    """Rows of the journal the host never saw."""
    wrong: int
    """Rows it saw with another verdict or result_id."""
    receipts: int
    """More than rows: what may have been lost went again, as history."""
    connections: int
    rules_broken: list[str]


@dataclass(frozen=True, slots=True)
class Away:
    queued: int
    delivered_s: float
    lacking: int
    quiet_ms: list[float]
    busy_ms: list[float]


def kills(folder: Path, *, seconds: float, every_s: float, period_ms: int) -> Kills:
    count = 0
    with Mosquitto(folder) as broker, Proxy(broker.port) as proxy:
        broker.verbose = False
        broker.start()
        settings = write_station(
            folder,
            make_bundle(folder / "bundles"),
            station="station",
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": period_ms},
            mqtt={"port": broker.port, "backoff_min_s": 0.1, "backoff_max_s": 0.5},
            sparkplug=_section(proxy.port, overlap_s=3.0),
        )
        with _host(broker.port) as host:
            station = start_station(settings)
            try:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    time.sleep(every_s)
                    broker.crash()
                    broker.start()
                    count += 1
                births = len(host.of("DBIRTH"))
                host.do("rebirth")
                assert until(lambda: len(host.of("DBIRTH")) > births)
                time.sleep(1.0)
                station.terminate()
                assert station.wait(30.0) == 0
            finally:
                station.kill()
                station.wait()
            rows = _journal(folder)
            until(lambda: len(host.parts()) >= len(rows))
            seen = host.parts()
    wrong = sum(
        any(
            (got["Part/Verdict"]["value"], got["Part/Result ID"]["value"])
            != (rows[seq]["evaluation"], rows[seq]["result_id"])
            for got in receipts
        )
        for seq, receipts in seen.items()
    )
    return Kills(
        kills=count,
        rows=len(rows),
        lacking=len(rows.keys() - seen.keys()),
        wrong=wrong,
        receipts=sum(map(len, seen.values())),
        connections=len(proxy.recordings),
        rules_broken=broken(proxy.recordings, NAMES),
    )


def away(folder: Path, *, rows: int, period_ms: int, quiet_s: float) -> Away:
    write_pictures(folder / "pictures", [128, 90, 160, 128])
    _queue(folder / "journal.db", rows)
    with Mosquitto(folder) as broker:
        broker.verbose = False
        broker.start()
        settings = write_station(
            folder,
            read_bundle(DEMO.resolve()),
            station="station",
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": period_ms},
            mqtt={"port": broker.port},
            sparkplug=_section(broker.port, overlap_s=1.0),
        )
        station = start_station(settings)
        try:
            with JournalReader(folder / "journal.db") as journal:
                # the courier's own backlog first
                assert until(lambda: journal.acknowledged() >= rows, 120.0)
                calm = journal.last_seq()
                time.sleep(quiet_s)
                queued, start = journal.last_seq(), time.monotonic()
                with _host(broker.port) as host:
                    assert until(lambda: journal.acknowledged(SPARKPLUG) >= queued, 600.0)
                    delivered_s = time.monotonic() - start
                    busy_to = journal.last_seq()
                    until(lambda: len(host.parts()) >= queued)
                    lacking = queued - len([seq for seq in host.parts() if seq <= queued])
            station.terminate()
            assert station.wait(30.0) == 0
        finally:
            station.kill()
            station.wait()
    total = {seq: row["times_ms"]["total"] for seq, row in _journal(folder).items()}
    return Away(
        queued=queued,
        delivered_s=delivered_s,
        lacking=lacking,
        quiet_ms=[total[seq] for seq in range(calm + 1, queued + 1)],
        busy_ms=[total[seq] for seq in range(queued + 1, busy_to + 1)],
    )


def _section(port: int, *, overlap_s: float) -> dict[str, Any]:
    broker = {"host": "127.0.0.1", "port": port, "backoff_min_s": 0.1, "backoff_max_s": 0.5}
    section = {"group": NAMES.group, "primary_host": NAMES.host, "overlap_s": overlap_s}
    return {**section, "broker": broker}


def _host(port: int) -> Host:
    return Host(port, group=NAMES.group, node=NAMES.node, device=NAMES.device, host="scada")


def _queue(path: Path, rows: int) -> None:
    journal = Journal(JournalSettings(path=path, disk_free_min_mb=0))
    journal._db.execute("PRAGMA synchronous = OFF")  # so many fsyncs are not what is measured
    journal.register([ConsumerSettings(name=SPARKPLUG)])
    for seq in range(1, rows + 1):
        journal.put(result(seq))
        journal.release(seq)
    journal.close()


def _spread(times_ms: list[float]) -> str:
    p50, p99 = np.percentile(times_ms, [50, 99])
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, n = {len(times_ms)}"


def _journal(folder: Path) -> dict[int, dict[str, Any]]:
    with JournalReader(folder / "journal.db") as journal:
        return {seq: json.loads(row) for seq, row in journal.after(0, journal.last_seq())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["kills", "away"])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every-s", type=float, default=4.0)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--quiet-s", type=float, default=30.0)
    parser.add_argument("--period-ms", type=int, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.what == "kills":
            period_ms = args.period_ms or 20
            seconds = 60.0 * args.minutes
            print(kills(folder, seconds=seconds, every_s=args.every_s, period_ms=period_ms))  # noqa: T201
            return
        period_ms = args.period_ms or 50
        found = away(folder, rows=args.rows, period_ms=period_ms, quiet_s=args.quiet_s)
    print(  # noqa: T201
        f"{found.queued} results queued; with the broker {found.delivered_s:.1f} s after the host "
        f"came, {found.lacking} lacking at the host\n"
        f"trigger to result, nothing to send: {_spread(found.quiet_ms)}\n"
        f"trigger to result, meanwhile:       {_spread(found.busy_ms)}"
    )


if __name__ == "__main__":
    main()
