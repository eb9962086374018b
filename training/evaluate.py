"""How good a model is, in the factory's words, with n and bounds."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score

from inspector.contract.bounds import say_rate, upper_bound
from inspector.contract.errors import TrainingError
from inspector.contract.outputs import defect_score
from inspector.contract.strict import Strict
from inspector.contract.verdict import Evaluation, Limits, Prediction, Verdict, judge


class Rate(Strict):
    """events / n, and the one-sided exact upper bound."""

    events: int
    n: int
    rate: float
    at_most: float
    confidence: float

    @classmethod
    def of(cls, events: int, n: int, confidence: float) -> "Rate":
        rate = events / n if n else math.nan
        bound = upper_bound(events, n, confidence)
        return cls(
            events=events, n=n, rate=rate if n else 0.0, at_most=bound, confidence=confidence
        )

    def __str__(self) -> str:
        return say_rate(self.events, self.n, self.confidence)


class Held(NamedTuple):
    """Parts held back, as one model scored them: one row a picture."""

    scores: NDArray[np.float64]
    targets: NDArray[np.int64]
    labels: tuple[str, ...]
    good: tuple[str, ...]
    parts: NDArray[np.int64]
    """Equal for pictures of one part and for twins, which are one trial and not several."""
    novelty: NDArray[np.float64] | None = None
    """None where the model measures none."""

    @property
    def by_picture(self) -> "Held":
        """The same, each picture a part of its own: as papers count."""
        return self._replace(parts=np.arange(len(self.scores)))

    @property
    def is_defect(self) -> NDArray[np.bool_]:
        return is_defect(self.targets, self.labels, self.good)

    @property
    def defects(self) -> tuple[str, ...]:
        """The classes that are defects."""
        return tuple(label for label in self.labels if label not in self.good)

    def defect_parts(self, classes: tuple[str, ...]) -> NDArray[np.float64]:
        """One score a part with such a defect, ascending: its least suspicious picture's."""
        mine = self.of(classes)
        return np.sort(-_highest(-self.scores[mine], self.parts[mine]))

    def good_parts(self) -> NDArray[np.float64]:
        """One score a good part, ascending: its most suspicious picture's."""
        mine = ~self.is_defect
        return np.sort(_highest(self.scores[mine], self.parts[mine]))

    def good_novelty(self) -> NDArray[np.float64] | None:
        """One a good part, ascending: its most novel picture's. None where none is measured."""
        if self.novelty is None:
            return None
        mine = ~self.is_defect
        return np.sort(_highest(self.novelty[mine], self.parts[mine]))

    def each_part(self, mine: NDArray[np.bool_], event: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the event befell any picture of a part, once for each part of `mine`."""
        return _highest(event[mine].astype(np.float64), self.parts[mine]) > 0.0

    def of(self, classes: tuple[str, ...]) -> NDArray[np.bool_]:
        """Which pictures are of these classes."""
        return np.isin(self.targets, [i for i, x in enumerate(self.labels) if x in classes])


class Figures(Strict):
    """One model on one set of parts. Class figures take the likeliest class, no limits."""

    parts: int
    """Pictures; escape and overkill count those of one part, and twins, once."""
    accuracy: float
    balanced_accuracy: float
    """Mean of the recalls of good and defect, whatever the defect is called."""
    binary_accuracy: float
    macro_recall: float
    macro_f1: float
    auroc: float
    """Defect score, defects against good parts."""
    recall: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]
    """True class by row, predicted class by column, in the order of the labels."""
    escape: Rate
    class_escape: dict[str, Rate]
    """Of each defect class."""
    severity_escape: dict[str, Rate]
    """Of the classes of each severity together."""
    overkill: Rate
    review: Rate
    novelty_overkill: Rate | None
    """Good parts that novelty alone stops: no picture's score does. None where the model measures
    none."""
    novelty_caught: Rate | None
    """Defects that would escape but for novelty: it stops a picture, and none passes."""


def defect_scores(
    probabilities: NDArray[np.float32], labels: tuple[str, ...], good: tuple[str, ...]
) -> NDArray[np.float64]:
    """The station's own score of each part; NaN where the model computed nonsense."""
    acceptable = np.array([label in good for label in labels])
    return np.array([defect_score(row, acceptable) for row in probabilities])


def verdicts_of(parts: Held, limits: Limits) -> list[Verdict]:
    """Each picture as the station judges it."""
    none = [None] * len(parts.scores)
    novelty = none if parts.novelty is None else parts.novelty.tolist()
    return [
        judge(Prediction("", "", score, novelty=far), limits)
        for score, far in zip(parts.scores.tolist(), novelty, strict=True)
    ]


def is_defect(
    targets: NDArray[np.int64], labels: tuple[str, ...], good: tuple[str, ...]
) -> NDArray[np.bool_]:
    """Whether each part's class is a defect, parts."""
    return np.array([label not in good for label in labels])[targets]


def held(
    probabilities: NDArray[np.float32],
    targets: NDArray[np.int64],
    labels: tuple[str, ...],
    good: tuple[str, ...],
    parts: NDArray[np.int64] | None = None,
    novelty: NDArray[np.float32] | None = None,
) -> Held:
    """probabilities: pictures x classes. parts: without it each picture is a part of its own."""
    scores = defect_scores(probabilities, labels, good)
    numbers = np.arange(len(targets)) if parts is None else parts
    far = None if novelty is None else novelty.astype(np.float64)
    return Held(scores, targets, labels, good, numbers, far)


def require_scores(parts: Held, what: str) -> None:
    """Raises TrainingError where the model computed nonsense on a part."""
    broken = int(np.isnan(parts.scores).sum())
    if broken:
        raise TrainingError(
            f"{what}: {broken} of {len(parts.scores)} parts have no defect score: what the model "
            f"computes of them are no probabilities (NaN, outside 0..1, or not summing to 1)"
        )
    broken = 0 if parts.novelty is None else int((~np.isfinite(parts.novelty)).sum())
    if broken:
        raise TrainingError(f"{what}: the novelty of {broken} of {len(parts.scores)} parts is none")


def figures(
    probabilities: NDArray[np.float32],
    parts: Held,
    limits: Limits,
    confidence: float,
    severities: Mapping[str, tuple[str, ...]] | None = None,
) -> Figures:
    """Judge every part as the station does. probabilities: pictures x classes, those of `parts`.

    severities: name -> its classes.
    """
    labels, targets, bad = parts.labels, parts.targets, parts.is_defect
    guess = probabilities.argmax(axis=1)
    guessed_bad = is_defect(guess, labels, parts.good)
    verdicts = verdicts_of(parts, limits)
    passed = np.array([verdict.passes for verdict in verdicts])
    doubted = np.array([each.evaluation is Evaluation.NOT_DECIDABLE for each in verdicts])
    recall = {
        label: float((guess[targets == i] == i).mean())
        for i, label in enumerate(labels)
        if (targets == i).any()
    }
    matrix = confusion_matrix(targets, guess, labels=range(len(labels)))
    by_score = ~(parts.scores < limits.review_at)
    by_novelty = ~passed & ~by_score

    def rate(
        mine: NDArray[np.bool_], event: NDArray[np.bool_], unless: NDArray[np.bool_] | None = None
    ) -> Rate:
        befell = parts.each_part(mine, event)
        if unless is not None:
            befell &= ~parts.each_part(mine, unless)
        return Rate.of(int(befell.sum()), len(befell), confidence)

    def alone(mine: NDArray[np.bool_], unless: NDArray[np.bool_]) -> Rate | None:
        return None if parts.novelty is None else rate(mine, by_novelty, unless)

    def escape(classes: tuple[str, ...]) -> Rate:
        return rate(parts.of(classes), passed)

    return Figures(
        parts=len(targets),
        accuracy=float((guess == targets).mean()),
        balanced_accuracy=float(((guessed_bad[bad]).mean() + (~guessed_bad[~bad]).mean()) / 2),
        binary_accuracy=float((guessed_bad == bad).mean()),
        macro_recall=float(np.mean(list(recall.values()))),
        macro_f1=float(f1_score(targets, guess, average="macro", zero_division=0.0)),
        auroc=float(roc_auc_score(bad, parts.scores)),
        recall=recall,
        confusion=tuple(tuple(int(n) for n in row) for row in matrix),
        escape=escape(parts.defects),
        class_escape={label: escape((label,)) for label in parts.defects},
        severity_escape={name: escape(of) for name, of in (severities or {}).items()},
        overkill=rate(~bad, ~passed),
        review=rate(np.ones_like(bad), doubted),
        novelty_overkill=alone(~bad, by_score),
        novelty_caught=alone(bad, passed),
    )


def escape_at_overkill(parts: Held, share: float) -> float:
    """Escape rate at the limit that stops at most this share of these very good parts."""
    good = parts.good_parts()
    spared = good[max(0, len(good) - 1 - int(share * len(good)))]
    return float((parts.defect_parts(parts.defects) <= spared).mean())


def overkill_at_escape(parts: Held, share: float) -> float:
    """Overkill rate at the limit that lets at most this share of these very defects escape."""
    defects = parts.defect_parts(parts.defects)
    return float((parts.good_parts() >= defects[int(share * len(defects))]).mean())


def _highest(scores: NDArray[np.float64], parts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The highest score of each part."""
    numbers, place = np.unique(parts, return_inverse=True)
    highest = np.full(len(numbers), -np.inf)
    np.maximum.at(highest, place, scores)
    return highest
