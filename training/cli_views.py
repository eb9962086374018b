"""inspector-train views: its arguments, and what they start."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.contract.errors import ConfigError
from training.arguments import Commands, add_command, add_data, add_plan

if TYPE_CHECKING:  # torch takes seconds to import, --help should not
    from training.fit import Machine
    from training.plan import Plan

VIEWS_EXAMPLES = """examples:
  inspector-train views training/plans/elpv.toml --data elpv --out views.png
  inspector-train views plan.toml --data pictures --out views.png --each 6

Look at it before hours are spent: would a person call each view what stands above it? Painted
defects ([synthetic] of the plan) are framed.
"""
EACH_MAX = 50


def add_views(
    commands: Commands,
    machine_of: "Callable[[Plan, Path], Machine]",
) -> None:
    """The command's arguments. machine_of: where a plan is computed."""
    views = add_command(
        commands,
        "views",
        "a picture of what a plan's networks are shown: augmented, mixed, painted",
        VIEWS_EXAMPLES,
    )
    add_plan(views)
    add_data(views)
    views.add_argument("--out", type=Path, required=True, help="the picture, a PNG file")
    views.add_argument("--each", type=int, default=3, help="pictures of each class (default 3)")
    views.set_defaults(command=partial(_views, machine_of))


def _views(machine_of: "Callable[[Plan, Path], Machine]", arguments: argparse.Namespace) -> int:
    if not 1 <= arguments.each <= EACH_MAX:
        raise ConfigError(f"views: --each {arguments.each}: must be 1 to {EACH_MAX}")
    from inspector.contract.whole import require_place, write_whole
    from training.brief import sights_for_once
    from training.views_plot import views_sheet

    require_place("--out", arguments.out, arguments.plan, arguments.data)
    with sights_for_once(arguments.plan, arguments.data, machine_of) as sights:
        write_whole(arguments.out, views_sheet(sights, arguments.each))
    print(arguments.out)
    return 0
