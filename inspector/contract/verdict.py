"""From a score to a verdict. Only OK passes; what we do not understand never does."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from inspector.contract.strict import Distance, Score, Strict


class Evaluation(IntEnum):
    """What became of a part, with the values of OPC 40001-101 (ResultEvaluationEnum)."""

    UNDEFINED = 0
    OK = 1
    NOT_OK = 2
    NOT_DECIDABLE = 3


Cause = Literal[
    "defect",
    "review",
    "novelty",
    "score",
    "model",
    "unsuitable",
    "attestation",
    "frozen",
    "stale",
    "unreadable",
    "no_frame",
    "camera",
    "trigger",
    "late",
    "journal",
    "line",
    "withdrawn",
]
"""Why a part is not OK, for machines; the reason says it for people."""
EVALUATION_OF: dict[Cause, Evaluation] = {
    "defect": Evaluation.NOT_OK,
    "review": Evaluation.NOT_DECIDABLE,
    "novelty": Evaluation.NOT_DECIDABLE,
    "score": Evaluation.UNDEFINED,  # or a novelty that is no number
    "model": Evaluation.UNDEFINED,
    "unsuitable": Evaluation.UNDEFINED,  # the picture does not suit the recipe
    "attestation": Evaluation.UNDEFINED,
    "frozen": Evaluation.UNDEFINED,
    "stale": Evaluation.UNDEFINED,
    "unreadable": Evaluation.UNDEFINED,
    "no_frame": Evaluation.UNDEFINED,
    "camera": Evaluation.UNDEFINED,  # gone
    "trigger": Evaluation.UNDEFINED,  # too close to another part: a picture may show either
    "late": Evaluation.UNDEFINED,
    "journal": Evaluation.UNDEFINED,  # no room for more, or an OK in it would not outlast a kill
    "line": Evaluation.UNDEFINED,  # its signal is away
    "withdrawn": Evaluation.UNDEFINED,  # an OK nobody was told before the station died
}


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
    """How unusual each cell of the last feature map is, rows x columns, 0..1; above 0.5: look. Only
    shown, never decided by. None where the bundle has no such output."""
    novelty: float | None = None
    """How far from every picture of training, 0 or above; None where the bundle has no such output,
    NaN where the model computed nonsense."""


class Limits(Strict):
    """Where the defect score divides OK from review, and review from reject.

    And how unlike the pictures of training a part may be and still be decided.
    """

    review_at: Score
    reject_at: Score
    novelty_at: Distance | None = None
    """From this novelty on the model has seen nothing like it: the part is NOT_DECIDABLE. None
    where the bundle measures no novelty; in a recipe, None keeps the bundle's."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.review_at > self.reject_at:
            raise ValueError(
                f"review_at {self.review_at} must not be above reject_at {self.reject_at}"
            )
        return self

    def over(self, bundle: "Limits") -> "Limits":
        """A recipe's limits, with the bundle's novelty limit where the recipe states none.

        A recipe that sets only the score's limits does not switch novelty off by saying nothing.
        """
        return self.model_copy(update={"novelty_at": self.novelty_at or bundle.novelty_at})

    def stricter(self, other: "Limits") -> "Limits":
        """The lower of each: what one of the two stops, this stops."""
        novelty = [each for each in (self.novelty_at, other.novelty_at) if each is not None]
        return Limits(
            review_at=min(self.review_at, other.review_at),
            reject_at=min(self.reject_at, other.reject_at),
            novelty_at=min(novelty, default=None),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    evaluation: Evaluation
    reason: str
    cause: Cause | None
    """None for OK, and for nothing else."""

    @classmethod
    def by(cls, cause: Cause, reason: str) -> Self:
        """Not OK, and why."""
        return cls(EVALUATION_OF[cause], reason, cause)

    @property
    def passes(self) -> bool:
        return self.evaluation is Evaluation.OK


def judge(prediction: Prediction, limits: Limits) -> Verdict:
    """Turn score and novelty into a verdict; what we do not understand never passes.

    A defect seen for sure stays NOT_OK however novel it is; below that, a part unlike anything
    seen in training is for a person, since its score means nothing.
    """
    score, novelty, novelty_at = prediction.defect_score, prediction.novelty, limits.novelty_at
    if not 0.0 <= score <= 1.0:  # also true for NaN
        return Verdict.by("score", f"score {score} is outside 0..1")
    if novelty is not None and not 0.0 <= novelty < math.inf:  # also true for NaN
        return Verdict.by("score", f"novelty {novelty} is no distance")
    if novelty is None and novelty_at is not None:
        return Verdict.by("score", "there is a novelty_at, but no novelty to hold to it")
    if score >= limits.reject_at:
        return Verdict.by("defect", prediction.defect_label)
    if novelty is not None and novelty_at is not None and novelty >= novelty_at:
        reason = f"unlike anything seen in training: novelty {novelty:.3g}, limit {novelty_at:.3g}"
        return Verdict.by("novelty", reason)
    if score >= limits.review_at:
        return Verdict.by("review", f"{prediction.defect_label}, in the review band")
    return Verdict(Evaluation.OK, "below review_at", None)


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
