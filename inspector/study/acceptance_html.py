"""The acceptance report: what was agreed, what was found, what escaped, who signs."""

from collections.abc import Iterator, Mapping

from inspector.study.acceptance import Acceptance, AcceptedPart, LimitHeld, remarks, sentences
from inspector.study.page import (
    Picture,
    caveats,
    conditions,
    e,
    flag,
    gallery,
    page,
    percent,
    rate_cells,
    signatures,
    table,
    verdict_box,
)
from inspector.study.plots import Strip, histograms

EVALUATIONS = ("OK", "NOT_DECIDABLE", "NOT_OK", "UNDEFINED")
TONES = {"accepted": "good", "not accepted": "bad", "not enough parts": "open"}
STATES = {"met": "good", "missed": "bad", "not enough parts": "open"}
LISTED_MAX = 60


def acceptance_page(found: Acceptance, pictures: Mapping[str, Picture]) -> str:
    """pictures: of the parts that escaped, by part; not more than are to be shown."""
    where = found.conditions
    sub = f"{where.station}, recipe {where.recipe}, bundle {where.bundle.id}; {where.ended_at}"
    body = [
        verdict_box(TONES[found.verdict], found.verdict.capitalize(), list(sentences(found))),
        caveats([*where.caveats, *remarks(found)]),
        "<h2>Limits that were agreed on, and what was found</h2>",
        _limits(found),
        "<h2>Each class</h2>",
        _classes(found),
        "<h2>Defect scores of the parts</h2>",
        _scores(found),
        *_escaped(found, pictures),
        *_overkill(found),
        conditions(where),
        _method(found),
        signatures(
            "The parts of this test were agreed on before it and were not used to train the "
            "model or to choose its limits: name, date",
            "Supplier: name, date",
            "Customer: name, date",
        ),
    ]
    return page(f"Acceptance test: {where.station}", sub, body)


def _limits(found: Acceptance) -> str:
    heads = ["limit", "agreed", "found", "rate", "limits of the rate", "at most", "", "more needed"]
    return table(heads, (_limit(each) for each in found.limits))


def _limit(each: LimitHeld) -> list[str]:
    classes = f" ({', '.join(each.classes)})" if each.classes else ""
    by = f"{100 * each.rate.confidence:g} %" if each.proven else "observed rate"
    return [
        e(each.name + classes),
        f"{100 * each.at_most:g} %, {by}",
        *rate_cells(each.rate),
        percent(each.rate.at_most) if each.rate.rate is not None else "-",
        flag(STATES[each.state], each.state),
        "" if not each.more else str(each.more),
    ]


def _classes(found: Acceptance) -> str:
    heads = ["label", "rank", "parts", *EVALUATIONS, "escape or overkill", "rate", "its limits"]
    rows = []
    for group in found.groups:
        n, rate, limits = rate_cells(group.rate)
        word = "overkill" if group.good else "escape"
        cells = [str(group.evaluations[name]) for name in EVALUATIONS]  # type: ignore[index]
        rank = "good" if group.good else group.severity or "none"
        rows.append([e(group.label), rank, str(group.rate.n), *cells, f"{word} {n}", rate, limits])
    for name, severity in found.severities.items():
        n, rate, limits = rate_cells(severity)
        cells = ["", "", "", ""]
        rows.append(
            [e(f"all of rank {name}"), name, str(severity.n), *cells, f"escape {n}", rate, limits]
        )
    overkill = rate_cells(found.overkill)
    review = rate_cells(found.review_of_good)
    held = rate_cells(found.review_of_defects)
    said = (
        f"Overkill {overkill[0]} includes {review[0]} good parts held for review (NOT_DECIDABLE); "
        f"{held[0]} defective parts were stopped by review alone; {found.undefined.events}/"
        f"{found.undefined.n} parts could not be judged (UNDEFINED). Limits of a rate: "
        f"{100 * found.agreed.confidence:g} %, two-sided."
    )
    return table(heads, rows) + f'<p class="note">{e(said)}</p>'


def _scores(found: Acceptance) -> str:
    strips = []
    for group in found.groups:
        mine = [each for each in found.parts if each.label == group.label]
        scores = [each.standing.score for each in mine if each.standing.score is not None]
        word = "overkill" if group.good else "escape"
        remark = f"{group.rate.events}/{group.rate.n} {word}"
        strips.append(Strip(group.label, scores, remark, bad=not group.good))
    note = (
        "Each part once. A part below review_at passes, unless it is unlike anything seen in "
        "training; parts that could not be judged have no score."
    )
    return histograms(strips, found.conditions.limits) + f'<p class="note">{note}</p>'


def _escaped(found: Acceptance, pictures: Mapping[str, Picture]) -> Iterator[str]:
    escaped = found.escaped
    yield f"<h2>Defective parts that were judged OK: {len(escaped)}</h2>"
    if not escaped:
        yield "<p>None.</p>"
        return
    yield gallery(pictures[each.part] for each in escaped if each.part in pictures)
    without = len(escaped) - len(pictures)
    if without > 0:
        yield f'<p class="note">{without} more are in the CSV.</p>'


def _overkill(found: Acceptance) -> Iterator[str]:
    lost = [each for each in found.parts if each.outcome == "overkill"]
    lost.sort(key=lambda each: -(each.standing.score or 2.0))
    yield f"<h2>Good parts that were not judged OK: {len(lost)}</h2>"
    if not lost:
        yield "<p>None.</p>"
        return
    heads = ["part", "label", "judged", "score", "novelty", "reason"]
    yield table(heads, (_part(each) for each in lost[:LISTED_MAX]), words=(5,))
    if len(lost) > LISTED_MAX:
        yield f'<p class="note">{len(lost) - LISTED_MAX} more are in the CSV.</p>'


def _part(each: AcceptedPart) -> list[str]:
    seen = each.standing
    figures = ["-" if value is None else f"{value:.4g}" for value in (seen.score, seen.novelty)]
    return [e(each.part), e(each.label), e(seen.evaluation), *figures, e(seen.reason[:160])]


def _method(found: Acceptance) -> str:
    agreed = found.agreed
    overkill = (
        "the observed rate counts"
        if agreed.overkill_confidence is None
        else f"proven with {100 * agreed.overkill_confidence:g} % confidence"
    )
    said = (
        "A part is one trial, however many pictures or results it has: a defective part has "
        "escaped where it was judged OK once, a good part is overkill where it was once not. "
        f"Escape rates must be proven with {100 * agreed.confidence:g} % confidence, one-sided; "
        f"overkill: {overkill}. All bounds are Clopper and Pearson's (Biometrika 26, 1934). A rate "
        "found above its limit misses it. Where parts are added to a test that was not decided, "
        "fix their number before they are judged: adding parts until a limit happens to be met "
        "proves nothing."
    )
    return f'<h2>Method</h2><p class="note">{e(said)}</p>'
