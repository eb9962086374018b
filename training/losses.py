"""Losses on labels, one for each published idea; and which loss a word of the plan means.

Every one takes class numbers (batch) or, where views are mixed, shares of the classes
(batch x classes): the same label costs the same as either, and an image with no share of any
class costs nothing but counts in the mean.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from inspector.contract.errors import TrainingError
from training.soft import Dist, LogitsMSE, LogitStandardised, SoftCrossEntropy, SoftKL, SoftLoss

EFFECTIVE_BETA = 0.999
"""Cui et al. try 0.9 to 0.9999; this one means that about 1,000 images say all about a class."""


class LogitAdjusted(nn.Module):
    """Cross entropy on logits + tau * log prior (Menon et al., ICLR 2021, eq. 10).

    What is learned is then right for classes that are equally common, so that a rare defect is
    not explained away. With tau 0 it is the plain cross entropy.
    """

    log_prior: Tensor

    def __init__(self, counts: Tensor, *, tau: float = 1.0) -> None:
        """counts: images of each class in training, all above 0."""
        super().__init__()
        self.register_buffer("log_prior", tau * log_prior(counts))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits + self.log_prior, target)


class ClassWeighted(nn.Module):
    """Cross entropy, each image weighed by its class, then the mean over the images.

    Unlike logit adjustment it hardly moves a network that can explain every training image anyway
    (Byrd and Lipton, ICML 2019).
    """

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        """weight: of each class, of mean 1 over the images of training."""
        super().__init__()
        self.register_buffer("weight", weight.float())

    def of(self, target: Tensor) -> Tensor:
        """Weight of each image, by its class or its shares of them; 0 where it has no share."""
        return self.weight[target] if target.ndim == 1 else target @ self.weight

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        # torch's own mean divides class numbers by the batch's weights and shares by its images.
        each = F.cross_entropy(logits, target, weight=self.weight, reduction="none")
        return each.mean()


def log_prior(counts: Tensor) -> Tensor:
    """Log share of each class in training. counts: images of each class, all above 0."""
    return (counts.double() / counts.sum()).log().float()


def inverse_frequency(counts: Tensor) -> Tensor:
    """Weight of each class: 1 / its images, of mean 1 over the images."""
    return effective_number(counts, beta=1.0)


def effective_number(counts: Tensor, *, beta: float = EFFECTIVE_BETA) -> Tensor:
    """Weight of each class: 1 / effective number of its images (Cui et al., CVPR 2019, eq. 2).

    The effective number (1 - beta^n) / (1 - beta) saturates at 1 / (1 - beta): images beyond that
    say nothing new. beta 0 is no weighing, 1 inverse frequency. Here the weights are of mean 1
    over the images, so that the learning rate need not change.
    """
    if not 0.0 <= beta <= 1.0:
        raise ValueError(f"{beta=} must be within 0..1")
    n = counts.double()
    weight = 1.0 / n if beta == 1.0 else (1.0 - beta) / (1.0 - beta**n)
    return (weight * n.sum() / (weight * n).sum()).float()


class SeverityLoss(nn.Module):
    """Cross entropy of the defect probability with how severe an expert called it, 0 to 1.

    The defect probability is 1 - that of the acceptable classes, as the station scores a part. An
    expert's 1/3 (ELPV, Deitsch et al. 2019) says more than the class it was rounded to. The least
    loss is not 0 but the label's own doubt.
    """

    good: Tensor

    def __init__(self, good: Tensor) -> None:
        """good: bool for each class, True for the acceptable ones; some are, some are not."""
        super().__init__()
        if not 0 < int(good.sum()) < len(good):
            raise ValueError(f"{good.tolist()=}: needs acceptable classes and others")
        self.register_buffer("good", good.bool())

    def forward(self, logits: Tensor, severity: Tensor, weight: Tensor | None = None) -> Tensor:
        """severity: batch, NaN where nobody said; such rows are left out. None said: 0.

        weight: of each image in the sum, batch; the mean is over the images all the same.
        """
        margin = logits[:, ~self.good].logsumexp(dim=1) - logits[:, self.good].logsumexp(dim=1)
        said = ~severity.isnan()
        total = F.binary_cross_entropy_with_logits(
            margin[said],
            severity[said].to(margin.dtype),
            weight=None if weight is None else weight[said],
            reduction="sum",
        )
        return total / said.sum().clamp_min(1)


def hard_loss(imbalance: str, counts: Tensor) -> nn.Module:
    """The loss on labels that a plan's `imbalance` names."""
    match imbalance:
        case "logit_adjustment":
            return LogitAdjusted(counts)
        case "class_weights":
            return ClassWeighted(inverse_frequency(counts))
        case "effective_number":
            return ClassWeighted(effective_number(counts))
        case "none":
            return nn.CrossEntropyLoss()
    raise ValueError(f"{imbalance=} is unknown")


def soft_loss(
    method: str, temperature: float, *, beta: float = 1.0, gamma: float = 1.0
) -> SoftLoss:
    """The loss on a teacher's answers that a plan's `method` names; beta and gamma: of "dist"."""
    match method:
        case "kl":
            return SoftKL(temperature=temperature)
        case "soft_labels":
            return SoftCrossEntropy(temperature=temperature)
        case "mse":
            return LogitsMSE()
        case "standardised":
            return LogitStandardised(temperature=temperature)
        case "dist":
            return Dist(beta=beta, gamma=gamma, temperature=temperature)
    raise ValueError(f"{method=} is unknown")


def require_finite(loss: Tensor, where: str) -> float:
    """The loss as a number. Raises TrainingError: a run that diverged must not go on."""
    value = float(loss.detach())
    if not torch.isfinite(loss):
        raise TrainingError(f"{where}: the loss is {value}; try a smaller lr")
    return value
