"""Teachers that are asked about views: what they say is kept, so that each is asked once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from inspector.contract.image import ImageSpec
from training.features import tapped
from training.fit import Machine, autocast
from training.material import Material, brought
from training.models import Network
from training.plan import Plan, fingerprint
from training.plan_networks import Student
from training.run import KEY_DIGITS, Stage
from training.soft import combine
from training.views import Batch, Kept, chunks, principal

VERSION = 1
"""Of how teachers are asked: raised where the same ones would answer otherwise."""
BASIS_IMAGES = 512
"""Training pictures that tell in which directions a teacher's features differ."""
BASIS_BATCH = 32


class Answer(NamedTuple):
    """What the teachers say to a batch of views."""

    logits: Tensor
    """batch x classes."""
    features: Tensor | None
    """batch x dims: the teacher's pooled features along their principal directions."""


def kept_in(
    beside: Path,
    plan: Plan,
    how: Student,
    material: Material,
    shown: Sequence[Stage | None],
    precisions: Sequence[str],
    sees: Sequence[ImageSpec | None],
) -> Path:
    """The folder of what these teachers say to these views, whichever student asks.

    Students that differ in what they make of it (method, temperature, architecture, size) share it:
    their teachers are paid for once. What decides which views are in a batch is in the name, so
    that each ends as if it had asked alone.

    beside: a student's stage; it is the folder itself where no view comes again. shown: the
    teachers, whose keys stand for the pictures too, and the archive where there is one.
    """
    if not how.views:
        return beside
    rows = [
        None if some is None else some.tolist() for some in (material.train, material.unlabelled)
    ]
    drawn = material.larger.image if material.larger else plan.image
    key = fingerprint(
        VERSION,
        [stage.key for stage in shown if stage],
        list(precisions),
        [its or plan.image for its in sees],
        how.combine,
        [*plan.drawn_by, drawn, plan.seed, how.views, how.mix, how.batch, how.sampling],
        [rows, material.unlabelled_shown],
    )
    return beside.with_name(f"views-{key[:KEY_DIGITS]}")


class Teachers:
    """One teacher or several, asked once about each view where answers are kept."""

    def __init__(
        self,
        networks: list[Network],
        material: Material,
        folder: Path,
        precisions: list[str],  # a word would be a sequence of letters
        machine: Machine,
        *,
        views: int,
        dims: int,
        mean: Literal["mean_logits", "mean_probabilities"] = "mean_logits",
        sees: Sequence[ImageSpec | None] = (),
    ) -> None:
        """views 0: nothing repeats, so nothing is kept, and they are asked every time.

        precisions: in which each is asked. dims: of the features in an answer; 0 for none. sees: of
        each network, the pictures it is shown; None where they are the student's.
        """
        self._sees = tuple(sees) or (None,) * len(networks)
        self._drawn_as = material.larger.image if material.larger else None
        self._networks = [network.to(machine.device).eval() for network in networks]
        self._precisions = tuple(precisions)
        self._machine = machine
        self._mean = mean
        self._centre: Tensor | None = None
        self._basis: Tensor | None = None
        self._logits: Kept | None = None
        self._features: Kept | None = None
        folder.mkdir(exist_ok=True)
        with machine.team.first():
            if dims:
                centre, basis = self._learn_basis(dims, material, folder / f"basis-{dims}.npz")
                self._centre = torch.from_numpy(centre).to(machine.device)
                self._basis = torch.from_numpy(basis).to(machine.device)
            if views:
                rows = material.taught_rows()
                self._logits = Kept(folder / "answers.npy", rows, views, material.classes)
                if self._basis is not None:
                    found = self._basis.shape[1]
                    self._features = Kept(folder / f"features-{dims}.npy", rows, views, found)

    @property
    def dims(self) -> int:
        """Numbers in the features of an answer; 0 where none are wanted."""
        return 0 if self._basis is None else self._basis.shape[1]

    def of(self, batch: Batch) -> Answer:
        """The answer to a batch of views, kept from an earlier epoch or asked for now."""
        logits = self._logits.read(batch.rows, batch.view) if self._logits else None
        features = self._features.read(batch.rows, batch.view) if self._features else None
        if logits is None or (self._features and features is None):
            fresh = self._ask(batch.images, batch.drawn)
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
            autocast(self._machine, self._precisions[0]),
            tapped(self._networks[0], names, "teacher") as seen,
        ):
            self._networks[0].with_features(self._shown(0, batch.images, batch.drawn))
        return seen

    @torch.no_grad()
    def _ask(self, images: Tensor, drawn: Tensor | None) -> Answer:
        logits, features = self._both(images, drawn)
        if self._basis is None or self._centre is None:
            return Answer(logits, None)
        return Answer(logits, (features - self._centre) @ self._basis)

    @torch.no_grad()
    def _both(self, images: Tensor, drawn: Tensor | None) -> tuple[Tensor, Tensor]:
        """All teachers' logits as one's, and their features side by side."""
        each = []
        for i, (network, its) in enumerate(zip(self._networks, self._precisions, strict=True)):
            with autocast(self._machine, its):
                each.append(network.with_features(self._shown(i, images, drawn)))
        logits = combine([logits.float() for logits, _ in each], self._mean)
        return logits, torch.cat([features.float() for _, features in each], dim=1)

    def _shown(self, i: int, images: Tensor, drawn: Tensor | None) -> Tensor:
        """Pictures in the size that a teacher sees, from the student's and as they were drawn."""
        its = self._sees[i]
        if its is None:
            return images
        whole = images if drawn is None else drawn
        if its != self._drawn_as:
            whole = torch.from_numpy(brought(whole.cpu().numpy(), its))
        return whole.to(self._machine.device)

    def _learn_basis(
        self, dims: int, material: Material, path: Path
    ) -> tuple[np.ndarray, np.ndarray]:
        """Kept with the answers: a resumed run goes on with the very same directions."""
        if not path.exists():
            rows = np.sort(material.train)[:: max(1, len(material.train) // BASIS_IMAGES)]
            larger, seen = material.larger, []
            for some in chunks(rows, BASIS_BATCH):
                images = torch.from_numpy(material.pixels[some]).to(self._machine.device)
                drawn = torch.from_numpy(larger.pixels[some]) if larger else None
                seen.append(self._both(images, drawn)[1])
            features = torch.cat(seen).cpu().numpy()
            centre, basis = principal(features, dims)
            draft = path.with_suffix(".part.npz")
            np.savez(draft, centre=centre, basis=basis)
            draft.replace(path)
        with np.load(path) as kept:
            return kept["centre"], kept["basis"]
