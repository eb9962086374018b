"""The `inspector` command: reads arguments, calls, prints. What it calls is imported when called,
so that `inspector --help` needs no model runtime.
"""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Generator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from inspector import (
    __version__,
    cli_bench,
    cli_command,
    cli_hmi,
    cli_line,
    cli_review,
    cli_study,
)
from inspector.arguments import part_count, require_meant
from inspector.cli_delivery import add_commands
from inspector.contract.whole import NO_ROOM
from inspector.examples import examples

CONFIG_FAULT = 78  # EX_CONFIG of sysexits.h: systemd must not restart what cannot start
FAILED = 1
FULL = (*NO_ROOM, errno.EFBIG)

EXAMPLES = """\
examples:
  inspector demo                                   200 real parts, with a broker of its own
  inspector cameras                                what station.toml may name as its camera
  inspector check station.toml                     every fault, before the station starts
  inspector run station.toml                       inspect until SIGTERM
  inspector command station.toml reset             end an ERROR, once you have seen its cause
  inspector replay --bundle bundles/NAME pictures  judge a folder, print a table
  inspector bench --bundle bundles/NAME            what the station adds to the bare model
  inspector bench --runtimes station.toml          which library and threads suit it best here
  inspector bundle verify bundles/NAME             every byte, and the self-test
  inspector bundle use bundles/NAME                running stations load it
  inspector subscribe consumer.toml                store every result, prove it is all
  inspector line-sim station.toml --parts 100      be the line, before the PLC is there
  inspector journal info station.toml              what its journal holds, and who lags
  inspector study acceptance --help                escape and overkill against agreed limits
  inspector review station.toml list               parts that people should look at
  inspector hmi hmi.toml                           the operator's pages, for a browser

exit codes: 0 done, 78 what a person wrote cannot work, 1 anything else
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    args = _parser(sys.argv[1:] if arguments is None else list(arguments))
    from inspector.contract.errors import BundleError, ConfigError, InspectorError

    command: Callable[[argparse.Namespace], int] = args.command
    try:
        code = command(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # who read our output has seen enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ConfigError, BundleError) as error:
        print(error, file=sys.stderr)
        return CONFIG_FAULT
    except InspectorError as error:
        print(error, file=sys.stderr)
        return FAILED
    except OSError as error:  # a file or folder named on the command line, or a disk without room
        if error.filename is None and error.errno not in FULL:
            raise
        print(f"{error.filename or 'what was to be written'}: {error.strerror}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="inspector",
        description="Judge every part by its picture, publish every verdict. Only OK passes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> Any:
        sub = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=examples(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        return sub

    run = add("run", _run, "run a station until SIGTERM, or until its finite source ends")
    run.add_argument("settings", type=Path, metavar="STATION.TOML")

    demo = add("demo", _demo, "real parts, a broker of its own, verdicts as they arrive over MQTT")
    if arguments[:1] == ["demo"]:
        _demo_module().add_arguments(demo)

    cli_command.add_commands(add)

    check = add("check", _check, "explain every fault in settings, recipe and bundle")
    check.add_argument("settings", type=Path, metavar="STATION.TOML")

    add("cameras", _cameras, "list the cameras that answer, as station.toml names them")

    commission = add("commission", _commission, "learn from good parts what a frame must be")
    commission.add_argument("settings", type=Path, metavar="STATION.TOML")
    commission.add_argument("--parts", type=part_count, metavar="N", help="50; at least 20")
    commission.add_argument("--folder", type=Path, metavar="DIR", help="pictures, not the camera")
    commission.add_argument("--empty", type=Path, metavar="FILE", help="only: the empty scene")
    commission.add_argument("--out", type=Path, metavar="RECIPE.TOML", help="not the recipe itself")

    replay = add("replay", _replay, "judge a folder of pictures and print a table")
    replay.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    replay.add_argument("--recipe", type=Path, metavar="RECIPE.TOML", help="regions and limits")
    replay.add_argument("--csv", type=Path, metavar="FILE", help="write the table there too")
    replay.add_argument("folder", type=Path, metavar="FOLDER")

    cli_bench.add_commands(add)

    bundle = add(
        "bundle", _bundle, "show, verify or sign a bundle, have stations use it, make keys"
    )
    bundle.add_argument("what", choices=("show", "verify", "sign", "use", "keygen"))
    bundle.add_argument(
        "path", type=Path, metavar="DIR", help="of the bundle; keygen: KEY to write"
    )
    bundle.add_argument("--key", type=Path, help="private to sign, public to verify")

    add_commands(add)
    cli_line.add_commands(add)
    cli_study.add_commands(add)
    cli_review.add_commands(add)
    cli_hmi.add_commands(add)
    add("version", _version, "print the version")
    return parser.parse_args(arguments)


def _run(args: argparse.Namespace) -> int:
    from inspector.daemon import run

    return run(args.settings)


def _demo(args: argparse.Namespace) -> int:
    code: int = _demo_module().main(args)
    return code


def _demo_module() -> Any:
    """Needs more than an edge installation has: says which extra."""
    try:
        return import_module("inspector.demo.run")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("inspector"):
            raise
        print(
            f"inspector demo needs the demo extra ({error.name} is not installed): "
            "pip install 'inspector[demo]'",
            file=sys.stderr,
        )
        raise SystemExit(CONFIG_FAULT) from None


def _check(args: argparse.Namespace) -> int:
    from inspector.check import check
    from inspector.devices.quiet import quiet_cv2

    quiet_cv2()
    faults = 0
    for finding in check(args.settings):
        faults += finding.level == "fault"
        level = finding.level.upper() if finding.level == "fault" else finding.level
        print(f"{level:<6}{finding.text}")
    told = "1 fault" if faults == 1 else f"{faults} faults"
    print(told if faults else "no faults: the station can start")
    return CONFIG_FAULT if faults else 0


def _cameras(args: argparse.Namespace) -> int:  # noqa: ARG001 - as every command
    from inspector.cameras import listed

    for line in listed():
        print(line)
    return 0


def _commission(args: argparse.Namespace) -> int:
    from inspector.commission import run
    from inspector.contract.errors import ConfigError
    from inspector.devices.quiet import quiet_cv2
    from inspector.empty_view import take

    quiet_cv2()
    if args.empty and (args.parts or args.folder or args.out):
        raise ConfigError("commission --empty: takes the camera's picture, and nothing else")
    if args.empty:
        print(take(args.settings, args.empty))
        return 0
    for line in run(args.settings, args.parts or 50, args.folder, args.out):
        print(line)
    return 0


def _replay(args: argparse.Namespace) -> int:
    from inspector.contract.bundle import read_bundle
    from inspector.contract.strict import read_toml
    from inspector.contract.whole import require_replaceable
    from inspector.devices.quiet import quiet_cv2
    from inspector.replay import HEAD, Row, judge_folder, summary, table, write_csv
    from inspector.runtime.loader import open_runtime
    from inspector.station.cycle import Job
    from inspector.station.recipe import Recipe

    quiet_cv2()
    if args.csv:
        require_replaceable("--csv", args.csv, HEAD, "table of replay")
    runtime = open_runtime(read_bundle(args.bundle))
    recipe = Recipe(name="replay", bundle=runtime.bundle_id)
    if args.recipe:
        recipe = read_toml(args.recipe, Recipe)
        if recipe.bundle != runtime.bundle_id:
            print(f"note: {args.recipe} is for bundle {recipe.bundle}", file=sys.stderr)
    if runtime.notice:
        print(f"note: {runtime.notice}", file=sys.stderr)
    rows: list[Row] = []
    for line in table(judge_folder(args.folder, Job(recipe, runtime)), rows):
        print(line)
    print()
    for line in summary(rows):
        print(line)
    if args.csv:
        write_csv(args.csv, rows)
    return 0


def _bundle(args: argparse.Namespace) -> int:
    from inspector.contract.bundle import read_bundle
    from inspector.contract.errors import ConfigError
    from inspector.runtime.cpu import read_cpu
    from inspector.runtime.folder import point_to
    from inspector.runtime.signature import make_keys, sign_bundle
    from inspector.verify import verify, would_run

    require_meant(args, "bundle", args.what, {"sign": ("key",), "verify": ("key",)})
    match args.what:
        case "keygen":
            public = make_keys(args.path)
            print(f"{args.path}: the private key, for who releases bundles; keep it to yourself")
            print(f"{public}: the public key, for stations: bundles.public_key")
        case "sign":
            if args.key is None:
                raise ConfigError("bundle sign: needs --key, the private key")
            print(f"{sign_bundle(args.path, args.key)}: written")
        case "use":
            bundle = read_bundle(args.path)
            print(f"{point_to(args.path)}: stations that watch this folder load {bundle.id} now")
        case "show":
            bundle = read_bundle(args.path)
            print(f"{bundle.id}\n{bundle.manifest.model_dump_json(by_alias=True, indent=2)}")
            print(would_run(bundle, read_cpu()), file=sys.stderr)
        case _:
            return 0 if _say(verify(args.path, args.key)) else FAILED
    return 0


def _say(lines: Generator[str, None, bool]) -> bool:
    """Print each line; what the generator returns."""
    while True:
        try:
            print(next(lines))
        except StopIteration as end:
            return bool(end.value)


def _version(args: argparse.Namespace) -> int:  # noqa: ARG001 - as every command
    print(__version__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
