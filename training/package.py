"""From a trained student to a bundle: export, quantise, judge, report, seal."""

import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.contract.bundle import (
    Bundle,
    DataInfo,
    Golden,
    Manifest,
    ModelInfo,
    file_sha256,
)
from inspector.contract.image import cut, decode
from inspector.contract.whole import write_whole
from training import novelty
from training.calibrate import read_temperature
from training.export import (
    DEFECT_MAP,
    INPUT,
    NOVELTY,
    PROBABILITIES,
    TIMED_ROUNDS,
    export_onnx,
    has_map,
    measure,
    require_parity,
    run_model,
)
from training.exported import Exported
from training.forms import variant_of
from training.job import Data, Job, judged_sets, load_network
from training.judging import NOVELTY_TOLERANCE, TOLERANCE, Candidate, Trained, draw_report
from training.looks import named
from training.models import macs, settle_padding
from training.origin import plan_sha256
from training.plan import Plan, fingerprint
from training.plan_networks import Fit
from training.proven import proven
from training.reparam import reparameterised
from training.report import machine_text
from training.run import Stage
from training.sights import Sights

PARITY_IMAGES = 8
USUAL_IMAGES = 256
"""Good parts that tell what is usual in each cell of the defect map."""
TIMED_IMAGES = 32
MEANING_IMAGES = 128
"""Training pictures that tell what each channel of the last feature map means."""
FEW = 32
"""Pictures asked at once."""
NOVELTY_FILE = "novelty.npz"
TEACHER = "teacher"
TEACHER_ROUNDS = 50
"""Each takes as long as a dozen of a student's."""


def learn_novelty(job: Job, data: Data, how: Fit, trained: Stage) -> Stage | None:
    """What the network makes of every training picture as it is; None where the plan wants none."""
    if not job.plan.quality.novelty_overkill_at_most:
        return None
    tta = job.plan.export.tta

    def make(folder: Path) -> None:
        network = load_network(how, trained.folder, len(data.labels), tta=tta)
        rows = data.labelled("train")
        starts = range(0, len(rows), FEW)
        features = []
        with torch.no_grad():
            for start in job.screen.bar(starts, len(starts), "novelty"):
                pixels = data.images.pixels[rows[start : start + FEW]]
                features.append(network.with_features(torch.from_numpy(pixels))[1].numpy())
        learned = novelty.learn(np.concatenate(features), data.targets[rows])
        novelty.save(learned, folder / NOVELTY_FILE)

    return job.run.stage("novelty", make, 1, trained, *named(tta))


def export(job: Job, data: Data, how: Fit, trained: Trained, role: str) -> Stage:
    """The network as one ONNX graph, proven equal to torch on real images."""
    good = [i for i, label in enumerate(data.labels) if label in job.plan.good]
    tta = job.plan.tta_of(role)

    def make(folder: Path) -> None:
        found, fitted = read_temperature(trained.calibrated), trained.fitted.folder
        network = load_network(how, fitted, len(data.labels), tta=tta, prior=found.prior)
        network = reparameterised(network)
        settle_padding(network, job.plan.image)
        seen = novelty.load(trained.novelty.folder / NOVELTY_FILE) if trained.novelty else None
        model = Exported(network, good, len(data.labels), found.value, seen).eval()
        model.learn_map(_pictures(data), _good_parts(data, good))
        path = folder / "model.onnx"
        export_onnx(model, job.plan.image, path)
        rows = data.rows["validation"][:PARITY_IMAGES]
        facts = {
            "parameters": network.parameters_count(),
            "macs": macs(network, job.plan.image),
            "parity": require_parity(model, path, data.images.pixels[rows]),
        }
        write_whole(folder / "facts.json", json.dumps(facts).encode())

    return job.run.stage(f"export-{role}", make, 7, *trained, good)


def _pictures(data: Data) -> Iterator[Tensor]:
    """Training pictures of every class, as often as it comes, in small batches."""
    rows = data.labelled("train")
    mine = rows[np.unique(np.linspace(0, len(rows) - 1, MEANING_IMAGES).astype(np.int64))]
    for start in range(0, len(mine), FEW):
        yield torch.from_numpy(data.images.pixels[mine[start : start + FEW]])


def _good_parts(data: Data, good: list[int]) -> Iterator[Tensor]:
    """Good training pictures in small batches."""
    rows = data.rows["train"]
    mine = rows[np.isin(data.targets[rows], good)][:USUAL_IMAGES]
    for start in range(0, len(mine), FEW):
        yield torch.from_numpy(data.images.pixels[mine[start : start + FEW]])


def judge_models(sights: Sights, models: dict[str, Stage]) -> Stage:
    """Each model's probabilities on the sets held back, and its time on this machine.

    A model that several plans share, a teacher, is asked once.
    """
    job, _, split = sights.own
    answered = {role: _answers(sights, role, model) for role, model in models.items()}

    def make(folder: Path) -> None:
        for stage in answered.values():
            for file in stage.folder.glob("*.npy"):
                shutil.copy(file, folder)
        paths = {role: stage.folder / "model.onnx" for role, stage in models.items()}
        # The teacher apart: it is asked less often, being slow.
        teacher = [role for role in paths if role == TEACHER]
        students = [role for role in paths if role != TEACHER]
        times: dict[str, dict[str, float]] = {}
        for roles in filter(None, (teacher, students)):
            data = sights.of(roles[0]).data
            sample = data.images.pixels[data.rows["validation"][:TIMED_IMAGES]]
            rounds = TEACHER_ROUNDS if roles == teacher else TIMED_ROUNDS
            timed = measure([paths[role] for role in roles], sample, rounds)
            times |= {role: each._asdict() for role, each in zip(roles, timed, strict=True)}
        write_whole(folder / "latency.json", json.dumps(times).encode())

    # times are this machine's: a job that goes on elsewhere takes them anew
    return job.run.stage("judge", make, 6, split, *answered, *answered.values(), machine_text())


def _answers(sights: Sights, role: str, model: Stage) -> Stage:
    """What one model says of the sets held back: ROLE-SET.npy, and its novelty."""
    job, data, split = sights.of(role)
    # no station runs a teacher: it may take all the threads there are
    threads = job.machine.threads if role == TEACHER else 1

    def make(folder: Path) -> None:
        path, pixels = model.folder / "model.onnx", data.images.pixels
        sets = judged_sets(data)
        for name in job.screen.bar(sets, len(sets), f"judging {role}"):
            answers = run_model(path, pixels, data.rows[name], threads=threads)
            np.save(folder / f"{role}-{name}.npy", answers.probabilities)
            if answers.novelty is not None:
                np.save(folder / f"{role}-{name}-novelty.npy", answers.novelty)

    return job.run.stage(f"answers-{role}", make, 1, split, model)


class Origin(NamedTuple):
    """What a bundle says about its inputs beside plan and code."""

    date: datetime
    data_fingerprint: str


def seal(plan: Plan, data: Data, candidate: Candidate, origin: Origin, into: Path) -> Bundle:
    """Write the bundle, read it back as the station will, and self-test it.

    The same inputs give the same bytes: what was measured in time stays in the report beside it.
    """
    report, models = candidate.report, candidate.models
    row = report.row("student")
    draft = into / f".draft-{plan.name}"
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "golden").mkdir(parents=True)
    shutil.copy(models["student"], draft / "model.onnx")
    draw_report(data, candidate, draft, times=False)
    golden = {(s.name, s.label) for s in (data.images.samples[i] for i in data.rows["golden"])}
    chosen = _with_overviews(data, _golden_rows(plan, data, candidate))
    pictures = [_picture(data, number, i, draft) for number, i in enumerate(chosen)]
    variants = []
    for role in report.variants:
        answers = _golden(data, models[role], chosen, pictures)
        variants.append(variant_of(report.row(role), models[role], answers))
        (draft / "variants").mkdir(exist_ok=True)
        shutil.copy(models[role], draft / variants[-1].file)
    manifest = Manifest(
        schema=2 if variants else 1,
        name=plan.name,
        created_at=origin.date,
        labels=data.labels,
        good=plan.good,
        image=plan.image,
        tiles=plan.tiles.tiling if plan.tiles else None,
        limits=row.choice.limits,
        certificate=row.choice.sentence,
        model=ModelInfo(
            sha256=file_sha256(models["student"]),
            precision=row.precision,
            architecture=row.architecture,
            parameters=row.parameters,
            input=INPUT,
            probabilities=PROBABILITIES,
            defect_map=DEFECT_MAP if has_map(models["student"]) else None,
            novelty=NOVELTY if row.novelty else None,
        ),
        golden=_golden(data, models["student"], chosen, pictures),
        tolerance=TOLERANCE[row.precision],
        novelty_tolerance=NOVELTY_TOLERANCE[row.precision] if row.novelty else None,
        variants=tuple(variants),
        data=DataInfo(
            fingerprint=origin.data_fingerprint,
            golden_sha256=fingerprint(sorted(golden)),
            parts=dict(data.images.report.parts),
            licence=plan.licence,
            notice=plan.notice,
        ),
        code=candidate.report.code,
        plan_sha256=plan_sha256(plan),
    )
    return proven(draft, manifest, into)


def _golden_rows(plan: Plan, data: Data, candidate: Candidate) -> NDArray[np.int64]:
    """Pictures of the golden set, every class in turn; of one in tiles, that with its score."""
    rows, targets = candidate.rows, candidate.golden.targets
    queues = [list(rows[targets == c]) for c in range(len(data.labels))]
    depth = max(len(queue) for queue in queues)
    in_turn = [queue[k] for k in range(depth) for queue in queues if k < len(queue)]
    return np.array(in_turn[: plan.export.golden_images], np.int64)


def _with_overviews(data: Data, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Behind each tile the row that shows its picture whole, where the model sees that too."""
    if data.layout is None or not data.layout.overview.any():
        return rows
    overviews = np.flatnonzero(data.layout.overview)
    of = dict(zip(data.layout.picture[overviews].tolist(), overviews.tolist(), strict=True))
    return np.array([[row, of[int(data.layout.picture[row])]] for row in rows]).ravel()


def _picture(data: Data, number: int, row: int, draft: Path) -> tuple[str, str]:
    """A golden picture put into the draft: its file and its label."""
    sample = data.images.samples[row]
    if data.layout is None:
        file = f"golden/{number:03d}{sample.image.suffix.lower()}"
        shutil.copy(sample.image, draft / file)
    else:
        file = f"golden/{number:03d}.png"
        shown = data.images.pixels[row]  # of an overview: it is as large as the picture
        if not data.layout.overview[row]:
            shown = cut(decode(sample.image.read_bytes()), data.layout.region(row))
        (draft / file).write_bytes(cv2.imencode(".png", shown)[1].tobytes())
    return file, sample.label


def _golden(
    data: Data, model: Path, rows: NDArray[np.int64], pictures: list[tuple[str, str]]
) -> tuple[Golden, ...]:
    """The pictures of these rows, with a model's answers."""
    answers = run_model(model, data.images.pixels, rows)
    return tuple(
        Golden(
            file=file,
            label=label,
            probabilities=tuple(
                float(min(1.0, max(0.0, p))) for p in answers.probabilities[number]
            ),
            novelty=None if answers.novelty is None else float(answers.novelty[number]),
            overview=data.layout is not None and bool(data.layout.overview[rows[number]]),
        )
        for number, (file, label) in enumerate(pictures)
    )
