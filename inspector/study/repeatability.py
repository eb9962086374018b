"""Repeatability of an inspection: known parts, shown again and again, must be judged alike.

Attribute agreement analysis after AIAG, Measurement Systems Analysis, 4th edition (2010), III C,
with the station as the only appraiser. What the line does is what counts: a part passes (OK) or
it does not. To it comes what a station has and a person has not: the score, and so how near to a
limit each part is, in standard deviations of its own scatter.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, Literal

from pydantic import Field

from inspector.contract.result import EvaluationName
from inspector.contract.strict import Strict
from inspector.contract.verdict import Limits
from inspector.study.conditions import Conditions
from inspector.study.labels import Labelled, Truth
from inspector.study.seen import Seen, counts
from inspector.study.stats import Agreement, Counts, Kappa, Rate, cohen, fleiss, kappa_with_limits

Band = Literal["acceptable", "marginal", "unacceptable", "not known"]
BANDS: dict[str, tuple[float, float]] = {
    "effectiveness": (0.90, 0.80),
    "miss rate": (0.02, 0.05),
    "false alarm rate": (0.05, 0.10),
}
"""AIAG's limits: acceptable to the first, marginal to the second."""
KAPPA_GOOD, KAPPA_POOR = 0.75, 0.40
"""AIAG: above the first good to excellent agreement, below the second poor."""
NEAR_SIGMAS = 3.0


class RepeatedPart(Strict):
    """One part, all of its presentations."""

    part: str
    label: str
    good: bool
    presentations: tuple[Seen, ...]
    passes: int
    evaluations: dict[EvaluationName, int]
    alike: bool
    """It always passed, or never."""
    right: bool
    """Every time as its label says."""
    scores: int
    """How many presentations have a score: those that could be judged."""
    mean: float | None
    sd: float | None
    """Of one presentation, n - 1; null for fewer than two scores."""
    span: float | None
    """Largest less smallest score."""
    sigmas_to_review: float | None
    """(review_at - mean) / sd: below zero the part is beyond; null where nothing scatters."""
    sigmas_to_reject: float | None
    doubt: str = ""
    """Why to look at this part first; empty where nothing speaks for that."""


class Judgement(Strict):
    """A figure, AIAG's band for it, and how sure it is."""

    name: str
    rate: Rate
    """As AIAG counts: parts for effectiveness, decisions for the others."""
    band: Band
    by_part: Rate | None
    """Parts with at least one such decision: the decisions of one part are not independent, so
    this is the rate whose bound holds. null for effectiveness, which counts parts anyway."""


class Repeatability(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    verdict: Band
    judgements: tuple[Judgement, ...]
    within: Rate
    """Parts that always passed or never, whatever they should."""
    kappa_within: Kappa | None
    """Fleiss, pass or not, among the presentations of a part."""
    kappa_reference: Kappa
    """Cohen, pass or not, against the label; limits by parts."""
    same_evaluation: Rate
    """Parts that got the very same evaluation every time."""
    undefined: Rate
    """Presentations that could not be judged."""
    undefined_causes: dict[str, int]
    pooled_sd: float | None
    """Of a score from presentation to presentation, over all parts."""
    presentations: int
    wanted: int
    """Presentations the study was to have."""
    conditions: Conditions
    parts: tuple[RepeatedPart, ...]
    """The doubtful ones first."""


def repeated_part(
    part: Labelled, seen: Sequence[Seen], truth: Truth, limits: Limits
) -> RepeatedPart:
    good = truth.is_good(part.label)
    passes = sum(each.passed for each in seen)
    scores = [each.score for each in seen if each.score is not None]
    mean = fmean(scores) if scores else None
    sd = stdev(scores) if len(scores) > 1 else None
    alike = passes in (0, len(seen))
    right = passes == (len(seen) if good else 0)
    sigmas = [
        (at - mean) / sd if mean is not None and sd else None
        for at in (limits.review_at, limits.reject_at)
    ]
    found = RepeatedPart(
        part=part.part,
        label=part.label,
        good=good,
        presentations=tuple(seen),
        passes=passes,
        evaluations=counts(seen),
        alike=alike,
        right=right,
        scores=len(scores),
        mean=mean,
        sd=sd,
        span=max(scores) - min(scores) if scores else None,
        sigmas_to_review=sigmas[0],
        sigmas_to_reject=sigmas[1],
    )
    return found.model_copy(update={"doubt": _doubt(found)})


def _doubt(part: RepeatedPart) -> str:
    n = len(part.presentations)
    causes = Counter(each.cause for each in part.presentations if each.cause is not None)
    why = ", ".join(f"{cause}" for cause, _ in causes.most_common())
    if not part.good and part.passes:
        return f"MISSED {part.passes} of {n} times"
    if not part.alike:
        return f"passed {part.passes} of {n} times ({why})"
    if not part.right:
        return f"never passed ({why})"
    unjudged = part.evaluations["UNDEFINED"]
    if unjudged:
        return f"could not be judged {unjudged} of {n} times ({why})"
    if not _same(part):
        return "evaluations differ"
    if part.sigmas_to_review is not None and abs(part.sigmas_to_review) < NEAR_SIGMAS:
        return f"within {NEAR_SIGMAS:g} sigma of review_at"
    return ""


def evaluate(parts: Iterable[RepeatedPart], wanted: int, conditions: Conditions) -> Repeatability:
    """Everything the study says. Raises ValueError where there is no part."""
    every = sorted(parts, key=_doubtful_first)
    seen = [each for part in every for each in part.presentations]
    undefined = [each for each in seen if each.evaluation == "UNDEFINED"]
    judgements = tuple(_judgements(every))
    kappa_reference = _kappa_reference(every)
    variances = [(part.sd**2, part.scores - 1) for part in every if part.sd is not None]
    freedom = sum(weight for _, weight in variances)
    return Repeatability(
        verdict=_verdict(judgements, kappa_reference.kappa),
        judgements=judgements,
        within=Rate.of(sum(part.alike for part in every), len(every)),
        kappa_within=_kappa_within(every),
        kappa_reference=kappa_reference,
        same_evaluation=Rate.of(sum(_same(part) for part in every), len(every)),
        undefined=Rate.of(len(undefined), len(seen)),
        undefined_causes=dict(Counter(each.cause or "unknown" for each in undefined)),
        pooled_sd=math.sqrt(sum(v * w for v, w in variances) / freedom) if freedom else None,
        presentations=len(seen),
        wanted=wanted,
        conditions=conditions,
        parts=tuple(every),
    )


def _doubtful_first(part: RepeatedPart) -> tuple[int, float]:
    """Missed, then unsteady, then always wrong, then nearest to the limit that decides."""
    near = abs(part.sigmas_to_review) if part.sigmas_to_review is not None else math.inf
    if not part.good and part.passes:
        return 0, -float(part.passes)
    if not part.alike:
        return 1, near
    if not part.right:
        return 2, near
    return (3 if part.doubt else 4), near


def _same(part: RepeatedPart) -> bool:
    return len({each.evaluation for each in part.presentations}) == 1


def band(name: str, value: float | None) -> Band:
    """AIAG's for one figure."""
    if value is None:
        return "not known"
    first, second = BANDS[name]
    sign = 1.0 if name == "effectiveness" else -1.0
    if sign * (value - first) >= -1e-12:
        return "acceptable"
    return "marginal" if sign * (value - second) >= -1e-12 else "unacceptable"


def _judgements(parts: Sequence[RepeatedPart]) -> Iterator[Judgement]:
    right = Rate.of(sum(part.right for part in parts), len(parts))
    name = "effectiveness"
    yield Judgement(name=name, rate=right, band=band(name, right.rate), by_part=None)
    wrong: tuple[tuple[str, bool, Callable[[RepeatedPart], int]], ...] = (
        ("miss rate", False, lambda part: part.passes),
        ("false alarm rate", True, lambda part: len(part.presentations) - part.passes),
    )
    for name, good, wrong_of in wrong:
        mine = [part for part in parts if part.good is good]
        events = sum(map(wrong_of, mine))
        rate = Rate.of(events, sum(len(part.presentations) for part in mine))
        by_part = Rate.of(sum(wrong_of(part) > 0 for part in mine), len(mine))
        yield Judgement(name=name, rate=rate, band=band(name, rate.rate), by_part=by_part)


def _verdict(judgements: Sequence[Judgement], kappa: float | None) -> Band:
    """The worst of AIAG's bands, kappa's among them."""
    bands = {each.band for each in judgements}
    if kappa is not None and kappa < KAPPA_POOR:
        bands.add("unacceptable")
    elif kappa is not None and kappa < KAPPA_GOOD:
        bands.add("marginal")
    order: tuple[Band, ...] = ("unacceptable", "not known", "marginal", "acceptable")
    return next(each for each in order if each in bands)


def _kappa_within(parts: Sequence[RepeatedPart]) -> Kappa | None:
    counted = [
        (part.passes, len(part.presentations) - part.passes)
        for part in parts
        if len(part.presentations) > 1
    ]
    if not counted:
        return None
    return kappa_with_limits(counted, fleiss, sum(0 in each for each in counted))


def _kappa_reference(parts: Sequence[RepeatedPart]) -> Kappa:
    return kappa_with_limits(parts, _against_reference, sum(part.right for part in parts))


def _against_reference(parts: Sequence[RepeatedPart]) -> Agreement:
    """Every decision beside its part's label; rows and columns: passes, does not."""
    table: list[Counts] = []
    for good in (True, False):
        mine = [part for part in parts if part.good is good]
        passes = sum(part.passes for part in mine)
        table.append((passes, sum(len(part.presentations) for part in mine) - passes))
    return cohen(table)


def rows(found: Repeatability) -> list[Mapping[str, Any]]:
    """For the CSV: a row a presentation."""
    return [
        {
            "part": part.part,
            "label": part.label,
            "good": part.good,
            "presentation": number,
            **seen.columns(),
            "part_passes": part.passes,
            "part_mean": part.mean,
            "part_sd": part.sd,
            "part_sigmas_to_review": part.sigmas_to_review,
            "part_sigmas_to_reject": part.sigmas_to_reject,
            "part_doubt": part.doubt,
        }
        for part in found.parts
        for number, seen in enumerate(part.presentations, 1)
    ]
