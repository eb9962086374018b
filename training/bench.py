"""How fast a plan trains here: with kept answers, with the teacher asked every time, and without.

The three take the same steps on the same pictures in turn (A B C A B C ...), so that what else runs
on the machine falls on all of them alike.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from inspector.contract.errors import ConfigError
from training.distill import Labels, Taught
from training.fit import CLIP_NORM, Objective
from training.learning import fresh, hints_of, views_of
from training.models import Network
from training.plan_networks import Student, Teacher
from training.precision import SPEED, precision_of, settle
from training.precision import measure as measure_precision
from training.run import Stage
from training.sights import Sight, Sights
from training.teachers import Teachers
from training.views import Batch

ROUNDS_DROPPED = 1
"""The first round of each warms up what is allocated on first use."""


class Speed(NamedTuple):
    """One way of training on this machine."""

    way: str
    images_per_s: float
    """Median over the rounds."""
    spread: float
    """Half the distance between the quartiles, in shares of the median."""

    def line(self, images: int) -> str:
        """In words, for an epoch of so many images."""
        each = images / self.images_per_s
        return (
            f"{self.way:36}{self.images_per_s:9.1f} images/s  +-{100 * self.spread:4.1f} %"
            f"{60.0 / each:9.2f} epochs/min"
        )


class _Way:
    """A student of its own, trained in one way."""

    def __init__(self, name: str, network: Network, objective: Objective, lr: float) -> None:
        self.name = name
        self.network = network.train()
        self.objective = objective
        self.rates: list[float] = []
        self._optimizer = torch.optim.AdamW([*network.parameters(), *objective.parameters()], lr=lr)

    def round(self, batches: Iterator[Batch]) -> None:
        """Train on some batches and note the images per second."""
        started, images = time.perf_counter(), 0
        for batch in batches:
            loss = self.objective(self.network, batch)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), CLIP_NORM)
            self._optimizer.step()
            images += len(batch.rows)
        self.rates.append(images / (time.perf_counter() - started))

    def speed(self) -> Speed:
        low, median, high = np.quantile(self.rates[ROUNDS_DROPPED:], [0.25, 0.5, 0.75])
        return Speed(self.name, float(median), float((high - low) / 2 / median))


def measure(sights: Sights, *, images: int, rounds: int) -> list[Speed]:
    """Images per second of the plan's student, images: in a round; rounds: at least 2.

    Starting weights are drawn: what is in them takes no time. All teachers of the plan are asked,
    and hints, which need the first at every step, are in both ways. Raises ConfigError where the
    plan has no teacher.
    """
    job, data, _ = sights.own
    plan, machine, apart = job.plan, job.machine, sights.apart
    if plan.teacher is None:
        raise ConfigError(f"plan {plan.name!r}: has no teacher; bench measures what one costs")
    material, classes = sights.material, len(data.labels)
    how = plan.student.model_copy(update={"weights": "none", "peers": ()})
    plans = [its.model_copy(update={"weights": "none"}) for its in plan.teachers]
    teachers = [fresh(its, classes, 0) for its in plans]
    sees = apart.sees if apart else (None,) * len(plans)
    dims = how.feature_dims if how.feature_weight else 0
    rows = material.train[:images]
    shown = views_of(plan, material)

    def batches(view: int) -> Iterator[Batch]:
        return shown.batches(rows, view, how.batch, machine.threads)

    with TemporaryDirectory() as folder:
        root = Path(folder)
        precisions = [
            _asked_in(its, network, sight, root / f"teacher-{i}")
            for i, (its, network, sight) in enumerate(
                zip(plans, teachers, sights.teachers, strict=True)
            )
        ]

        def student() -> tuple[Student, Network]:
            network = fresh(how, classes, 0)
            return settle(how, network, material, root, job.work), network

        def taught(name: str, views: int) -> _Way:
            settled, network = student()
            asked = Teachers(
                teachers,
                material,
                root / name.split()[0],
                precisions,
                machine,
                views=views,
                dims=dims,
                sees=sees,
            )
            hints = hints_of(how, network, teachers, plan.image, sees)
            objective = Taught(settled, material, asked, network, machine, hints=hints)
            return _Way(name, network, objective, how.lr)

        settled, alone = student()
        ways = [
            _Way("labels alone, no teacher", alone, Labels(settled, material, machine), how.lr),
            taught("kept answers, read again", 1),
            taught("teacher asked every time", 0),
        ]
        for _ in job.screen.bar(range(rounds), rounds, "measuring"):
            for way in ways:
                way.round(batches(0))
    return [way.speed() for way in ways]


def _asked_in(how: Teacher, network: Network, sight: Sight, folder: Path) -> str:
    """A teacher's precision; where the plan says auto, what a job measures on pictures of its size:
    how it would train, or, handed on, how it is asked.
    """
    if how.precision == "auto":
        folder.mkdir()
        pixels = sight.data.images.pixels[sight.data.rows["train"][: how.batch]]
        measure_precision(network, pixels, folder / SPEED, sight.job.work, learning=not how.handed)
    return precision_of(how, Stage(folder, ""))
