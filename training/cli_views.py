"""inspector-train views: its arguments, and what they start."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.contract.errors import ConfigError
from training.arguments import add_data, add_plan

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
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    machine_of: "Callable[[Plan, Path], Machine]",
) -> None:
    """The command's arguments. machine_of: where a plan is computed."""
    views = commands.add_parser(
        "views",
        help="a picture of what a plan's networks are shown: augmented, mixed, painted",
        epilog=VIEWS_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_plan(views)
    add_data(views)
    views.add_argument("--out", type=Path, required=True, help="the picture, a PNG file")
    views.add_argument("--each", type=int, default=3, help="pictures of each class (default 3)")
    views.set_defaults(command=partial(_views, machine_of))


def _views(machine_of: "Callable[[Plan, Path], Machine]", arguments: argparse.Namespace) -> int:
    from tempfile import TemporaryDirectory

    from inspector.contract.whole import write_whole
    from training.dataset import read_dataset
    from training.plan import read_plan
    from training.run import Run
    from training.screen import Screen

    if not 1 <= arguments.each <= EACH_MAX:
        raise ConfigError(f"views: --each {arguments.each}: must be 1 to {EACH_MAX}")
    plan, dataset, screen = read_plan(arguments.plan), read_dataset(arguments.data), Screen()
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), screen.say)
        try:
            from training.job import Job
            from training.release import read_sights
            from training.views_plot import views_sheet

            job = Job(plan, run, machine_of(plan, arguments.plan), screen)
            sheet = views_sheet(read_sights(job, dataset, "views"), arguments.each)
        finally:
            run.close()
    write_whole(arguments.out, sheet)
    print(arguments.out)
    return 0
