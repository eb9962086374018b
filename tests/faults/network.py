"""A broker behind a network that resets, blackholes, drips, delays and cuts packets in two.

The real daemon and a real mosquitto with our proxy between them; the consumer is at the broker
itself. Bad and good seconds take turns. When all has healed, every row has come, in order, once per
result_id, and verdicts were as quick in the bad seconds as in the good ones.
"""

import json
import random
import statistics
import tempfile
import time
from argparse import Namespace
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

from tests.brokers import Mosquitto
from tests.faults.bench import (
    Consumer,
    Report,
    account,
    arguments,
    command,
    order,
    rows_of,
    spread_of,
    steps,
)
from tests.faults.proxy import MODES, Proxy
from tests.support import make_bundle, start_station, until, write_station

HEAL_S = 30.0


def network(report: Report, modes: list[str], bad_s: float, good_s: float, seed: int) -> None:
    """Each mode for `bad_s`, with `good_s` before and after it."""
    with tempfile.TemporaryDirectory(prefix="network-") as name, ExitStack() as started:
        folder = Path(name)
        broker = started.enter_context(Mosquitto(folder, quiet=True).start())
        proxy = started.enter_context(Proxy(broker.port, seed))
        consumer = started.enter_context(Consumer(broker.port))
        settings = write_station(
            folder,
            make_bundle(folder / "bundles"),
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": 20},
            drain_s=20.0,
            mqtt={
                "port": proxy.port, "backoff_min_s": 0.1, "backoff_max_s": 0.5, "keepalive_s": 2,
                "acknowledge_timeout_s": 1.5, "connect_timeout_s": 1.0,
            },
        )  # fmt: skip
        station = start_station(settings)
        started.callback(station.wait)
        started.callback(station.kill)
        assert until(lambda: len(consumer.told) > 20, 60.0), (folder / "station.log").read_text()
        turns: list[tuple[str, datetime, datetime]] = []
        with suppress(KeyboardInterrupt):
            report.interrupted = True
            for i in steps(len(modes), "turns"):
                for mode, seconds in (("passes", good_s), (modes[i], bad_s)):
                    began = datetime.now(UTC)
                    proxy.mode = mode
                    time.sleep(seconds)
                    turns.append((mode, began, datetime.now(UTC)))
                proxy.mode = "passes"
                healed, behind = time.monotonic(), _last_seq(folder)
                came = until(lambda behind=behind: consumer.highest >= behind, HEAL_S)  # type: ignore[misc]
                report.require(came, f"{i}: {modes[i]}: not delivered {HEAL_S:g} s after it healed")
                report.trials.append(
                    {"turn": i, "mode": modes[i], "caught_up_s": time.monotonic() - healed}
                )
            report.interrupted = False
        proxy.mode = "passes"
        refused = order(folder, "stop")
        report.require(refused is None, f"{refused}")
        station.terminate()
        report.require(station.wait(60.0) == 0, "the station did not end in order")
        last = _last_seq(folder)
        until(lambda: consumer.highest >= last)
        found = account(folder / "journal.db", consumer)
        report.faults += found.faults
        report.figures |= {
            "rows": found.rows,
            "lost at the consumer": found.lost,
            "told again, the same": consumer.repeats,
            "connections": proxy.connections,
        }
        for mode in dict.fromkeys(modes):
            report.figures[f"{mode}, caught up after s"] = spread_of(
                [each["caught_up_s"] for each in report.trials if each["mode"] == mode]
            )
        _compare_latencies(report, folder, turns)


def _compare_latencies(
    report: Report, folder: Path, turns: list[tuple[str, datetime, datetime]]
) -> None:
    """Part by part: in bad seconds against good ones of the same run."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for _, payload in rows_of(folder / "journal.db"):
        result = json.loads(payload)
        at = datetime.fromisoformat(result["captured_at"])
        for mode, began, ended in turns:
            if began <= at < ended:
                times[mode == "passes"].append(result["times_ms"]["total"])
    if not all(times.values()):
        report.require(report.interrupted, "no parts to compare")
        return
    good, bad = (statistics.median(times[each]) for each in (True, False))
    report.figures |= {
        "verdict ms, good seconds": spread_of(times[True]),
        "verdict ms, bad seconds": spread_of(times[False]),
        "ratio of the medians": round(bad / good, 3),
    }


def _last_seq(folder: Path) -> int:
    *_, (seq, _) = rows_of(folder / "journal.db")
    return seq


def main() -> int:
    parser = arguments(__doc__, "network")
    parser.add_argument("--turns", type=int, default=120, help="of each mode: 20 (default 120)")
    options: Namespace = parser.parse_args()
    modes = [MODES[i % len(MODES)] for i in range(options.turns)]
    random.Random(options.seed).shuffle(modes)  # noqa: S311
    report = Report("network", options)
    return command(report, lambda found: network(found, modes, 3.0, 1.0, options.seed))


if __name__ == "__main__":
    raise SystemExit(main())
