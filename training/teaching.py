"""The stages that train: the teachers, then the students they teach, generation by generation."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inspector.contract.bundle import file_sha256
from inspector.contract.errors import ConfigError
from training.augment import Augmenter
from training.checkpoint import BEST, HISTORY, save
from training.crew import together
from training.distill import Labels, Remembered, Taught, Teachers
from training.features import Hints
from training.fit import Objective, fit, predict
from training.handover import network_for, read_networks
from training.job import Data, Job, Work, load_network
from training.material import Material
from training.models import Network, build
from training.plan import Plan
from training.plan_networks import Fit, Peer, Student, Teacher, Unlabelled
from training.precision import precision_of, settle
from training.run import Stage, write_whole
from training.unlabelled import load_unlabelled, read_unlabelled

OLD = "student.old.networks"
HANDED = "teacher.handed"


def fit_teachers(job: Job, data: Data, split: Stage) -> tuple[Stage, ...]:
    """The teacher and the plan's further ones, each from a seed of its own; none in a plan without.

    The first may be handed on from another release.
    """
    plan, stages = job.plan, []
    for i, how in enumerate(plan.teachers, start=1):
        if i == 1 and how.handed:
            stages.append(_handed_teacher(job, data, how, Path(how.handed)))
        else:
            name = "teacher" if i == 1 else f"teacher-{i}"
            stages.append(_fit_on_labels(job, data, split, how, name, plan.seed + i - 1))
    return tuple(stages)


def fit_student(job: Job, data: Data, split: Stage, teachers: tuple[Stage, ...]) -> Stage:
    """Distil the teachers into the student; later generations learn from the one before."""
    plan, how = job.plan, job.plan.student
    teacher_plans: tuple[Fit, ...] = plan.teachers
    extra: list[Any] = []
    unlabelled = unlabelled_of(job, data)
    if unlabelled:
        extra.append(unlabelled)
    if how.old:
        extra.append(file_sha256(Path(how.old.networks) / "student.safetensors"))
    # A teacher's key stands for the pictures and the views too; without one they stand themselves.
    seen = teachers or (split, plan.augment)
    for generation in range(1, how.generations + 1):
        name = "student" if generation == 1 else f"student-{generation}"
        task = partial(
            _learn_as_student,
            data=data,
            teachers=teachers,
            teacher_plans=teacher_plans,
            unlabelled=unlabelled,
            name=name,
        )
        make = partial(together, job, task)
        stage = job.run.stage(name, make, 2, *seen, identity(how), plan.seed, *extra)
        teachers, teacher_plans, seen = (stage,), (how,), (stage,)
    return stage


def unlabelled_of(job: Job, data: Data) -> Stage | None:
    """The pictures without labels that the plan has its student learn from."""
    rule = job.plan.student.unlabelled
    return read_unlabelled(job, data, Path(rule.folder)) if rule else None


def _learn_as_student(
    work: Work,
    folder: Path,
    *,
    data: Data,
    teachers: tuple[Stage, ...],
    teacher_plans: tuple[Fit, ...],
    unlabelled: Stage | None,
    name: str,
) -> None:
    how = work.plan.student
    learn_from(
        work,
        folder,
        _start(how, data.labels, work.plan.seed),
        how,
        data=data,
        teachers=teachers,
        teacher_plans=teacher_plans,
        unlabelled=unlabelled,
        name=name,
    )


def learn_from(
    work: Work,
    folder: Path,
    network: Network,
    how: Student,
    *,
    data: Data,
    teachers: tuple[Stage, ...],
    teacher_plans: tuple[Fit, ...],
    unlabelled: Stage | None,
    name: str,
) -> None:
    """Train a network as its plan says, from labels and whatever teaches it, into the folder."""
    plan = work.plan
    material = data.material(plan.good)
    classes = material.classes
    settled = settle(how, network, material, folder, work)
    objective: Objective
    if how.is_taught:
        networks = [
            load_network(its, stage.folder, classes)
            for its, stage in zip(teacher_plans, teachers, strict=True)
        ]
        if unlabelled and how.unlabelled:
            material = _with_unlabelled(
                work, material, how.unlabelled, unlabelled, networks, folder
            )
        asked = None
        if networks:
            asked = Teachers(
                networks,
                material,
                folder,
                precision_of(teacher_plans[0], teachers[0]),
                work.machine,
                views=how.views,
                dims=how.feature_dims if how.feature_weight else 0,
                mean=how.combine,
            )
        peers = [fresh(peer, classes, plan.seed + 1 + i) for i, peer in enumerate(how.peers)]
        objective = Taught(
            settled,
            material,
            asked,
            network,
            work.machine,
            peers=peers,
            remembered=_remembered(work, how, data, material, folder, settled.precision),
            hints=_hints(how, network, networks, plan),
        )
    else:
        objective = Labels(settled, material, work.machine)
    _fit(work, network, how, material, objective, folder, how.views, name)


def _start(how: Student, labels: tuple[str, ...], seed: int) -> Network:
    """The student before training: fresh, or the one that runs now."""
    if how.old is None:
        return fresh(how, len(labels), seed)
    torch.manual_seed(seed)
    return network_for(Path(how.old.networks), "student", how, labels, OLD)[0]


def _hints(how: Student, network: Network, teachers: list[Network], plan: Plan) -> Hints | None:
    if not how.hints:
        return None
    return Hints(how.hints, network, teachers[0], plan.image)


def _remembered(
    work: Work, how: Student, data: Data, material: Material, folder: Path, precision: str
) -> Remembered | None:
    """The student that runs now as a teacher of what it knew."""
    if how.old is None or not how.old.weight:
        return None
    network, known = network_for(Path(how.old.networks), "student", how, data.labels, OLD)
    asked = Teachers(
        [network], material, folder / "old", precision, work.machine, views=how.views, dims=0
    )
    return Remembered(asked, known, how.old.weight)


def _with_unlabelled(
    work: Work,
    material: Material,
    rule: Unlabelled,
    stage: Stage,
    teachers: list[Network],
    folder: Path,
) -> Material:
    """The material with the pictures of whose class the teachers are sure enough."""
    pixels = load_unlabelled(stage).pixels
    kept = folder / "confident.npy"
    if not kept.exists():
        rows = np.arange(len(pixels))
        logits = sum(predict(teacher, pixels, rows, work.machine) for teacher in teachers)
        sure = torch.softmax(torch.from_numpy(logits / len(teachers)), dim=1).max(dim=1).values
        chosen = rows[sure.numpy() >= rule.confidence_at_least]
        with work.machine.team.first():
            if not kept.exists():
                draft = folder / "confident.part.npy"
                np.save(draft, chosen)
                draft.replace(kept)
    chosen = np.load(kept)
    if not len(chosen):
        raise ConfigError(
            f"plan: student.unlabelled.confidence_at_least {rule.confidence_at_least}: "
            f"the teacher is that sure of none of {len(pixels)} pictures"
        )
    work.screen.say(f"  unlabelled: {len(chosen)} of {len(pixels)} taught (teacher sure enough)")
    shown = round(rule.share * len(material.train))
    return material.joined(pixels, chosen, shown)


def _fit_on_labels(job: Job, data: Data, split: Stage, how: Teacher, name: str, seed: int) -> Stage:
    task = partial(_learn_labels, data=data, how=how, name=name, seed=seed)
    make = partial(together, job, task)
    return job.run.stage(name, make, 2, split, job.plan.augment, identity(how), seed)


def _learn_labels(
    work: Work, folder: Path, *, data: Data, how: Teacher, name: str, seed: int
) -> None:
    material = data.material(work.plan.good)
    network = fresh(how, material.classes, seed)
    objective = Labels(settle(how, network, material, folder, work), material, work.machine)
    _fit(work, network, how, material, objective, folder, 0, name)


def _handed_teacher(job: Job, data: Data, how: Teacher, folder: Path) -> Stage:
    known_labels = read_networks(folder, "teacher", HANDED).labels
    weights = folder / "teacher.safetensors"

    def make(into: Path) -> None:
        network, known = network_for(folder, "teacher", how, data.labels, HANDED)
        if len(known) < len(data.labels):
            strange = next(c for i, c in enumerate(data.labels) if i not in known)
            labels = ", ".join(known_labels)
            raise ConfigError(
                f"plan: {HANDED} {str(folder)!r}: knows no {strange!r}, only {labels}"
            )
        save(into / BEST, network.state_dict())
        write_whole(into / HISTORY, b"[]")

    return job.run.stage("teacher", make, 1, file_sha256(weights), data.labels, how.model)


def _fit(
    work: Work,
    network: Network,
    how: Fit,
    material: Material,
    objective: Objective,
    folder: Path,
    views: int,
    title: str,
) -> None:
    fit(
        network,
        how,
        material,
        objective,
        Augmenter(work.plan.augment, work.plan.image, work.plan.seed),
        folder,
        seed=work.plan.seed,
        views=views,
        machine=work.machine,
        screen=work.screen,
        title=title,
    )


def fresh(how: Fit | Peer, classes: int, seed: int) -> Network:
    """A network to be trained; what its weights file leaves open is drawn from the seed."""
    torch.manual_seed(seed)
    drop_rate = how.drop_rate if isinstance(how, Fit) else 0.0
    return build(how.model, how.weights, classes, drop_rate)


def identity(how: Fit) -> Fit:
    """The same with a file's hash for its path: what is in it counts, not where it lies."""
    update: dict[str, Any] = {"weights": _weights_key(how.weights)}
    if isinstance(how, Student):
        update["peers"] = tuple(
            Peer(model=peer.model, weights=_weights_key(peer.weights)) for peer in how.peers
        )
        if how.unlabelled:
            update["unlabelled"] = how.unlabelled.model_copy(update={"folder": ""})
        if how.old:
            update["old"] = how.old.model_copy(update={"networks": ""})
    return how.model_copy(update=update)


def _weights_key(weights: str) -> str:
    return weights if weights in ("hub", "none") else file_sha256(Path(weights))
