"""What is learned from: pixels, class numbers, and which rows are for what."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.contract.image import ImageSpec, fit
from training.plan_synthetic import Synthetic
from training.sampling import How, order


class Joined:
    """Two pixel files as one: the labelled images first, the others after them."""

    def __init__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
        self._first = first
        self._second = second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, rows: int | NDArray[np.int64]) -> NDArray[np.uint8]:
        """One image, height x width x 3, or several, rows x height x width x 3."""
        n = len(self._first)
        if isinstance(rows, np.ndarray):
            return np.stack([self[int(row)] for row in rows])
        return np.asarray(self._first[rows] if rows < n else self._second[rows - n])


Pixels = NDArray[np.uint8] | Joined
"""images x height x width x 3, BGR, as `fit` gives them."""


class Brought:
    """A pixel file in another size: each picture is brought to it when it is asked for."""

    def __init__(self, pixels: Pixels, image: ImageSpec) -> None:
        self._pixels = pixels
        self._image = image

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """rows x height x width x 3."""
        return brought(np.asarray(self._pixels[rows]), self._image)


def brought(pictures: NDArray[np.uint8], image: ImageSpec) -> NDArray[np.uint8]:
    """Pictures that were fitted to one size, n x height x width x 3, in another: as a station would
    bring them there. What was padded around them is in them already.
    """
    return np.stack([fit(each, image.model_copy(update={"fit": "stretch"})) for each in pictures])


class Larger(NamedTuple):
    """The same pictures at the size in which views are drawn, where a teacher sees more."""

    pixels: Pixels
    image: ImageSpec
    """Of `pixels`."""
    shown: ImageSpec
    """What the student sees: views are brought to it."""


@dataclass(frozen=True, slots=True)
class Material:
    """Labelled images, and perhaps others that only a teacher can speak of."""

    pixels: Pixels
    targets: NDArray[np.int64]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    classes: int
    good: tuple[int, ...] = ()
    """Numbers of the acceptable classes."""
    severity: NDArray[np.float32] | None = None
    """How severe an expert called each image, 0 to 1, NaN where nobody said; None: all of them."""
    synthetic: Synthetic | None = None
    """Defects that are painted on views of good images."""
    larger: Larger | None = None
    """None: views are drawn from `pixels`."""
    unlabelled: NDArray[np.int64] | None = None
    """Rows of what views are drawn from, beyond `targets`."""
    unlabelled_shown: int = 0
    """How many of them an epoch shows."""

    @property
    def drawn(self) -> Pixels:
        """What views are drawn from."""
        return self.larger.pixels if self.larger else self.pixels

    def train_counts(self) -> Tensor:
        """Training images of each class."""
        counts = np.bincount(self.targets[self.train], minlength=self.classes)
        return torch.from_numpy(counts)

    def joined(
        self, pixels: NDArray[np.uint8], chosen: NDArray[np.int64], shown: int
    ) -> "Material":
        """With unlabelled images beside, in the size in which views are drawn.

        chosen: which of them, shown: how many an epoch.
        """
        if self.unlabelled is not None or not isinstance(self.drawn, np.ndarray):
            raise ValueError("there are unlabelled images already")
        both = Joined(self.drawn, pixels)
        rows = chosen + len(self.pixels)
        beside = replace(self, unlabelled=rows, unlabelled_shown=shown)
        if self.larger is None:
            return replace(beside, pixels=both)
        return replace(beside, larger=self.larger._replace(pixels=both))

    def taught_rows(self) -> NDArray[np.int64]:
        """Every row that a student may be shown, sorted."""
        if self.unlabelled is None:
            return np.sort(self.train)
        return np.sort(np.concatenate([self.train, self.unlabelled]))

    def shown(self) -> int:
        """How many images an epoch shows."""
        return len(self.train) + self.unlabelled_shown

    def order(self, seed: int, epoch: int, how: How = "natural") -> NDArray[np.int64]:
        """The rows of an epoch; the same for the same seed and epoch."""
        rows = order(self.train, self.targets[self.train], [seed, epoch], how)
        if self.unlabelled is None:
            return rows
        rng = np.random.default_rng([seed, epoch, len(rows)])
        n = self.unlabelled_shown
        others = rng.choice(self.unlabelled, n, replace=n > len(self.unlabelled))
        return rng.permutation(np.concatenate([rows, others]))
