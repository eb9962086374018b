"""Small losses, one for each published idea, tested against values worked out by hand."""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from inspector.contract.errors import TrainingError


class LossTerms(NamedTuple):
    total: Tensor
    hard: Tensor
    soft: Tensor


class LogitAdjusted(nn.Module):
    """Cross entropy on logits + tau * log prior (Menon et al., ICLR 2021, eq. 10).

    What is learned is then right for classes that are equally common, so that a rare defect is
    not explained away. With tau 0 it is the plain cross entropy.
    """

    log_prior: Tensor

    def __init__(self, counts: Tensor, *, tau: float = 1.0) -> None:
        """counts: images of each class in training, all above 0."""
        super().__init__()
        prior = counts.double() / counts.sum()
        self.register_buffer("log_prior", (tau * prior.log()).float())

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits + self.log_prior, target)


class ClassWeighted(nn.Module):
    """Cross entropy with weights of inverse frequency, of mean 1 over the images."""

    weight: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", (counts.sum() / (len(counts) * counts.double())).float())

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, weight=self.weight)


def hard_loss(imbalance: str, counts: Tensor) -> nn.Module:
    """The loss on labels that a plan's `imbalance` names."""
    match imbalance:
        case "logit_adjustment":
            return LogitAdjusted(counts)
        case "class_weights":
            return ClassWeighted(counts)
        case "none":
            return nn.CrossEntropyLoss()
    raise ValueError(f"{imbalance=} is unknown")


def soft_loss(method: str, temperature: float) -> "SoftKL":
    """The loss on a teacher's answers that a plan's `method` names."""
    if method == "kl":
        return SoftKL(temperature=temperature)
    raise ValueError(f"{method=} is unknown")


class SoftKL(nn.Module):
    """T^2 * KL of tempered answers (Hinton et al. 2015); forward(student, teacher)."""

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return soft_kl(student, teacher, self.temperature)


def soft_kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(teacher || student), mean over the batch; the teacher gets no gradient."""
    t = temperature
    log_p = F.log_softmax(student / t, dim=1)
    log_q = F.log_softmax(teacher.detach() / t, dim=1)
    return F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * t**2


class DistillationLoss(nn.Module):
    """Labels and teacher, weighed: (1 - alpha) * CE + alpha * T^2 * KL (Hinton et al. 2015).

    T^2 keeps the soft gradient the same size at any temperature: tune the two apart.
    """

    def __init__(self, *, temperature: float, alpha: float, hard: nn.Module) -> None:
        super().__init__()
        if temperature <= 0.0 or not 0.0 <= alpha <= 1.0:
            raise ValueError(f"{temperature=} must be above 0, {alpha=} within 0..1")
        self.temperature = temperature
        self.alpha = alpha
        self.hard = hard

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor) -> LossTerms:
        t, a = self.temperature, self.alpha
        hard = self.hard(student, target)
        log_p = F.log_softmax(student / t, dim=1)
        log_q = F.log_softmax(teacher.detach() / t, dim=1)
        soft = F.kl_div(log_p, log_q, reduction="batchmean", log_target=True) * t**2
        return LossTerms(total=(1.0 - a) * hard + a * soft, hard=hard, soft=soft)


def require_finite(loss: Tensor, where: str) -> float:
    """The loss as a number. Raises TrainingError: a run that diverged must not go on."""
    value = float(loss.detach())
    if not torch.isfinite(loss):
        raise TrainingError(f"{where}: the loss is {value}; try a smaller lr")
    return value
