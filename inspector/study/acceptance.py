"""Acceptance of an inspection system: escape and overkill of labelled parts against agreed limits.

In the manner of VDI/VDE/VDMA 2632 part 3: the parts, their truth and the limits are agreed on
first, the system judges them as it does on the line, and the rates are given with how sure they
are. A part is one trial, however often it was judged.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from inspector.contract.result import EvaluationName
from inspector.contract.strict import Strict
from inspector.study.agreed import Agreed
from inspector.study.conditions import Conditions
from inspector.study.labels import DEFECT_WORD, Labelled, Truth
from inspector.study.seen import Seen, counts, standing
from inspector.study.stats import Rate, more_needed

Outcome = Literal["right", "ESCAPE", "overkill"]
State = Literal["met", "missed", "not enough parts"]
Verdict = Literal["accepted", "not accepted", "not enough parts"]


class AcceptedPart(Strict):
    """One part of the test and what became of it."""

    part: str
    label: str
    good: bool
    severity: str | None
    outcome: Outcome
    standing: Seen
    """The verdict that counts."""
    judged: int
    """How often."""


class LimitHeld(Strict):
    """An agreed limit beside what was found."""

    name: str
    classes: tuple[str, ...] | None
    """null: all."""
    at_most: float
    rate: Rate
    proven: bool
    """Whether the bound, and not only the rate, had to be below the limit."""
    state: State
    more: int | None
    """How many further parts without an event would prove it; null where no number could."""


class Group(Strict):
    """Parts of one label, and how they were judged."""

    label: str
    good: bool
    severity: str | None
    evaluations: dict[EvaluationName, int]
    """Each part once, by the verdict that counts."""
    rate: Rate
    """Of escapes, or of overkill where the label is good."""


class Acceptance(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    verdict: Verdict
    agreed: Agreed
    limits: tuple[LimitHeld, ...]
    escape: Rate
    overkill: Rate
    groups: tuple[Group, ...]
    severities: dict[str, Rate]
    """Escapes by rank, also of those without a limit of their own."""
    review_of_good: Rate
    """Good parts that are NOT_DECIDABLE: of the overkill, what a person would still save."""
    review_of_defects: Rate
    undefined: Rate
    """Parts that could not be judged, good or not: rejected, and no merit of the model."""
    undefined_causes: dict[str, int]
    unlabelled: int
    """Results without a label: in no rate."""
    not_judged: tuple[str, ...]
    """Labelled parts without a result: in no rate."""
    conditions: Conditions
    parts: tuple[AcceptedPart, ...]

    @property
    def escaped(self) -> tuple[AcceptedPart, ...]:
        """The most hopelessly missed first."""
        found = [each for each in self.parts if each.outcome == "ESCAPE"]
        return tuple(sorted(found, key=lambda each: each.standing.score or 0.0))


def judged_parts(
    judged: Iterable[tuple[Labelled, Sequence[Seen]]], truth: Truth, agreed: Agreed
) -> list[AcceptedPart]:
    """Each part with the verdict that counts."""
    found = []
    for part, seen in judged:
        good = truth.is_good(part.label)
        counting = standing(seen, good=good)
        outcome: Outcome = "right"
        if counting.passed is not good:
            outcome = "overkill" if good else "ESCAPE"
        found.append(
            AcceptedPart(
                part=part.part,
                label=part.label,
                good=good,
                severity=None if good else agreed.rank_of(part.label),
                outcome=outcome,
                standing=counting,
                judged=len(seen),
            )
        )
    return found


def accept(
    parts: Sequence[AcceptedPart],
    agreed: Agreed,
    conditions: Conditions,
    *,
    unlabelled: int = 0,
    not_judged: Sequence[str] = (),
) -> Acceptance:
    """Everything the study says of parts that were judged."""
    good = [each for each in parts if each.good]
    bad = [each for each in parts if not each.good]
    escape, overkill = _missed(bad, agreed), _missed(good, agreed)
    limits = tuple(_limits(bad, overkill, agreed))
    undefined = [each for each in parts if each.standing.evaluation == "UNDEFINED"]
    return Acceptance(
        verdict=_verdict(limits),
        agreed=agreed,
        limits=limits,
        escape=escape,
        overkill=overkill,
        groups=tuple(_groups(parts, agreed)),
        severities={
            name: _missed([each for each in bad if each.label in rank.classes], agreed)
            for name, rank in agreed.severity.stated().items()
        },
        review_of_good=_share(good, "NOT_DECIDABLE", agreed),
        review_of_defects=_share(bad, "NOT_DECIDABLE", agreed),
        undefined=Rate.of(len(undefined), len(parts), agreed.confidence),
        undefined_causes=dict(Counter(each.standing.cause or "unknown" for each in undefined)),
        unlabelled=unlabelled,
        not_judged=tuple(not_judged),
        conditions=conditions,
        parts=tuple(parts),
    )


def hold(
    name: str,
    classes: tuple[str, ...] | None,
    at_most: float,
    rate: Rate,
    confidence: float | None,
) -> LimitHeld:
    """confidence: with which the rate must be proven; None: the observed one counts.

    A rate observed above the limit misses it: more parts may be tried, but that is another test.
    """
    more: int | None = None
    if rate.rate is None:
        state: State = "not enough parts"
    elif rate.rate > at_most:
        state = "missed"
    elif confidence is None:
        state, more = "met", 0
    else:
        more = more_needed(rate.events, rate.n, at_most, confidence)
        state = "met" if more == 0 else "not enough parts"
    if rate.rate is None:
        more = 1 if confidence is None else more_needed(0, 0, at_most, confidence)
    return LimitHeld(
        name=name,
        classes=classes,
        at_most=at_most,
        rate=rate,
        proven=confidence is not None,
        state=state,
        more=more,
    )


def _limits(bad: Sequence[AcceptedPart], overkill: Rate, agreed: Agreed) -> Iterator[LimitHeld]:
    for limit in agreed.escape_limits():
        mine = [each for each in bad if limit.classes is None or each.label in limit.classes]
        name = f"escape, {limit.name}"
        rate = _missed(mine, agreed)
        yield hold(name, limit.classes, limit.at_most, rate, agreed.confidence)
    at_most, confidence = agreed.overkill_rate_at_most, agreed.overkill_confidence
    rate = overkill if confidence is None else Rate.of(overkill.events, overkill.n, confidence)
    yield hold("overkill", None, at_most, rate, confidence)


def _verdict(limits: Sequence[LimitHeld]) -> Verdict:
    states = {limit.state for limit in limits}
    if "missed" in states:
        return "not accepted"
    return "not enough parts" if "not enough parts" in states else "accepted"


def _missed(parts: Sequence[AcceptedPart], agreed: Agreed) -> Rate:
    wrong = sum(each.outcome != "right" for each in parts)
    return Rate.of(wrong, len(parts), agreed.confidence)


def _share(parts: Sequence[AcceptedPart], evaluation: str, agreed: Agreed) -> Rate:
    found = sum(each.standing.evaluation == evaluation for each in parts)
    return Rate.of(found, len(parts), agreed.confidence)


def _groups(parts: Sequence[AcceptedPart], agreed: Agreed) -> Iterator[Group]:
    """Good labels first, then defects by the gravity of their rank, each by name."""
    ranks = [*agreed.severity.stated(), None]
    labels = {each.label: each for each in parts}
    order = sorted(labels.values(), key=lambda p: (not p.good, ranks.index(p.severity), p.label))
    for example in order:
        mine = [each for each in parts if each.label == example.label]
        yield Group(
            label=example.label,
            good=example.good,
            severity=example.severity,
            evaluations=counts(each.standing for each in mine),
            rate=_missed(mine, agreed),
        )


def sentences(found: Acceptance) -> Iterator[str]:
    """The verdict in words, one limit each; what more is needed."""
    for limit in found.limits:
        rate = limit.rate
        what = f"{limit.name}: agreed at most {100 * limit.at_most:g} %"
        seen = f"{rate.events}/{rate.n}"
        if rate.rate is None:
            defects = "defective part" if limit.name != "overkill" else "good part"
            yield f"{what}; there was no {defects} to try: {limit.more} are needed"
        elif limit.state == "missed":
            yield f"{what}; found {seen}, {100 * rate.rate:.2f} %: missed"
        elif not limit.proven:
            yield f"{what}; found {seen}, {100 * rate.rate:.2f} %: met (observed rate)"
        else:
            bound = f"{100 * rate.at_most:.2f} % ({100 * rate.confidence:g} %)"
            event = "overkill" if limit.name == "overkill" else "an escape"
            more = f"{limit.more} more without {event} would prove it" if limit.more else "met"
            yield f"{what}; found {seen}, at most {bound}: {more}"


def remarks(found: Acceptance) -> Iterator[str]:
    """What a reader could overlook."""
    causes = ", ".join(f"{cause} {n}" for cause, n in found.undefined_causes.items())
    if found.undefined.events:
        yield (
            f"{found.undefined.events} of {found.undefined.n} parts could not be judged "
            f"({causes}): they count as rejected, defective ones as found, by no merit of the model"
        )
    if found.unlabelled:
        yield f"{found.unlabelled} results have no label and are in no rate"
    if found.not_judged:
        shown = ", ".join(found.not_judged[:5])
        yield (
            f"{len(found.not_judged)} labelled parts have no result and are in no rate: {shown}"
            f"{' ...' if len(found.not_judged) > 5 else ''}"
        )
    if any(p.label == DEFECT_WORD for p in found.parts) and found.agreed.severity.stated():
        yield f"parts labelled {DEFECT_WORD} have no class: they count for the overall limit alone"


def rows(found: Acceptance) -> list[Mapping[str, Any]]:
    """For the CSV: a row a part, escapes first."""
    order = {"ESCAPE": 0, "overkill": 1, "right": 2}
    return [
        {
            "part": each.part,
            "label": each.label,
            "good": each.good,
            "severity": each.severity,
            "outcome": each.outcome,
            "judged": each.judged,
            **each.standing.columns(),
        }
        for each in sorted(found.parts, key=lambda each: order[each.outcome])
    ]
