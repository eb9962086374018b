"""From labelled images to a bundle an inspector may load. START READING HERE.

Each line of `release` is a stage whose result is kept; see run.py.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from inspector.contract.bundle import Bundle, file_sha256, read_bundle
from inspector.contract.image import ImageSpec
from inspector.contract.whole import write_whole
from training import forms, judging, package
from training.calibrate import calibrate
from training.checkpoint import BEST, load
from training.compress.costs import measure_steps
from training.compress.shape import shape_in
from training.compress.steps import compress
from training.dataset import (
    SPLITS,
    Dataset,
    Sample,
    SplitName,
    require_trainable,
)
from training.folds import Fold, split_by_fold
from training.foretold import unprovable
from training.handover import FACTS, Networks, write_networks
from training.job import Data, Job, data_of, tiled
from training.learned import require_unlearned
from training.learned_record import LEARNED, write_learned
from training.looks import never_shown
from training.plan import Plan
from training.plan_networks import Fit
from training.plan_tiles import Tiles
from training.prior import student_leaves_prior_out
from training.report import NO_TEACHER
from training.run import Stage
from training.running import SPLIT, write_split
from training.scan import Images, load_images, scan
from training.severity import require_known_classes
from training.ship import choice_warning
from training.shrink import advice
from training.sights import Sight, Sights, resolved
from training.split import split_by_part
from training.teaching import fit_student, fit_teachers, unlabelled_of
from training.tiles import Task, load_tiles, write_tiles
from training.workable import require_teachable, require_workable

UNSHOWN = (
    "hint: export.tta {!r} looks at pictures as [[augment]] never draws them ({}); a flip "
    "there (HorizontalFlip, VerticalFlip, D4) teaches them"
)


def release(job: Job, dataset: Dataset, out: Path, date: datetime) -> "Released":
    """Labelled images in, a bundle that holds the plan's goals out.

    date: what the bundle is dated (origin.dated); no clock is in it, so that a job killed anywhere
    and resumed ends with the same bundle. Raises DataError, ConfigError, TrainingError, or
    QualityGateError after the report is written.
    """
    plan = resolved(job.plan)
    job = replace(job, plan=plan)
    require_workable(plan)
    data_fingerprint = dataset.fingerprint(marks=plan.tiles is not None)
    sights = read_sights(job, dataset, data_fingerprint)
    for line in unprovable(plan, sights.own.data):
        job.screen.say(line)
    done = train_and_judge_on(sights)
    data, candidate = done.data, done.candidate
    for line in candidate.report.lines():
        job.screen.say(line)
    warning = choice_warning(plan, candidate.report.int8_ratio)
    if warning:
        job.screen.say(warning)
    report = out / "report"
    judging.write_report(data, candidate, report)
    job.screen.say(f"report: {report / 'report.html'}")
    judging.require_quality(plan, candidate.report)
    bundle = _sealed(job, data, candidate, package.Origin(date, data_fingerprint), out)
    networks = {role: trained.fitted for role, trained in done.trained.items()}
    _hand_on(job, data, networks, out / "networks" / bundle.id)
    return Released(bundle, done)


class Judged(NamedTuple):
    """What a release knows before it asks whether the model may ship."""

    data: Data
    trained: dict[str, judging.Trained]
    answers: Stage
    """What each model said of the sets held back."""
    candidate: judging.Candidate


class Released(NamedTuple):
    bundle: Bundle
    judged: Judged


def train_and_judge(
    job: Job, dataset: Dataset, data_fingerprint: str, fold: Fold | None = None
) -> Judged:
    """All stages up to the figures. fold: takes the place of the plan's own golden set."""
    return train_and_judge_on(read_sights(job, dataset, data_fingerprint, fold))


def train_and_judge_on(sights: Sights) -> Judged:
    """The same from pictures, or tiles, that are read and split."""
    job, data, _ = sights.own
    plan = job.plan
    require_teachable(plan, data)
    unknown = require_unlearned(plan, data, job.screen.say)
    strange = never_shown(plan.export.tta, [each.name for each in plan.augment])
    if strange:
        job.screen.once(UNSHOWN.format(plan.export.tta, strange))
    unlabelled_of(sights.drawn.job, sights.drawn.data)  # one of no use ends it before teachers do
    teachers = fit_teachers(sights)
    if not teachers:
        job.screen.say(f"{NO_TEACHER}: the student learns without one")
    chain = compress(job, data, fit_student(sights, teachers))
    networks: dict[str, tuple[Fit, Stage, Stage | None]] = {}
    if plan.teacher:
        networks["teacher"] = plan.teacher, teachers[0], None
    for role, student in {"original": chain[0], "student": chain[-1]}.items():
        if role == "student" or plan.compress:
            learned = package.learn_novelty(job, data, plan.student, student)
            networks[role] = plan.student, student, learned
    trained, models = {}, {}
    for role, (how, stage, novelty) in networks.items():
        sight = sights.of(role)
        calibrated = calibrate(sight.job, sight.data, how, stage, role)
        trained[role] = judging.Trained(stage, calibrated, novelty)
        models[role] = package.export(sight.job, sight.data, how, trained[role], role)
    models |= forms.small_forms(job, data, models["student"])
    judged = package.judge_models(sights, models)
    steps, found = measure_steps(job, data, chain), forms.quantised(models)
    candidate = judging.candidate_of(plan, data, trained, models, judged, found, steps)
    report = candidate.report.model_copy(update={"unknown": unknown})
    return Judged(data, trained, judged, candidate._replace(report=report))


def _hand_on(job: Job, data: Data, trained: dict[str, Stage], folder: Path) -> None:
    """What there is of teacher and student, for later plans: `teacher.handed`, `student.old`;
    which parts were in which set, for the next version of the data; and what each has learned.
    """
    if all((folder / name).exists() for name in (FACTS, SPLIT, LEARNED)):
        return  # FACTS is written last, and the bundle's name stands for both networks
    plan = job.plan
    networks = Networks(
        labels=data.labels,
        image=plan.image,
        teacher_image=_own_image(plan),
        teacher=plan.teacher.model if plan.teacher else None,
        teacher_imbalance=plan.teacher.imbalance if plan.teacher else None,
        teacher_sampling=plan.teacher.sampling if plan.teacher else None,
        student=plan.student.model,
        student_leaves_prior_out=student_leaves_prior_out(plan),
        members=plan.student.members,
        near_duplicate_at=plan.split.near_duplicate_at,
        compressed=shape_in(trained["student"].folder),
    )
    shown = trained["student"].folder  # a compressed one: of an archive, all that it was shown
    if "original" in trained:  # a later plan starts from it, and compresses anew
        trained = {**trained, "student": trained["original"], "compressed": trained["student"]}
        del trained["original"]
    states = {role: load(stage.folder / BEST) for role, stage in trained.items()}
    folder.mkdir(parents=True, exist_ok=True)
    write_split(data, folder)
    write_learned(plan, data, shown, folder)
    write_networks(folder, networks, states)


def _own_image(plan: Plan) -> ImageSpec | None:
    seen = plan.seen_by(plan.teacher) if plan.teacher else plan.image
    return None if seen == plan.image else seen


def _sealed(
    job: Job, data: Data, candidate: judging.Candidate, origin: package.Origin, out: Path
) -> Bundle:
    """The bundle of just these inputs: sealed now, or the one an earlier run sealed."""
    bundles = out / "bundles"

    def make(folder: Path) -> None:
        bundle = package.seal(job.plan, data, candidate, origin, bundles)
        write_whole(folder / "bundle.txt", bundle.id.encode())

    models = {role: file_sha256(path) for role, path in candidate.models.items()}
    place, made = str(bundles.resolve()), str(origin.date)
    inputs = (candidate.report, job.plan, models, place, made)
    stage = job.run.stage("bundle", make, 3, *inputs)
    folder = bundles / (stage.folder / "bundle.txt").read_text(encoding="utf-8")
    if not folder.is_dir():  # somebody moved it away
        job.run.forget(stage)
        stage = job.run.stage("bundle", make, 3, *inputs)
        folder = bundles / (stage.folder / "bundle.txt").read_text(encoding="utf-8")
    return read_bundle(folder)


def read_sights(
    job: Job, dataset: Dataset, data_fingerprint: str, fold: Fold | None = None
) -> Sights:
    """The data in each size that one of the plan's networks sees."""
    plan = resolved(job.plan)

    def read(image: ImageSpec) -> Sight:
        if image != plan.image:
            size = f"{image.width}x{image.height}"
            job.screen.once(f"the pictures at {size}, as a teacher sees them:")
        its = replace(job, plan=plan.model_copy(update={"image": image}))
        sight = Sight(its, *read_data(its, dataset, data_fingerprint, fold))
        if image == plan.image and plan.tiles is None:  # tiles are cut at their own resolution
            hint = advice(sight.data.images.report.sizes, image)
            if hint:
                job.screen.once(f"  {hint}")
        return sight

    return Sights(plan, read)


def read_data(
    job: Job, dataset: Dataset, data_fingerprint: str, fold: Fold | None = None
) -> tuple[Data, Stage]:
    """What is learned from and judged, whole or in tiles, and the stage that holds it."""
    images, split = prepare(job, dataset, data_fingerprint, fold)
    data = data_of(images, split)
    if job.plan.tiles is None:
        return data, split
    tiles = cut_tiles(job, data, job.plan.tiles, split)
    return tiled(data, tiles), tiles


def prepare(
    job: Job, dataset: Dataset, data_fingerprint: str, fold: Fold | None = None
) -> tuple[Images, Stage]:
    """Read, scan and split the data. Raises DataError in words where it cannot work."""
    plan = job.plan

    def make_scan(folder: Path) -> None:
        def bar(samples: Iterable[Sample], total: int) -> Iterable[Sample]:
            return job.screen.bar(samples, total, "reading images")

        scan(dataset, spec, plan.split.near_duplicate_at, folder, bar)

    # a plan of tiles cuts its own pixels, from the files; these are only looked at
    spec = ImageSpec(width=64, height=64) if plan.tiles else plan.image
    near_at = plan.split.near_duplicate_at
    scanned = job.run.stage("scan", make_scan, 1, data_fingerprint, spec, near_at)
    images = load_images(dataset, scanned.folder)
    for line in images.report.lines():
        job.screen.once(f"  {line}")
    require_trainable(images.samples, plan.good, dataset.layout)
    require_known_classes(plan, tuple(sorted({sample.label for sample in images.samples})))

    def make_split(folder: Path) -> None:
        chosen = (
            split_by_part(images.samples, images.report.twins, plan.split, plan.seed)
            if fold is None
            else split_by_fold(images, plan.split, fold, plan.seed)
        )
        rows = {name: [i for i, split in enumerate(chosen) if split == name] for name in SPLITS}
        write_whole(folder / "split.json", json.dumps(rows).encode())

    inputs = (scanned, plan.split, plan.seed, *([images.ties] if images.ties else []))
    if fold is None:
        return images, job.run.stage("split", make_split, 3, *inputs)
    return images, job.run.stage("fold", make_split, 1, *inputs, list(fold))


def cut_tiles(job: Job, data: Data, rule: Tiles, split: Stage) -> Stage:
    """The pictures in tiles: what is learned from and judged from here on."""
    plan = job.plan
    of: dict[int, SplitName] = {int(i): name for name in SPLITS for i in data.rows[name]}
    samples = data.images.samples
    splits = tuple(of[i] for i in range(len(samples)))
    task = Task(samples, splits, data.labels, plan.good, rule, plan.seed)

    def make(folder: Path) -> None:
        write_tiles(task, plan.image, folder, job.screen.bar)

    tiles = job.run.stage("tiles", make, 1, split, rule, plan.image, plan.good, plan.seed)
    for line in load_tiles(tiles.folder)[-1]:
        job.screen.once(f"  {line}")
    return tiles
