"""The wall's clock set by a day and back, again and again, under a station at work.

A preloaded library moves CLOCK_REALTIME for the station and its capture process alone; the clock of
the machine is not touched. Jumps change no verdict, no order, no deadline and no heartbeat; each is
counted and said.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections import Counter
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.brokers import Mosquitto
from tests.faults.bench import Consumer, Report, account, arguments, command, order, rows_of, steps
from tests.streams import MjpegServer
from tests.support import make_bundle, start_station, until, write_station

DAY_S = 86_400
SILENCE_MAX_S = 0.5
_SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile const int64_t *offset_s;
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("WALL_OFFSET"), O_RDONLY | O_CLOEXEC);
    void *memory = mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) abort();
    offset_s = memory;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && offset_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *offset_s;
    return (int)failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    long failed = syscall(SYS_gettimeofday, now, zone);
    if (!failed && offset_s) now->tv_sec += *offset_s;
    return (int)failed;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


def require_compiler() -> str:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler: the Debian packages gcc and libc6-dev")
    return compiler


class WallClock:
    """What CLOCK_REALTIME says to who is started with its environment.

    libfaketime 0.9.10 makes a sleep until a monotonic time fail with EINVAL, and so Python's sleep.
    """

    def __init__(self, folder: Path) -> None:
        self._library = folder / "wall.so"
        self._file = folder / "wall.offset"
        source = folder / "wall.c"
        source.write_text(_SHIM, encoding="ascii")
        build = [require_compiler(), "-O2", "-shared", "-fPIC", "-o", str(self._library)]
        subprocess.run([*build, str(source)], check=True)
        self._file.write_bytes(bytes(8))

    def set(self, offset_s: int) -> None:
        """Seconds from the true time, from now on."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(offset_s.to_bytes(8, sys.byteorder, signed=True))

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "WALL_OFFSET": str(self._file),
        }


def clock(
    report: Report, jumps: list[int], every_s: float, silence_max_s: float = SILENCE_MAX_S
) -> None:
    """jumps: seconds from the true time, one after the other."""
    with tempfile.TemporaryDirectory(prefix="clock-") as name, ExitStack() as started:
        folder = Path(name)
        camera = MjpegServer().start()
        started.callback(camera.kill)
        broker = started.enter_context(Mosquitto(folder, quiet=True).start())
        consumer = started.enter_context(Consumer(broker.port))
        settings = write_station(
            folder,
            make_bundle(folder / "bundles"),
            camera={"kind": "opencv", "url": camera.url, "latency_ms": 0},
            trigger={"kind": "continuous"},  # no beat that a busy machine could be late for
            mqtt={"port": broker.port},
            recipe={"deadline_ms": 2_000, "frame_timeout_ms": 1_000},
        )
        wall = WallClock(folder)
        station = start_station(settings, env=wall.environment())
        started.callback(station.wait)
        started.callback(station.kill)
        log = folder / "station.log"
        assert until(lambda: len(consumer.judged) > 5, 60.0), log.read_text()
        began, from_seq = time.monotonic(), consumer.highest
        with suppress(KeyboardInterrupt):
            report.interrupted = True
            for i in steps(len(jumps), "jumps"):
                wall.set(jumps[i])
                time.sleep(every_s)
            report.interrupted = False
        silence_s = consumer.longest_silence_s(since=began)
        refused = order(folder, "stop")
        report.require(refused is None, f"{refused}")
        until(lambda: consumer.state["state"] == "READY")
        tally = consumer.state["tally"]
        station.terminate()
        report.require(station.wait(60.0) == 0, "the station did not end in order")
        until(lambda: consumer.highest >= consumer.state["seq"])
        found = account(folder / "journal.db", consumer)
        report.faults += found.faults
        days = _days(folder / "journal.db", from_seq)
        moved = sum(a != b for a, b in zip([0, *jumps], jumps, strict=False))
        said = log.read_text(encoding="utf-8").count("the wall clock was set by")
        report.trials += [{"offset_days": day, "parts": count} for day, count in days.items()]
        undefined = found.evaluations["UNDEFINED"]
        for holds, words in (
            (tally["clock_jumps"] == moved, f"{tally['clock_jumps']} of {moved} jumps counted"),
            (said == moved, f"{said} of {moved} jumps said"),
            (len(days) == len({0, *jumps}), f"the clock did not jump: {days}"),
            (undefined == 0, f"{undefined} parts could not be judged"),
            (found.late == 0, f"{found.late} parts were late"),
            (silence_s <= silence_max_s, f"{silence_s:.2f} s without a heartbeat"),
        ):
            report.require(holds, words)
        report.figures |= {
            "jumps, counted, said": f"{moved}, {tally['clock_jumps']}, {said}",
            "parts": found.rows,
            "evaluations": dict(found.evaluations),
            "late": found.late,
            "longest silence of the heart s": round(silence_s, 3),
            "lost at the consumer": found.lost,
        }


def _days(journal: Path, after: int) -> Counter[int]:
    """By how many days the parts' times are from the truth."""
    now = datetime.now(UTC).timestamp()
    found: Counter[int] = Counter()
    for _, payload in rows_of(journal, after):
        at = datetime.fromisoformat(json.loads(payload)["captured_at"]).timestamp()
        found[round((at - now) / DAY_S)] += 1
    return found


def main() -> int:
    parser = arguments(__doc__, "clock")
    parser.add_argument("--jumps", type=int, default=60, help="one every two seconds (default 60)")
    options: Namespace = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311
    jumps: list[int] = []
    for _ in range(options.jumps):
        others = [day for day in (-DAY_S, 0, DAY_S) if day != (jumps or [0])[-1]]
        jumps.append(chance.choice(others))
    require_compiler()
    report = Report("clock", options)
    return command(report, lambda found: clock(found, jumps, 2.0))


if __name__ == "__main__":
    raise SystemExit(main())
