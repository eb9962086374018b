"""inspector-train search: its arguments, and what they start."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.contract.errors import ConfigError
from training.arguments import Commands, add_command, add_data, add_plan, add_weights

if TYPE_CHECKING:  # torch takes seconds to import, --help should not
    from training.fit import Machine
    from training.plan import Plan

SEARCH_EXAMPLES = """examples:
  inspector-train search plan.toml --data elpv --out search --latency-ms 2 --escape 0.5%
  inspector-train search plan.toml --data elpv --out s --latency-ms 2 --escape 5% --jobs 4
  inspector-train search plan.toml --data elpv --out search --latency-ms 2 --escape 5% --no-release

What may be chosen stands in the plan's [search] (inspector-train keys search). search.html, .json
and .csv are written after every student; a killed search goes on where it was, and more trials may
be asked for later. The winner, search/winner.toml, is released as any plan is.

exit codes as of release; 3 also where no student holds both budgets, or the winner not as it ships
"""


def add_search(
    commands: Commands,
    machine_of: "Callable[[Plan, Path, int], Machine]",
) -> None:
    """The command's arguments. machine_of: where a plan is computed."""
    search = add_command(
        commands,
        "search",
        "the smallest student that holds a time and an escape rate, by measurement",
        SEARCH_EXAMPLES,
    )
    add_plan(search)
    add_data(search)
    search.add_argument(
        "--out", type=Path, required=True, help="folder for work, search.html, winner and bundle"
    )
    search.add_argument(
        "--latency-ms", type=float, required=True, help="of a part, one thread, on this machine"
    )
    search.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="on another instead: what `inspector bench --profile FILE` wrote on the station",
    )
    search.add_argument(
        "--escape", type=share, required=True, metavar="SHARE", help="escape rate to hold: 0.5%%"
    )
    search.add_argument(
        "--overkill",
        type=share,
        metavar="SHARE",
        help="what that may cost in good parts (default: the plan's search.overkill_rate_at_most)",
    )
    search.add_argument(
        "--trials", type=int, default=20, help="students trained at most (default 20)"
    )
    search.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="students trained at a time (default 1)"
    )
    search.add_argument(
        "--no-release", action="store_true", help="leave the winner as a plan, release nothing"
    )
    add_weights(search)
    search.add_argument(
        "--smoke", action="store_true", help="the whole chain on a dozen images, one epoch each"
    )
    search.add_argument("--quiet", action="store_true", help="only paths and errors")
    search.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    search.set_defaults(command=partial(_search, machine_of))


def share(text: str) -> float:
    """0.5% or 0.005. Raises ArgumentTypeError in words."""
    try:
        number = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        number = -1.0
    if not 0.0 <= number < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a share, as in 0.5% or 0.005")
    return number


def _search(
    machine_of: "Callable[[Plan, Path, int], Machine]", arguments: argparse.Namespace
) -> int:
    from training.search_order import Order
    from training.search_run import search

    if arguments.trials < 1 or arguments.jobs < 1:
        raise ConfigError("search: --trials and --jobs must each be at least 1")
    order = Order(
        plan=arguments.plan,
        data=arguments.data,
        out=arguments.out,
        latency_ms=arguments.latency_ms,
        escape=arguments.escape,
        overkill=arguments.overkill,
        trials=arguments.trials,
        jobs=arguments.jobs,
        release=not arguments.no_release,
        weights=arguments.weights,
        profile=arguments.profile,
        smoke=arguments.smoke,
        quiet=arguments.quiet,
        worker=arguments.worker,
    )
    for path in search(order, machine_of):
        print(path)
    return 0
