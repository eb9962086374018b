"""The commands about results that have left, or wait to: subscribe, journal, schema."""

import argparse
import json
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from inspector.arguments import instant, part_count, require_meant, seconds

Add = Callable[[str, Callable[[argparse.Namespace], int], str], Any]

SENT = (
    *("result", "state", "alarm", "heartbeat", "command", "reply", "shadow"),
    *("trigger", "line", "echo", "ack", "replay", "replayed", "consumer-reply", "envelope"),
)
WRITTEN = ("settings", "recipe", "subscribe")
FORMATS = ("csv", "jsonl", "parquet")
MEANT = {
    "show": ("named", "part"),
    "export": ("part", "format", "out", "since", "until", "evaluation"),
}
"""What has an effect with which action of `journal`."""


def add_commands(add: Add) -> None:
    subscribe = add("subscribe", _subscribe, "store every result of some stations, prove it is all")
    subscribe.add_argument("settings", type=Path, metavar="CONSUMER.TOML")
    subscribe.epilog += """
exit codes: 0 every result there was is stored, 3 some are missing, 4 the same number twice with
other contents, or the station's journal is another one, 5 fewer than --expect, or a station was not
heard of, 1 the store failed, 78 settings
"""
    subscribe.add_argument(
        "--expect", type=part_count, metavar="N", help="end once N results were stored"
    )
    subscribe.add_argument(
        "--for", type=seconds, dest="seconds", metavar="SECONDS", help="end after this time"
    )

    journal = add("journal", _journal, "what a journal holds: counts, a part, an export, a check")
    journal.add_argument("action", choices=("info", "show", "export", "verify"))
    journal.add_argument(
        "path", type=Path, metavar="JOURNAL", help="its file, or the station's settings"
    )
    journal.add_argument("named", nargs="?", metavar="SEQ|PART", help="show: which row or part")
    journal.add_argument("--part", metavar="ID", help="show, export: a part, be its id a number")
    journal.add_argument("--format", choices=FORMATS, help="export: left out, as FILE ends, or csv")
    journal.add_argument("--out", type=Path, metavar="FILE", help="export: not to the screen")
    journal.add_argument("--since", type=instant, metavar="TIME", help="export: ISO 8601, UTC")
    journal.add_argument("--until", type=instant, metavar="TIME", help="up to this, exclusive")
    journal.add_argument("--evaluation", choices=("OK", "NOT_OK", "NOT_DECIDABLE", "UNDEFINED"))

    schema = add("schema", _schema, "print a JSON schema, or all of it as AsyncAPI")
    schema.add_argument("what", choices=(*SENT, *WRITTEN, "asyncapi"))


def _subscribe(args: argparse.Namespace) -> int:
    import signal
    import threading
    import time

    from inspector.consumer.client import Subscriber
    from inspector.consumer.settings import read_subscribe_settings
    from inspector.logs import set_up_logs

    set_up_logs()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    end = float("inf") if args.seconds is None else time.monotonic() + args.seconds
    subscriber = Subscriber(
        read_subscribe_settings(args.settings),
        expect=args.expect,
        stop=lambda: stopped.is_set() or time.monotonic() >= end,
    )
    report = subscriber.run()
    for line in report.lines:
        print(line)
    return report.code


def _journal(args: argparse.Namespace) -> int:
    from inspector.contract.errors import ConfigError
    from inspector.examine import Filter, export, info, journal_path, show, show_part, verify

    require_meant(args, "journal", args.action, MEANT)
    path = journal_path(args.path)
    left_out: list[str] = []

    def spoilt(words: str) -> None:
        _note(f"{words}: left out")
        left_out.append(words)

    match args.action:
        case "info":
            lines = info(path, spoilt)
        case "show":
            if (args.named is None) is (args.part is None):
                raise ConfigError("journal show: say which row or part")
            by_part = args.named is None
            if by_part:
                lines = show_part(path, args.part, spoilt)
            else:
                lines = show(path, args.named, _note, spoilt)
        case "verify":
            return _say(verify(path))
        case _:
            wanted = Filter(args.since, args.until, args.part, args.evaluation)
            form = args.format or _form_of(args.out)
            with output(args.out, form, path, args.path) as out:
                count = export(path, form, out, wanted, spoilt)
            if args.out is not None:
                print(f"{args.out}: {count} results")
            return 1 if left_out else 0
    for line in lines:
        print(line)
    return 1 if left_out else 0


def _note(words: str) -> None:
    print(f"note: {words}", file=sys.stderr)


def _form_of(path: Path | None) -> str:
    ending = path.suffix.removeprefix(".").lower() if path else ""
    return ending if ending in FORMATS else "csv"


def _say(lines: Generator[str, None, int]) -> int:
    """Print them; 1 where there were faults."""
    while True:
        try:
            print(next(lines))
        except StopIteration as end:
            return 1 if end.value else 0


@contextmanager
def output(path: Path | None, form: str, *read: Path) -> Iterator[BinaryIO]:
    """A file appears whole or not at all, and never in place of one that is read; what a link or a
    device leads to is written as it comes."""
    from inspector.contract.errors import ConfigError
    from inspector.contract.whole import require_place

    if path is None:
        if form == "parquet":
            raise ConfigError("journal export: parquet needs --out FILE")
        yield sys.stdout.buffer
        return
    require_place("--out", path, *read)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        with path.open("wb") as file:
            yield file
        return
    draft = path.with_name(path.name + ".part")
    try:
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _schema(args: argparse.Namespace) -> int:
    from inspector.schemas import schema_of

    print(json.dumps(schema_of(args.what), indent=2, sort_keys=True))
    return 0
