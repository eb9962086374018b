"""Who teaches whom, and with what: labels, a teacher's answers, its features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from inspector.contract.errors import ConfigError
from training.features import Hints, tapped
from training.fit import Machine, Objective, autocast
from training.losses import SeverityLoss, hard_loss, log_prior, soft_loss
from training.material import Material
from training.models import Network
from training.plan_networks import Fit, Student
from training.soft import combine, rebalanced, soft_kl, temperature_at
from training.team import ALONE, Team
from training.views import Batch, Kept, chunks, principal

BASIS = "basis.npz"
BASIS_IMAGES = 512
"""Training pictures that tell in which directions a teacher's features differ."""
BASIS_BATCH = 32


class Answer(NamedTuple):
    """What the teachers say to a batch of views."""

    logits: Tensor
    """batch x classes."""
    features: Tensor | None
    """batch x dims: the teacher's pooled features along their principal directions."""


class Teachers:
    """One teacher or several, asked once about each view where answers are kept."""

    def __init__(
        self,
        networks: list[Network],
        material: Material,
        folder: Path,
        precision: str,
        machine: Machine,
        *,
        views: int,
        dims: int,
        mean: Literal["mean_logits", "mean_probabilities"] = "mean_logits",
    ) -> None:
        """views 0: nothing repeats, so nothing is kept, and they are asked every time.

        dims: of the features in an answer; 0 for none.
        """
        self._networks = [network.to(machine.device).eval() for network in networks]
        self._precision = precision
        self._machine = machine
        self._mean = mean
        self._centre: Tensor | None = None
        self._basis: Tensor | None = None
        self._logits: Kept | None = None
        self._features: Kept | None = None
        folder.mkdir(exist_ok=True)
        with machine.team.first():
            if dims:
                centre, basis = self._learn_basis(dims, material, folder / BASIS)
                self._centre = torch.from_numpy(centre).to(machine.device)
                self._basis = torch.from_numpy(basis).to(machine.device)
            if views:
                rows = material.taught_rows()
                self._logits = Kept(folder / "answers.npy", rows, views, material.classes)
                if self._basis is not None:
                    found = self._basis.shape[1]
                    self._features = Kept(folder / "features.npy", rows, views, found)

    @property
    def dims(self) -> int:
        """Numbers in the features of an answer; 0 where none are wanted."""
        return 0 if self._basis is None else self._basis.shape[1]

    def of(self, batch: Batch) -> Answer:
        """The answer to a batch of views, kept from an earlier epoch or asked for now."""
        logits = self._logits.read(batch.rows, batch.view) if self._logits else None
        features = self._features.read(batch.rows, batch.view) if self._features else None
        if logits is None or (self._features and features is None):
            fresh = self._ask(batch.images)
            if self._logits is None:
                return fresh
            logits = self._logits.write(batch.rows, batch.view, fresh.logits.cpu().numpy())
            if self._features and fresh.features is not None:
                features = self._features.write(
                    batch.rows, batch.view, fresh.features.cpu().numpy()
                )
        device = self._machine.device
        return Answer(
            torch.from_numpy(logits).to(device),
            None if features is None else torch.from_numpy(features).to(device),
        )

    @torch.no_grad()
    def inside(self, batch: Batch, names: list[str]) -> dict[str, Tensor]:
        """What layers of the first teacher put out; too large to keep, so asked every time."""
        with (
            autocast(self._machine, self._precision),
            tapped(self._networks[0], names, "teacher") as seen,
        ):
            self._networks[0].with_features(batch.images)
        return seen

    @torch.no_grad()
    def _ask(self, images: Tensor) -> Answer:
        logits, features = self._both(images)
        if self._basis is None or self._centre is None:
            return Answer(logits, None)
        return Answer(logits, (features - self._centre) @ self._basis)

    @torch.no_grad()
    def _both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """All teachers' logits as one's, and their features side by side."""
        with autocast(self._machine, self._precision):
            each = [network.with_features(images) for network in self._networks]
        logits = combine([logits.float() for logits, _ in each], self._mean)
        return logits, torch.cat([features.float() for _, features in each], dim=1)

    def _learn_basis(
        self, dims: int, material: Material, path: Path
    ) -> tuple[np.ndarray, np.ndarray]:
        """Kept with the answers: a resumed run goes on with the very same directions."""
        if not path.exists():
            rows = np.sort(material.train)[:: max(1, len(material.train) // BASIS_IMAGES)]
            seen = [
                self._both(torch.from_numpy(material.pixels[some]).to(self._machine.device))[1]
                for some in chunks(rows, BASIS_BATCH)
            ]
            features = torch.cat(seen).cpu().numpy()
            centre, basis = principal(features, dims)
            draft = path.with_suffix(".part.npz")
            np.savez(draft, centre=centre, basis=basis)
            draft.replace(path)
        with np.load(path) as kept:
            return kept["centre"], kept["basis"]


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
            severe: Tensor = self.severe(logits, batch.severity)
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
