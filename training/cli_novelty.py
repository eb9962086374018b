"""inspector-train novelty: its arguments, and what they start."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from training.arguments import Commands, add_command, add_data, add_plan, add_processes, add_weights

if TYPE_CHECKING:  # torch takes seconds to import, --help should not
    from training.fit import Machine
    from training.plan import Plan

NOVELTY_EXAMPLES = """examples:
  inspector-train novelty plan.toml --data pictures --out unseen
  inspector-train novelty plan.toml --data pictures --out unseen --class crack --class fray

One training for each class: it takes as many times as long as a release. The stages are kept, so
that a stopped job goes on where it was; with the --out of a release, what they share is made once.
"""


def add_novelty(
    commands: Commands,
    machine_of: "Callable[[Plan, Path, int], Machine]",
) -> None:
    """The command's arguments. machine_of: where a plan is computed."""
    novelty = add_command(
        commands,
        "novelty",
        "leave each defect class out in turn: how many of its parts pass all the same",
        NOVELTY_EXAMPLES,
    )
    add_plan(novelty)
    add_data(novelty)
    novelty.add_argument(
        "--out", type=Path, required=True, help="folder for work, novelty.json and novelty.csv"
    )
    novelty.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="CLASS",
        help="leave out this one only; may be repeated (default: each defect class in turn)",
    )
    add_weights(novelty)
    add_processes(novelty)
    novelty.add_argument("--quiet", action="store_true", help="only the table and errors")
    novelty.set_defaults(command=partial(_novelty, machine_of))


def _novelty(
    machine_of: "Callable[[Plan, Path, int], Machine]", arguments: argparse.Namespace
) -> int:
    from training.dataset import read_dataset
    from training.plan import read_plan, with_weights_from
    from training.run import Run
    from training.screen import Screen

    plan = read_plan(arguments.plan)
    if arguments.weights:
        plan = with_weights_from(plan, arguments.weights)
    dataset, screen = read_dataset(arguments.data), Screen(quiet=arguments.quiet)
    run = Run(arguments.out / "work", screen.say)
    try:
        # torch takes seconds to import: what is wrong up to here was said at once
        from training.job import Job
        from training.unseen import leave_out_each, table

        machine = machine_of(plan, arguments.plan, arguments.processes)
        job = Job(plan, run, machine, screen)
        found = list(leave_out_each(job, dataset, arguments.classes, arguments.out))
    finally:
        run.close()
    print("\n".join(table(found)))
    return 0
