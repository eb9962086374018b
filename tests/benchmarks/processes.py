"""One process with all threads, or several with fewer each: images/s of the same training.

    python -m tests.benchmarks.processes plan.toml --data DATA [--processes 2] [--rounds 3]

A plan without a teacher (alpha = 0), since what is compared is the training loop. The ways take
turns, so that what else runs on the machine falls on both; an epoch's validation is in its time,
starting the processes is said apart.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from training.cli import machine_of
from training.dataset import read_dataset
from training.job import Job
from training.plan import Plan, read_plan
from training.release import read_sights
from training.run import Run
from training.screen import Screen
from training.teaching import fit_student

EPOCHS = 3
"""The first is not counted: it takes memory and chooses kernels."""


def epochs_s(plan: Plan, path: Path, data_path: Path, processes: int) -> tuple[list[float], float]:
    """Seconds of each epoch but the first, and of all else."""
    dataset, screen = read_dataset(data_path), Screen(quiet=True)
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), screen.say)
        try:
            job = Job(plan, run, machine_of(plan, path, processes), screen)
            sights = read_sights(job, dataset, "benchmark")
            started = time.monotonic()
            stage = fit_student(sights, ())
            whole = time.monotonic() - started
        finally:
            run.close()
        history = json.loads((stage.folder / "history.json").read_text(encoding="utf-8"))
    seconds = [row["seconds"] for row in history]
    return seconds[1:], whole - sum(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    plan = read_plan(arguments.plan)
    plan = plan.model_copy(update={"student": plan.student.model_copy(update={"epochs": EPOCHS})})
    say = sys.stdout.write
    ways = (1, arguments.processes)
    found: dict[int, list[float]] = {processes: [] for processes in ways}
    for number in range(arguments.rounds):
        for processes in ways:
            seconds, rest = epochs_s(plan, arguments.plan, arguments.data, processes)
            found[processes] += seconds
            each = ", ".join(f"{s:.1f}" for s in seconds)
            say(f"round {number + 1}, {processes} process(es): epochs of {each} s, ")
            say(f"start and end {rest:.1f} s\n")
    one, many = (statistics.median(found[processes]) for processes in ways)
    quickest = min(found[1]) / min(found[arguments.processes])
    say(f"{arguments.processes} processes: {one / many:.2f} times the images/s of one ")
    say(f"(quickest epochs: {quickest:.2f})\n")


if __name__ == "__main__":
    main()
