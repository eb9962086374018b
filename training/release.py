"""From labelled images to a bundle an inspector may load. START READING HERE.

Each line of `release` is a stage whose result is kept; see run.py.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import torch

from inspector.contract.bundle import Bundle, file_sha256, read_bundle
from training import judging, package
from training.augment import Augmenter
from training.dataset import (
    SPLITS,
    Dataset,
    Sample,
    require_trainable,
)
from training.distill import Labels, Taught, Teachers
from training.fit import Material, Objective, fit
from training.job import Data, Job, data_of, load_network
from training.models import Network, build, require_map
from training.plan import Fit, Plan
from training.run import Stage, write_whole
from training.scan import Images, load_images, scan
from training.split import split_by_part


def release(job: Job, dataset: Dataset, out: Path) -> Bundle:
    """Labelled images in, a bundle that holds the plan's goals out.

    Raises DataError, ConfigError, TrainingError, or QualityGateError after the report is written.
    """
    plan = job.plan
    require_workable(plan)
    data_fingerprint = dataset.fingerprint()
    images, split = prepare(job, dataset, data_fingerprint)
    data = data_of(images, split)
    teacher = fit_teacher(job, data, split)
    student = fit_student(job, data, teacher)
    models = {
        "teacher": package.export(job, data, plan.teacher, teacher, "teacher"),
        "student": package.export(job, data, plan.student, student, "student"),
    }
    if plan.export.int8 == "auto":
        models["student-int8"] = package.quantise(job, data, models["student"])
    judged = package.judge_models(job, data, split, models)
    trained = {"teacher": teacher, "student": student}
    candidate = judging.candidate_of(plan, data, trained, models, judged)
    for line in candidate.report.lines():
        job.screen.say(line)
    report = out / "report"
    judging.write_report(plan, data, candidate, report)
    job.screen.say(f"report: {report / 'report.html'}")
    judging.require_quality(plan, candidate.report)
    return _sealed(job, data, candidate, data_fingerprint, out)


def _sealed(
    job: Job, data: Data, candidate: judging.Candidate, data_fingerprint: str, out: Path
) -> Bundle:
    """The bundle of just these inputs: sealed now, or the one an earlier run sealed."""
    bundles = out / "bundles"

    def make(folder: Path) -> None:
        bundle = package.seal(job.plan, data, candidate, data_fingerprint, out / "report", bundles)
        write_whole(folder / "bundle.txt", bundle.id.encode())

    inputs = (candidate.report, job.plan, file_sha256(candidate.model), str(bundles.resolve()))
    stage = job.run.stage("bundle", make, 1, *inputs)
    folder = bundles / (stage.folder / "bundle.txt").read_text(encoding="utf-8")
    if not folder.is_dir():  # somebody moved it away
        job.run.forget(stage)
        stage = job.run.stage("bundle", make, 1, *inputs)
        folder = bundles / (stage.folder / "bundle.txt").read_text(encoding="utf-8")
    return read_bundle(folder)


def prepare(job: Job, dataset: Dataset, data_fingerprint: str) -> tuple[Images, Stage]:
    """Read, scan and split the data. Raises DataError in words where it cannot work."""
    plan = job.plan

    def make_scan(folder: Path) -> None:
        def bar(samples: Iterable[Sample], total: int) -> Iterable[Sample]:
            return job.screen.bar(samples, total, "reading images")

        scan(dataset, plan.image, plan.split.near_duplicate_at, folder, bar)

    near_at = plan.split.near_duplicate_at
    scanned = job.run.stage("scan", make_scan, 1, data_fingerprint, plan.image, near_at)
    images = load_images(dataset, scanned.folder)
    for line in images.report.lines():
        job.screen.say(f"  {line}")
    require_trainable(images.samples, plan.good, dataset.layout)

    def make_split(folder: Path) -> None:
        chosen = split_by_part(images.samples, images.report.twins, plan.split, plan.seed)
        rows = {name: [i for i, split in enumerate(chosen) if split == name] for name in SPLITS}
        write_whole(folder / "split.json", json.dumps(rows).encode())

    return images, job.run.stage("split", make_split, 3, scanned, plan.split, plan.seed)


def fit_teacher(job: Job, data: Data, split: Stage) -> Stage:
    """Fine-tune the teacher on labels."""
    plan, how = job.plan, job.plan.teacher

    def make(folder: Path) -> None:
        material = data.material()
        network = _fresh(how, material.classes, plan.seed)
        objective = Labels(how, material.train_counts(), job.machine)
        _fit(job, network, how, material, objective, folder, views=0, title="teacher")

    return job.run.stage("teacher", make, 1, split, plan.augment, _identity(how), plan.seed)


def fit_student(job: Job, data: Data, teacher: Stage) -> Stage:
    """Distil the teacher into the student."""
    plan, how = job.plan, job.plan.student

    def make(folder: Path) -> None:
        material = data.material()
        network = _fresh(how, material.classes, plan.seed)
        teachers = Teachers(
            [load_network(plan.teacher, teacher.folder, material.classes)],
            how,
            material,
            folder,
            plan.teacher.precision,
            job.machine,
        )
        counts = material.train_counts()
        objective = Taught(how, counts, teachers, network, job.machine)
        _fit(job, network, how, material, objective, folder, views=how.views, title="student")

    return job.run.stage("student", make, 1, teacher, _identity(how), plan.seed)


def _fit(
    job: Job,
    network: Network,
    how: Fit,
    material: Material,
    objective: Objective,
    folder: Path,
    *,
    views: int,
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


def _fresh(how: Fit, classes: int, seed: int) -> Network:
    """A network to be trained; what its weights file leaves open is drawn from the seed."""
    torch.manual_seed(seed)
    return build(how.model, how.weights, classes, how.drop_rate)


def _identity(how: Fit) -> Fit:
    """The same with the weights file's hash for its path: what is in it counts, not where."""
    if how.weights in ("hub", "none"):
        return how
    return how.model_copy(update={"weights": file_sha256(Path(how.weights))})


def require_workable(plan: Plan) -> None:
    """What would stop the job hours from now stops it here. Raises ConfigError in words."""
    Augmenter(plan.augment, plan.image, plan.seed)
    for how in (plan.teacher, plan.student):
        weights = "none" if how.weights == "hub" else how.weights
        network = build(how.model, weights, classes=2)
        if how is plan.student:
            require_map(network, plan.image)
