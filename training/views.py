"""What a network is shown, and what its teacher said to it: drawn once, read again every epoch.

A view is a number: (seed, image, view) always gives the same picture, mixed with the same other.
So the teacher is asked once about each, and the student sees just what the teacher saw, which is
what makes long distillation work (Beyer et al. 2022, "a good teacher is patient and consistent";
the answers kept on disk: fast knowledge distillation, Shen and Xing 2022).
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.augment import Augmenter, ahead
from training.material import Material, brought
from training.plan_networks import Mix
from training.room import blank
from training.synthetic import painted
from training.team import ALONE, Team

MIXING, PAINTING = 0x6D6978, 0x706E74
"""Set their draws apart from those of the augmentation."""


class Batch(NamedTuple):
    rows: NDArray[np.int64]
    """Places in the pixel file."""
    view: int
    images: Tensor
    """uint8, batch x height x width x 3, augmented, perhaps mixed."""
    target: Tensor
    """Class numbers, batch. Where views are mixed or some have no label, shares of the classes,
    batch x classes: all 0 where there is no label."""
    severity: Tensor | None = None
    """0 to 1, NaN where nobody said; batch."""
    drawn: Tensor | None = None
    """The same views as they were drawn, for a teacher that sees more; None: `images`."""
    weight: float = 1.0
    """Of this batch's loss, where it is one process's share of a batch (team.py)."""

    def to(self, device: torch.device) -> "Batch":
        # `drawn` stays where it is: once their answers are kept, nobody looks at it
        severity = None if self.severity is None else self.severity.to(device)
        images, target = self.images.to(device), self.target.to(device)
        return self._replace(images=images, target=target, severity=severity)


class View(NamedTuple):
    image: NDArray[np.uint8]
    """height x width x 3."""
    target: NDArray[np.float32]
    """Shares of the classes."""
    severity: float
    painted: bool = False
    """Whether there is a painted defect in it."""


class Views:
    """Draws batches of views of the training images.

    Where a teacher sees more than the student, a view is drawn in the teacher's size and brought to
    the student's as the station brings a picture there: it stays the same view for both.
    """

    def __init__(self, material: Material, augmenter: Augmenter, mix: Mix, seed: int) -> None:
        """A picture is mixed with one of its kind: labelled ones are, the others likewise.

        augmenter: for pictures of the size of `material.drawn`.
        """
        self._material = material
        self._drawn = material.drawn
        self._augmenter = augmenter
        self._mix = mix
        self._seed = seed
        some = material.unlabelled, material.synthetic
        self._shares = mix.share > 0.0 or any(each is not None for each in some)
        defects = [i for i in range(material.classes) if i not in material.good]
        self._some_defect = np.zeros(material.classes, np.float32)
        self._some_defect[defects] = 1.0 / max(1, len(defects))

    def batches(
        self, order: NDArray[np.int64], view: int, size: int, threads: int, team: Team = ALONE
    ) -> Iterator[Batch]:
        """Batches in the given order, prepared by a few threads ahead of the network.

        Of each batch the team's share; none is without images, and each image is in one of them.
        """
        starts = list(range(0, len(order), size))
        if len(starts) > 1 and len(order) % size == 1:
            starts.pop()  # batch norm cannot learn from one picture: it joins the batch before
        # Too few for all processes: the last batch takes some from the one before.
        starts[-1] = min(starts[-1], max(0, len(order) - team.size))
        ends = [*starts[1:], len(order)]
        groups = [order[start:end] for start, end in zip(starts, ends, strict=True)]
        return ahead(lambda rows: self._shared(rows, view, team), groups, threads)

    def _shared(self, rows: NDArray[np.int64], view: int, team: Team) -> Batch:
        mine = team.share(rows)
        return self.batch(mine, view)._replace(weight=team.weight(len(mine), len(rows)))

    def batch(self, rows: NDArray[np.int64], view: int) -> Batch:
        """The views of some images, in their order."""
        drawn = [self.one(int(row), view) for row in rows]
        pictures, larger = np.stack([view.image for view in drawn]), self._material.larger
        shown = brought(pictures, larger.shown) if larger else pictures
        if self._shares:
            target = torch.from_numpy(np.stack([view.target for view in drawn]))
        else:
            target = torch.from_numpy(self._material.targets[rows])
        severity = None
        if self._material.severity is not None:
            severity = torch.tensor([view.severity for view in drawn])
        images, whole = torch.from_numpy(shown), torch.from_numpy(pictures)
        return Batch(rows, view, images, target, severity, whole if larger else None)

    def one(self, row: int, view: int) -> View:
        """One view of one image."""
        first = self._drawn_of(row, view)
        rng = np.random.default_rng([self._seed, MIXING, row, view])
        if rng.random() >= self._mix.share:
            return first
        second = self._drawn_of(int(rng.choice(self._kin(row))), view)
        share = float(rng.beta(self._mix.alpha, self._mix.alpha))
        if self._mix.kind == "cutmix":
            image, share = cutmix(first.image, second.image, share, rng)
        else:
            image = mixup(first.image, second.image, share)
        mixed = np.float32(share) * first.target + np.float32(1.0 - share) * second.target
        severity = share * first.severity + (1.0 - share) * second.severity
        return View(image, mixed, severity, painted=first.painted or second.painted)

    def _drawn_of(self, row: int, view: int) -> View:
        """Of one picture, augmented; a defect is painted on that, for it is to be seen."""
        image = self._augmented(row, view)
        spoilt = self._spoilt(image, row, view)
        if spoilt is not None:
            return View(spoilt, self._some_defect, math.nan, painted=True)
        return View(image, self._label(row), self._severe(row))

    def _augmented(self, row: int, view: int) -> NDArray[np.uint8]:
        return self._augmenter.view(self._drawn[row], image=row, view=view)

    def _spoilt(self, image: NDArray[np.uint8], row: int, view: int) -> NDArray[np.uint8] | None:
        """The view with a painted defect, where it has one."""
        how, targets = self._material.synthetic, self._material.targets
        if how is None or row >= len(targets) or targets[row] not in self._material.good:
            return None
        rng = np.random.default_rng([self._seed, PAINTING, row, view])
        if rng.random() >= how.share:
            return None
        other = int(rng.choice(self._material.train))
        return painted(image, lambda: self._augmented(other, view), how, rng)

    def _label(self, row: int) -> NDArray[np.float32]:
        """One share of 1, or none at all for a picture without a label."""
        target = np.zeros(self._material.classes, np.float32)
        if row < len(self._material.targets):
            target[self._material.targets[row]] = 1.0
        return target

    def _severe(self, row: int) -> float:
        severity = self._material.severity
        return math.nan if severity is None or row >= len(severity) else float(severity[row])

    def _kin(self, row: int) -> NDArray[np.int64]:
        others = self._material.unlabelled
        labelled = others is None or row < len(self._material.targets)
        return self._material.train if labelled or others is None else others


def mixup(first: NDArray[np.uint8], second: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """share of the first picture and the rest of the second (Zhang et al., ICLR 2018)."""
    mixed = share * first.astype(np.float32) + (1.0 - share) * second.astype(np.float32)
    return np.rint(mixed).astype(np.uint8)


def cutmix(
    first: NDArray[np.uint8], second: NDArray[np.uint8], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], float]:
    """The first picture with a rectangle of the second, and the first's true share.

    Yun et al., ICCV 2019.
    """
    height, width = first.shape[:2]
    side = (1.0 - share) ** 0.5
    x, y = rng.integers(width), rng.integers(height)
    half_w, half_h = round(side * width / 2), round(side * height / 2)
    left, right = max(0, x - half_w), min(width, x + half_w)
    top, bottom = max(0, y - half_h), min(height, y + half_h)
    mixed = np.array(first)
    mixed[top:bottom, left:right] = second[top:bottom, left:right]
    return mixed, 1.0 - (right - left) * (bottom - top) / (width * height)


class Kept:
    """Answers to (image, view) on disk as float16; NaN where none is yet."""

    def __init__(self, path: Path, rows: NDArray[np.int64], views: int, width: int) -> None:
        """rows: the images that may be asked about, sorted; width: numbers in an answer.

        Raises InspectorError where the disk has no room for the answers to all of them.
        """
        self._rows = rows
        shape = (len(rows), views, width)
        if path.exists():
            self._values = np.load(path, mmap_mode="r+")
            if self._values.shape != shape:
                raise ValueError(f"{path}: holds {self._values.shape}, not {shape}")
            return
        draft = path.with_name(path.name + ".part")
        values = blank(draft, np.float16, shape)
        values[:] = np.nan
        values.flush()
        # Whole on disk before an answer is: what is missing must not read as an answer of 0.
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
        self._values = np.load(path, mmap_mode="r+")

    def read(self, rows: NDArray[np.int64], view: int) -> NDArray[np.float32] | None:
        """rows x width; None where one of them is missing."""
        found = self._values[np.searchsorted(self._rows, rows), view].astype(np.float32)
        return None if np.isnan(found).any() else found

    def write(
        self, rows: NDArray[np.int64], view: int, values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Keep answers; returned as they will be read, so that a resumed run ends the same.

        What is kept stays: asked again in another batch, of balanced epochs or after a kill, a
        network's last digits may differ.
        """
        places = np.searchsorted(self._rows, rows)
        there = self._values[places, view]
        fresh = np.isnan(there).any(axis=1)
        self._values[places[fresh], view] = values[fresh].astype(np.float16)
        return np.asarray(self._values[places, view], np.float32)


def principal(features: NDArray[np.float32], dims: int) -> tuple[NDArray[np.float32], ...]:
    """(centre, basis): the directions in which features differ most, features x dims.

    Kept answers are these few coordinates; of 2,048 features of a few thousand pictures little is
    lost. Signs are fixed, so that two machines agree on them as far as their rounding does.
    """
    centre = features.mean(axis=0)
    _, _, rows = np.linalg.svd((features - centre).astype(np.float64), full_matrices=False)
    basis = rows[: min(dims, len(rows))].T
    signs = np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(basis.shape[1])])
    return centre, (basis * signs).astype(np.float32)


def chunks(rows: NDArray[np.int64], size: int) -> Sequence[NDArray[np.int64]]:
    """Rows in pieces of at most `size`."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
