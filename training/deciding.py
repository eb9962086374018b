"""The evidence held to the terms of a promotion: pure functions.

Nothing is promoted for want of evidence against it: what is too thin is `missing`, and says what
to do about it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from training.evaluate import Rate
from training.paired import Parts, part_test
from training.promotion import (
    Case,
    Check,
    Decision,
    Evidence,
    Figures,
    Outcome,
    Says,
    Shadowed,
    Terms,
)

CONFIDENCE = 0.95
ROUNDING = 1e-9
"""One part of a hundred is 0.07 - 0.06 more, which is not 0.01 to a computer."""


def decide(evidence: Evidence, terms: Terms) -> Decision:
    """Hold the evidence to the terms."""
    incumbent = _figures(evidence, evidence.incumbent, lambda case: case.incumbent)
    candidate = _figures(evidence, evidence.candidate, lambda case: case.candidate)
    tests = paired_tests(evidence.cases)
    checks = [
        *_fit(evidence),
        *_enough(evidence, incumbent, terms),
        _escapes(evidence, terms),
        *_overkill(incumbent, candidate, terms),
        *_shadow(evidence.shadow, terms),
        *_paired(tests, terms),
        *_latency(evidence, terms),
    ]
    fails = [each for each in checks if each.verdict == "fails"]
    missing = [each for each in checks if each.verdict == "missing"]
    outcome: Outcome = "refuse" if fails else "not enough evidence" if missing else "promote"
    reasons = tuple(f"{c.name}: {c.found}; asked: {c.asked}" for c in (*fails, *missing))
    return Decision(
        outcome=outcome,
        terms=terms,
        reasons=reasons,
        checks=tuple(checks),
        incumbent=incumbent,
        candidate=candidate,
        tests=tests,
    )


def paired_tests(cases: Sequence[Case]) -> dict[str, Parts]:
    """McNemar's exact test on defects, on good parts, and on all, a part being one trial."""
    held_out = [case for case in cases if not case.trained]
    some = {
        "defects": [case for case in held_out if case.is_defect],
        "good parts": [case for case in held_out if not case.is_defect],
        "all parts": held_out,
    }
    return {name: _test(mine) for name, mine in some.items()}


def _test(cases: list[Case]) -> Parts:
    numbers = {part: i for i, part in enumerate(sorted({case.part for case in cases}))}
    parts = np.array([numbers[case.part] for case in cases], np.int64)
    first, second = (
        np.array([says.passes is not case.is_defect for case, says in pairs], np.bool_)
        for pairs in (
            [(case, case.incumbent) for case in cases],
            [(case, case.candidate) for case in cases],
        )
    )
    return part_test(parts, first, second)


def _figures(evidence: Evidence, bundle: str, says: Callable[[Case], Says]) -> Figures:
    bad, good = evidence.golden(defects=True), evidence.golden(defects=False)
    return Figures(
        bundle=bundle,
        escape=_rate(bad, lambda case: says(case).passes),
        class_escape={
            label: _rate([c for c in bad if c.label == label], lambda case: says(case).passes)
            for label in evidence.classes
        },
        overkill=_rate(good, lambda case: not says(case).passes),
        review=_rate([*bad, *good], lambda case: says(case).evaluation == "NOT_DECIDABLE"),
    )


def _rate(cases: Sequence[Case], event: Callable[[Case], bool]) -> Rate:
    """By part: it befell any of its pictures."""
    befell: dict[str, bool] = {}
    for case in cases:
        befell[case.part] = befell.get(case.part, False) or event(case)
    return Rate.of(sum(befell.values()), len(befell), CONFIDENCE)


def _check(name: str, found: str, asked: str, *, holds: bool, missing: bool = False) -> Check:
    verdict: Literal["holds", "fails", "missing"] = "missing" if missing else "fails"
    return Check(name=name, found=found, asked=asked, verdict="holds" if holds else verdict)


def _fit(evidence: Evidence) -> list[Check]:
    checks = [
        Check(name="fit to serve", found=words, asked="a station must take it", verdict="fails")
        for words in evidence.unfit
    ]
    learned = [case.name for case in evidence.cases if case.source == "golden" and case.trained]
    if learned:
        some = f"{learned[0]}{' ...' if len(learned) > 1 else ''}"
        found = f"{len(learned)} of its pictures were learned by the candidate ({some})"
        asked = "none, its figures would flatter: collect leaves such out, then release anew"
        checks.append(Check(name="golden set", found=found, asked=asked, verdict="fails"))
    for name, all_, asked in (
        ("reviewed defects", evidence.unshown, "all must be judged again"),
        ("held-out parts", evidence.unknown, "must be known"),
    ):
        checks += [Check(name=name, found=each, asked=asked, verdict="missing") for each in all_]
    return checks


def _enough(evidence: Evidence, figures: Figures, terms: Terms) -> list[Check]:
    checks = []
    for name, n, least in (
        ("golden defects", figures.escape.n, terms.golden_defects_at_least),
        ("golden good parts", figures.overkill.n, terms.golden_good_at_least),
        *(
            (f"golden defects, {label}", rate.n, terms.class_defects_at_least)
            for label, rate in figures.class_escape.items()
        ),
    ):
        asked = f"at least {least}"
        if n < least:
            asked += f": collect {least - n} more"
        checks.append(_check(name, f"{n} parts", asked, holds=n >= least, missing=True))
    judged, least = evidence.shadow.judged, terms.shadow_parts_at_least
    asked = f"at least {least}"
    if judged < least:
        asked += ": run it as [shadow] of stations"
    found = f"{judged} parts judged by both"
    checks.append(_check("shadow record", found, asked, holds=judged >= least, missing=True))
    return checks


def _escapes(evidence: Evidence, terms: Terms) -> Check:
    of_line = [d for d in evidence.shadow.disagreed if d.is_new_pass and d.is_defect]
    mine = evidence.new_escapes()
    names = [case.name for case in mine] + [f"{d.station}/{d.result_id}" for d in of_line]
    some = f" ({', '.join(names[:5])}{' ...' if len(names) > 5 else ''})" if names else ""
    caught = len({case.part for case in evidence.cases if case.is_defect and case.caught})
    return _check(
        "new escapes",
        f"{len(names)}{some}; the incumbent stopped {caught} known defective parts",
        f"at most {terms.new_escapes_at_most}",
        holds=len(names) <= terms.new_escapes_at_most,
    )


def _overkill(incumbent: Figures, candidate: Figures, terms: Terms) -> list[Check]:
    mine, theirs = candidate.overkill, incumbent.overkill
    growth = mine.rate - theirs.rate
    return [
        _check(
            "overkill, golden set",
            str(mine),
            f"at most {100 * terms.overkill_rate_at_most:g} %",
            holds=mine.rate <= terms.overkill_rate_at_most,
        ),
        _check(
            "overkill, beside the incumbent's",
            f"{100 * growth:+.2f} points ({theirs.events}/{theirs.n} before)",
            f"at most {100 * terms.overkill_growth_at_most:+g} points",
            holds=growth <= terms.overkill_growth_at_most + ROUNDING,
        ),
    ]


def _shadow(shadow: Shadowed, terms: Terms) -> list[Check]:
    if not shadow.judged and not shadow.disagreed:
        return []
    kinds = Counter(
        "unsaid" if d.is_defect is None else "defect" if d.is_defect else "good"
        for d in shadow.disagreed
        if d.is_new_pass
    )
    stops = [d for d in shadow.disagreed if d.is_new_stop and not d.is_defect]
    checks = [
        _check(
            "shadow, passed by the candidate alone",
            f"{kinds['defect']} defective, {kinds['good']} good, {kinds['unsaid']} not reviewed",
            f"at most {terms.shadow_unreviewed_at_most} not reviewed: inspector review",
            holds=kinds["unsaid"] <= terms.shadow_unreviewed_at_most,
            missing=True,
        ),
        _check(
            "shadow, disagreements lost",
            f"{shadow.lost} are no longer on the disk",
            "none: the list keeps the last 5 to 10 MB; begin another in a new folder",
            holds=shadow.lost == 0,
            missing=True,
        ),
    ]
    if not shadow.judged:  # its count is gone or not yet written: `_enough` says so
        return checks
    growth = (len(stops) - kinds["good"]) / shadow.judged
    found = (
        f"{100 * growth:+.2f} points of {shadow.judged} parts ({len(stops)} stopped that are "
        f"not known to be defective, {kinds['good']} good ones spared)"
    )
    asked = f"at most {100 * terms.overkill_growth_at_most:+g} points"
    holds = growth <= terms.overkill_growth_at_most + ROUNDING
    return [*checks, _check("overkill, on the line", found, asked, holds=holds)]


def _paired(tests: dict[str, Parts], terms: Terms) -> list[Check]:
    checks = []
    for name in ("defects", "good parts"):
        test = tests[name]
        worse = test.first_better > test.second_better and test.p < terms.worse_at_p
        found = f"{_words(test)}, p = {test.p:.3g}"
        asked = f"not fewer right with p below {terms.worse_at_p:g}"
        checks.append(_check(f"paired test, {name}", found, asked, holds=not worse))
    if terms.must_be_better:
        test = tests["all parts"]
        better = test.second_better > test.first_better and test.p < terms.worse_at_p
        found = f"{_words(test)}, p = {test.p:.3g}"
        asked = f"more right with p below {terms.worse_at_p:g}"
        checks.append(_check("paired test, better", found, asked, holds=better))
    return checks


def _words(test: Parts) -> str:
    return (
        f"{test.second_better} parts right by the candidate alone, {test.first_better} by the "
        f"incumbent alone, of {test.parts}"
    )


def _latency(evidence: Evidence, terms: Terms) -> list[Check]:
    mine, theirs = evidence.latency_candidate, evidence.latency_incumbent
    checks = [
        _check(
            "latency, beside the incumbent's",
            f"{evidence.latency_ratio:.2f} (in turn, n = {mine.n}: least {mine.least_ms:.2f} and "
            f"{theirs.least_ms:.2f} ms, medians {mine.p50_ms:.2f} and {theirs.p50_ms:.2f} ms)",
            f"at most {terms.latency_ratio_at_most:g}",
            holds=evidence.latency_ratio <= terms.latency_ratio_at_most,
        )
    ]
    if terms.latency_ms_at_most is not None:
        checks.append(
            _check(
                "latency, p99",
                f"{mine.p99_ms:.2f} ms here",
                f"at most {terms.latency_ms_at_most:g} ms",
                holds=mine.p99_ms <= terms.latency_ms_at_most,
            )
        )
    return checks
