"""The gate: what may become a bundle, and why something may not."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from inspector.contract.errors import QualityGateError, TrainingError
from tests.training.plates import PLAN
from training.calibrate import calibration_of, fit_temperature
from training.evaluate import Rate, figures, held, require_scores
from training.judging import require_quality
from training.limits import choose_limits
from training.plan import Plan, read_plan
from training.plan_export import Export
from training.report import ModelRow, Report
from training.ship import choose_model, why_unsafe

LABELS, GOOD = ("good", "scratch", "spot"), ("good",)


def plan_of(folder: Path, quality: str) -> Plan:
    path = folder / "plan.toml"
    path.write_text(PLAN.replace("allow_uncertified = true", quality), encoding="utf-8")
    return read_plan(path)


def answers(seed: int, n: int, sure: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of n parts, a third of each class, and their classes."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % 3
    logits = rng.normal(0, 1, (n, 3))
    logits[np.arange(n), targets] += sure
    return softmax(logits, axis=1).astype(np.float32), targets


def row_of(plan: Plan, role: str, sure: float, parts: int, golden_sure: float) -> ModelRow:
    on_calibration = held(*answers(1, parts, sure), LABELS, GOOD)
    choice = choose_limits(on_calibration, plan.quality, 0.001)
    probabilities, targets = answers(2, 600, golden_sure)
    severities = {name: each.classes for name, each in plan.quality.severity.stated().items()}
    golden = figures(
        probabilities,
        held(probabilities, targets, LABELS, GOOD),
        choice.limits,
        plan.quality.confidence,
        severities,
    )
    temperature = fit_temperature(np.log(probabilities), targets)
    return ModelRow(
        role=role,
        architecture="resnet18",
        precision="int8" if role.endswith("int8") else "fp32",
        parameters=1,
        macs=1,
        file_bytes=1,
        latency_ms=0.5 if role.endswith("int8") else 1.0,
        calibration=calibration_of(temperature, probabilities, probabilities, targets),
        choice=choice,
        validation=golden,
        golden=golden,
        cost=None,
    )


def report_of(row: ModelRow) -> Report:
    return Report(
        name="plate",
        labels=LABELS,
        good=GOOD,
        machine="",
        code="",
        data_lines=(),
        images={},
        models=(row,),
        shipped=row.role,
        shipped_because="",
        int8_ratio=None,
        teacher_history=(),
        student_history=(),
        severities={},
        notice="",
    )


def refusal(plan: Plan, row: ModelRow) -> str:
    with pytest.raises(QualityGateError) as refused:
        require_quality(plan, report_of(row))
    return str(refused.value)


CRITICAL = '[quality.severity.critical]\nclasses = ["spot"]\nescape_rate_at_most = 0.01\n'


def test_a_model_that_holds_every_goal_may_become_a_bundle(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, CRITICAL)
    require_quality(plan, report_of(row_of(plan, "student", 6.0, 1_200, 6.0)))


def test_a_severity_that_cannot_be_proven_stops_the_bundle_unless_the_plan_allows_it(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path, CRITICAL)
    row = row_of(plan, "student", 6.0, 600, 6.0)
    text = refusal(plan, row)
    assert "critical (spot) at most 1 %: 299 missed-free defects needed, 200 here" in text
    assert "collect 99 more of spot" in text
    require_quality(plan_of(tmp_path, f"allow_uncertified = true\n{CRITICAL}"), report_of(row))


def test_a_golden_set_that_contradicts_a_severitys_goal_stops_the_bundle(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, CRITICAL)
    text = refusal(plan, row_of(plan, "student", 6.0, 1_200, 2.0))
    assert re.search(r"the golden set contradicts the goal for critical: escape \d+/200", text)


def test_a_goal_that_calibration_proves_and_golden_contradicts_stops_the_bundle_of_any_plan(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path, f"allow_uncertified = true\n{CRITICAL}")
    text = refusal(plan, row_of(plan, "student", 6.0, 1_200, 2.0))
    assert re.search(r"the golden set contradicts the goal for critical: escape \d+/200", text)
    unproven = row_of(plan, "student", 6.0, 600, 2.0)  # the plan takes what nothing proves
    require_quality(plan, report_of(unproven))


def test_int8_that_stops_more_good_parts_by_its_own_limits_is_not_shipped(tmp_path: Path) -> None:
    plain = row_of(plan_of(tmp_path, ""), "student", 6.0, 1_200, 6.0)
    small = row_of(plan_of(tmp_path, ""), "student-int8", 6.0, 1_200, 6.0)
    assert why_unsafe(plain, small, 0.003) is None
    stopped = small.validation.model_copy(update={"overkill": Rate.of(7, 200, 0.95)})
    why = why_unsafe(plain, small.model_copy(update={"validation": stopped}), 0.003)
    allowed = "at most 2 points more are allowed"
    before = plain.validation.overkill.events
    assert why == f"stops 7 of 200 good validation parts, FP32 {before}: {allowed}"


def test_int8_that_gives_no_scores_is_not_shipped_and_the_report_says_why(tmp_path: Path) -> None:
    row = row_of(plan_of(tmp_path, ""), "student", 6.0, 600, 6.0)
    broken = "student-int8, golden set: 3 of 9 parts have no score"
    shipped, because = choose_model((row,), broken, 0.5, Export())
    assert shipped == "student"
    assert because == "INT8 is unfit: student-int8, golden set: 3 of 9 parts have no score"


def test_a_model_that_computes_nonsense_ends_in_words_with_set_and_count() -> None:
    probabilities, targets = answers(1, 30, 6.0)
    probabilities[0], probabilities[3] = np.nan, 0.9  # a good part each
    with pytest.raises(TrainingError, match="student, golden set: 2 of 30 parts have no defect sc"):
        require_scores(held(probabilities, targets, LABELS, GOOD), "student, golden set")
