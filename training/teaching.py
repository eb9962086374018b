"""The stages that train: the teachers, then the students they teach, generation by generation."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from inspector.contract.bundle import file_sha256
from inspector.contract.errors import ConfigError
from inspector.contract.whole import write_whole
from training.checkpoint import BEST, HISTORY, history_of, load, mean_row, save
from training.committee import joined, seed_of
from training.crew import together
from training.handover import HANDED, network_for, read_networks
from training.job import Data, Job
from training.learned_record import shown_of_archive, write_memories
from training.learning import learn_as_student, learn_labels
from training.plan_networks import Fit, Peer, Student, Teacher
from training.precision import SPEED, measure
from training.run import Stage
from training.sights import Sight, Sights
from training.unlabelled import read_unlabelled

HANDED_UNPAINTED = (
    f"  {HANDED}: a teacher that was not trained with [synthetic] calls painted defects good, and "
    "its student believes it"
)


def fit_teachers(sights: Sights) -> tuple[Stage, ...]:
    """The teacher and the plan's further ones, each from a seed of its own; none in a plan without.

    Each on the pictures in its own size. The first may be handed on from another release.
    """
    plan, stages = sights.own.job.plan, []
    for i, (how, sight) in enumerate(zip(plan.teachers, sights.teachers, strict=True), start=1):
        if i == 1 and how.handed:
            stages.append(_handed_teacher(sight, how, Path(how.handed)))
            if plan.synthetic:
                sight.job.screen.say(HANDED_UNPAINTED)
        else:
            name = "teacher" if i == 1 else f"teacher-{i}"
            stages.append(_fit_on_labels(sight, how, name, plan.seed + i - 1))
    return tuple(stages)


def fit_student(sights: Sights, teachers: tuple[Stage, ...]) -> Stage:
    """Distil the teachers into the student; later generations learn from the one before."""
    job, data, split = sights.own
    how, seed = job.plan.student, job.plan.seed
    teacher_plans: tuple[Fit, ...] = job.plan.teachers
    # A teacher's key stands for the pictures and the views too; without one they stand themselves.
    seen: tuple[object, ...] = teachers or (split, *job.plan.drawn_by)
    if sights.apart:
        seen = (*teachers, split)
    drawn, apart = sights.drawn, sights.apart
    # Pictures without labels were once chosen by mean_logits, whatever the plan said.
    by_probabilities = how.unlabelled and how.combine == "mean_probabilities"
    version = _graded_anew(how) or (3 if by_probabilities else 2)
    for generation in range(1, how.generations + 1):
        stem = "student" if generation == 1 else f"student-{generation}"
        unlabelled = unlabelled_of(drawn.job, drawn.data)
        extra: list[Any] = [unlabelled] if unlabelled else []
        if how.old:
            extra.append(file_sha256(Path(how.old.networks) / "student.safetensors"))
        alone = job.plan.student.model_copy(update={"members": 1})
        members = []
        for member in range(how.members):
            name = stem if member == 0 else f"{stem}-member-{member + 1}"
            task = partial(
                learn_as_student,
                data=data,
                teachers=teachers,
                teacher_plans=teacher_plans,
                unlabelled=unlabelled,
                apart=apart,
                name=name,
                member=member,
            )
            its = _seeded(job, seed_of(seed, member))
            make = partial(together, its, task)
            of = (*seen, identity(alone), its.plan.seed, *extra)
            members.append(job.run.stage(name, make, version, *of))
        teachers, teacher_plans, seen = tuple(members), (alone,) * how.members, tuple(members)
        drawn, apart = sights.own, None  # taught by those that see what it sees
        # what was taken off the teacher's answers is not in those of its students
        plain = job.plan.student.model_copy(update={"rebalance": 0.0})
        job = replace(job, plan=job.plan.model_copy(update={"student": plain}))
    return _together(job, teachers)


def _together(job: Job, members: tuple[Stage, ...]) -> Stage:
    """The networks that are the student, as one; a single one is it already."""
    if len(members) == 1:
        return members[0]

    def make(folder: Path) -> None:
        memories = [shown_of_archive(each.folder) for each in members]
        shown = memories[0].with_all(memories[1:])
        if shown.entries:
            write_memories(folder, {"student": shown})
        histories = [history_of(each) for each in members]
        rows = [mean_row(rows).model_dump() for rows in zip(*histories, strict=True)]
        write_whole(folder / HISTORY, json.dumps(rows, indent=1).encode())
        save(folder / BEST, joined([load(each.folder / BEST) for each in members]))

    return job.run.stage("committee", make, 1, *members)


def _graded_anew(how: Fit) -> int | None:
    """The version of what learns severities, which once had another prior than its labels."""
    return 4 if how.severity_weight and how.imbalance != "none" else None


def _seeded(job: Job, seed: int) -> Job:
    """The same job with what is drawn in training drawn from this seed."""
    return replace(job, plan=job.plan.model_copy(update={"seed": seed}))


def unlabelled_of(job: Job, data: Data) -> Stage | None:
    """The pictures without labels that the plan has its student learn from."""
    rule = job.plan.student.unlabelled
    return read_unlabelled(job, data, Path(rule.folder)) if rule else None


def _fit_on_labels(sight: Sight, how: Teacher, name: str, seed: int) -> Stage:
    job, data, split = sight
    task = partial(learn_labels, data=data, how=how, name=name)
    make = partial(together, _seeded(job, seed), task)
    # Further ones once had the first one's views.
    version = _graded_anew(how) or (2 if seed == job.plan.seed else 3)
    # The split's key stands for the pictures' size, whichever section of the plan has given it.
    same = identity(how).model_copy(update={"width": None, "height": None})
    return job.run.stage(name, make, version, split, *job.plan.drawn_by, same, seed)


def _handed_teacher(sight: Sight, how: Teacher, folder: Path) -> Stage:
    job, data, split = sight
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
        if how.precision == "auto":
            pixels = data.images.pixels[data.rows["train"][: how.batch]]
            measure(network, pixels, into / SPEED, job.work, learning=False)

    # The pictures too: its temperature, limits and students are theirs; how it is asked is in
    # every answer that its students keep.
    of = file_sha256(weights), data.labels, how.model, how.precision
    return job.run.stage("teacher", make, 2, split, *job.plan.drawn_by, *of)


def identity(how: Fit) -> Fit:
    """The same with a file's hash for its path: what is in it counts, not where it lies."""
    update: dict[str, Any] = {"weights": weights_key(how.weights)}
    if isinstance(how, Student):
        update["peers"] = tuple(
            Peer(model=peer.model, weights=weights_key(peer.weights)) for peer in how.peers
        )
        if how.unlabelled:
            update["unlabelled"] = how.unlabelled.model_copy(update={"folder": ""})
        if how.old:
            update["old"] = how.old.model_copy(update={"networks": ""})
    return how.model_copy(update=update)


def weights_key(weights: str) -> str:
    """What is in a file of weights: its hash; "hub" and "none" stand for themselves."""
    return weights if weights in ("hub", "none") else file_sha256(Path(weights))
