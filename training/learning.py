"""How a network is trained as its plan says: from labels, and from whatever teaches it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.augment import Augmenter
from training.distill import Labels, Remembered, Taught
from training.features import Hints
from training.fit import Objective, fit, predict
from training.handover import OLD, network_for
from training.job import Data, Work, load_network
from training.learned_record import Memory, shown_of_archive, write_memories
from training.material import Brought, Material
from training.models import Network, build, member_of
from training.plan import Plan
from training.plan_networks import Fit, Peer, Student, Teacher, Unlabelled
from training.precision import precision_of, settle
from training.run import Stage
from training.sights import Apart
from training.soft import combine
from training.teachers import Teachers, kept_in
from training.unlabelled import load_unlabelled
from training.views import Views


def learn_as_student(
    work: Work,
    folder: Path,
    *,
    data: Data,
    teachers: tuple[Stage, ...],
    teacher_plans: tuple[Fit, ...],
    unlabelled: Stage | None,
    apart: Apart | None,
    name: str,
    member: int = 0,
) -> None:
    """Train the plan's student, or a member of it, from its start."""
    how = work.plan.student
    learn_from(
        work,
        folder,
        _start(how, data.labels, work.plan.seed, member),
        how,
        data=data,
        teachers=teachers,
        teacher_plans=teacher_plans,
        unlabelled=unlabelled,
        apart=apart,
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
    apart: Apart | None = None,
) -> None:
    """Train a network as its plan says, from labels and whatever teaches it, into the folder.

    apart: where its teachers see the pictures in another size; `unlabelled` is in the largest.
    """
    plan = work.plan
    material = data.material(plan)
    sees = apart.sees if apart else (None,) * len(teachers)
    if apart:
        material = replace(material, larger=apart.larger)
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
                work,
                material,
                how.unlabelled,
                unlabelled,
                teachers,
                networks,
                sees,
                folder,
                mean=how.combine,
            )
        asked = None
        if networks:
            precisions = list(map(precision_of, teacher_plans, teachers))
            asked = Teachers(
                networks,
                material,
                kept_in(folder, plan, how, material, (*teachers, unlabelled), precisions, sees),
                precisions,
                work.machine,
                views=how.views,
                dims=how.feature_dims if how.feature_weight else 0,
                mean=how.combine,
                sees=sees,
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
            hints=hints_of(how, network, networks, plan.image, sees),
        )
    else:
        objective = Labels(settled, material, work.machine)
    _fit(work, network, how, material, objective, folder, how.views, name)


def _start(how: Student, labels: tuple[str, ...], seed: int, member: int) -> Network:
    """The student before training: fresh, or the one that runs now."""
    if how.old is None:
        return fresh(how, len(labels), seed)
    torch.manual_seed(seed)
    return member_of(network_for(Path(how.old.networks), "student", how, labels, OLD)[0], member)


def hints_of(
    how: Student,
    network: Network,
    teachers: list[Network],
    image: ImageSpec,
    sees: Sequence[ImageSpec | None],
) -> Hints | None:
    """What layers of the student learn from those of its first teacher, if the plan says so."""
    if not how.hints:
        return None
    return Hints(how.hints, network, teachers[0], image, sees[0])


def _remembered(
    work: Work, how: Student, data: Data, material: Material, folder: Path, precision: str
) -> Remembered | None:
    """The student that runs now as a teacher of what it knew."""
    if how.old is None or not how.old.weight:
        return None
    network, known = network_for(Path(how.old.networks), "student", how, data.labels, OLD)
    asked = Teachers(
        [network], material, folder / "old", [precision], work.machine, views=how.views, dims=0
    )
    return Remembered(asked, known, how.old.weight)


def _with_unlabelled(
    work: Work,
    material: Material,
    rule: Unlabelled,
    stage: Stage,
    taught: Sequence[Stage],
    teachers: list[Network],
    sees: Sequence[ImageSpec | None],
    folder: Path,
    *,
    mean: Literal["mean_logits", "mean_probabilities"],
) -> Material:
    """The material with the pictures of whose class the teachers are sure enough.

    taught: the stages of the teachers. mean: how their answers become one, here as in teaching.
    """
    archive = load_unlabelled(stage)
    pixels = archive.pixels
    drawn_as = material.larger.image if material.larger else work.plan.image
    kept = folder / "confident.npy"
    if not kept.exists():
        rows = np.arange(len(pixels))
        said = [
            predict(teacher, _in_size(pixels, drawn_as, its or work.plan.image), rows, work.machine)
            for teacher, its in zip(teachers, sees, strict=True)
        ]
        logits = combine([torch.from_numpy(each) for each in said], mean)
        sure = torch.softmax(logits, dim=1).max(dim=1).values
        chosen = rows[sure.numpy() >= rule.confidence_at_least]
        with work.machine.team.first():
            if not kept.exists():
                names = [archive.names[i] for i in chosen]
                looks = archive.looks.taken(chosen.tolist())
                before = [shown_of_archive(each.folder) for each in taught]
                memory = Memory.of("archive", names, looks).with_all(before)
                write_memories(folder, {"student": memory})
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


def _in_size(
    pixels: NDArray[np.uint8], drawn_as: ImageSpec, its: ImageSpec
) -> NDArray[np.uint8] | Brought:
    return pixels if its == drawn_as else Brought(pixels, its)


def learn_labels(work: Work, folder: Path, *, data: Data, how: Teacher, name: str) -> None:
    """Train a teacher from labels alone."""
    material = data.material(work.plan)
    network = fresh(how, material.classes, work.plan.seed)
    objective = Labels(settle(how, network, material, folder, work), material, work.machine)
    _fit(work, network, how, material, objective, folder, 0, name)


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
        augmenter_of(work.plan, material),
        folder,
        seed=work.plan.seed,
        views=views,
        machine=work.machine,
        screen=work.screen,
        title=title,
    )


def augmenter_of(plan: Plan, material: Material) -> Augmenter:
    """For the pictures from which the plan's views are drawn."""
    image = material.larger.image if material.larger else plan.image
    return Augmenter(plan.augment, image, plan.seed)


def views_of(plan: Plan, material: Material) -> Views:
    """As the plan's student is shown them."""
    return Views(material, augmenter_of(plan, material), plan.student.mix, plan.seed)


def fresh(how: Fit | Peer, classes: int, seed: int) -> Network:
    """A network to be trained; what its weights file leaves open is drawn from the seed."""
    torch.manual_seed(seed)
    drop_rate = how.drop_rate if isinstance(how, Fit) else 0.0
    return build(how.model, how.weights, classes, drop_rate)
