"""From a score to a verdict. Only OK passes; what we do not understand never does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from inspector.contract.strict import Score, Strict


class Evaluation(IntEnum):
    """What became of a part, with the values of OPC 40001-101 (ResultEvaluationEnum)."""

    UNDEFINED = 0
    OK = 1
    NOT_OK = 2
    NOT_DECIDABLE = 3


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one region."""

    label: str
    """The likeliest class."""
    defect_label: str
    """The likeliest class among the defects: what a rejected part is called."""
    defect_score: float
    """One minus the acceptable classes' probability; NaN where the model computed nonsense."""
    defect_map: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """How unusual each cell of the last feature map is, rows x columns, 0..1; above 0.5: look."""


class Limits(Strict):
    """Where the defect score divides OK from review, and review from reject."""

    review_at: Score
    reject_at: Score

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.review_at > self.reject_at:
            raise ValueError(
                f"review_at {self.review_at} must not be above reject_at {self.reject_at}"
            )
        return self


@dataclass(frozen=True, slots=True)
class Verdict:
    evaluation: Evaluation
    reason: str

    @property
    def passes(self) -> bool:
        return self.evaluation is Evaluation.OK


def judge(prediction: Prediction, limits: Limits) -> Verdict:
    """Turn a score into a verdict; what we do not understand never passes."""
    score = prediction.defect_score
    if not 0.0 <= score <= 1.0:  # also true for NaN
        return Verdict(Evaluation.UNDEFINED, f"score {score} is outside 0..1")
    if score >= limits.reject_at:
        return Verdict(Evaluation.NOT_OK, prediction.defect_label)
    if score >= limits.review_at:
        return Verdict(Evaluation.NOT_DECIDABLE, f"{prediction.defect_label}, in the review band")
    return Verdict(Evaluation.OK, "below review_at")


# A defect seen for sure outweighs a region we could not judge, which outweighs a doubt.
WORST_FIRST = (
    Evaluation.NOT_OK,
    Evaluation.UNDEFINED,
    Evaluation.NOT_DECIDABLE,
    Evaluation.OK,
)


def worst(verdicts: Sequence[Verdict], scores: Sequence[float]) -> int:
    """Index of the region that stands for the part: worst verdict, then highest score.

    Raises ValueError where there is none: a part without regions has no verdict.
    """
    if not verdicts:
        raise ValueError("a part needs at least one region")

    def rank(i: int) -> tuple[int, float]:
        score = scores[i] if math.isfinite(scores[i]) else -1.0
        return WORST_FIRST.index(verdicts[i].evaluation), -score

    return min(range(len(verdicts)), key=rank)
