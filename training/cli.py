"""inspector-train: the commands."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.contract.errors import (
    BundleError,
    ConfigError,
    DataError,
    InspectorError,
    QualityGateError,
    TrainingError,
)
from inspector.contract.whole import NO_ROOM
from training.arguments import Commands, add_command, add_data, add_plan, add_processes, add_weights
from training.cli_compare import add_compare
from training.cli_examples import BENCH_EXAMPLES, DATA_EXAMPLES, KEYS_EXAMPLES, SCAN_EXAMPLES
from training.cli_loop import add_collect, add_promote
from training.cli_novelty import add_novelty
from training.cli_search import add_search
from training.cli_views import add_views

if TYPE_CHECKING:  # torch takes seconds to import, --help should not
    from training.fit import Machine
    from training.plan import Plan

EXIT_CODES: dict[type[InspectorError], int] = {
    QualityGateError: 3,
    TrainingError: 4,
    DataError: 65,
    BundleError: 70,
    ConfigError: 78,
}
FAILED, INTERRUPTED = 1, 130

EXAMPLES = """examples:
  inspector-train data elpv --out elpv                  the public solar cells, as a manifest
  inspector-train scan elpv                             what is wrong with the images
  inspector-train release training/plans/elpv.toml --data elpv --out release
  inspector-train release training/plans/elpv.toml --data elpv --out smoke --smoke
  inspector-train bench training/plans/elpv.toml --data elpv

exit codes: 0 done, 1 a process of a training failed, a file or folder cannot be had, or a disk is
full, 3 quality gate, or not promoted, 4 training diverged, 5 not enough evidence to promote, 65
data, 78 plan, 130 interrupted
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; what a person can mend is one line on standard error, not a traceback."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    # The scheduler's SIGTERM is as tidy as a person's Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return command(arguments)
    except InspectorError as error:
        print(error, file=sys.stderr)
        return EXIT_CODES.get(type(error), FAILED)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a file or folder named on the command line, or a full disk
        full = error.errno in NO_ROOM
        if error.filename is None and not full:
            raise
        again = "; with more room the same command goes on" if full else ""
        print(f"{error.filename or 'a disk'}: {error.strerror}{again}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        return INTERRUPTED
    except ModuleNotFoundError as error:
        print(
            f"{error.name} is not installed; training needs: pip install 'inspector[training]'",
            file=sys.stderr,
        )
        return EXIT_CODES[ConfigError]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inspector-train",
        description="Turn a product line's labelled images into a bundle.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True)

    release = add_command(
        commands, "release", "labelled images to a bundle; resumes where it was", EXAMPLES
    )
    add_plan(release)
    add_data(release)
    release.add_argument("--out", type=Path, required=True, help="folder for work and bundles")
    add_weights(release)
    add_processes(release)
    release.add_argument(
        "--smoke", action="store_true", help="the whole chain on a dozen images, in about a minute"
    )
    release.add_argument(
        "--from-bundle",
        type=Path,
        metavar="DIR",
        help="start from the bundle that runs, DIR/bundles/NAME of its release (student.old)",
    )
    release.add_argument("--quiet", action="store_true", help="only the bundle's path and errors")
    release.set_defaults(command=_release)

    add_collect(commands)
    add_compare(commands, machine_of)
    add_novelty(commands, machine_of)
    add_promote(commands)
    add_search(commands, machine_of)
    add_views(commands, machine_of)
    _add_small(commands)
    return parser


def _add_small(commands: Commands) -> None:
    bench = add_command(
        commands,
        "bench",
        "how fast a plan trains here: kept answers against a teacher asked every time",
        BENCH_EXAMPLES,
    )
    add_plan(bench)
    add_data(bench)
    bench.add_argument("--images", type=int, default=128, help="in a round (default 128)")
    bench.add_argument("--rounds", type=int, default=6, help="the first is not counted (default 6)")
    bench.set_defaults(command=_bench)

    scan = add_command(commands, "scan", "say what is wrong with the images", SCAN_EXAMPLES)
    scan.add_argument("data", type=Path, help="folder of class folders, MVTec, or manifest CSV")
    scan.add_argument("--json", type=Path, help="also write everything found to this file")
    scan.set_defaults(command=_scan)

    keys = add_command(
        commands, "keys", "every key of a plan: values, default, meaning", KEYS_EXAMPLES
    )
    keys.add_argument("only", nargs="?", default="", help="a section or key: student, split.golden")
    keys.set_defaults(command=_keys)

    data = add_command(commands, "data", "public data sets as manifests", DATA_EXAMPLES)
    data.add_argument("name", choices=["elpv"], help="elpv: solar cells, pip install elpv-dataset")
    data.add_argument("--out", type=Path, required=True, help="folder for manifest.csv")
    data.set_defaults(command=_data)


def _release(arguments: argparse.Namespace) -> int:
    from training.dataset import read_dataset, subset
    from training.plan import read_plan, with_weights_from
    from training.plan_smoke import smoke
    from training.run import Run
    from training.screen import Screen

    plan = read_plan(arguments.plan)
    if arguments.weights:
        plan = with_weights_from(plan, arguments.weights)
    dataset = read_dataset(arguments.data)
    if arguments.from_bundle and arguments.smoke:
        raise ConfigError("release: --from-bundle and --smoke: a smoke run starts from nothing")
    if arguments.from_bundle:
        from training.running import running_bundle, starting_from

        plan = starting_from(plan, running_bundle(arguments.from_bundle), dataset)
    if arguments.smoke:
        plan, dataset = smoke(plan), subset(dataset)
    screen = Screen(quiet=arguments.quiet)
    run = Run(arguments.out / "work", screen.say)
    try:
        # torch takes seconds to import: what is wrong up to here was said at once
        from training.job import Job
        from training.origin import dated
        from training.proven import refused_everywhere
        from training.release import release

        listed = arguments.data if arguments.data.is_file() else arguments.data / "manifest.csv"
        date = dated([arguments.plan, listed, *(sample.image for sample in dataset.samples)])
        machine = machine_of(plan, arguments.plan, arguments.processes)
        bundle = release(Job(plan, run, machine, screen), dataset, arguments.out, date).bundle
    finally:
        run.close()
    print(bundle.folder)
    refused = refused_everywhere(bundle)
    if refused:  # its plan does without a proof; said with --quiet too
        print(f"caveat: {refused}", file=sys.stderr)
    return 0


def machine_of(plan: "Plan", path: Path, processes: int = 1) -> "Machine":
    """Where a plan is computed; torch is told its threads. Raises ConfigError where it can't be."""
    from importlib.util import find_spec

    import torch

    from training.fit import Machine
    from training.memory import keep_freed_memory

    keep_freed_memory()
    threads = plan.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if plan.device == "cuda" and kind == "cpu":
        raise ConfigError(f"{path}: device 'cuda': torch sees none here; 'auto' or 'cpu'")
    device = torch.device(kind if plan.device == "auto" else plan.device)
    if processes == 1:
        return Machine(device, threads)
    most = max(1, min(how.batch for how in (*plan.teachers, plan.student)) // 2)
    if not 1 < processes <= most:
        raise ConfigError(
            f"--processes {processes}: must be 1 to {most}, half of the plan's smallest batch"
        )
    if device.type == "cuda" and processes > torch.cuda.device_count():
        raise ConfigError(
            f"--processes {processes}: there are {torch.cuda.device_count()} GPUs, one for each"
        )
    if find_spec("accelerate") is None:
        raise ConfigError("--processes: needs accelerate: pip install 'inspector[training]'")
    return Machine(device, max(1, threads // processes), processes)


def _bench(arguments: argparse.Namespace) -> int:
    if arguments.images < 2 or arguments.rounds < 2:
        raise ConfigError("bench: --images and --rounds must each be at least 2")
    from training.bench import measure
    from training.brief import sights_for_once

    with sights_for_once(arguments.plan, arguments.data, machine_of) as sights:
        speeds = measure(sights, images=arguments.images, rounds=arguments.rounds)
    for speed in speeds:
        print(speed.line(len(sights.own.data.rows["train"])))
    print(f"kept answers: {speeds[1].images_per_s / speeds[2].images_per_s:.2f} times the epochs")
    return 0


def _scan(arguments: argparse.Namespace) -> int:
    from tempfile import TemporaryDirectory

    from inspector.contract.image import ImageSpec
    from inspector.contract.whole import require_place
    from training.dataset import read_dataset
    from training.plan import SplitRule
    from training.scan import load_images, scan
    from training.screen import Screen

    screen = Screen()
    if arguments.json:
        require_place("--json", arguments.json, arguments.data)
    dataset = read_dataset(arguments.data)
    with TemporaryDirectory() as folder:
        small = ImageSpec(width=64, height=64)
        near_at = SplitRule().near_duplicate_at
        scan(dataset, small, near_at, Path(folder), lambda s, n: screen.bar(s, n, "reading"))
        report = load_images(dataset, Path(folder)).report
    print("\n".join(report.lines()))
    if arguments.json:
        arguments.json.write_text(report.model_dump_json(indent=1), encoding="utf-8")
    return 0


def _keys(arguments: argparse.Namespace) -> int:
    from training.keys import lines

    found = list(lines(arguments.only))
    if not found:
        raise ConfigError(f"{arguments.only!r}: a plan has no such section or key; see keys alone")
    print("\n".join(found))
    return 0


def _data(arguments: argparse.Namespace) -> int:
    from training.sources import elpv

    print(elpv(arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
