"""What a student learns from a teacher's logits, one small module for each published idea.

Each: forward(student, teacher), both batch x classes -> the mean over the batch; the teacher gets
no gradient. `temperature` may be set anew before each epoch. Which helps when (single runs on
ImageNet, ResNet-34 to ResNet-18, reproduced by torchdistill: KL 71.37, DIST 71.95, standardised
71.23 %) differs by less than seeds do on a few thousand images: start with KL, measure the rest.
With two or three classes logits carry little, and features say more (training/features.py).
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from inspector.contract.errors import ConfigError

STANDARD_EPS = 1e-7


class SoftLoss(nn.Module):
    """The base of all: a temperature that may be set anew."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0.0:
            raise ValueError(f"{temperature=} must be above 0")
        self.temperature = temperature

    @abstractmethod
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss to minimise."""


class SoftKL(SoftLoss):
    """T^2 * KL of tempered answers (Hinton et al. 2015).

    T^2 keeps the gradient the same size at any temperature: tune it apart from the weight. T 5 to
    10 for short trainings, 1 to 2 for long ones (Beyer et al. 2022).
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__(temperature)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return soft_kl(student, teacher, self.temperature)


class SoftCrossEntropy(SoftLoss):
    """Cross entropy of the student's answer with the teacher's tempered one as a soft label.

    At T 1 what fast knowledge distillation uses (Shen and Xing, ECCV 2022); above, transformed
    teacher matching (Zheng and Yang, ICLR 2024). The student is not tempered: if both were, the
    gradient would be that of SoftKL. So it learns the softened answer itself, is less sure of
    everything by T, and wants its limits calibrated. Its least value is the label's own doubt.
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__(temperature)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return F.cross_entropy(student, F.softmax(teacher.detach() / self.temperature, dim=1))


class LogitsMSE(SoftLoss):
    """Half the mean squared difference of logits (Ba and Caruana, NeurIPS 2014, eq. 1).

    What T^2 * KL becomes at an endless temperature, where logits sum to zero; so it weighs the
    unlikely classes as much as the likely ones (Kim et al., IJCAI 2021, who find it ahead of KL
    unless labels are noisy). The temperature has no say.
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return 0.5 * F.mse_loss(student, teacher.detach())


class LogitStandardised(SoftLoss):
    """T^2 * KL of logits brought to mean 0 and deviation 1 in each row (Sun et al., CVPR 2024).

    A small student need not reach the teacher's range of logits, only their relations. The authors
    take T 2 and a weight of 9 against the labels' 0.1 (CIFAR-100). Raises ConfigError at two
    classes: there all that is left of a row is which logit is the larger one.
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__(temperature)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        require_relations("standardised", student.shape[1])
        return soft_kl(_standard(student), _standard(teacher), self.temperature)


class Dist(SoftLoss):
    """T^2 * (beta * (1 - r over classes) + gamma * (1 - r over the batch)) (Huang et al. 2022).

    "Knowledge distillation from a stronger teacher", NeurIPS 2022: relations (Pearson's r of
    probabilities) in place of values, for a teacher much stronger than its student. At two classes
    r over the classes is always 1 or -1 and teaches nothing; the batch's still does, the steadier
    the larger the batch.
    """

    def __init__(self, *, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__(temperature)
        if min(beta, gamma) < 0.0:
            raise ValueError(f"{beta=} and {gamma=} must not be below 0")
        self.beta = beta
        self.gamma = gamma

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        t = self.temperature
        p = F.softmax(student / t, dim=1)
        q = F.softmax(teacher.detach() / t, dim=1)
        inter = 1.0 - _pearson(p, q, dim=1).mean()
        intra = 1.0 - _pearson(p, q, dim=0).mean()
        return t**2 * (self.beta * inter + self.gamma * intra)


def soft_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(teacher || student), mean over the batch; the teacher gets no gradient."""
    t = temperature
    log_p = F.log_softmax(student / t, dim=1)
    log_q = F.log_softmax(teacher.detach() / t, dim=1)
    return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * t**2


def require_relations(method: str, classes: int) -> None:
    """Raises ConfigError where a method learns nothing from so few classes."""
    if method == "standardised" and classes < 3:
        raise ConfigError(
            f'plan: student.method = "standardised": of {classes} logits in a row standardisation '
            f"leaves only which is the larger; from 3 classes on, or take kl, soft_labels, mse, "
            f"dist"
        )


def temperature_at(share: float, start: float, end: float | None) -> float:
    """The temperature when that share (0 to 1) of the training is done; end None: it stays.

    Linear; annealing KD goes from 10 to 1 (Jafari et al., EACL 2021): at first the whole answer,
    at last its top. Only its schedule is taken, and nobody else's support for it was found.
    """
    return start if end is None else start + share * (end - start)


def rebalanced(teacher: Tensor, log_prior: Tensor, tau: float) -> Tensor:
    """Teacher's logits - tau * log prior: what it would say if classes were more alike in number.

    At temperature T the tempered probabilities are multiplied by prior^(-tau / T) and made to sum
    to 1: with tau = T what "Balanced knowledge distillation" does with weights 1 / prior (Zhang et
    al. 2021, arXiv 2104.10510, and its public code; they take effective numbers). For a teacher
    trained without care for imbalance, whose lean to common classes the student would inherit. Not
    for one trained with logit adjustment: its logits are without the prior already.

    teacher: batch x classes; log_prior: classes.
    """
    return teacher - tau * log_prior


def combine(answers: Sequence[Tensor], how: Literal["mean_probabilities", "mean_logits"]) -> Tensor:
    """Several teachers' logits as one's, each batch x classes (Hinton et al. 2015, section 1).

    mean_logits is the geometric mean of their answers, where one sure veto counts;
    mean_probabilities the arithmetic one, returned as logs, for which softmax is the mean.
    """
    stacked = torch.stack(tuple(answers))
    if how == "mean_logits":
        return stacked.mean(dim=0)
    return F.log_softmax(stacked, dim=2).logsumexp(dim=0) - math.log(len(answers))


def _standard(logits: Tensor) -> Tensor:
    centred = logits - logits.mean(dim=1, keepdim=True)
    return centred / (logits.std(dim=1, keepdim=True) + STANDARD_EPS)


def _pearson(first: Tensor, second: Tensor, dim: int) -> Tensor:
    a = first - first.mean(dim=dim, keepdim=True)
    b = second - second.mean(dim=dim, keepdim=True)
    return F.cosine_similarity(a, b, dim=dim)
