"""`inspector demo`: real pictures in, verdicts out over MQTT, in one command.

A station as in a plant (its own process), a broker (inside, or a real one), and a subscriber that
shows what arrives. What it counts at the end is compared: sent, received, journalled.
"""

import argparse
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from inspector.contract import topics
from inspector.contract.bundle import Bundle
from inspector.contract.errors import ConfigError, RecordError
from inspector.delivery.journal import JournalReader
from inspector.demo.broker import EmbeddedBroker
from inspector.demo.parts import (
    SHIPPED,
    STATION,
    Broker,
    Parts,
    read_parts,
    verified_bundle,
    write_pages,
    write_station,
)
from inspector.demo.score import Score
from inspector.demo.screen import Counts, Screen
from inspector.demo.station import PagesProcess, StationProcess
from inspector.demo.watch import Watcher

PARTS = 200
RATE = 8.0
LOOK_S = 0.2
LAST_RESULTS_S = 5.0  # after the station has ended
RATE_MAX = 1_000.0
PARTS_MAX = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    how_many = parser.add_mutually_exclusive_group()
    how_many.add_argument("--parts", type=_parts, default=PARTS, metavar="N", help="default 200")
    how_many.add_argument("--forever", action="store_true", help="until Ctrl-C")
    parser.add_argument(
        "--rate", type=_rate, default=RATE, metavar="R", help=f"parts a second, default {RATE:g}"
    )
    parser.add_argument(
        "--broker", type=_broker, metavar="HOST:PORT", help="a real broker, not the one inside"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="leave station, journal and images there"
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="another bundle than the demo's")
    parser.add_argument(
        "--list", type=Path, metavar="CSV", help="other pictures: columns image and label"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the list's names start")


def main(args: argparse.Namespace) -> int:
    """Run the demo; 0 where sent, received and journalled agree and the station ended well.

    Raises ConfigError, BundleError and DeviceError in words.
    """
    screen = Screen()
    screen.say("inspector demo: Ctrl-C ends it with a summary", "bold")
    with ExitStack() as open_until_end, _interrupt_on_signals():
        bundle = verified_bundle(args.bundle or SHIPPED)
        parts = read_parts(args.list, args.images, bundle)
        folder = open_until_end.enter_context(_working_folder(args.keep))
        broker = args.broker or _embedded(open_until_end)
        count = None if args.forever else args.parts
        demo = _Demo(screen, bundle, parts, folder, broker)
        return demo.run(count, args.rate)


class _Demo:
    def __init__(
        self, screen: Screen, bundle: Bundle, parts: Parts, folder: Path, broker: Broker
    ) -> None:
        self._screen = screen
        self._bundle = bundle
        self._parts = parts
        self._folder = folder
        self._broker = broker
        self._root = f"inspector-demo/{secrets.token_hex(3)}"
        self._score = Score(frozenset(bundle.manifest.good), parts.label_of())
        self._first_at = 0.0
        self._took_s = 0.0  # from the first result to the last

    def run(self, count: int | None, rate: float) -> int:
        settings = write_station(
            self._folder, self._parts, self._bundle, self._broker, self._root,
            count=count, rate=rate,
        )  # fmt: skip
        pages = write_pages(self._folder)
        if pages is None:
            return self._show(settings, count)
        with PagesProcess(pages) as process:
            self._screen.say(process.introduction() or f"pages    none: see {process.log}")
            return self._show(settings, count)

    def _show(self, settings: Path, count: int | None) -> int:
        self._introduce(count)
        host, port = self._broker.host, self._broker.port
        place = topics.Place.of(self._root, STATION)
        with (
            Watcher(host, port, place) as watcher,
            StationProcess(settings) as station,
        ):
            try:
                self._watch(watcher, station)
                code = station.exit_code()
            except KeyboardInterrupt:
                self._screen.say("stopping")
                code = station.stop()
            self._take_last(watcher, self._journalled())
            watcher.clear()
        if code != 0:
            self._screen.log_tail(station.log, station.last_words())
        counts = self._count()
        self._screen.summary(self._score, counts, watcher.state, self._took_s)
        self._say_licence()
        return 0 if counts.agree and code == 0 else 1

    def _introduce(self, count: int | None) -> None:
        defective = sum(p.label not in self._score.good for p in self._parts.pictures)
        total = len(self._parts.pictures)
        kind = "embedded, MQTT 3.1.1" if self._broker.protocol == "3.1.1" else "yours"
        self._screen.say(
            f"broker   {self._broker.host}:{self._broker.port} ({kind}), topic {self._root}/#\n"
            f"bundle   {self._bundle.id}\n"
            f"pictures {total} of {self._parts.source}, {defective} of them defective; "
            f"{'without end' if count is None else f'{count} parts'}"
        )
        self._say_licence()
        self._screen.say("")
        self._screen.head()

    def _say_licence(self) -> None:
        data = self._bundle.manifest.data
        if data.notice:
            self._screen.say(f"licence  {data.licence}: {data.notice}", "italic")

    def _watch(self, watcher: Watcher, station: StationProcess) -> None:
        """Show what arrives until the station ends."""
        while station.exit_code() is None:
            self._take(watcher, LOOK_S)

    def _take_last(self, watcher: Watcher, journalled: int) -> None:
        """The station has ended: what it sent may still be on its way through the broker."""
        end = time.monotonic() + LAST_RESULTS_S
        while time.monotonic() < end:
            complete = self._score.results >= journalled
            ended = watcher.state is not None and watcher.state.state == "OFFLINE"
            if complete and ended:
                return
            self._take(watcher, 0.05)

    def _take(self, watcher: Watcher, timeout_s: float) -> None:
        result = watcher.next(timeout_s)
        if result is not None:
            now = time.monotonic()
            self._first_at = self._first_at or now
            self._took_s = now - self._first_at
            opinion = self._score.add(result)
            if opinion is not None:
                self._screen.result(result, opinion)

    def _journalled(self) -> int:
        try:
            with JournalReader(self._folder / "journal.db") as journal:
                return journal.count()
        except RecordError:
            return 0  # it ended before it had one

    def _count(self) -> Counts:
        journalled = self._journalled()
        sent = 0
        if journalled:
            with JournalReader(self._folder / "journal.db") as journal:
                sent = journal.acknowledged()
        return Counts(journalled=journalled, sent=sent, received=self._score.results)


def _embedded(open_until_end: ExitStack) -> Broker:
    embedded = open_until_end.enter_context(EmbeddedBroker())
    return Broker(embedded.host, embedded.port, "3.1.1")


@contextmanager
def _working_folder(keep: Path | None) -> Iterator[Path]:
    """A temporary folder that goes with the demo, or one that stays."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="inspector-demo-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConfigError(f"--keep {keep}: is not an empty folder")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep


@contextmanager
def _interrupt_on_signals() -> Iterator[None]:
    """A closed terminal or a polite kill ends the demo as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parts(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= PARTS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: must be 1 to {PARTS_MAX}")
    return int(text)


def _rate(text: str) -> float:
    with suppress(ValueError):
        rate = float(text)
        if 0.01 <= rate <= RATE_MAX:
            return rate
    raise argparse.ArgumentTypeError(f"{text!r}: must be 0.01 to {RATE_MAX:g} parts a second")


def _broker(text: str) -> Broker:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r}: must be HOST:PORT, as 127.0.0.1:1883")
    return Broker(host.strip("[]"), int(port), "auto")
