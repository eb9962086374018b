"""How long a graph would take on a machine one has not got: from what was measured there.

A profile holds the times of standard operations. Each kind of operation, in each precision, is
fitted by a line through them: so much for each operation, so much for a multiplication and
addition, a value read or written, a weight. What is summed over a graph is scaled by what whole
small graphs took on the same machine beyond their sum. Nothing here measures or reads a file.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from inspector.contract.errors import ConfigError
from inspector.contract.strict import Strict
from inspector.runtime.machine import Machine

Precision = Literal["fp32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
GROUPS = ({"conv", "linear"}, {"pointwise", "depthwise"}, {"elementwise"})
"""By how much of what they need they find in the cache within a whole graph."""
TIE = 1e-12
"""Of two sets of factors whose squares differ by less, the smaller or earlier is taken. Where all
measured operations have as many weights as products (linear ones), either explains them, and
rounding must not choose: it chose otherwise for the same times in another unit."""
SCALED = 2
"""Not the last: whole graphs of convolutions say nothing of it."""
Lines = dict[tuple[str, str], NDArray[np.float64]]
Milliseconds = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=0)]


class Operation(Strict):
    kind: Literal["conv", "depthwise", "pointwise", "linear", "elementwise"]
    precision: Precision = "fp32"
    macs: Count
    """Multiplications and additions, counted as one."""
    moved: Count
    """Values read and written, without weights."""
    weights: Count


class Measured(Strict):
    operation: Operation
    ms: Milliseconds


class MeasuredGraph(Strict):
    """A whole graph, whose operations do not find in the cache what they need."""

    name: str
    operations: tuple[Operation, ...]
    ms: Milliseconds


class Profile(Strict):
    """What `inspector bench --profile` writes."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    machine: Machine
    threads: int
    run_ms: Milliseconds
    """What one run costs, however little is in it."""
    operations: Annotated[tuple[Measured, ...], Field(min_length=1)]
    graphs: tuple[MeasuredGraph, ...] = ()


def estimate_ms(operations: Iterable[Operation], profile: Profile) -> float:
    """Of one run, at the profile's number of threads, an image a batch.

    Raises ConfigError where the profile knows nothing of such an operation.
    """
    lines, total = _lines(profile), profile.run_ms
    wholes = {precision: _whole(profile, precision, lines) for precision in PRECISIONS}
    sums = {precision: np.zeros(len(GROUPS)) for precision in PRECISIONS}
    for each in operations:
        sums[each.precision] += _alone(each, lines)
    for precision in PRECISIONS:
        total += float(wholes[precision] @ sums[precision])
    return total


def _alone(operation: Operation, lines: Lines) -> NDArray[np.float64]:
    """Its milliseconds by the line, in the column of its group."""
    line = lines.get((operation.kind, operation.precision))
    if line is None:
        known = f"{operation.kind} in {operation.precision}"
        raise ConfigError(f"the profile has measured no {known}")
    columns = [operation.kind in group for group in GROUPS]
    return float(line @ _features(operation)) * np.array(columns, np.float64)


def _whole(profile: Profile, precision: Precision, lines: Lines) -> NDArray[np.float64]:
    """By group: how much longer operations take within a whole graph than one after its like."""
    rows, factors = [], np.ones(len(GROUPS))
    for graph in profile.graphs:
        if graph.operations and graph.operations[0].precision == precision:
            alone = sum((_alone(each, lines) for each in graph.operations), np.zeros(len(GROUPS)))
            rows.append(alone[:SCALED] / graph.ms)
    if rows:
        factors[:SCALED] = _least_wrong(np.array(rows))
    return factors


def _features(operation: Operation) -> NDArray[np.float64]:
    return np.array([1.0, operation.macs, operation.moved, operation.weights], np.float64)


def _lines(profile: Profile) -> Lines:
    """By kind and precision: ms for each feature."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for each in profile.operations:
        groups.setdefault((each.operation.kind, each.operation.precision), []).append(each)
    return {key: _fit(measured) for key, measured in groups.items()}


def _fit(measured: Sequence[Measured]) -> NDArray[np.float64]:
    """Milliseconds of each feature."""
    rows = np.array([_features(each.operation) for each in measured])
    return _least_wrong(rows / np.array([[each.ms] for each in measured]))


def _least_wrong(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors of the columns with which each row's sum is nearest to 1, none of them below 0."""
    best, best_away = np.zeros(rows.shape[1]), np.inf
    columns = [i for i in range(rows.shape[1]) if rows[:, i].any()]
    for count in range(1, len(columns) + 1):
        for some in map(list, combinations(columns, count)):
            found, *_ = np.linalg.lstsq(rows[:, some], np.ones(len(rows)), rcond=None)
            away = float(((rows[:, some] @ found - 1.0) ** 2).sum())
            if (found >= 0.0).all() and away < best_away - TIE:
                best, best_away = np.zeros(rows.shape[1]), away
                best[some] = found
    return best
