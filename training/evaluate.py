"""How good a model is, in the factory's words, with n and bounds."""

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score

from inspector.contract.bounds import say_rate, upper_bound
from inspector.contract.strict import Strict
from inspector.contract.verdict import Evaluation, Limits, Prediction, Verdict, judge
from inspector.runtime.onnx import defect_score


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


class Figures(Strict):
    """One model on one set of parts. Class figures take the likeliest class, no limits."""

    parts: int
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
    overkill: Rate
    review: Rate


def defect_scores(
    probabilities: NDArray[np.float32], labels: tuple[str, ...], good: tuple[str, ...]
) -> NDArray[np.float64]:
    """The station's own score of each part; NaN where the model computed nonsense."""
    acceptable = np.array([label in good for label in labels])
    return np.array([defect_score(row, acceptable) for row in probabilities])


def verdicts_of(scores: NDArray[np.float64], limits: Limits) -> list[Verdict]:
    """Each score as the station judges it."""
    return [judge(Prediction("", "", float(score)), limits) for score in scores]


def is_defect(
    targets: NDArray[np.int64], labels: tuple[str, ...], good: tuple[str, ...]
) -> NDArray[np.bool_]:
    """Whether each part's class is a defect, parts."""
    return np.array([label not in good for label in labels])[targets]


def figures(
    probabilities: NDArray[np.float32],
    targets: NDArray[np.int64],
    labels: tuple[str, ...],
    good: tuple[str, ...],
    limits: Limits,
    confidence: float,
) -> Figures:
    """Judge every part as the station does. probabilities: parts x classes; targets: parts."""
    scores = defect_scores(probabilities, labels, good)
    bad = is_defect(targets, labels, good)
    guess = probabilities.argmax(axis=1)
    guessed_bad = is_defect(guess, labels, good)
    verdicts = verdicts_of(scores, limits)
    passed = np.array([verdict.passes for verdict in verdicts])
    doubted = sum(verdict.evaluation is Evaluation.NOT_DECIDABLE for verdict in verdicts)
    recall = {
        label: float((guess[targets == i] == i).mean())
        for i, label in enumerate(labels)
        if (targets == i).any()
    }
    matrix = confusion_matrix(targets, guess, labels=range(len(labels)))
    return Figures(
        parts=len(targets),
        accuracy=float((guess == targets).mean()),
        balanced_accuracy=float(((guessed_bad[bad]).mean() + (~guessed_bad[~bad]).mean()) / 2),
        binary_accuracy=float((guessed_bad == bad).mean()),
        macro_recall=float(np.mean(list(recall.values()))),
        macro_f1=float(f1_score(targets, guess, average="macro", zero_division=0.0)),
        auroc=float(roc_auc_score(bad, scores)),
        recall=recall,
        confusion=tuple(tuple(int(n) for n in row) for row in matrix),
        escape=Rate.of(int((passed & bad).sum()), int(bad.sum()), confidence),
        overkill=Rate.of(int((~passed & ~bad).sum()), int((~bad).sum()), confidence),
        review=Rate.of(doubted, len(targets), confidence),
    )
