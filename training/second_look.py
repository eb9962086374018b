"""Labels that models contradict which never learned from them: worth a second look.

In a comparison each part is golden once for every plan and seed, so each picture is judged by
networks that have not seen it. A picture is listed where another class is as likely as it is, on
average, to that class's own pictures, and the likeliest of those that are: off the diagonal of the
confident joint of confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70). It is the model
that may be wrong: a person looks, and corrects the data. Nothing is left out by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.strict import Strict
from inspector.contract.table import csv_table
from training.dataset import Sample

COLUMNS = (
    "picture",
    "part",
    "label",
    "looks_like",
    "probability_of_label",
    "probability",
    "said_by",
    "of",
)


class Doubt(Strict):
    """One picture whose label is doubtful."""

    picture: str
    part: str
    """Name of its part's first picture: twins are one part."""
    label: str
    looks_like: str
    probability_of_label: float
    """Mean over the models."""
    probability: float
    """Of what it looks like, mean over the models."""
    said_by: int
    """Models to whom that is the likeliest class."""
    of: int
    """Models that judged it."""


class Said(NamedTuple):
    """What one model said of pictures it had not learned from."""

    labels: tuple[str, ...]
    """Class of each column."""
    probabilities: Mapping[str, Sequence[float]]
    """By picture."""


def doubts_of(
    said: Iterable[Said], samples: Sequence[Sample], parts: Mapping[str, str]
) -> tuple[Doubt, ...]:
    """Most doubtful part first, its pictures together. Pictures nobody judged are not listed.

    parts: picture's name -> name of its part.
    """
    models = list(said)
    classes = tuple(sorted({label for each in models for label in each.labels}))
    answers: dict[str, list[NDArray[np.float64]]] = {}
    for each in models:
        places = [classes.index(label) for label in each.labels]
        for picture, shares in each.probabilities.items():
            row = np.zeros(len(classes))
            row[places] = shares
            answers.setdefault(picture, []).append(row)
    judged = [sample for sample in samples if sample.name in answers]
    if not judged:
        return ()
    means = np.stack([np.mean(answers[sample.name], axis=0) for sample in judged])
    given = np.array([classes.index(sample.label) for sample in judged])
    looks = _confidently(means, given)
    found: list[tuple[float, Doubt]] = []
    for i, sample in enumerate(judged):
        if looks[i] in (-1, given[i]):
            continue
        own, other = float(means[i, given[i]]), float(means[i, looks[i]])
        votes = [int(row.argmax()) == looks[i] for row in answers[sample.name]]
        doubt = Doubt(
            picture=sample.name,
            part=parts.get(sample.name, sample.name),
            label=sample.label,
            looks_like=classes[looks[i]],
            probability_of_label=own,
            probability=other,
            said_by=sum(votes),
            of=len(votes),
        )
        found.append((own - other, doubt))
    return _by_part(found)


def _confidently(means: NDArray[np.float64], given: NDArray[np.int64]) -> NDArray[np.int64]:
    """Class that each picture confidently is; -1: none.

    A class's threshold is its mean probability over the pictures that bear its label.
    """
    thresholds = np.full(means.shape[1], np.inf)
    for label in np.unique(given):
        thresholds[label] = means[given == label, label].mean()
    reached = np.where(means >= thresholds, means, -np.inf)
    return np.where(np.isfinite(reached).any(axis=1), reached.argmax(axis=1), -1)


def _by_part(found: list[tuple[float, Doubt]]) -> tuple[Doubt, ...]:
    """Parts by their most doubtful picture, the pictures of one together."""
    least: dict[str, float] = {}
    for margin, doubt in found:
        least[doubt.part] = min(margin, least.get(doubt.part, np.inf))
    ordered = sorted(found, key=lambda each: (least[each[1].part], each[1].part, each[0]))
    return tuple(doubt for _, doubt in ordered)


def table_of(doubts: Sequence[Doubt]) -> bytes:
    """second_look.csv."""
    rows: list[Sequence[object]] = [COLUMNS]
    for doubt in doubts:
        values = doubt.model_dump()
        for name in ("probability_of_label", "probability"):
            values[name] = f"{values[name]:.4f}"
        rows.append([values[name] for name in COLUMNS])
    return csv_table(rows)
