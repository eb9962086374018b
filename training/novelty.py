"""How far a part is from everything seen in training: one more output of the graph.

A classifier must answer with one of its classes, and is often sure where it knows nothing. So the
features its head sees are brought to length one (Mueller and Hein 2025, "Mahalanobis++") and their
Mahalanobis distance to the nearest class of training is taken, all classes sharing one covariance
(Lee et al. 2018, arXiv:1807.03888), shrunk as far as the number of pictures demands (Ledoit and
Wolf 2004). Of that covariance the graph holds the AXES widest axes and one variance for all the
others (Tipping and Bishop 1999): the whole matrix would be larger than many a student.
"""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr
from sklearn.covariance import LedoitWolf
from torch import Tensor, nn

from inspector.contract.errors import TrainingError
from inspector.contract.strict import Strict
from training.limits import stopped_at_most

AXES = 128
TINY = 1e-24
"""Keeps a picture without any feature from a division by zero; no real feature is this small."""
VARIANCE_MIN = 1e-12


class Novelty(nn.Module):
    """forward: features, batch x d -> novelty, batch, 0 or above; a usual training picture has 1.

    NaN or infinity in any feature gives NaN.
    """

    means: Tensor
    axes: Tensor
    weights: Tensor
    rest: Tensor

    def __init__(
        self,
        means: ArrayLike,
        axes: ArrayLike,
        weights: ArrayLike,
        rest: ArrayLike,
    ) -> None:
        """means: classes x d; axes: d x k, orthonormal; weights: k; rest: a number.

        squared distance = rest * |away|^2 + sum over axes of weight * along^2
        """
        super().__init__()
        for name, value in (("means", means), ("axes", axes), ("weights", weights), ("rest", rest)):
            self.register_buffer(name, torch.from_numpy(np.array(value, np.float32)))

    def forward(self, features: Tensor) -> Tensor:
        unit = features / (features.square().sum(dim=1, keepdim=True) + TINY).sqrt()
        away = unit.unsqueeze(1) - self.means  # batch x classes x d
        along = away @ self.axes
        squares = away.square().sum(dim=2) * self.rest + (along.square() * self.weights).sum(dim=2)
        # A difference of two sums: rounding may take it below zero. And a minimum may lose NaN,
        # which must reach the station; times zero it stays NaN.
        squares = squares.abs()
        return (squares.amin(dim=1) + 0.0 * squares.sum(dim=1)).sqrt()


def learn(features: NDArray[np.float32], targets: NDArray[np.int64]) -> Novelty:
    """From the pictures of training, unaugmented: features n x d, their classes n.

    Raises TrainingError where the features are no numbers, or all the same.
    """
    x = features.astype(np.float64)
    if not np.isfinite(x).all():
        raise TrainingError("novelty: the student computes NaN or infinity of training pictures")
    x /= np.sqrt(np.square(x).sum(axis=1, keepdims=True) + TINY)
    classes, place = np.unique(targets, return_inverse=True)
    if len(classes) == len(x):
        raise TrainingError("novelty: no class has two pictures to train on, so none differ")
    means = np.stack([x[place == i].mean(axis=0) for i in range(len(classes))])
    covariance = (
        LedoitWolf(assume_centered=True, store_precision=False).fit(x - means[place]).covariance_
    )
    variances, axes = np.linalg.eigh(covariance)  # ascending
    kept = min(AXES, len(variances))
    rest = float(variances[:-kept].mean()) if kept < len(variances) else float(variances[0])
    if not rest > VARIANCE_MIN:
        raise TrainingError("novelty: the student sees no difference between training pictures")
    precisions, others = 1.0 / variances[-kept:], 1.0 / rest
    plain = Novelty(means, axes[:, -kept:], precisions - others, others)
    with torch.no_grad():
        usual = float(plain(torch.from_numpy(features)).square().mean())
    return Novelty(means, axes[:, -kept:], (precisions - others) / usual, others / usual)


def save(novelty: Novelty, path: Path) -> None:
    """Write what was learned as an npz file."""
    np.savez(
        path,
        means=novelty.means.numpy(),
        axes=novelty.axes.numpy(),
        weights=novelty.weights.numpy(),
        rest=novelty.rest.numpy(),
    )


def load(path: Path) -> Novelty:
    """Read what `save` wrote."""
    with np.load(path) as kept:
        return Novelty(kept["means"], kept["axes"], kept["weights"], kept["rest"])


class NoveltyLimit(Strict):
    """Where "unlike anything seen" begins, and what that costs where it was chosen."""

    novelty_at: float
    allowed: float
    """Share of good parts that may be stopped."""
    stopped: int
    good: int
    """Good parts held back from training that the limit was chosen on."""
    enough: bool
    """Whether they are enough to hold `allowed` on average over such sets of parts."""

    @property
    def sentence(self) -> str:
        share = f"{100 * self.allowed:g} %"
        if self.enough:
            return f"novelty_at stops at most {share} of good parts on average ({self.good} asked)"
        return (
            f"novelty_at is above all {self.good} good parts asked; holding {share} takes "
            f"{parts_needed(self.allowed)}"
        )


def parts_needed(allowed: float) -> int:
    """Good parts needed before any may be stopped for the share `allowed`."""
    return math.ceil(1.0 / allowed) - 1


def choose_novelty_at(good: NDArray[np.float64], allowed: float, margin: float) -> NoveltyLimit:
    """The lowest limit that stops at most the share `allowed` of further good parts.

    good: novelty of good parts that were not trained on; how many of them it may stop is
    `stopped_at_most`, on average over such sets. The limit lies `margin` above the part it must
    not stop, so that another machine's rounding does not stop it.
    """
    ordered = np.sort(good)
    n = len(ordered)
    novelty_at = float(ordered[n - 1 - stopped_at_most(n, allowed)]) + margin
    return NoveltyLimit(
        novelty_at=novelty_at,
        allowed=allowed,
        stopped=int((ordered >= novelty_at).sum()),
        good=n,
        enough=n >= parts_needed(allowed),
    )


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's; 0 where one of them tells no parts apart, or is none."""
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if len(one) < 2 or np.ptp(one) == 0.0 or np.ptp(other) == 0.0 or not np.isfinite(other).all():
        return 0.0
    return float(spearmanr(one, other).statistic)
