"""`inspector command` and `inspector audit`: what is asked of a station, and who asked."""

import argparse
from pathlib import Path
from uuid import uuid4

from inspector.contract.command import Command, Reply
from inspector.contract.errors import ConfigError
from inspector.contract.strict import parse, read_toml, resolved
from inspector.delivery.commander import CommanderSettings, send
from inspector.delivery.ledger import read_audit
from inspector.settings import read_settings, state_folder
from inspector.supervise.door import ask

FAILED = 1


def run(args: argparse.Namespace) -> int:
    """Whichever of the two was asked for."""
    return run_audit(args) if "head" in args else run_command(args)


def run_command(args: argparse.Namespace) -> int:
    """Ask over this machine's socket, or over the broker with `--mqtt`; print the reply."""
    words = {"schema": 1, "id": f"cli-{uuid4()}", "action": args.action, "bundle": args.bundle}
    command = parse(Command, words, "command")
    if args.mqtt:
        reply = _send(args.settings, args.station, command)
    elif args.station is not None:
        raise ConfigError("--station: only with --mqtt, a settings file names its own station")
    else:
        reply = ask(state_folder(read_settings(args.settings)), command)
    print(f"{reply.outcome}: {reply.reason}\n{reply.state}: {reply.cause}")
    print(f"no part would pass: {reply.withheld}" if reply.withheld else "good parts pass")
    return 0 if reply.outcome == "done" else FAILED


def _send(path: Path, station: str | None, command: Command) -> Reply:
    settings = resolved(read_toml(path, CommanderSettings), path.resolve().parent)
    name = station or settings.station
    if name is None:
        raise ConfigError(f"{path}: station is missing, and --station is not given")
    return send(settings, name, command)


def run_audit(args: argparse.Namespace) -> int:
    """Check the chain from its first row, print the rows, or only how far it reaches."""
    settings = read_settings(args.settings)
    at = "0:"
    for seq, entry, found in read_audit(settings.journal.path, args.head):
        at = f"{seq}:{found}"
        if args.what == "show":
            outcome = f"{entry.outcome}: " if entry.outcome else ""
            who, what = entry.sender or "-", entry.action or "-"
            print(f"{seq} {entry.at} {entry.event} {who} {what} {outcome}{entry.reason}")
    print(f"no row was changed or taken out up to {at}" if at != "0:" else "there are no rows yet")
    return 0
