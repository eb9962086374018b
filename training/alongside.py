"""Several processes at once on one job, for what does not hang on each other.

Each has a work folder of its own (run.py lets one job into one), with links to what another has
finished: pictures, split and teachers are computed once.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from inspector.contract.errors import TrainingError
from training.fit import Machine
from training.run import DONE, Run

STOP_S = 20.0


def shared(machine: Machine, jobs: int) -> Machine:
    """Of a machine, what one of so many processes may take; torch is told."""
    if jobs == 1:
        return machine
    threads = max(1, machine.threads // jobs)
    torch.set_num_threads(threads)
    return Machine(machine.device, threads)


def lend(work: Path, own: Path) -> None:
    """Links to finished stages, so that nobody computes them twice."""
    if not work.is_dir():
        return
    own.mkdir(parents=True, exist_ok=True)
    for stage in work.iterdir():
        link = own / stage.name
        if (stage / DONE).exists() and not link.exists():
            link.unlink(missing_ok=True)  # to what is gone
            link.symlink_to(stage.resolve(), target_is_directory=True)


def lend_back(out: Path, work: Path) -> None:
    """Links to what any process has finished in a folder of its own: of an earlier job too, which
    may have had more of them.
    """
    for own in sorted(out.glob("work-*")):
        lend(own, work)


def require_alone(out: Path) -> None:
    """Raises ConfigError where a process still works in a folder of its own: SIGKILL alone has
    ended the job that it is of.
    """
    for folder in sorted(out.glob("work-*")):
        Run(folder, lambda _: None).close()


def nothing() -> None:
    """Nobody looks meanwhile."""


def work_together(
    what: str, workers: Sequence[Sequence[str]], look: Callable[[], None] = nothing
) -> None:
    """Run `inspector-train` with each of these arguments at once, until all have ended.

    look: called now and then, and once all have ended. Whatever ends this process, but SIGKILL,
    ends them. Raises TrainingError where one fails.
    """
    crew = []
    try:
        for arguments in workers:
            words = [sys.executable, "-m", "training.cli", *arguments]
            crew.append(subprocess.Popen(words, stdout=subprocess.DEVNULL))  # noqa: S603 - ourselves
        codes = _wait(crew, look)
    finally:
        for each in crew:
            each.send_signal(signal.SIGTERM)
        for each in crew:
            _end(each)
    if any(codes):
        raise TrainingError(f"{what}: the processes ended with {codes}: see their words above")


def _wait(crew: list["subprocess.Popen[bytes]"], look: Callable[[], None]) -> list[int]:
    """Until all are done; one that fails ends the wait."""
    pause = threading.Event()
    while any(each.poll() is None for each in crew):
        if any(each.poll() for each in crew):
            break
        look()
        pause.wait(0.2)
    look()
    return [each.poll() or 0 for each in crew]


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
