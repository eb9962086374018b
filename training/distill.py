"""Who teaches whom, and with what: labels, a teacher's answers, its features."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from inspector.contract.errors import ConfigError
from training.features import Hints, tapped
from training.fit import Machine, Objective, autocast
from training.losses import (
    ClassWeighted,
    LogitAdjusted,
    SeverityLoss,
    hard_loss,
    log_prior,
    soft_loss,
)
from training.material import Material
from training.models import Network
from training.plan_networks import Fit, Student
from training.soft import rebalanced, soft_kl, temperature_at
from training.teachers import Answer, Teachers
from training.team import ALONE, Team
from training.views import Batch


class LabelLoss(nn.Module):
    """What labels say: of the class and, where the plan wants it, of the severity."""

    def __init__(self, how: Fit, material: Material, team: Team = ALONE) -> None:
        """Raises ConfigError where the plan weighs severities that the data does not have."""
        super().__init__()
        self._team = team
        self._weight = how.severity_weight
        self.hard = hard_loss(how.imbalance, material.train_counts())
        if self._weight and material.severity is None:
            raise ConfigError(
                f"plan: severity_weight {self._weight:g}: no image of the data has a severity "
                f"(the manifest's column `severity`, 0 to 1)"
            )
        good = torch.zeros(material.classes, dtype=torch.bool)
        good[list(material.good)] = True
        self.severe = SeverityLoss(good) if self._weight else None

    def forward(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean over the images that have a label; batch may hold others."""
        loss: Tensor = self.hard(logits, batch.target)
        if batch.target.ndim == 2:
            labelled = (batch.target.sum(dim=1) > 0.5).sum()
            loss = loss * (len(logits) / labelled.clamp_min(1))
            loss = self._team.evened(loss, labelled, len(logits))
        if self.severe is not None and batch.severity is not None:
            # Corrected for rare classes as the labels are: else the two would teach two priors.
            hard, weight = self.hard, None
            if isinstance(hard, LogitAdjusted):
                logits = logits + hard.log_prior
            elif isinstance(hard, ClassWeighted):
                weight = hard.of(batch.target)
            severe: Tensor = self.severe(logits, batch.severity, weight)
            said = (~batch.severity.isnan()).sum()
            loss = loss + self._weight * self._team.evened(severe, said, len(logits))
        return loss


class Labels(Objective):
    """Learn from labels alone: the teacher, or a student without one."""

    def __init__(self, how: Fit, material: Material, machine: Machine) -> None:
        super().__init__()
        self._precision = how.precision
        self._machine = machine
        self.labels = LabelLoss(how, material, machine.team)
        self.to(machine.device)

    def forward(self, network: Network, batch: Batch) -> Tensor:
        with autocast(self._machine, self._precision):
            logits = network(batch.images)
        loss: Tensor = self.labels(logits.float(), batch)
        return loss


class Remembered(NamedTuple):
    """What the running student knew: it teaches its own classes along with the teacher."""

    teachers: Teachers
    known: list[int]
    """Classes that it has ever met."""
    weight: float

    def loss(self, logits: Tensor, batch: Batch, temperature: float) -> Tensor:
        """T^2 * KL over its own classes (learning without forgetting, Li and Hoiem 2016)."""
        theirs = self.teachers.of(batch).logits[:, self.known]
        return soft_kl(logits[:, self.known], theirs, temperature)


class Taught(Objective):
    """Labels, the teacher's answers, and its features through a projector thrown away afterwards.

    (1 - alpha) * labels + alpha * answers + feature_weight * (1 - cosine): with few classes logits
    carry little, and the direction of the penultimate features says more. Peers learn the same
    along with the student, and each from the others' answers (deep mutual learning, Zhang 2018).
    Without teachers (alpha 0) there are labels, peers and what the running student knew.
    """

    log_prior: Tensor

    def __init__(
        self,
        how: Student,
        material: Material,
        teachers: Teachers | None,
        network: Network,
        machine: Machine,
        *,
        peers: Sequence[Network] = (),
        remembered: Remembered | None = None,
        hints: Hints | None = None,
    ) -> None:
        super().__init__()
        self.hints = hints
        self._how = how
        self._machine = machine
        self._teachers = teachers
        self._remembered = remembered
        self.labels = LabelLoss(how, material, machine.team)
        self.soft = soft_loss(how.method, how.temperature)
        self.register_buffer("log_prior", log_prior(material.train_counts()))
        self.peers = nn.ModuleList(peers)
        self.projectors = nn.ModuleList()
        if teachers and teachers.dims:
            for each in (network, *peers):
                self.projectors.append(nn.Linear(each.features_count(), teachers.dims))
        self.to(machine.device)

    def forward(self, network: Network, batch: Batch) -> Tensor:
        answer = self._teachers.of(batch) if self._teachers else None
        logits, total = [], torch.zeros((), device=batch.images.device)
        for i, each in enumerate((network, *self.peers)):
            names = [hint.student for hint in self._how.hints] if i == 0 else []
            with (
                autocast(self._machine, self._how.precision),
                tapped(each, names, "student") as seen,
            ):
                own, features = each.with_features(batch.images)
            logits.append(own.float())
            total = total + self._taught(logits[-1], batch, answer)
            if answer and answer.features is not None:
                projected = self.projectors[i](features.float())
                likeness = F.cosine_similarity(projected, answer.features, dim=1).mean()
                total = total + self._how.feature_weight * (1.0 - likeness)
            if seen and self._teachers and self.hints is not None:
                shown = self._teachers.inside(batch, [hint.teacher for hint in self._how.hints])
                total = total + self._how.hint_weight * self.hints(seen, shown)
        if self._remembered is not None:
            weight = self._remembered.weight
            total = total + weight * self._remembered.loss(logits[0], batch, self._how.temperature)
        return total + self._how.mutual_weight * mutual(logits)

    def _taught(self, logits: Tensor, batch: Batch, answer: Answer | None) -> Tensor:
        alpha = self._how.alpha
        if answer is None:
            alone: Tensor = self.labels(logits, batch)
            return alone
        theirs = rebalanced(answer.logits, self.log_prior, self._how.rebalance)
        loss: Tensor = (1.0 - alpha) * self.labels(logits, batch) + alpha * self.soft(
            logits, theirs
        )
        return loss

    def epoch_starts(self, share: float) -> None:
        """The temperature glides from its start to its end, where the plan has one."""
        how = self._how
        self.soft.temperature = temperature_at(share, how.temperature, how.temperature_end)


def mutual(logits: list[Tensor]) -> Tensor:
    """Each student's mean KL to the others' answers, summed (Zhang 2018, eq. 8); 0 for one."""
    total = torch.zeros((), device=logits[0].device)
    for i, own in enumerate(logits):
        others = [soft_kl(own, other, 1.0) for j, other in enumerate(logits) if j != i]
        if others:
            total = total + torch.stack(others).mean()
    return total
