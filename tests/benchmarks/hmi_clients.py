"""What open pages cost the station beside them: its parts' times with browsers and without

    python -m tests.benchmarks.hmi_clients [--clients 8] [--turns 20] [--turn-s 6]
        [--period-ms 50] [--nice 10]

A real station (the demo's bundle) inspects and keeps every picture; the pages run on the same
machine. In every other turn clients look at them as a page does: each holds a stream of events and
fetches the picture of every new last part. In the turns between, nobody looks and the pages stand
still (SIGSTOP), as if they were not open. The clients are another machine's, so they are of the
lowest priority here; how much they saw is printed, since who does not look costs nothing. The pages
have the priority of deploy/inspector-hmi.service; --nice 0: that of who starts them by hand.
"""

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import cv2

from inspector.contract.bundle import read_bundle
from inspector.delivery.reader import JournalReader
from tests.benchmarks.turns import Turn, joined, ratio, spread, times_ms
from tests.brokers import Mosquitto
from tests.hmi.plant import Client, Pages
from tests.support import picture, start_station, until, write_station

DEMO = Path("inspector/demo/bundle/elpv-9b49b7960e37")
SETTLE_S = 1.5
LEAVE_S = 0.7
LOWEST = 19
AGAIN_S = 0.4
TRIES = 6
WIDTH, HEIGHT = 640, 480


def measure(
    folder: Path, *, clients: int, turns: int, turn_s: float, period_ms: int, nice: int
) -> Iterator[str]:
    write_pictures(folder / "pictures")
    with Mosquitto(folder, quiet=True) as broker:
        settings = write_station(
            folder,
            read_bundle(DEMO.resolve()),
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": period_ms},
            mqtt={"port": broker.start().port},
            archive={"keep": "all"},
        )
        station = start_station(settings)
        pages = Pages(folder, {"settings": "station.toml"})
        lookers: Lookers | None = None
        try:
            cookies = come_in(pages.start(preexec_fn=lambda: os.nice(nice)), clients)
            assert pages.process is not None
            lookers = Lookers(pages.port, cookies)
            with JournalReader(folder / "journal.db") as journal:
                assert until(lambda: journal.last_seq() > 40, 60.0)
                first, cpu_s, made = journal.last_seq(), 0.0, []
                for number in range(2 * turns):
                    busy = number % 2 == 0
                    lookers.tell("look" if busy else "rest")
                    time.sleep(0.0 if busy else LEAVE_S)
                    os.kill(pages.process.pid, signal.SIGCONT if busy else signal.SIGSTOP)
                    time.sleep(SETTLE_S)
                    begin, cpu = datetime.now(UTC), processor_s(pages.process.pid)
                    time.sleep(turn_s)
                    made.append(Turn(begin, datetime.now(UTC), busy))
                    cpu_s += processor_s(pages.process.pid) - cpu if busy else 0.0
                time.sleep(1.0)
                times = times_ms(made, [row for _, row in journal.after(first, 10_000_000)])
            memory = resident_mb(pages.process.pid)
            seen = lookers.end()
        finally:
            pages.kill()
            station.kill()
            station.wait()
            if lookers is not None:
                lookers.kill()
    yield (
        f"{turns} turns of {turn_s:g} s each, {clients} clients, a part every {period_ms} ms, "
        f"pages at nice {nice}"
    )
    yield f"trigger to result, pages not open:   {spread(joined(made, times, busy=False))}"
    yield f"trigger to result, {clients} clients look: {spread(joined(made, times, busy=True))}"
    yield f"ratio of p50 {ratio(made, times, 50)}, of p99 {ratio(made, times, 99)}"
    yield f"the clients saw {seen}"
    yield f"the pages took {100 * cpu_s / (turns * turn_s):.0f} % of a core and {memory} MB"


def write_pictures(folder: Path) -> None:
    """Of a camera's size: browsers fetch some 70 kB of each."""
    folder.mkdir()
    for number, brightness in enumerate((128, 90, 160, 128)):
        image = picture(brightness, WIDTH, HEIGHT, seed=number)
        assert cv2.imwrite(str(folder / f"part{number}.png"), image)


def come_in(pages: Pages, count: int) -> list[str]:
    """A session for each; their cookies."""
    first = Client(pages.port)
    assert first.accept(pages.first_token(), "admin").status == 200
    cookies = [first.cookie]
    while len(cookies) < count:
        client = Client(pages.port)
        assert client.log_in("admin").status == 200
        cookies.append(client.cookie)
    return cookies


class Lookers:
    """The process of all clients."""

    def __init__(self, port: int, cookies: list[str]) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.hmi_clients", "--look", str(port)]
        self._process = subprocess.Popen(
            [*command, *cookies], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def end(self) -> str:
        """What they saw."""
        said, _ = self._process.communicate("end\n", timeout=30.0)
        return said.strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Looker:
    """One open page: its stream, and the picture of each new part."""

    def __init__(self, port: int, cookie: str) -> None:
        self._port, self._headers = port, {"Cookie": cookie}
        self.looks = threading.Event()
        self.events = self.pictures = self.missed = self.bytes = 0
        self._shown = ""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.looks.wait()
            try:
                with closing(self._connection()) as stream, closing(self._connection()) as other:
                    stream.request("GET", "/api/stream", headers=self._headers)
                    answer = stream.getresponse()
                    while self.looks.is_set() and (line := answer.readline()):
                        if line.startswith(b"data:"):
                            self._take(json.loads(line[5:]), other)
            except (OSError, http.client.HTTPException):
                time.sleep(0.5)

    def _take(self, event: dict[str, object], other: http.client.HTTPConnection) -> None:
        self.events += 1
        stations = event["stations"]
        assert isinstance(stations, dict)
        for name, news in stations.items():
            image = (news["known"]["last"] or {}).get("image")
            if image and image != self._shown:
                self._shown = image
                self._picture(f"/api/stations/{name}/pictures/{image}", other)

    def _picture(self, path: str, other: http.client.HTTPConnection) -> None:
        for _ in range(TRIES):  # as picture.js: the archive writes a moment later
            other.request("GET", path, headers=self._headers)
            answer = other.getresponse()
            data = answer.read()
            if answer.status == 200:
                self.pictures += 1
                self.bytes += len(data)
                return
            time.sleep(AGAIN_S)
        self.missed += 1

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=60.0)


def look(port: int, cookies: list[str]) -> None:
    os.nice(LOWEST)
    lookers = [Looker(port, cookie) for cookie in cookies]
    for line in sys.stdin:
        for each in lookers:
            each.looks.set() if line.strip() == "look" else each.looks.clear()
        if line.strip() == "end":
            break
    words = (
        f"{sum(each.events for each in lookers)} events, "
        f"{sum(each.pictures for each in lookers)} pictures "
        f"({sum(each.bytes for each in lookers) / 1e6:.1f} MB), "
        f"{sum(each.missed for each in lookers)} pictures not"
    )
    print(words)  # noqa: T201 - a command prints


def processor_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(process: int) -> int:
    text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--turn-s", type=float, default=6.0)
    parser.add_argument("--period-ms", type=int, default=50)
    parser.add_argument("--nice", type=int, default=10)
    parser.add_argument("--look", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.look:
        look(int(args.look[0]), args.look[1:])
        return
    words = {"clients": args.clients, "turns": args.turns, "nice": args.nice}
    with tempfile.TemporaryDirectory() as name:
        for line in measure(Path(name), turn_s=args.turn_s, period_ms=args.period_ms, **words):
            print(line, flush=True)  # noqa: T201 - a command prints


if __name__ == "__main__":
    main()
