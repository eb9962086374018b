"""Messages nobody would send, through every parser that reads what others sent.

    python -m tests.fuzz --messages 1000000     with atheris: mutations guided by coverage
    python -m tests.fuzz --messages 20000 --plain   as in CI: mutations of good messages, at random

Prints how many were read, refused and crashed, and by how much memory grew; exit code 1 on a crash
or where that was more than `--memory-mb`. Parser level, in this process: what a broker can deliver
to a station, to a consumer and to a commander.
"""

import argparse
import inspect
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from inspector.consumer import heard
from inspector.contract import command, examples, foreign, signed, strict
from inspector.contract.command import Command, Reply, parse_command
from inspector.contract.consumer import (
    Acknowledgement,
    ReplayRequest,
    read_acknowledgement,
    read_request,
)
from inspector.contract.errors import CommandError
from inspector.contract.signed import read_signed
from inspector.contract.topics import Place
from inspector.delivery import gate
from inspector.delivery.commander import read_reply
from inspector.delivery.gate import CommandDoorSettings, Dropped, Gate, Refused
from inspector.delivery.inbound import Message
from inspector.delivery.keys import KeySettings, Signer, read_key
from inspector.delivery.ledger import Ledger

WARM_UP = 5_000  # caches fill first: what grows after that grows for good
PIECES = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"null", b"true", b"NaN", b"-Infinity",
    b"1e999", b"-0", b"\\ud800", b"\\u0000", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\n",
    b"\0", b"99999999999999999999999", b'"schema":1', b'"station":"s"', b'"signature":""', b"../",
)  # fmt: skip

Parser = Callable[[bytes], str]


def targets(folder: Path) -> tuple[list[Parser], list[bytes]]:
    """Every parser, and a good message of each kind to begin with."""
    secret = folder / "key"
    secret.write_text("ab" * 32, encoding="ascii")
    secret.chmod(0o600)
    asked = Command(schema=1, id="c-1", action="reload", bundle="b-1")
    sealed = Signer("foreman", secret, "plant/line").seal(asked, "cell", 30.0)
    key = KeySettings(name="foreman", file=secret, actions=frozenset({"status", "reload"}))
    settings = CommandDoorSettings(keys=(key,))
    ledger = Ledger(folder / "journal.db", "boot")
    place = Place.of("plant/line", "cell")
    decider = Gate(settings, [read_key(key)], "cell", place, ledger)
    topic = place.command("foreman")

    def door(data: bytes) -> str:
        decision = decider.decide(Message(topic, data, retain=False, received_at=0.0))
        return "refused" if isinstance(decision, Dropped | Refused) else "read"

    def strictly(
        read: Callable[[bytes], object], refusal: type[Exception] = CommandError
    ) -> Parser:
        def parse(data: bytes) -> str:
            try:
                read(data)
            except refusal:
                return "refused"
            return "read"

        return parse

    def reply(data: bytes) -> str:
        return "refused" if read_reply(data, asked) is None else "read"

    readers = (parse_command, read_signed, read_acknowledgement, read_request)
    answer = Reply(
        id="c-1", station="cell", boot="b", outcome="done", reason="", state="READY", cause="",
        withheld=None,
    )  # fmt: skip
    ack = Acknowledgement(schema=1, station="cell", seq=7, result_id="r-7")
    replay = ReplayRequest.model_validate(
        {"schema": 1, "station": "cell", "id": "r", "from": 1, "to": 9}
    )
    hears = (
        heard.read_state,
        heard.read_reply,
        lambda data: heard.read_row(data, examples.STATION),
    )
    consumer = [strictly(read, ValueError) for read in hears]
    sent = (asked, sealed, answer, ack, replay)
    told = (examples.STATE, examples.CONSUMER_REPLY, examples.RESULT)
    seeds = [each.to_json() for each in (*sent, *told)]
    return [door, reply, *map(strictly, readers), *consumer], seeds


class Tally:
    """Hands one message to every parser."""

    def __init__(self, parsers: Sequence[Parser]) -> None:
        self.messages = 0
        self.outcomes: Counter[str] = Counter()
        self.crashed: list[tuple[bytes, BaseException]] = []
        self.memory_then = 0
        self._parsers = parsers

    def feed(self, data: bytes) -> None:
        self.messages += 1
        for parser in self._parsers:
            try:
                self.outcomes[parser(data)] += 1
            except Exception as error:  # noqa: BLE001 - that none comes is what is tried
                self.crashed.append((data, error))
        if self.messages == WARM_UP:
            self.memory_then = memory_bytes()


def memory_bytes() -> int:
    """Resident, of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def mutate(random_: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A good message with a few things done to it, or none at all."""
    data = bytearray(random_.choice(seeds))
    for _ in range(random_.randint(0, 6)):
        at, end = sorted(random_.randint(0, len(data)) for _ in range(2))
        match random_.randrange(6):
            case 0:
                data[at:at] = random_.choice(PIECES)
            case 1:
                data[at:end] = random_.choice(PIECES)
            case 2:
                del data[at : min(end, at + 20)]
            case 3:
                data[at:at] = data[at:end] * random_.choice((1, 2, 50))
            case 4 if data:
                data[random_.randrange(len(data))] = random_.randrange(256)
            case _:
                other = random_.choice(seeds)
                data[at:] = other[random_.randint(0, len(other)) :]
        del data[70_000:]
    return bytes(data)


def run_plain(tally: Tally, seeds: Sequence[bytes], messages: int, seed: int) -> None:
    random_ = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    for _ in range(messages):
        tally.feed(mutate(random_, seeds))


def run_guided(
    tally: Tally, seeds: Sequence[bytes], messages: int, seed: int, done: Parser
) -> None:
    """Does not come back: libFuzzer ends the process, after `done` was called."""
    import atheris

    for module in (foreign, strict, gate, signed, command, heard):
        for each in list(vars(module).values()):
            if inspect.isfunction(each) and each.__module__ == module.__name__:
                atheris.instrument_func(each)
    with TemporaryDirectory() as corpus:
        for number, each in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(each)

        def one(data: bytes) -> None:
            tally.feed(data)
            if tally.messages >= messages:
                done(b"")

        words = [sys.argv[0], f"-seed={seed}", "-max_len=4096", "-len_control=0", corpus]
        atheris.Setup(words, one)
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory-mb", type=float, default=32.0)
    parser.add_argument("--plain", action="store_true", help="without atheris")
    args = parser.parse_args()
    start = time.monotonic()
    with TemporaryDirectory() as folder:
        parsers, seeds = targets(Path(folder))
        tally = Tally(parsers)

        def report() -> int:
            grown_mb = (memory_bytes() - tally.memory_then) / 1e6 if tally.memory_then else 0.0
            print(  # noqa: T201
                f"{tally.messages} messages through {len(parsers)} parsers in "
                f"{time.monotonic() - start:.0f} s: {tally.outcomes['read']} read, "
                f"{tally.outcomes['refused']} refused, {len(tally.crashed)} crashed; "
                f"memory {grown_mb:+.1f} MB after the first {WARM_UP}",
                flush=True,
            )
            for data, error in tally.crashed[:5]:
                print(f"  {error!r} of {data[:200]!r}")  # noqa: T201
            return 1 if tally.crashed or grown_mb > args.memory_mb else 0

        if args.plain:
            run_plain(tally, seeds, args.messages, args.seed)
            return report()

        def done(_: bytes) -> str:
            os._exit(report())  # libFuzzer has no end of its own for us

        run_guided(tally, seeds, args.messages, args.seed, done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
