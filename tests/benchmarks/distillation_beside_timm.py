"""Images a second of distillation: ours, and timm's own task with a teacher, on the same work.

    python -m tests.benchmarks.distillation_beside_timm --data elpv

Same student, same teacher, same batches drawn beforehand, same optimiser, all in fp32, in turn
(A B C A B C ...) in one process. timm.task.LogitDistillationTask asks the teacher
every time.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from training.augment import Augmenter
from training.dataset import read_dataset
from training.distill import Taught
from training.fit import Machine, autocast
from training.job import Job, data_of
from training.material import Material
from training.memory import keep_freed_memory
from training.models import Network, build
from training.plan import Plan, read_plan
from training.release import prepare
from training.run import Run
from training.screen import Screen
from training.teachers import Teachers
from training.views import Batch, Views

Step = Callable[[Batch], None]


def timm_step(plan: Plan, teacher: Network, machine: Machine) -> tuple[str, Step]:
    """timm's task and the step that trains with it."""
    student = build(plan.student.model, "none", 2)
    task = importlib.import_module("timm.task").LogitDistillationTask(
        student_model=student.trunk,
        teacher_model=teacher.trunk,
        criterion=nn.CrossEntropyLoss(),
        task_loss_weight=1.0 - plan.student.alpha,
        temperature=plan.student.temperature,
        device=machine.device,
        verbose=False,
    )
    task.train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=plan.student.lr)

    def step(batch: Batch) -> None:
        images = student.prepare(batch.images)
        with autocast(machine, plan.teachers[0].precision):
            loss = task(images, batch.target)["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return "timm.task.LogitDistillationTask", step


def our_step(
    plan: Plan, teacher: Network, machine: Machine, views: int, material: Material, folder: Path
) -> tuple[str, Step]:
    """Our objective, with answers kept or asked for every time."""
    student = build(plan.student.model, "none", 2)
    asked = Teachers(
        [teacher], material, folder, [plan.teachers[0].precision], machine, views=views, dims=0
    )
    objective = Taught(plan.student, material, asked, student, machine)
    student.train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=plan.student.lr)

    def step(batch: Batch) -> None:
        loss = objective(student, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return ("ours, kept answers" if views else "ours, teacher asked every time"), step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", type=Path, default=Path("training/plans/elpv.toml"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batches", type=int, default=3, help="in a round")
    parser.add_argument("--rounds", type=int, default=7, help="the first is not counted")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # for all of them alike
    machine = Machine(torch.device("cpu"), arguments.threads)
    plan = read_plan(arguments.plan)
    plain = {
        "weights": "none",
        "feature_weight": 0.0,
        "mix": {"share": 0.0},
        "drop_rate": 0.0,
        "precision": "fp32",
    }
    student = type(plan.student).model_validate(plan.student.model_dump() | plain)
    teacher_plan = plan.teachers[0].model_copy(update={"precision": "fp32"})
    plan = plan.model_copy(update={"student": student, "teacher": teacher_plan})
    with TemporaryDirectory() as name:
        folder = Path(name)
        run = Run(folder / "work", Screen(quiet=True).say)
        job = Job(plan, run, machine, Screen(quiet=True))
        images, split = prepare(job, read_dataset(arguments.data), "benchmark")
        material = data_of(images, split).material(plan)
        shown = Views(material, Augmenter(plan.augment, plan.image, 0), student.mix, 0)
        rows = material.train[: arguments.batches * student.batch]
        batches = list(shown.batches(rows, 0, student.batch, arguments.threads))
        teacher = build(plan.teachers[0].model, "none", 2).eval()
        ways = [
            our_step(plan, teacher, machine, 1, material, folder / "kept"),
            our_step(plan, teacher, machine, 0, material, folder / "live"),
            timm_step(plan, teacher, machine),
        ]
        rates: dict[str, list[float]] = {label: [] for label, _ in ways}
        for _ in range(arguments.rounds):
            for label, step in ways:
                start = time.perf_counter()
                for batch in batches:
                    step(batch)
                rates[label].append(len(rows) / (time.perf_counter() - start))
        run.close()
    say = sys.stdout.write
    say(f"{plan.student.model} taught by {plan.teachers[0].model}, {plan.image.width} px\n")
    for label, each in rates.items():
        low, median, high = np.quantile(each[1:], [0.25, 0.5, 0.75])
        say(f"{label:36}{median:8.1f} images/s ({low:.1f} to {high:.1f})\n")


if __name__ == "__main__":
    main()
