"""Severities: what may escape of them, and what their escapes cost."""

from pathlib import Path

import numpy as np
import pytest
import torch

from inspector.contract.errors import ConfigError
from inspector.contract.strict import parse
from inspector.contract.verdict import Limits
from tests.training.plates import PLAN
from training.distill import LabelLoss
from training.evaluate import Figures, figures, held
from training.material import Material
from training.plan import read_plan
from training.plan_networks import Imbalance, Student
from training.plan_quality import Quality
from training.severity import expected_cost, goals_of, require_known_classes
from training.views import Batch

LABELS, GOOD = ("crack", "ok", "stain"), ("ok",)
SEVERITIES = {"critical": ("crack",), "minor": ("stain",)}
CRACK, OK, STAIN = range(3)


def golden() -> Figures:
    """100 parts: 4 cracks of which 1 escapes, 16 stains of which 4 do, 80 good, 8 stopped."""
    passes, stops = [0.0, 1.0, 0.0], {CRACK: [1.0, 0.0, 0.0], STAIN: [0.0, 0.0, 1.0]}
    drawn = [(CRACK, 1, 4), (STAIN, 4, 16), (OK, 72, 80)]
    rows, targets = [], []
    for target, passed, n in drawn:
        rows += [passes] * passed + [stops.get(target, stops[CRACK])] * (n - passed)
        targets += [target] * n
    probabilities = np.array(rows, np.float32)
    parts = held(probabilities, np.array(targets), LABELS, GOOD)
    return figures(probabilities, parts, Limits(review_at=0.5, reject_at=0.9), 0.95, SEVERITIES)


def quality(text: dict[str, object], **more: object) -> Quality:
    return parse(Quality, {"severity": text, **more}, "plan.toml")


CRITICAL: dict[str, object] = {"classes": ["crack"], "escape_rate_at_most": 0.01}
MINOR: dict[str, object] = {"classes": ["stain"]}


def test_escapes_are_counted_by_class_and_by_severity() -> None:
    found = golden()
    assert (found.escape.events, found.escape.n) == (5, 20)
    assert (found.class_escape["crack"].events, found.class_escape["crack"].n) == (1, 4)
    assert (found.severity_escape["minor"].events, found.severity_escape["minor"].n) == (4, 16)
    assert (found.overkill.events, found.overkill.n) == (8, 80)


def test_the_cost_of_1000_parts_in_the_golden_sets_mix_is_worked_out_by_hand() -> None:
    wanted = quality(
        {"critical": {**CRITICAL, "cost": 100.0}, "minor": {**MINOR, "cost": 3.0}},
        overkill_cost=2.0,
    )
    cost = expected_cost(wanted, golden())
    assert cost is not None
    # 40 critical, a quarter escapes, at 100; 160 minor, a quarter, at 3; 800 good, a tenth, at 2
    assert cost.expected == pytest.approx(40 / 4 * 100 + 160 / 4 * 3 + 800 / 10 * 2)
    assert cost.at_most > cost.expected
    assert "the golden set's mix: 800.0 good, 40.0 critical, 160.0 minor" in cost.sentence


def test_the_plan_may_say_how_many_defects_the_line_sees() -> None:
    wanted = quality(
        {
            "critical": {**CRITICAL, "cost": 100.0, "per_1000": 0.8},
            "minor": {**MINOR, "cost": 3.0, "per_1000": 20.0},
        },
        overkill_cost=2.0,
    )
    cost = expected_cost(wanted, golden())
    assert cost is not None
    assert cost.expected == pytest.approx(0.2 * 100 + 5 * 3 + 97.92 * 2)


def test_without_costs_in_the_plan_there_is_none() -> None:
    assert expected_cost(quality({"critical": CRITICAL}), golden()) is None


def test_only_a_severity_with_a_goal_of_its_own_adds_one() -> None:
    goals = goals_of(quality({"critical": CRITICAL, "minor": MINOR}), ("crack", "stain"))
    assert [(goal.name, goal.at_most) for goal in goals] == [
        ("all defects", 0.05),
        ("critical", 0.01),
    ]


@pytest.mark.parametrize(
    ("severity", "words"),
    [
        ({"grave": CRITICAL}, "severity.grave: is not a key here; known keys: critical, major"),
        ({"critical": {"classes": []}}, "severity.critical.classes"),
        ({"critical": CRITICAL, "minor": CRITICAL}, "'crack' has more than one severity"),
        (
            {"critical": {**CRITICAL, "cost": 1.0}, "minor": MINOR},
            "cost: minor lacks it; give it for all severities or none",
        ),
        (
            {"critical": {**CRITICAL, "per_1000": 600.0}, "minor": {**MINOR, "per_1000": 600.0}},
            "more than 1000 defects in 1000 parts",
        ),
        ({"critical": {**CRITICAL, "cost": -1.0}}, "severity.critical.cost -1.0"),
    ],
)
def test_severities_that_cannot_be_are_refused(severity: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        quality(severity)


@pytest.mark.parametrize(
    ("label", "why"), [("dent", "is not there"), ("good", "is acceptable by the plan's good")]
)
def test_a_class_that_is_no_defect_of_the_data_is_refused_with_those_that_are(
    tmp_path: Path, label: str, why: str
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(f'{PLAN}[quality.severity.major]\nclasses = ["{label}"]\n', encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        require_known_classes(read_plan(path), ("good", "scratch", "spot"))
    text = str(refused.value)
    assert f"quality.severity.major.classes '{label}'" in text
    assert f"({why}); must be of scratch, spot" in text


def learned_alike(imbalance: Imbalance, severity_weight: float) -> list[float]:
    """What is learned of pictures that look alike: 900 good of severity 0, 100 defects of 1."""
    targets = np.repeat([0, 1], [900, 100])
    rows, severity = np.arange(1000), targets.astype(np.float32)
    pixels = np.zeros((1000, 1, 1, 3), np.uint8)
    material = Material(pixels, targets, rows, rows, 2, good=(0,), severity=severity)
    how = Student(model="x", epochs=1, imbalance=imbalance, severity_weight=severity_weight)
    loss = LabelLoss(how, material)
    batch = Batch(rows, 0, torch.zeros(0), torch.from_numpy(targets), torch.from_numpy(severity))
    logits = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100)

    def step() -> float:
        optimizer.zero_grad()
        value = loss(logits.expand(1000, 2), batch)
        value.backward()
        return float(value.detach())

    optimizer.step(step)  # type: ignore[no-untyped-call]
    found: list[float] = torch.softmax(logits.detach(), dim=0).tolist()
    return found


@pytest.mark.parametrize(
    ("imbalance", "defect"),
    [("logit_adjustment", 0.5), ("class_weights", 0.5), ("effective_number", None), ("none", 0.1)],
)
def test_severities_that_say_what_the_labels_say_change_no_answer(
    imbalance: Imbalance, defect: float | None
) -> None:
    labels, both = (learned_alike(imbalance, weight) for weight in (0.0, 1.0))
    assert both == pytest.approx(labels, abs=1e-3)
    if defect is not None:
        assert both[1] == pytest.approx(defect, abs=1e-3)
