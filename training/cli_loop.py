"""inspector-train collect and promote: their arguments, and what they start."""

import argparse
import sys
from pathlib import Path

from inspector.contract.errors import ConfigError
from training.arguments import add_plan

COLLECT_EXAMPLES = """examples:
  inspector-train collect plan.toml /etc/inspector/s1.toml copies/s2 --into line \\
      --data pictures --from-bundle out/bundles/NAME-HASH      the first version
  inspector-train collect plan.toml /etc/inspector/s1.toml copies/s2 --into line    the next ones
  inspector-train release plan.toml --data line/v0001 --out out --from-bundle out/bundles/NAME-HASH

A source is a station's settings, or a folder with its reviews.db and reviews.pictures.
"""


def add_collect(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command's arguments."""
    collect = commands.add_parser(
        "collect",
        help="reviewed parts of stations become the next version of the data set",
        epilog=COLLECT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_plan(collect)
    collect.add_argument("sources", type=Path, nargs="+", metavar="SOURCE")
    collect.add_argument("--into", type=Path, required=True, help="folder of v0001, v0002 ...")
    collect.add_argument(
        "--data", type=Path, help="the first time: what the running bundle was made of"
    )
    collect.add_argument(
        "--from-bundle", type=Path, metavar="DIR", help="the first time: the running bundle"
    )
    collect.add_argument("--quiet", action="store_true", help="only the version's path and errors")
    collect.set_defaults(command=_collect)


def _collect(arguments: argparse.Namespace) -> int:
    from training.collect import First, collect
    from training.plan import read_plan
    from training.running import running_bundle
    from training.screen import Screen
    from training.versions import lines

    if (arguments.data is None) is not (arguments.from_bundle is None):
        raise ConfigError("collect: --data and --from-bundle go together")
    first = None
    if arguments.data is not None:
        first = First(arguments.data, running_bundle(arguments.from_bundle))
    screen = Screen(quiet=arguments.quiet)
    found = collect(
        read_plan(arguments.plan),
        arguments.sources,
        arguments.into,
        first,
        lambda rows, total: screen.bar(rows, total, "reading pictures"),
    )
    for line in lines(found.facts):
        screen.say(line)
    if not found.is_new:
        print("nothing is new", file=sys.stderr)
    print(found.version)
    return 0
