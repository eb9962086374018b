"""What a model said of the sets held back, as its stage kept it: of pictures, tiled ones too."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.outputs import Outputs
from training.calibrate import at_temperature_1
from training.dataset import SplitName
from training.evaluate import Held, held, require_scores
from training.job import Data, judged_sets
from training.plan import Plan
from training.standing import of_pictures


class Answers(NamedTuple):
    """What a model says of a set held back."""

    probabilities: NDArray[np.float32]
    held: Held
    rows: NDArray[np.int64]

    @property
    def told(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The probabilities, and what the pictures are."""
        return self.probabilities, self.held.targets


class _Said(NamedTuple):
    rows: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    novelty: NDArray[np.float32] | None


def answers_of(
    plan: Plan, data: Data, role: str, judged: Path, numbers: NDArray[np.int64]
) -> dict[SplitName, Answers]:
    """judged: the folder of the models' stage; numbers: of each row's part. Raises TrainingError
    where the model has no score for a part.
    """
    answers = {}
    for name in judged_sets(data):
        rows, probabilities, novelty = _said(plan, data, role, judged, name)
        targets = data.part_targets(rows)
        parts = held(probabilities, targets, data.labels, plan.good, numbers[rows], novelty)
        require_scores(parts, f"{role}, {name} set")
        answers[name] = Answers(probabilities, parts, rows)
    return answers


def untempered(
    plan: Plan, data: Data, role: str, judged: Path, temperature: float
) -> NDArray[np.float32]:
    """What the golden set would have been called by the model without its temperature.

    Taken off each tile's answer: which tile is the worst, and what an overview says to it, may then
    be otherwise.
    """
    return _said(plan, data, role, judged, "golden", temperature).probabilities


def _said(
    plan: Plan, data: Data, role: str, judged: Path, name: SplitName, off: float | None = None
) -> _Said:
    """off: a temperature that is taken off."""
    rows = data.rows[name]
    probabilities = np.load(judged / f"{role}-{name}.npy")
    if off is not None:
        probabilities = at_temperature_1(probabilities, off)
    file = judged / f"{role}-{name}-novelty.npy"
    novelty = np.load(file) if file.exists() else None
    if data.layout is None:
        return _Said(rows, probabilities, novelty)
    said = Outputs(probabilities, None, novelty)
    return _Said(*of_pictures(data.layout, rows, said, data.labels, plan.good))
