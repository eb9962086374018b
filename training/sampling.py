"""In which order the images of an epoch are shown."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

How = Literal["natural", "balanced"]


def order(
    rows: NDArray[np.int64], targets: NDArray[np.int64], seed: Sequence[int], how: How
) -> NDArray[np.int64]:
    """The rows of one epoch, as many as there are, the same for the same seed.

    natural: each once. balanced: each class as often as any other, give or take one; within a
    class no row comes twice more than another, so common classes give a part of their rows and
    rare ones all of theirs several times (class-balanced sampling, Kang et al., ICLR 2020, who
    find it best for the head alone: the backbone learns less from a rare class's few images).
    A row that comes twice in an epoch shows the same view, since a view is a number; the next
    epoch shows another.

    Not together with weights or logit adjustment: they would correct for the shares once more.

    rows: places in the pixel file; targets: class of each of these rows. Raises ValueError where
    the two differ in length.
    """
    if len(rows) != len(targets):
        raise ValueError(f"{len(rows)} rows, {len(targets)} targets")
    rng = np.random.default_rng(list(seed))
    if how == "natural":
        return rng.permutation(rows)
    classes = rng.permutation(np.unique(targets))
    each, over = divmod(len(rows), len(classes))
    shown = [
        _drawn(rows[targets == c], each + (place < over), rng) for place, c in enumerate(classes)
    ]
    return rng.permutation(np.concatenate(shown))


def _drawn(rows: NDArray[np.int64], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Whole passes over the rows, then a part of one."""
    passes, part = divmod(wanted, len(rows))
    return np.concatenate([np.tile(rows, passes), rng.permutation(rows)[:part]])
