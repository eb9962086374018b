"""Losses against values worked out by hand."""

import math

import pytest
import torch

from inspector.contract.errors import TrainingError
from training.losses import ClassWeighted, DistillationLoss, LogitAdjusted, require_finite

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
TARGET = torch.tensor([0, 0])


def cross_entropy(margin: float) -> float:
    return math.log1p(math.exp(-margin))


def test_distillation_is_labels_and_teacher_weighed_with_t_squared() -> None:
    teacher = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    loss = DistillationLoss(temperature=2.0, alpha=0.75, hard=torch.nn.CrossEntropyLoss())
    terms = loss(LOGITS, teacher, TARGET)
    hard = (cross_entropy(2.0) + cross_entropy(-1.0)) / 2

    def kl(teacher_margin: float, student_margin: float) -> float:
        q, p = (1 / (1 + math.exp(-m / 2.0)) for m in (teacher_margin, student_margin))
        return q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))

    soft = 4.0 * (kl(1.0, 2.0) + kl(2.0, -1.0)) / 2
    assert float(terms.hard) == pytest.approx(hard, rel=1e-5)
    assert float(terms.soft) == pytest.approx(soft, rel=1e-5)
    assert float(terms.total) == pytest.approx(0.25 * hard + 0.75 * soft, rel=1e-5)


def test_a_student_that_answers_like_its_teacher_has_no_soft_loss() -> None:
    loss = DistillationLoss(temperature=4.0, alpha=1.0, hard=torch.nn.CrossEntropyLoss())
    assert float(loss(LOGITS, LOGITS, TARGET).total) == pytest.approx(0.0, abs=1e-7)


def test_the_teacher_gets_no_gradient() -> None:
    teacher = LOGITS.clone().requires_grad_()
    student = LOGITS.clone().requires_grad_()
    loss = DistillationLoss(temperature=4.0, alpha=0.5, hard=torch.nn.CrossEntropyLoss())
    loss(student, teacher, TARGET).total.backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_logit_adjustment_adds_the_log_prior() -> None:
    loss = LogitAdjusted(torch.tensor([90, 10]))
    value = float(loss(LOGITS[:1], TARGET[:1]))
    assert value == pytest.approx(cross_entropy(2.0 + math.log(0.9 / 0.1)), rel=1e-5)


def test_class_weights_are_inverse_frequencies() -> None:
    loss = ClassWeighted(torch.tensor([90, 10]))
    value = float(loss(LOGITS, torch.tensor([0, 1])))
    first, second = 100 / 180, 100 / 20
    mean = (first * cross_entropy(2.0) + second * cross_entropy(1.0)) / (first + second)
    assert value == pytest.approx(mean, rel=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(TrainingError, match="teacher, epoch 3: the loss is nan"):
        require_finite(torch.tensor(math.nan), "teacher, epoch 3")
