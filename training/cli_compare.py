"""inspector-train compare: its arguments, and what they start."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.contract.errors import ConfigError
from training.arguments import Commands, add_command, add_data, add_processes, add_weights

if TYPE_CHECKING:  # torch takes seconds to import, --help should not
    from training.compare import Asked
    from training.comparison import Comparison
    from training.fit import Machine
    from training.plan import Plan

COMPARE_EXAMPLES = """examples:
  inspector-train compare kd.toml labels.toml --data elpv --out compare
  inspector-train compare a.toml b.toml --data elpv --out compare --seeds 0,1,2 --folds 5
  inspector-train compare a.toml --data elpv --out spread --seeds 0,1,2 --folds 1
  inspector-train compare a.toml b.toml --data elpv --out compare --jobs 5     a GPU, or many cores
  inspector-train compare training/plans/methods/*.toml --data elpv --out methods --against labels

What plans share (the same teacher for several students) is computed once; a killed comparison goes
on where it was, and more seeds may be asked for later. compare.html is written after every round,
second_look.html beside it: pictures whose label is contradicted by models that never learned them.
A student from labels alone is a plan with alpha = 0 under [student].
"""


def add_compare(
    commands: Commands,
    machine_of: "Callable[[Plan, Path, int], Machine]",
) -> None:
    """The command's arguments. machine_of: where a plan is computed."""
    compare = add_command(
        commands,
        "compare",
        "several plans on the same seeds and folds: means, scatter, and is it luck",
        COMPARE_EXAMPLES,
    )
    compare.add_argument("plans", type=Path, nargs="+", metavar="PLAN", help="a plan, a TOML file")
    add_data(compare)
    compare.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for work, compare.html, .json, .csv, second_look.html",
    )
    compare.add_argument("--seeds", default="0", help="numbers with commas (default 0)")
    compare.add_argument(
        "--folds",
        type=int,
        default=5,
        help="golden sets, each part in one of them (default 5); 1: the split of the plans, the "
        "same in all",
    )
    compare.add_argument(
        "--against",
        metavar="NAME",
        help="the plan of this name, with which each other one is compared; without: each with "
        "each, which of many plans proves nothing",
    )
    add_weights(compare)
    add_processes(compare)
    compare.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="folds and seeds at a time, sharing cores and GPU (default 1); its times are "
        "those of a busy machine",
    )
    compare.add_argument(
        "--smoke", action="store_true", help="the whole chain on a dozen images, two folds"
    )
    compare.add_argument("--quiet", action="store_true", help="only the page's path and errors")
    compare.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    compare.set_defaults(command=partial(_compare, machine_of))


def _compare(
    machine_of: "Callable[[Plan, Path, int], Machine]", arguments: argparse.Namespace
) -> int:
    from training.dataset import read_dataset, subset
    from training.plan import read_plan, with_weights_from
    from training.plan_smoke import smoke
    from training.run import Run
    from training.screen import Screen

    seeds, folds, jobs, worker = _seeds(arguments.seeds), arguments.folds, *_shares(arguments)
    dataset = read_dataset(arguments.data)
    plans = [(path, read_plan(path)) for path in arguments.plans]
    if arguments.weights:
        plans = [(path, with_weights_from(plan, arguments.weights)) for path, plan in plans]
    at = _place(arguments.against, [plan.name for _, plan in plans])
    if arguments.smoke:
        seeds, folds, dataset = seeds[:1], min(folds, 2), subset(dataset, each_min=8)
        plans = [(path, smoke(plan)) for path, plan in plans]
    screen = Screen(quiet=arguments.quiet, worker=worker)
    work = arguments.out / ("work" if worker is None else f"work-{worker}")
    run = Run(work, screen.say)
    try:
        # torch takes seconds to import: what is wrong up to here was said at once
        from training import compare
        from training.alongside import lend_back, shared
        from training.compare_html import lines
        from training.job import Job

        def entry(path: Path, plan: "Plan") -> compare.Entry:
            def job(its: "Plan") -> Job:
                machine = machine_of(its, path, arguments.processes)
                return Job(its, run, shared(machine, jobs if worker else 1), screen)

            return compare.Entry(plan, job)

        entries = [entry(path, plan) for path, plan in plans]
        against = None if at is None else plans[at][1].name
        asked = compare.Asked(entries, dataset, seeds, folds, against)
        if worker is not None:
            for each in compare.work_through(asked, asked.rounds[worker - 1 :: jobs]):
                compare.tell(each, work)
            return 0
        lend_back(arguments.out, work)  # of a comparison that was killed
        show = partial(compare.write_comparison, folder=arguments.out, dataset=dataset)
        if jobs > 1:
            compare.read_for(asked)
            found = _share(arguments, min(jobs, len(asked.rounds)), work, asked, show)
        else:
            found = compare.compare(asked, show)
    finally:
        run.close()
    for line in lines(found):
        screen.say(line)
    print(arguments.out / "compare.html")
    return 0


def _place(against: str | None, names: list[str]) -> int | None:
    if against is None:
        return None
    if against not in names:
        raise ConfigError(
            f"compare: --against {against!r}: no plan is called that, but {', '.join(names)}"
        )
    return names.index(against)


def _shares(arguments: argparse.Namespace) -> tuple[int, int | None]:
    """How many processes work at a time, and which of them this is; None: who starts them."""
    jobs: int = arguments.jobs
    if arguments.folds < 1:
        raise ConfigError(f"compare: --folds {arguments.folds}: must be at least 1")
    if jobs < 1 or (jobs > 1 and arguments.processes > 1):
        raise ConfigError(f"compare: --jobs {jobs}: must be at least 1, and 1 with --processes")
    return jobs, arguments.worker


def _share(
    arguments: argparse.Namespace,
    jobs: int,
    work: Path,
    asked: "Asked",
    show: "Callable[[Comparison], None]",
) -> "Comparison":
    """Every round by one of several processes; what they finish is then found in `work`.

    show: called with all that is done, after each round.
    """
    from training import compare
    from training.alongside import lend, lend_back, work_together

    folders = [arguments.out / f"work-{number}" for number in range(1, jobs + 1)]
    for path in compare.told(folders):
        path.unlink()
    words = ["compare", *arguments.plans, "--data", arguments.data, "--out", arguments.out]
    words += ["--seeds", arguments.seeds, "--folds", arguments.folds, "--jobs", jobs]
    words += ["--weights", arguments.weights] if arguments.weights else []
    words += ["--smoke"] if arguments.smoke else []
    words += ["--quiet"] if arguments.quiet else []
    workers = []
    for number, folder in enumerate(folders, 1):
        lend(work, folder)
        workers.append([*map(str, words), "--worker", str(number)])
    shown = 0

    def look() -> None:
        nonlocal shown
        files = compare.told(folders)
        if len(files) > shown:
            shown = len(files)
            show(asked.table(compare.read_told(files, asked.rounds)))

    work_together("compare", workers, look)
    lend_back(arguments.out, work)
    return asked.table(compare.read_told(compare.told(folders), asked.rounds))


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(word) for word in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= s < 2**31 for s in seeds):
        raise ConfigError(f"compare: --seeds {text!r}: must be different numbers, as in 0,1,2")
    return seeds
