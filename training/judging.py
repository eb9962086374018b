"""What the release's models hold: figures, which one ships, and whether it may."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.errors import QualityGateError, TrainingError
from inspector.contract.table import csv_table
from inspector.contract.verdict import Verdict
from inspector.contract.whole import write_whole
from training.answers import Answers, answers_of, untempered
from training.calibrate import Calibration, calibration_of, read_temperature
from training.checkpoint import history_of
from training.compress.found import Quantised
from training.compress.rows import StepRow
from training.dataset import SPLITS, SplitName
from training.evaluate import Held, figures, verdicts_of
from training.export import DEFECT_MAP, INPUT, Timing, has_map, open_session
from training.job import Data, part_numbers
from training.limits import choose_limits
from training.novelty import NoveltyLimit, choose_novelty_at, rank_correlation
from training.origin import without_path
from training.plan import Plan
from training.plan_quality import Quality
from training.pointing import pointing
from training.report import ModelRow, Precision, Report, code_text, machine_text
from training.report_html import Mistake, write_html
from training.run import Stage
from training.severity import expected_cost, severity_of
from training.ship import (
    VARIANT_OF,
    choose_model,
    contradictions,
    int8_ratio,
    quality_faults,
    travelling,
)

TOLERANCE = {"fp32": 0.001, "int8": 0.02, "fp16": 0.02}
"""Of a golden probability, by precision: int8 kernels round differently on another CPU, and a GPU
sums fp16 in another order."""
NOVELTY_TOLERANCE = {"fp32": 0.001, "int8": 0.5, "fp16": 0.5}
"""Of a golden novelty, which is about 1 for a usual part. Between onnxruntime's kernels and none of
its optimisations it differed by 7e-6 in FP32 and by 0.36 in INT8 (mobilenetv2, 104 pictures)."""
NOVELTY_MARGIN = 0.001
"""Of novelty_at above the part it spares. Not INT8's tolerance, which would let strange parts pass:
there another machine may stop a few good parts more."""
MISTAKES_MAX = 12


class Candidate(NamedTuple):
    """What may become a bundle: the report, and the model it says ships."""

    report: Report
    models: dict[str, Path]
    """Every form's file, by role."""
    probabilities: NDArray[np.float32]
    """On the golden set, pictures x classes."""
    golden: Held
    rows: NDArray[np.int64]
    """The row that stands for each picture of the golden set."""

    @property
    def model(self) -> Path:
        """What ships."""
        return self.models[self.report.shipped]


class Trained(NamedTuple):
    """A network as its stages left it."""

    fitted: Stage
    calibrated: Stage
    novelty: Stage | None
    """What it learned of its training; None where its novelty is not measured."""


def candidate_of(
    plan: Plan,
    data: Data,
    trained: dict[str, Trained],
    models: dict[str, Stage],
    judged: Stage,
    found: Quantised | None,
    steps: tuple[StepRow, ...] = (),
) -> Candidate:
    """All figures of a release. trained: the student, the teacher where the plan has one, and the
    original where the student was compressed; models: by role, exported; found: by the search for
    INT8; steps: of compression.

    Raises TrainingError where a model has no score for a part; a small form is then not shipped.
    """
    numbers = part_numbers(data.images)
    times = _times(judged.folder)
    rows: list[ModelRow] = []
    strange: dict[str, NDArray[np.float64]] = {}
    broken: dict[str, str] = {}
    for role, stage in models.items():
        try:
            answers = answers_of(plan, data, role, judged.folder, numbers)
        except TrainingError as error:
            if role not in VARIANT_OF:
                raise
            broken[role] = str(error)
            continue
        temperature = read_temperature(trained[network_of(role)].calibrated)
        before = untempered(plan, data, role, judged.folder, temperature.value)
        calibration = calibration_of(temperature, before, *answers["golden"].told)
        row = _model_row(plan, role, stage.folder, calibration, answers, times[role])
        novelty = answers["validation"].held.novelty
        if novelty is not None:
            strange[role] = novelty
        if role in VARIANT_OF and novelty is not None:
            row = row.model_copy(
                update={"novelty_ranks": rank_correlation(strange["student"], novelty)}
            )
        rows.append(row)
    ratio = int8_ratio(times)
    unfit = broken.get("student-int8", "")
    shipped, because = choose_model(tuple(rows), unfit, ratio, plan.export, found)
    variants, left_out = travelling(tuple(rows), broken, shipped, plan)
    files = {role: stage.folder / "model.onnx" for role, stage in models.items()}
    report = Report(
        name=plan.name,
        labels=data.labels,
        good=plan.good,
        machine=machine_text(),
        code=code_text(),
        data_lines=_data_lines(data),
        images={name: data.pictures(name) for name in SPLITS},
        models=tuple(rows),
        shipped=shipped,
        shipped_because=because,
        int8_ratio=ratio,
        variants=variants,
        left_out=left_out,
        quantised=found,
        teacher_history=history_of(trained["teacher"].fitted) if "teacher" in trained else (),
        student_history=history_of(trained.get("original", trained["student"]).fitted),
        compression=steps,
        tiles_per_picture=data.tiles_per_picture("golden"),
        pointing=pointing(data, files[shipped], plan.image, plan.quality.confidence),
        severities=severity_of(plan.quality),
        notice=plan.notice,
    )
    golden = answers_of(plan, data, shipped, judged.folder, numbers)["golden"]
    return Candidate(report, files, *golden)


def _times(judged: Path) -> dict[str, Timing]:
    kept = json.loads((judged / "latency.json").read_text(encoding="utf-8"))
    return {role: Timing(**each) for role, each in kept.items()}


def network_of(role: str) -> str:
    """The network that a role is a form of: teacher or student."""
    return role.split("-")[0]


def _model_row(
    plan: Plan,
    role: str,
    exported: Path,
    calibration: Calibration,
    answers: dict[SplitName, Answers],
    time: Timing,
) -> ModelRow:
    facts = json.loads((exported / "facts.json").read_text(encoding="utf-8"))
    kinds: dict[str, Precision] = {
        "student-fp16": "fp16",
        **dict.fromkeys(("teacher", "original", "student"), "fp32"),
    }
    precision = kinds.get(role, "int8")
    quality = plan.quality
    chosen_on: SplitName = "calibration" if "calibration" in answers else "validation"
    choice = choose_limits(answers[chosen_on].held, quality, TOLERANCE[precision], chosen_on)
    novelty = _novelty_limit(answers[chosen_on].held, quality)
    if novelty:
        limits = choice.limits.model_copy(update={"novelty_at": novelty.novelty_at})
        choice = choice.model_copy(update={"limits": limits})
    severities = {name: each.classes for name, each in quality.severity.stated().items()}
    both = {
        name: figures(*answers[name][:2], choice.limits, quality.confidence, severities)
        for name in ("validation", "golden")
    }
    against = contradictions(choice.goals, both["golden"], quality.confidence)
    if against:
        sentence = "; ".join((choice.sentence, *(f"but {each}" for each in against)))
        choice = choice.model_copy(update={"sentence": sentence})
    return ModelRow(
        role=role,
        architecture=plan.architecture(role),
        precision=precision,
        parameters=facts["parameters"],
        macs=facts["macs"],
        file_bytes=(exported / "model.onnx").stat().st_size,
        latency_ms=time.median_ms,
        calibration=calibration,
        choice=choice,
        novelty=novelty,
        validation=both["validation"],
        golden=both["golden"],
        cost=expected_cost(quality, both["golden"]),
    )


def _novelty_limit(parts: Held, quality: Quality) -> NoveltyLimit | None:
    """On the good ones of parts that were not trained on."""
    good = parts.good_novelty()
    if good is None:
        return None
    return choose_novelty_at(good, quality.novelty_overkill_at_most, NOVELTY_MARGIN)


def require_quality(plan: Plan, report: Report) -> None:
    """The gate, for what ships and FP32 beside it. Raises QualityGateError with every reason."""
    rows = {row.role: row for row in (report.row("student"), report.shipped_row)}
    faults = {role: quality_faults(plan, row) for role, row in rows.items()}
    told = [f"{role}: {each}" if len(rows) > 1 else each for role in rows for each in faults[role]]
    if told:
        raise QualityGateError(f"{plan.name}: no bundle: " + "; ".join(told))


def worst_mistakes(data: Data, candidate: Candidate, verdicts: list[Verdict]) -> list[Mistake]:
    """Escapes first, the surest first, then good parts that were stopped."""
    rows, images = candidate.rows, data.images
    scores, bad = candidate.golden.scores, candidate.golden.is_defect
    wrong = [i for i, v in enumerate(verdicts) if v.passes == bool(bad[i])]
    wrong.sort(key=lambda i: (not bad[i], scores[i] if bad[i] else -scores[i]))
    session, drawn = open_session(candidate.model), has_map(candidate.model)
    mistakes = []
    for i in wrong[:MISTAKES_MAX]:
        pixels, sample = images.pixels[rows[i]], images.samples[rows[i]]
        cells = session.run([DEFECT_MAP], {INPUT: pixels[None]})[0][0] if drawn else None
        mistakes.append(
            Mistake(
                name=data.shown(rows[i]),
                label=sample.label,
                guessed=data.labels[int(candidate.probabilities[i].argmax())],
                score=float(scores[i]),
                evaluation=verdicts[i].evaluation.name,
                image=np.array(pixels),
                defect_map=cells,
            )
        )
    return mistakes


def write_report(data: Data, candidate: Candidate, folder: Path) -> None:
    """report.json, report.html, and golden.csv: every golden part with score and verdict."""
    golden = candidate.golden
    verdicts = verdicts_of(golden, candidate.report.shipped_row.choice.limits)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [("image", "label", "score", "novelty", "evaluation")]
    for i, row in enumerate(candidate.rows):
        sample, score = data.images.samples[row], f"{golden.scores[i]:.6f}"
        novelty = "" if golden.novelty is None else f"{golden.novelty[i]:.4f}"
        lines.append((sample.name, sample.label, score, novelty, verdicts[i].evaluation.name))
    write_whole(folder / "golden.csv", csv_table(lines))
    draw_report(data, candidate, folder, times=True)


def draw_report(data: Data, candidate: Candidate, folder: Path, *, times: bool) -> None:
    """report.json and report.html; a bundle's are without times, which no two runs share."""
    report, golden = candidate.report, candidate.golden
    write_whole(folder / "report.json", report.as_json(times=times).encode())
    verdicts = verdicts_of(golden, report.shipped_row.choice.limits)
    mistakes = worst_mistakes(data, candidate, verdicts)
    write_html(report, golden, mistakes, folder / "report.html", times=times)


def _data_lines(data: Data) -> tuple[str, ...]:
    layout, *others = data.lines()
    return (without_path(layout), *others)
