"""The plan: everything that determines a training run, in one TOML file.

A finished stage is kept under the hash of the parts of the plan it depends on, so that a change
here repeats just what it touches.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from inspector.contract.strict import Name, Strict, parse
from training.colour import sees_colour
from training.plan_base import read_based
from training.plan_compress import Compress
from training.plan_export import Export, Tta
from training.plan_networks import (
    Fit,
    Peer,
    Section,
    Share,
    Student,
    Teacher,
    absent,
    require_proportions,
    require_rebalanced_once,
)
from training.plan_quality import Quality
from training.plan_search import Search
from training.plan_synthetic import Synthetic
from training.plan_tiles import Tiles


class SplitRule(Section):
    """How parts are set aside. Twins (one part id, or nearly the same picture) stay together."""

    golden: Annotated[float, Field(gt=0.0, lt=0.8)] = 0.2
    """Share of each class for the golden set: never trained on, never tuned on."""
    calibration: Annotated[float, Field(ge=0.0, lt=0.8)] = 0.15
    """Share of each class, of what is left, for the limits alone: they are a guarantee only on
    parts that chose nothing else. 0 takes the validation parts, and then nothing is certified."""
    validation: Annotated[float, Field(gt=0.0, lt=0.8)] = 0.1
    """Share of each class, of what is left, for choosing the checkpoint and the temperature."""
    near_duplicate_at: Annotated[float, Field(gt=0.5, le=1.0)] = 0.97
    """Likeness that makes twins: cosine of two pictures less the average picture; 1 is off."""

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.calibration + self.validation > 0.9:
            raise ValueError(
                f"calibration {self.calibration} + validation {self.validation}: "
                f"at most 0.9 together, or nothing is left to train on"
            )
        return self


class Step(Section):
    """One albumentations transform: its class name, probability and arguments."""

    name: str
    p: Share = 1.0
    options: dict[str, Any] = Field(default_factory=dict)


AnyNetwork = TypeVar("AnyNetwork", Teacher, Student, Peer)


class Plan(Section):
    base: Annotated[str | None, Field(exclude_if=absent)] = None
    """A plan in the same folder: this one is that, but for what it says itself. Sections are laid
    upon each other key by key, anything else is replaced, `false` takes away what the base has."""
    name: Name
    good: Annotated[tuple[str, ...], Field(min_length=1)]
    """The acceptable classes; every other one is a defect."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    licence: str = "unstated"
    """Of the images, recorded in the bundle."""
    notice: str = ""
    """Shown wherever the bundle is used."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """CPU threads for training; 0 takes all. The same number gives the same figures."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    image: ImageSpec
    tiles: Tiles | None = None
    """Absent: the whole picture is one region."""
    split: SplitRule = SplitRule()
    augment: tuple[Step, ...] = ()
    synthetic: Synthetic | None = None
    """Absent: no defects are painted on good pictures."""
    teacher: Teacher | None = None
    """Not needed, and not trained, where student.alpha is 0 and nothing else learns from one."""
    ensemble: Annotated[tuple[Teacher, ...], Field(max_length=8)] = ()
    """More teachers, each from a seed of its own; the student learns from the mean answer."""
    student: Student
    compress: Compress | None = None
    """Absent: the student ships as it was trained."""
    quality: Quality = Quality()
    export: Export = Export()
    search: Search = Search()

    @property
    def drawn_by(self) -> tuple[object, ...]:
        """What views, and what is said of them, come of, for the names of what is learned there."""
        drawn: tuple[object, ...] = (self.augment,)
        if any(sees_colour(step.name, step.options) for step in self.augment):
            drawn += ("rgb",)  # such steps were once given BGR for it
        if self.synthetic:
            drawn += (self.synthetic,)
        graded = any(how.severity_weight for how in (*self.teachers, self.student))
        # Only good pictures are painted on, and how severe a picture is goes to the other classes.
        return (*drawn, sorted(self.good)) if self.synthetic or graded else drawn

    @property
    def teachers(self) -> tuple[Teacher, ...]:
        """The teacher and the plan's further ones; none where the student learns without."""
        return (self.teacher, *self.ensemble) if self.teacher else ()

    @property
    def named_teachers(self) -> tuple[tuple[str, Teacher], ...]:
        """The same with the section that each is written in."""
        names = ("teacher", *("ensemble" for _ in self.ensemble))
        return tuple(zip(names, self.teachers, strict=False))

    def seen_by(self, teacher: Teacher) -> ImageSpec:
        """The pictures that a teacher sees: the plan's, or the same in its own size."""
        if teacher.width is None:
            return self.image
        return self.image.model_copy(update={"width": teacher.width, "height": teacher.height})

    def architecture(self, role: str) -> str:
        """timm's name of a release's model, its pictures' size where it has its own, and what was
        done to it."""
        if self.teacher and role == "teacher":
            seen = self.seen_by(self.teacher)
            size = "" if seen == self.image else f" at {seen.width}x{seen.height}"
            return f"{self.teacher.model}{size}"
        done = self.compress.kinds if self.compress and role != "original" else ()
        looks = () if self.export.tta == "off" else (f"tta {self.export.tta}",)
        number = f"{self.student.members} x " if self.student.members > 1 else ""
        return " + ".join((f"{number}{self.student.model}", *done, *looks))

    def tta_of(self, role: str) -> Tta:
        """How often a release's model looks at a picture: a teacher once, as it teaches."""
        return "off" if self.teacher and role == "teacher" else self.export.tta

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if len(set(self.good)) != len(self.good):
            raise ValueError(f"good {list(self.good)}: a class appears twice")
        if self.teacher is None and (self.student.needs_teacher or self.ensemble):
            raise ValueError(
                "teacher: is missing; a student without one has alpha = 0 under [student], and "
                "neither feature_weight, hints, unlabelled nor [[ensemble]]"
            )
        return self

    @model_validator(mode="after")
    def _teachers_go_with_the_rest(self) -> Self:
        for name, how in self.named_teachers:
            if how.handed and name == "ensemble":
                raise ValueError("ensemble.handed: only [teacher] may be handed on from a release")
            if not how.handed:  # what a handed one learned, its release knows (`resolved`)
                require_rebalanced_once(self.student, how, name)
            require_proportions(self.image, self.seen_by(how), name)
        return self

    @model_validator(mode="after")
    def _members_go_with_the_rest(self) -> Self:
        if self.student.members > 1 and (self.compress or self.search.prune):
            key = "[compress]" if self.compress else "search.prune"
            raise ValueError(
                f"student.members {self.student.members}: {key} cuts a student of one network; "
                f"leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _looks_go_with_the_rest(self) -> Self:
        if self.export.tta == "turns" and self.image.width != self.image.height:
            raise ValueError(
                f"export.tta 'turns': quarter turns need square pictures, image is "
                f'{self.image.width}x{self.image.height}; "flips" takes any'
            )
        return self

    @model_validator(mode="after")
    def _tiles_go_with_the_rest(self) -> Self:
        if self.tiles is None:
            return self
        if self.image.fit != "pad":
            raise ValueError(
                "tiles: image.fit must be 'pad': a picture narrower than a tile would be stretched"
            )
        if self.student.unlabelled:
            raise ValueError(
                "tiles: student.unlabelled shows whole pictures, at another scale than tiles; "
                "leave one of the two out"
            )
        return self


def read_plan(path: Path) -> Plan:
    """Read a plan. Files and folders it names are found beside it. Raises ConfigError in words.

    A teacher that nothing is learned from is left out: `teacher` is None then.
    """
    written = read_based(path)
    plan = without_idle_teacher(parse(Plan, written.table, written.where))

    def beside(weights: str) -> str:
        return weights if weights in ("hub", "none") else str(path.parent / weights)

    plan = _with_weights(plan, lambda fit, _: beside(fit.weights))
    teacher, student = plan.teacher, plan.student
    if teacher and teacher.handed:
        teacher = teacher.model_copy(update={"handed": str(path.parent / teacher.handed)})
    if student.old:
        old = student.old.model_copy(update={"networks": str(path.parent / student.old.networks)})
        student = student.model_copy(update={"old": old})
    if student.unlabelled:
        folder = str(path.parent / student.unlabelled.folder)
        unlabelled = student.unlabelled.model_copy(update={"folder": folder})
        student = student.model_copy(update={"unlabelled": unlabelled})
    search = plan.search.model_copy(update={"weights": beside(plan.search.weights)})
    return plan.model_copy(update={"teacher": teacher, "student": student, "search": search})


def without_idle_teacher(plan: Plan) -> Plan:
    """The plan without teachers where the student learns nothing from one."""
    if plan.student.needs_teacher:
        return plan
    return plan.model_copy(update={"teacher": None, "ensemble": ()})


def with_weights_from(plan: Plan, folder: Path) -> Plan:
    """Where the plan says "hub", take MODEL.*.safetensors (or .pth) of a folder instead.

    For plants without a way out. Raises ConfigError where the folder has none, or several.
    """

    def found(fit: Fit | Peer, role: str) -> str:
        if fit.weights != "hub":
            return fit.weights
        suffixes = (".safetensors", ".pth", ".bin")
        mine = [p for p in sorted(folder.glob(f"{fit.model}.*")) if p.suffix in suffixes]
        if len(mine) != 1:
            there = ", ".join(p.name for p in mine) or "none"
            raise ConfigError(
                f"--weights {folder}: {role}.model {fit.model!r} needs one file "
                f"{fit.model}.*.safetensors there; found: {there}"
            )
        return str(mine[0])

    return _with_weights(plan, found)


def _with_weights(plan: Plan, choose: Callable[[Fit | Peer, str], str]) -> Plan:
    """The plan with other starting weights for every network in it."""

    def changed(fit: AnyNetwork, role: str) -> AnyNetwork:
        return fit.model_copy(update={"weights": choose(fit, role)})

    peers = tuple(changed(peer, f"student.peers.{i}") for i, peer in enumerate(plan.student.peers))
    student = changed(plan.student, "student").model_copy(update={"peers": peers})
    update = {
        "teacher": changed(plan.teacher, "teacher") if plan.teacher else None,
        "ensemble": tuple(changed(each, f"ensemble.{i}") for i, each in enumerate(plan.ensemble)),
        "student": student,
    }
    return plan.model_copy(update=update)


def fingerprint(*parts: Any) -> str:
    """SHA-256 of plain values and models in a canonical form."""

    def plain(value: Any) -> Any:
        if isinstance(value, Strict):
            return value.model_dump(mode="json")
        raise TypeError(f"cannot fingerprint {type(value)}")

    text = json.dumps(parts, default=plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
