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
from torch import Tensor

from inspector.contract.bundle import (
    Bundle,
    DataInfo,
    Golden,
    Manifest,
    ModelInfo,
    file_sha256,
    write_bundle,
)
from inspector.contract.image import cut, decode
from inspector.runtime.loader import open_runtime
from training import novelty
from training.calibrate import read_temperature
from training.compress.quantize import calibration_rows, quantize
from training.export import (
    DEFECT_MAP,
    INPUT,
    NOVELTY,
    PROBABILITIES,
    export_onnx,
    measure,
    require_parity,
    run_model,
)
from training.job import Data, Job, judged_sets, load_network
from training.judging import NOVELTY_TOLERANCE, TOLERANCE, Candidate, Trained, draw_report
from training.models import Exported, macs, settle_padding
from training.origin import plan_sha256
from training.plan import Plan, fingerprint
from training.plan_networks import Fit
from training.run import Stage, write_whole

PARITY_IMAGES = 8
USUAL_IMAGES = 256
"""Good parts that tell what is usual in each cell of the defect map."""
FEW = 32
"""Pictures asked at once."""
NOVELTY_FILE = "novelty.npz"


def learn_novelty(job: Job, data: Data, how: Fit, trained: Stage) -> Stage | None:
    """What the network makes of every training picture as it is; None where the plan wants none."""
    if not job.plan.quality.novelty_overkill_at_most:
        return None

    def make(folder: Path) -> None:
        network = load_network(how, trained.folder, len(data.labels))
        rows = data.labelled("train")
        starts = range(0, len(rows), FEW)
        features = []
        with torch.no_grad():
            for start in job.screen.bar(starts, len(starts), "novelty"):
                pixels = data.images.pixels[rows[start : start + FEW]]
                features.append(network.with_features(torch.from_numpy(pixels))[1].numpy())
        learned = novelty.learn(np.concatenate(features), data.targets[rows])
        novelty.save(learned, folder / NOVELTY_FILE)

    return job.run.stage("novelty", make, 1, trained)


def export(job: Job, data: Data, how: Fit, trained: Trained, role: str) -> Stage:
    """The network as one ONNX graph, proven equal to torch on real images."""
    good = [i for i, label in enumerate(data.labels) if label in job.plan.good]

    def make(folder: Path) -> None:
        network = load_network(how, trained.fitted.folder, len(data.labels))
        settle_padding(network, job.plan.image)
        temperature = read_temperature(trained.calibrated).value
        seen = novelty.load(trained.novelty.folder / NOVELTY_FILE) if trained.novelty else None
        model = Exported(network, good, len(data.labels), temperature, seen).eval()
        model.learn_usual(_good_parts(data, good))
        path = folder / "model.onnx"
        export_onnx(model, job.plan.image, path)
        rows = data.rows["validation"][:PARITY_IMAGES]
        facts = {
            "parameters": network.parameters_count(),
            "macs": macs(network, job.plan.image),
            "parity": require_parity(model, path, data.images.pixels[rows]),
        }
        write_whole(folder / "facts.json", json.dumps(facts).encode())

    return job.run.stage(f"export-{role}", make, 5, *trained, good)


def _good_parts(data: Data, good: list[int]) -> Iterator[Tensor]:
    """Good training pictures in small batches."""
    rows = data.rows["train"]
    mine = rows[np.isin(data.targets[rows], good)][:USUAL_IMAGES]
    for start in range(0, len(mine), FEW):
        yield torch.from_numpy(data.images.pixels[mine[start : start + FEW]])


def quantise(job: Job, data: Data, exported: Stage) -> Stage:
    """The student's graph in INT8, calibrated on training images."""
    wanted, seed = job.plan.export.calibration_images, job.plan.seed

    def make(folder: Path) -> None:
        rows = calibration_rows(data.rows["train"], data.targets, wanted, seed)
        source, target = exported.folder / "model.onnx", folder / "model.onnx"
        quantize(source, target, data.images.pixels, rows)
        shutil.copy(exported.folder / "facts.json", folder / "facts.json")

    return job.run.stage("quantise", make, 1, exported, wanted, seed)


def judge_models(job: Job, data: Data, split: Stage, models: dict[str, Stage]) -> Stage:
    """Each model's probabilities on the sets held back, and its time on this machine."""

    def make(folder: Path) -> None:
        paths = {role: stage.folder / "model.onnx" for role, stage in models.items()}
        for role, path in job.screen.bar(paths.items(), len(paths), "judging"):
            for name in judged_sets(data):
                answers = run_model(path, data.images.pixels, data.rows[name])
                np.save(folder / f"{role}-{name}.npy", answers.probabilities)
                if answers.novelty is not None:
                    np.save(folder / f"{role}-{name}-novelty.npy", answers.novelty)
        sample = data.images.pixels[data.rows["validation"][:32]]
        # The teacher apart: the students in turn with it would be timed with cold caches.
        teacher = [path for role, path in paths.items() if role == "teacher"]
        students = [path for role, path in paths.items() if role != "teacher"]
        timed = [each for some in (teacher, students) if some for each in measure(some, sample)]
        times = {role: each._asdict() for role, each in zip(models, timed, strict=True)}
        write_whole(folder / "latency.json", json.dumps(times).encode())

    return job.run.stage("judge", make, 4, split, *models, *models.values())


class Origin(NamedTuple):
    """What a bundle says about its inputs beside plan and code."""

    date: datetime
    data_fingerprint: str


def seal(plan: Plan, data: Data, candidate: Candidate, origin: Origin, into: Path) -> Bundle:
    """Write the bundle, read it back as the station will, and self-test it.

    The same inputs give the same bytes: what was measured in time stays in the report beside it.
    """
    row = candidate.report.shipped_row
    draft = into / f".draft-{plan.name}"
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "golden").mkdir(parents=True)
    shutil.copy(candidate.model, draft / "model.onnx")
    draw_report(data, candidate, draft, times=False)
    golden = {(s.name, s.label) for s in (data.images.samples[i] for i in data.rows["golden"])}
    manifest = Manifest(
        name=plan.name,
        created_at=origin.date,
        labels=data.labels,
        good=plan.good,
        image=plan.image,
        tiles=plan.tiles.tiling if plan.tiles else None,
        limits=row.choice.limits,
        certificate=row.choice.sentence,
        model=ModelInfo(
            sha256=file_sha256(candidate.model),
            precision=row.precision,
            architecture=row.architecture,
            parameters=row.parameters,
            input=INPUT,
            probabilities=PROBABILITIES,
            defect_map=DEFECT_MAP,
            novelty=NOVELTY if row.novelty else None,
        ),
        golden=_golden(plan, data, candidate, draft),
        tolerance=TOLERANCE[row.precision],
        novelty_tolerance=NOVELTY_TOLERANCE[row.precision] if row.novelty else None,
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
    bundle = write_bundle(draft, manifest, into)
    open_runtime(bundle)
    return bundle


def _golden(plan: Plan, data: Data, candidate: Candidate, draft: Path) -> tuple[Golden, ...]:
    """Pictures of the golden set, every class in turn, as files with their expected answers.

    For a model of tiles, the tile of each that has the part's score.
    """
    rows, targets = candidate.rows, candidate.golden.targets
    queues = [list(rows[targets == c]) for c in range(len(data.labels))]
    depth = max(len(queue) for queue in queues)
    in_turn = [queue[k] for k in range(depth) for queue in queues if k < len(queue)]
    chosen = np.array(in_turn[: plan.export.golden_images], np.int64)
    answers = run_model(candidate.model, data.images.pixels, chosen)
    golden = []
    for number, i in enumerate(chosen):
        sample = data.images.samples[i]
        if data.layout is None:
            file = f"golden/{number:03d}{sample.image.suffix.lower()}"
            shutil.copy(sample.image, draft / file)
        else:
            file = f"golden/{number:03d}.png"
            tile = cut(decode(sample.image.read_bytes()), data.layout.region(i))
            (draft / file).write_bytes(cv2.imencode(".png", tile)[1].tobytes())
        golden.append(
            Golden(
                file=file,
                label=sample.label,
                probabilities=tuple(
                    float(min(1.0, max(0.0, p))) for p in answers.probabilities[number]
                ),
                novelty=None if answers.novelty is None else float(answers.novelty[number]),
            )
        )
    return tuple(golden)
