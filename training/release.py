"""From labelled images to a bundle an inspector may load. START READING HERE.

Each line of `release` is a stage whose result is kept; see run.py.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.contract.bundle import file_sha256
from training.augment import Augmenter
from training.dataset import (
    SPLITS,
    Sample,
    SplitName,
    read_dataset,
    require_trainable,
    split_by_part,
)
from training.distill import TeacherAnswers, label_objective, teacher_objective
from training.fit import BEST, Machine, Material, Objective, fit, load
from training.models import Network, build, require_map
from training.plan import Fit, Plan
from training.run import Run, Stage, write_whole
from training.scan import Images, load_images, scan
from training.screen import Screen


@dataclass(frozen=True, slots=True)
class Job:
    """What every stage needs to know."""

    plan: Plan
    run: Run
    machine: Machine
    screen: Screen


def prepare(job: Job, data: Path) -> tuple[Images, Stage]:
    """Read, scan and split the data. Raises DataError in words where it cannot work."""
    plan = job.plan
    dataset = read_dataset(data)

    def make_scan(folder: Path) -> None:
        def bar(samples: Iterable[Sample], total: int) -> Iterable[Sample]:
            return job.screen.bar(samples, total, "reading images")

        scan(dataset, plan.image, plan.split.near_duplicate_at, folder, bar)

    near_at = plan.split.near_duplicate_at
    scanned = job.run.stage("scan", make_scan, 1, dataset.fingerprint(), plan.image, near_at)
    images = load_images(dataset, scanned.folder)
    for line in images.report.lines():
        job.screen.say(f"  {line}")
    require_trainable(images.samples, plan.good, dataset.layout)

    def make_split(folder: Path) -> None:
        chosen = split_by_part(images.samples, images.report.twins, plan.split, plan.seed)
        rows = {name: [i for i, split in enumerate(chosen) if split == name] for name in SPLITS}
        write_whole(folder / "split.json", json.dumps(rows).encode())

    return images, job.run.stage("split", make_split, 2, scanned, plan.split, plan.seed)


def fit_teacher(job: Job, images: Images, split: Stage) -> Stage:
    """Fine-tune the teacher on labels."""
    plan, how = job.plan, job.plan.teacher

    def make(folder: Path) -> None:
        material = material_of(images, split)
        network = build(how.model, how.weights, material.classes, how.drop_rate)
        objective = label_objective(how, material.train_counts(), job.machine)
        _fit(job, network, how, material, objective, folder, views=None, title="teacher")

    return job.run.stage("teacher", make, 1, split, plan.augment, how, _digest(how), plan.seed)


def fit_student(job: Job, images: Images, split: Stage, teacher: Stage) -> Stage:
    """Distil the teacher into the student."""
    plan, how = job.plan, job.plan.student

    def make(folder: Path) -> None:
        material = material_of(images, split)
        shape = (len(images.samples), how.views, material.classes)
        answers = TeacherAnswers(
            load_network(plan.teacher, teacher.folder, material.classes),
            plan.teacher,
            folder / "answers.npy",
            shape,
            job.machine,
        )
        network = build(how.model, how.weights, material.classes, how.drop_rate)
        require_map(network, plan.image)
        objective = teacher_objective(how, material.train_counts(), answers, job.machine)
        _fit(job, network, how, material, objective, folder, views=how.views, title="student")

    return job.run.stage("student", make, 1, teacher, how, _digest(how), plan.seed)


def _fit(
    job: Job,
    network: Network,
    how: Fit,
    material: Material,
    objective: Objective,
    folder: Path,
    *,
    views: int | None,
    title: str,
) -> None:
    fit(
        network,
        how,
        material,
        objective,
        Augmenter(job.plan.augment, job.plan.image, job.plan.seed),
        folder,
        seed=job.plan.seed,
        views=views,
        machine=job.machine,
        screen=job.screen,
        title=title,
    )


def load_network(how: Fit, folder: Path, classes: int) -> Network:
    """The network a stage kept."""
    network = build(how.model, "none", classes)
    network.load_state_dict(load(folder / BEST))
    return network.eval()


def material_of(images: Images, split: Stage) -> Material:
    """Pixels and class numbers of train and validation; the golden set stays out."""
    rows = split_rows(split)
    labels = sorted({sample.label for sample in images.samples})
    targets = np.array([labels.index(sample.label) for sample in images.samples], np.int64)
    return Material(images.pixels, targets, rows["train"], rows["validation"], len(labels))


def split_rows(split: Stage) -> dict[SplitName, NDArray[np.int64]]:
    """The rows of each split, as the split stage kept them."""
    kept = json.loads((split.folder / "split.json").read_text(encoding="utf-8"))
    return {name: np.array(kept[name], np.int64) for name in SPLITS}


def _digest(how: Fit) -> str:
    """Of the weights file: another file with the same name is another input."""
    return how.weights if how.weights in ("hub", "none") else file_sha256(Path(how.weights))
