"""Losses on a teacher's answers: by hand, by scipy, and as the authors' own programs have them.

`PUBLISHED` are figures of public implementations for SEEN: of DIST (hunto/image_classification_sota
at 6f7a70a, lib/models/losses/dist_kd.py), of logit standardisation
(sunshangquan/logit-standardization-KD at f6e5aa5, mdistiller/distillers/KD.py), of plain KL
(megvii-research/mdistiller at a08d46f, the same file), of balanced distillation
(EricZsy/BalancedKnowledgeDistillation at 168dd0a, losses.py) and of mutual learning
(chxy95/Deep-Mutual-Learning at 88371a3, trainer.py).
"""

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy, pearsonr
from torch import Tensor

from inspector.contract.errors import ConfigError
from training.distill import mutual
from training.soft import (
    Dist,
    LogitsMSE,
    LogitStandardised,
    SoftCrossEntropy,
    SoftKL,
    SoftLoss,
    combine,
    rebalanced,
    require_relations,
    temperature_at,
)


def waves(rate: float, size: float) -> Tensor:
    return size * torch.sin(rate * torch.arange(1, 33, dtype=torch.float64)).view(8, 4)


SEEN = (waves(0.7, 2.0), waves(0.9, 3.0))
PUBLISHED = [
    (SoftKL(temperature=4.0), 2.2161762187695953),
    (Dist(), 2.0885279416525693),
    (Dist(beta=1.0, gamma=2.0, temperature=4.0), 54.52348278951839),
    (LogitStandardised(temperature=2.0), 0.7983780158117704),
]
EVERY = [
    SoftKL(temperature=4.0),
    SoftCrossEntropy(temperature=4.0),
    LogitsMSE(),
    LogitStandardised(temperature=2.0),
    Dist(temperature=4.0),
]
TWO = torch.tensor([[2.0, 0.0], [0.0, 1.0]])


def name(loss: object) -> str:
    return type(loss).__name__


@pytest.mark.parametrize(("loss", "figure"), PUBLISHED, ids=lambda v: str(v)[:12])
def test_a_loss_is_what_its_authors_own_program_says(loss: SoftLoss, figure: float) -> None:
    assert float(loss(*SEEN)) == pytest.approx(figure, rel=1e-6)


def test_three_students_cost_each_other_what_a_public_program_says() -> None:
    students = [*SEEN, waves(1.3, 1.5)]
    assert float(mutual(students)) == pytest.approx(3.6834811430978256, rel=1e-6)


@pytest.mark.parametrize("loss", EVERY, ids=name)
def test_the_teacher_gets_no_gradient_and_the_student_does(loss: SoftLoss) -> None:
    student, teacher = (each.clone().requires_grad_() for each in SEEN)
    loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.abs().max() > 1e-3


@pytest.mark.parametrize("loss", [EVERY[0], EVERY[2], EVERY[3], EVERY[4]], ids=name)
def test_a_student_that_answers_like_its_teacher_has_no_loss(loss: SoftLoss) -> None:
    teacher = SEEN[1]
    assert float(loss(teacher, teacher)) == pytest.approx(0.0, abs=1e-7)


def test_kl_is_worked_out_by_hand() -> None:
    teacher = torch.tensor([[1.0, 0.0], [2.0, 0.0]])

    def kl(teacher_margin: float, student_margin: float) -> float:
        q, p = (1 / (1 + math.exp(-m / 2.0)) for m in (teacher_margin, student_margin))
        return q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))

    expected = 4.0 * (kl(1.0, 2.0) + kl(2.0, -1.0)) / 2
    assert float(SoftKL(temperature=2.0)(TWO, teacher)) == pytest.approx(expected, rel=1e-5)


def test_a_soft_label_is_the_teachers_tempered_answer() -> None:
    teacher = torch.tensor([[2.0 * math.log(3.0), 0.0]])  # at T 2: shares 3/4 and 1/4
    expected = 0.75 * math.log1p(math.exp(-2.0)) + 0.25 * math.log1p(math.exp(2.0))
    value = float(SoftCrossEntropy(temperature=2.0)(TWO[:1], teacher))
    assert value == pytest.approx(expected, rel=1e-5)


def test_a_soft_label_costs_least_at_the_softened_answer_itself() -> None:
    teacher = SEEN[1]
    softened = (teacher / 4.0).requires_grad_()
    value = SoftCrossEntropy(temperature=4.0)(softened, teacher)
    value.backward()
    doubt = entropy(torch.softmax(teacher / 4.0, dim=1).numpy(), axis=1).mean()
    assert float(value.detach()) == pytest.approx(doubt, rel=1e-9)
    assert softened.grad is not None
    assert softened.grad.abs().max() < 1e-12


def test_squared_logits_are_halved_and_averaged() -> None:
    teacher = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert float(LogitsMSE()(TWO, teacher)) == pytest.approx(0.5 * (1.0 + 4.0 + 1.0) / 4)


def test_squared_logits_are_what_kl_becomes_at_an_endless_temperature() -> None:
    student, teacher = (each - each.mean(dim=1, keepdim=True) for each in SEEN)
    hot = float(SoftKL(temperature=1e4)(student, teacher))
    assert float(LogitsMSE()(student, teacher)) == pytest.approx(hot, rel=1e-3)


def test_relations_are_pearsons_over_classes_and_over_the_batch() -> None:
    p, q = (torch.softmax(each / 2.0, dim=1).numpy() for each in SEEN)
    inter = np.mean([1.0 - pearsonr(a, b).statistic for a, b in zip(p, q, strict=True)])
    intra = np.mean([1.0 - pearsonr(a, b).statistic for a, b in zip(p.T, q.T, strict=True)])
    value = float(Dist(beta=0.5, gamma=3.0, temperature=2.0)(*SEEN))
    assert value == pytest.approx(4.0 * (0.5 * inter + 3.0 * intra), rel=1e-9)


def test_relations_over_two_classes_teach_nothing_and_those_over_the_batch_do() -> None:
    student, teacher = TWO.clone().requires_grad_(), torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    Dist(gamma=0.0)(student, teacher).backward()
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-6
    more = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.0]], requires_grad=True)
    Dist(beta=0.0)(more, torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])).backward()
    assert more.grad is not None
    assert more.grad.abs().max() > 1e-2


def test_relations_stay_finite_where_every_answer_is_the_same() -> None:
    student = torch.zeros(4, 3, requires_grad=True)
    value = Dist()(student, torch.ones(4, 3))
    value.backward()
    assert float(value.detach()) == pytest.approx(2.0)
    assert student.grad is not None
    assert student.grad.isfinite().all()


def test_standardised_logits_do_not_see_range_or_shift() -> None:
    student, teacher = SEEN
    loss = LogitStandardised(temperature=2.0)
    once, again = float(loss(student, teacher)), float(loss(0.1 * student + 7.0, 5.0 * teacher))
    assert again == pytest.approx(once, rel=1e-5)


def test_standardising_two_classes_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="from 3 classes on, or take kl"):
        LogitStandardised(temperature=2.0)(TWO, TWO)
    require_relations("standardised", 3)
    require_relations("kl", 2)


def test_a_temperature_may_be_set_anew() -> None:
    loss = SoftKL(temperature=1.0)
    loss.temperature = 4.0
    assert float(loss(*SEEN)) == pytest.approx(PUBLISHED[0][1], rel=1e-6)


def test_a_temperature_glides_or_stays() -> None:
    assert [temperature_at(share, 10.0, 1.0) for share in (0.0, 0.5, 1.0)] == [10.0, 5.5, 1.0]
    assert temperature_at(0.5, 4.0, None) == 4.0


def test_impossible_figures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"temperature=0\.0 must be above 0"):
        SoftKL(temperature=0.0)
    with pytest.raises(ValueError, match="must not be below 0"):
        Dist(gamma=-1.0)


def test_a_rebalanced_teacher_is_held_as_balanced_distillation_publishes_it() -> None:
    student, teacher = SEEN
    log_prior = torch.tensor([0.60, 0.20, 0.15, 0.05], dtype=torch.float64).log()
    value = SoftKL(temperature=4.0)(student, rebalanced(teacher, log_prior, tau=4.0))
    assert float(value) == pytest.approx(5.606063686934064, rel=1e-6)


def test_rebalancing_takes_the_prior_off_an_answer() -> None:
    log_prior = torch.tensor([0.9, 0.1]).log()
    answer = torch.softmax(rebalanced(log_prior[None], log_prior, tau=1.0), dim=1)
    assert answer.tolist() == [pytest.approx([0.5, 0.5])]


def test_an_ensemble_answers_with_the_mean_of_its_answers() -> None:
    answers = [torch.tensor([[0.9, 0.1]]).log() + 3.0, torch.tensor([[0.4, 0.6]]).log()]
    arithmetic = torch.softmax(combine(answers, "mean_probabilities"), dim=1)
    assert arithmetic.tolist() == [pytest.approx([0.65, 0.35])]
    first, second = math.sqrt(0.9 * 0.4), math.sqrt(0.1 * 0.6)
    geometric = torch.softmax(combine(answers, "mean_logits"), dim=1)
    expected = [first / (first + second), second / (first + second)]
    assert geometric.tolist() == [pytest.approx(expected)]
