"""`inspector command` and `inspector audit`: what is asked of a station, and who asked."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.arguments import require_meant
from inspector.cli_delivery import Add
from inspector.contract.errors import ConfigError

if TYPE_CHECKING:
    from inspector.contract.command import Command, Reply

FAILED = 1
JPEG = b"\xff\xd8"
NAMED = {
    "reload": "a bundle's folder below the station's bundles",
    "image": "the result_id of a part",
    "recipe": "a JSON file: based_on, bundle, regions, limits, why",
}
"""What an action that names something is told."""


def add_commands(add: Add) -> None:
    ask = add("command", _command, "ask a running station, print its one reply")
    ask.add_argument("settings", type=Path, metavar="STATION.TOML")
    actions = "status select start single stop reset halt reload rollback recipe trigger image"
    ask.add_argument("action", choices=actions.split())
    words = "reload: the bundle's; image: the result's result_id; recipe: a JSON file's"
    ask.add_argument("name", nargs="?", metavar="NAME", help=words)
    ask.add_argument("--part", metavar="ID", help="trigger: what the line calls the part")
    ask.add_argument("--out", type=Path, metavar="FILE", help="image: left out, NAME.jpg")
    ask.add_argument(
        "--mqtt", action="store_true", help="signed, by way of COMMANDER.TOML's broker"
    )
    ask.add_argument("--station", metavar="NAME", help="with --mqtt: which")

    audit = add("audit", _audit, "check that no row of the commands' audit was changed; show them")
    audit.add_argument("settings", type=Path, metavar="STATION.TOML")
    audit.add_argument("what", choices=("verify", "show"))
    audit.add_argument("--head", metavar="ROW:HASH", help="as the log told it once")


def _command(args: argparse.Namespace) -> int:
    """Ask over this machine's socket, or over the broker with `--mqtt`; print the reply."""
    from base64 import b64decode
    from uuid import uuid4

    from inspector.contract.command import Command
    from inspector.contract.strict import parse
    from inspector.contract.whole import require_replaceable
    from inspector.settings import read_settings, state_folder
    from inspector.supervise.door import ask

    require_meant(args, "command", args.action, {"image": ("out",), "trigger": ("part",)})
    _require_name(args.action, args.name)
    words = {"schema": 2, "id": f"cli-{uuid4()}", "action": args.action, "part": args.part}
    if args.action == "recipe":
        words |= {"schema": 3, "recipe": _change(args.name)}
    else:
        words["result" if args.action == "image" else "bundle"] = args.name
    command = parse(Command, words, "command")
    if args.action == "image":
        require_replaceable("--out", args.out or Path(f"{args.name}.jpg"), JPEG, "JPEG")
    if args.mqtt:
        reply = _send(args.settings, args.station, command)
    elif args.station is not None:
        raise ConfigError("--station: only with --mqtt, a settings file names its own station")
    else:
        reply = ask(state_folder(read_settings(args.settings)), command)
    print(f"{reply.outcome}: {reply.reason}\n{reply.state}: {reply.cause}")
    print(f"no part would pass: {reply.withheld}" if reply.withheld else "good parts pass")
    if reply.picture is not None:
        target = args.out or Path(f"{reply.picture.result_id}.jpg")
        target.write_bytes(b64decode(reply.picture.jpeg))
        print(f"written to {target}")
    return 0 if reply.outcome == "done" else FAILED


def _require_name(action: str, name: str | None) -> None:
    """A name where the action is about something, and nowhere else."""
    if name is None and action in NAMED:
        raise ConfigError(f"command {action}: needs NAME, {NAMED[action]}")
    if name is not None and action not in NAMED:
        advice = ": a part is named by --part" if action == "trigger" else ""
        raise ConfigError(f"command {action}: takes no NAME, {name!r} is one too many{advice}")


def _change(name: str) -> object:
    """What the recipe shall be: `inspector schema command` says how it is written."""
    import json

    try:
        return json.loads(Path(name).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name}: cannot be read: {error}") from None


def _send(path: Path, station: str | None, command: "Command") -> "Reply":
    from inspector.contract.strict import read_toml, resolved
    from inspector.delivery.commander import CommanderSettings, send

    settings = resolved(read_toml(path, CommanderSettings), path.resolve().parent)
    name = station or settings.station
    if name is None:
        raise ConfigError(f"{path}: station is missing, and --station is not given")
    return send(settings, name, command)


def _audit(args: argparse.Namespace) -> int:
    """Check the chain from its first row, print the rows, or only how far it reaches."""
    from inspector.delivery.ledger import read_audit
    from inspector.settings import read_settings

    settings = read_settings(args.settings)
    if args.head and not re.fullmatch(r"[1-9][0-9]{0,18}:[0-9a-f]{64}", args.head):
        raise ConfigError(f"--head {args.head}: must be ROW:HASH, as the log told it")
    at = "0:"
    for seq, entry, found in read_audit(settings.journal.path, args.head):
        at = f"{seq}:{found}"
        if args.what == "show":
            outcome = f"{entry.outcome}: " if entry.outcome else ""
            who, what = entry.sender or "-", entry.action or "-"
            print(f"{seq} {entry.at} {entry.event} {who} {what} {outcome}{entry.reason}")
    print(f"no row was changed or taken out up to {at}" if at != "0:" else "there are no rows yet")
    return 0
