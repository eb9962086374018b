"""May this bundle serve? Beyond the self-test: does it make sense, suit the recipe, is it quick.

A bundle that is whole and answers as it did when it was made can still be the wrong one.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from inspector.contract.bundle import Manifest
from inspector.contract.errors import BundleError, ModelError
from inspector.contract.image import Image, cut, fit
from inspector.contract.outputs import acceptable, expected_of, golden_parts, scored
from inspector.contract.verdict import Evaluation, Limits, Prediction, judge
from inspector.runtime.model import ModelRuntime
from inspector.station.recipe import Grid, Recipe, Rectangles, Tiles, region_rule, regions_for

BUDGET_SHARE = 0.5
"""Of the recipe's deadline. The other half is the frame's and the commit's, which may take a
quarter; and the measurement runs beside a station at work, so it errs on the slow side."""
RUNS = 100
RUNS_MIN = 10
RUNS_AT_START = 3
MEASURE_S_MAX = 5.0
SWAP_MARGIN = 0.5


@dataclass(frozen=True, slots=True)
class Latency:
    """Of judging all of a recipe's regions, on this machine, beside the station."""

    n: int
    p99_ms: float
    """Nearest rank: a value that was measured."""


def require_sense(manifest: Manifest) -> None:
    """Hold labels and limits against the golden pictures. Raises BundleError.

    The self-test finds a model that answers otherwise than it did; this finds a manifest that
    makes something else of the same answers: labels in another order, limits that let defects
    pass. It asks far less than the quality gate, so that every bundle worth running meets it.
    """
    good = acceptable(manifest)
    golden, said = golden_parts(manifest, expected_of(manifest))
    rows, own = said.probabilities, np.array([manifest.labels.index(g.label) for g in golden])
    predictions = scored(said, good)
    scores = np.array([each.defect_score for each in predictions])
    of_good = good[own]
    if not np.isfinite(scores).all():
        raise BundleError("golden pictures: expected probabilities that are none")
    if of_good.any() and not of_good.all() and scores[~of_good].mean() <= scores[of_good].mean():
        raise BundleError(
            f"golden pictures: defects score {scores[~of_good].mean():.2f} on average and good "
            f"parts {scores[of_good].mean():.2f}: labels and model do not belong together"
        )
    defects = [each for each, is_good in zip(predictions, of_good, strict=True) if not is_good]
    _require_stopped(defects, manifest.limits)
    _require_labels_in_order(manifest, rows, own)


def _require_stopped(defects: list[Prediction], limits: Limits) -> None:
    passed = sum(judge(each, limits).evaluation is Evaluation.OK for each in defects)
    if 2 * passed > len(defects):
        raise BundleError(
            f"limits: they pass {passed} of {len(defects)} golden defects "
            f"(review_at {limits.review_at:g})"
        )


def _require_labels_in_order(
    manifest: Manifest, rows: NDArray[np.float32], own: NDArray[np.int64]
) -> None:
    labels, count = manifest.labels, len(manifest.labels)
    hit = float(rows[np.arange(len(own)), own].mean())
    if hit < 1.0 / count:
        raise BundleError(
            f"golden pictures: their own label gets {hit:.2f} on average, less than chance "
            f"({1.0 / count:.2f}): labels and model do not belong together"
        )
    for i, j in combinations(sorted(set(own.tolist())), 2):
        of_both = (own == i) | (own == j)
        as_is = rows[of_both, own[of_both]]
        exchanged = rows[of_both, np.where(own[of_both] == i, j, i)]
        if float((exchanged - as_is).mean()) > SWAP_MARGIN:
            raise BundleError(f"golden pictures: labels {labels[i]} and {labels[j]} are exchanged")


def require_suits(
    candidate: ModelRuntime, serving: ModelRuntime, recipe: Recipe, *, back: bool = False
) -> None:
    """A reload is a newer answer to the same question. Raises BundleError where it is another.

    What is another question (other good labels, limits of the recipe's own) needs a person who
    writes it into a recipe. `back` to a bundle that served before, fewer defects and no novelty
    are no reason.
    """
    new, old = candidate.manifest, serving.manifest
    if new.name != old.name:
        raise BundleError(f"is for {new.name}, what is inspected is {old.name}")
    if set(new.good) != set(old.good):
        raise BundleError(f"takes {_list(new.good)} for good, the serving one {_list(old.good)}")
    lost = [label for label in old.labels if label not in new.labels]
    if lost and not back:
        raise BundleError(f"does not know {_list(lost)}, which the serving one does")
    if new.limits.novelty_at is None and old.limits.novelty_at is not None and not back:
        raise BundleError("measures no novelty, which the serving one does")
    if recipe.limits is not None and candidate.bundle_id != recipe.bundle:
        # found with one model's scores, they mean nothing for another's
        raise BundleError(
            f"recipe {recipe.name} has limits of its own, made for {recipe.bundle}: give it the "
            "bundle's own limits first, or write bundle and limits into the recipe and start again"
        )


def require_quick(
    runtime: ModelRuntime,
    recipe: Recipe,
    seen: tuple[int, int] | None = None,
    runs: int = RUNS,
) -> Latency:
    """Measure on the recipe's regions, in a frame of its size or of `seen` (height, width).

    Raises BundleError where the p99 is over the budget.

    So many runs after the warm-up (fewer where they would take more than MEASURE_S_MAX), one thread
    as the station has it; budget: BUDGET_SHARE of the recipe's deadline.
    """
    frame = _frame(runtime, recipe, seen)
    took_ms: list[float] = []
    end = time.monotonic() + MEASURE_S_MAX
    try:
        regions = regions_for(frame, recipe, runtime.tiles)
        runtime.predict([fit(cut(frame, region), runtime.spec) for region in regions])
        while len(took_ms) < runs and (len(took_ms) < RUNS_MIN or time.monotonic() < end):
            start = time.perf_counter()
            runtime.predict([fit(cut(frame, region), runtime.spec) for region in regions])
            took_ms.append((time.perf_counter() - start) * 1_000)
    except (ModelError, ValueError) as error:
        raise BundleError(f"cannot judge the recipe's regions: {error}") from None
    rank = math.ceil(0.99 * len(took_ms)) - 1
    latency = Latency(len(took_ms), round(sorted(took_ms)[rank], 3))
    budget_ms = BUDGET_SHARE * recipe.deadline_ms
    if latency.p99_ms > budget_ms:
        raise BundleError(
            f"takes {latency.p99_ms:.0f} ms here (p99, n={latency.n}, {len(regions)} regions), "
            f"more than {budget_ms:.0f} ms, half of the recipe's deadline"
        )
    return latency


def slow(runtime: ModelRuntime, recipe: Recipe, seen: tuple[int, int] | None = None) -> str | None:
    """At a start there is no other bundle to go on with: it inspects. What is to come, in words."""
    try:
        require_quick(runtime, recipe, seen, RUNS_AT_START)
    except BundleError as error:
        return f"bundle {recipe.bundle}: {error}: parts may be late, and are rejected then"
    return None


def regions_here(runtime: ModelRuntime, recipe: Recipe) -> int:
    """How many pictures a part is for the model, as far as the recipe tells; else one."""
    try:
        return len(regions_for(_frame(runtime, recipe, None), recipe, runtime.tiles))
    except (BundleError, ValueError):
        return 1


def _frame(runtime: ModelRuntime, recipe: Recipe, seen: tuple[int, int] | None) -> Image:
    """Noise: what is all of one colour may be quicker to compute."""
    rule = region_rule(recipe, runtime.tiles)
    if recipe.frame is not None:
        height, width = recipe.frame.height, recipe.frame.width
    elif seen is not None:
        height, width = seen
    elif isinstance(rule, Grid | Tiles) and rule.within is not None:
        height, width = rule.within.y + rule.within.height, rule.within.x + rule.within.width
    elif isinstance(rule, Grid):
        height, width = runtime.spec.height * rule.rows, runtime.spec.width * rule.columns
    elif rule.kind == "rectangle":
        height, width = rule.y + rule.height, rule.x + rule.width
    elif isinstance(rule, Rectangles):
        height = max(each.y + each.height for each in rule.regions)
        width = max(each.x + each.width for each in rule.regions)
    elif isinstance(rule, Tiles):
        raise BundleError("cannot be timed: the recipe names no frame, and none was seen yet")
    else:
        height, width = runtime.spec.height, runtime.spec.width
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _list(labels: Iterable[str]) -> str:
    return ", ".join(labels)
