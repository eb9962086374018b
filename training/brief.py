"""A plan's pictures for commands that keep nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from training.dataset import read_dataset
from training.fit import Machine
from training.job import Job
from training.plan import Plan, read_plan
from training.release import read_sights
from training.run import Run
from training.screen import Screen
from training.sights import Sights


@contextmanager
def sights_for_once(
    path: Path, data: Path, machine_of: Callable[[Plan, Path], Machine]
) -> Iterator[Sights]:
    """Read, scanned and split; gone when they are no more needed.

    machine_of: where a plan is computed. Raises ConfigError, DataError in words.
    """
    plan, dataset, screen = read_plan(path), read_dataset(data), Screen()
    with TemporaryDirectory() as folder:
        run = Run(Path(folder), screen.say)
        try:
            job = Job(plan, run, machine_of(plan, path), screen)
            yield read_sights(job, dataset, "for once")
        finally:
            run.close()
