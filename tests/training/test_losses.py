"""Losses on labels against values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from inspector.contract.errors import TrainingError
from training.losses import (
    ClassWeighted,
    LogitAdjusted,
    SeverityLoss,
    effective_number,
    hard_loss,
    inverse_frequency,
    require_finite,
    soft_loss,
)
from training.soft import SoftLoss

LOGITS = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
TARGET = torch.tensor([0, 0])
COUNTS = torch.tensor([90, 10])
IMBALANCE = ("logit_adjustment", "class_weights", "effective_number", "none")


def cross_entropy(margin: float) -> float:
    return math.log1p(math.exp(-margin))


def test_logit_adjustment_adds_the_log_prior() -> None:
    loss = LogitAdjusted(COUNTS)
    value = float(loss(LOGITS[:1], TARGET[:1]))
    assert value == pytest.approx(cross_entropy(2.0 + math.log(0.9 / 0.1)), rel=1e-5)


def test_class_weights_are_inverse_frequencies() -> None:
    loss = ClassWeighted(inverse_frequency(COUNTS))
    value = float(loss(LOGITS, torch.tensor([0, 1])))
    first, second = 100 / 180, 100 / 20
    mean = (first * cross_entropy(2.0) + second * cross_entropy(1.0)) / 2
    assert value == pytest.approx(mean, rel=1e-5)


def test_effective_numbers_are_those_of_the_paper() -> None:
    # beta 0.5: 1, 2 and 3 images count as 1, 1.5 and 1.75
    weight = effective_number(torch.tensor([1, 2, 3]), beta=0.5)
    inverse = [1.0, 1 / 1.5, 1 / 1.75]
    images = inverse[0] + 2 * inverse[1] + 3 * inverse[2]
    assert weight.tolist() == pytest.approx([6 * v / images for v in inverse], rel=1e-6)


def test_effective_numbers_and_adjusted_logits_are_what_public_programs_make_of_them() -> None:
    """Up to a constant, which vandit15/Class-balanced-loss-pytorch at 5658546 (weights that sum to
    the classes) and Chumsy0725/logit-adj-pytorch at 18b07be (counts for shares) take otherwise.
    """
    counts = torch.tensor([1573, 120, 31, 6])
    weight = effective_number(counts, beta=0.999).double()
    public = [0.02403566958657119, 0.16842209737902256, 0.6239161805102796, 3.1836260525241267]
    assert (4 * weight / weight.sum()).tolist() == pytest.approx(public, rel=1e-6)
    logits = 2.0 * torch.sin(0.7 * torch.arange(1, 33, dtype=torch.float64)).view(8, 4)
    value = float(LogitAdjusted(counts)(logits, torch.arange(8) % 4))
    assert value == pytest.approx(3.644740572882429, rel=1e-6)


def test_effective_numbers_lie_between_no_weighing_and_inverse_frequency() -> None:
    assert effective_number(COUNTS, beta=0.0).tolist() == [1.0, 1.0]
    near = effective_number(COUNTS, beta=1.0 - 1e-9)
    assert float(near[1] / near[0]) == pytest.approx(9.0, rel=1e-5)
    between = effective_number(COUNTS)
    assert 1.0 < float(between[1] / between[0]) < 9.0
    with pytest.raises(ValueError, match="must be within"):
        effective_number(COUNTS, beta=1.1)


@pytest.mark.parametrize("imbalance", IMBALANCE)
def test_a_label_as_shares_costs_what_the_label_costs(imbalance: str) -> None:
    loss = hard_loss(imbalance, COUNTS)
    target = torch.tensor([1, 0])
    shares = nn.functional.one_hot(target, 2).float()
    assert float(loss(LOGITS, shares)) == pytest.approx(float(loss(LOGITS, target)), rel=1e-6)


@pytest.mark.parametrize("imbalance", IMBALANCE)
def test_a_mixed_label_costs_its_shares_of_both_labels(imbalance: str) -> None:
    loss = hard_loss(imbalance, COUNTS)
    one, row = LOGITS[:1], torch.tensor([[0.3, 0.7]])
    each = [float(loss(one, torch.tensor([c]))) for c in (0, 1)]
    assert float(loss(one, row)) == pytest.approx(0.3 * each[0] + 0.7 * each[1], rel=1e-5)


@pytest.mark.parametrize("imbalance", IMBALANCE)
def test_a_picture_without_a_label_costs_nothing(imbalance: str) -> None:
    loss = hard_loss(imbalance, COUNTS)
    shares = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    alone = float(loss(LOGITS[:1], shares[:1]))
    assert float(loss(LOGITS, shares)) == pytest.approx(alone / 2, rel=1e-6)


def entropy(share: float) -> float:
    return -share * math.log(share) - (1.0 - share) * math.log(1.0 - share)


def logits_of(probabilities: list[list[float]]) -> Tensor:
    return torch.tensor(probabilities).log() + 5.0


def test_severity_is_held_against_the_probability_of_any_defect() -> None:
    # classes 0 and 2 are acceptable: defect probabilities 0.5 and 0.2
    logits = logits_of([[0.3, 0.5, 0.2], [0.1, 0.2, 0.7]])
    loss = SeverityLoss(torch.tensor([True, False, True]))
    severity = torch.tensor([1 / 3, 1.0])
    expected = (-math.log(0.5) - math.log(0.2)) / 2
    assert float(loss(logits, severity)) == pytest.approx(expected, rel=1e-5)


def test_severity_costs_least_where_the_defect_probability_is_the_severity() -> None:
    loss = SeverityLoss(torch.tensor([True, False, False]))
    logits = logits_of([[2 / 3, 1 / 6, 1 / 6]]).requires_grad_()
    value = loss(logits, torch.tensor([1 / 3]))
    value.backward()
    assert float(value.detach()) == pytest.approx(entropy(1 / 3), rel=1e-5)
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_parts_whose_severity_nobody_said_are_left_out() -> None:
    loss = SeverityLoss(torch.tensor([True, False]))
    severity = torch.tensor([math.nan, 1.0])
    assert float(loss(LOGITS, severity)) == pytest.approx(cross_entropy(1.0), rel=1e-5)
    silent = LOGITS.clone().requires_grad_()
    value = loss(silent, torch.full((2,), math.nan))
    value.backward()
    assert float(value.detach()) == 0.0
    assert silent.grad is not None
    assert not silent.grad.any()


def test_severity_needs_acceptable_classes_and_others() -> None:
    with pytest.raises(ValueError, match="needs acceptable classes and others"):
        SeverityLoss(torch.tensor([True, True]))


@pytest.mark.parametrize("method", ["kl", "soft_labels", "mse", "standardised", "dist"])
def test_every_word_for_a_method_is_a_loss_that_falls_when_followed(method: str) -> None:
    torch.manual_seed(0)
    loss: SoftLoss = soft_loss(method, 4.0)
    teacher = 3.0 * torch.randn(16, 4)
    student = torch.randn(16, 4, requires_grad=True)
    before = loss(student, teacher)
    (gradient,) = torch.autograd.grad(before, student)
    assert float(loss(student - 1e-2 * gradient, teacher).detach()) < float(before.detach())


def test_words_that_no_loss_goes_by_are_refused() -> None:
    with pytest.raises(ValueError, match="method='magic' is unknown"):
        soft_loss("magic", 4.0)
    with pytest.raises(ValueError, match="imbalance='magic' is unknown"):
        hard_loss("magic", COUNTS)


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(TrainingError, match="teacher, epoch 3: the loss is nan"):
        require_finite(torch.tensor(math.nan), "teacher, epoch 3")
