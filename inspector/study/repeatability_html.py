"""The repeatability report: AIAG's figures, the scatter of the scores, each part."""

from collections.abc import Iterator, Mapping

from inspector.contract.result import EvaluationName
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
from inspector.study.plots import Strip, dots
from inspector.study.repeatability import (
    BANDS,
    KAPPA_GOOD,
    KAPPA_POOR,
    Judgement,
    Repeatability,
    RepeatedPart,
)
from inspector.study.repeatability_words import remarks, sentences
from inspector.study.stats import Kappa

TONES = {"acceptable": "good", "marginal": "open", "unacceptable": "bad", "not known": "open"}
DRAWN_MAX = 60
METHOD = (
    "Attribute agreement analysis after AIAG, Measurement Systems Analysis, 4th edition (2010), "
    "III C, with the station as the only appraiser. What the line does is what counts: OK passes, "
    "everything else does not. Limits of rates: Clopper and Pearson (1934), two-sided; the JSON "
    "has Wilson's (1927) beside them. Kappa: Fleiss (1971) among the presentations of a part, "
    "Cohen (1960) against its label; their limits by leaving out one part at a time (Efron and "
    "Stein 1981), since presentations of one part are not independent."
)
METHODS = {
    "jackknife": "jackknife over parts",
    "bound": "bound of the parts that agree: none disagreed",
    "none": "no limits: too few parts, or all alike",
}


def repeatability_page(found: Repeatability, pictures: Mapping[str, Picture]) -> str:
    """pictures: of doubtful parts, by part."""
    where = found.conditions
    sub = f"{where.station}, recipe {where.recipe}, bundle {where.bundle.id}; {where.ended_at}"
    verdict = f"{found.verdict.capitalize()} by AIAG's limits"
    if found.verdict == "not known":
        verdict = "Not decided: good and defective parts are both needed"
    body = [
        verdict_box(TONES[found.verdict], verdict, list(sentences(found))),
        caveats([*where.caveats, *remarks(found)]),
        "<h2>Against AIAG's limits</h2>",
        table(
            ["figure", "found", "rate", "95 % limits", "by part", "95 % limits",
             "acceptable (marginal)", ""],
            (_judgement(each) for each in found.judgements),
        ),
        '<p class="note">Effectiveness: parts judged rightly every time. Miss rate: decisions on '
        "defective parts that passed them; false alarm rate: decisions on good parts that did not. "
        "By part: parts with at least one such decision; decisions on one part are not "
        "independent, so these limits are the ones that hold.</p>",
        "<h2>Agreement</h2>",
        _agreement(found),
        "<h2>Scores of every presentation</h2>",
        _scores(found),
        "<h2>Each part, the doubtful ones first</h2>",
        _parts(found),
        *_gallery(pictures),
        conditions(where),
        f'<h2>Method</h2><p class="note">{e(METHOD)}</p>',
        signatures("Study made by: name, date", "Quality: name, date", "Approved: name, date"),
    ]  # fmt: skip
    return page(f"Repeatability: {where.station}", sub, body)


def _judgement(each: Judgement) -> list[str]:
    first, second = BANDS[each.name]
    sign = "≥" if each.name == "effectiveness" else "≤"
    parts = ["", ""]
    if each.by_part:
        n, _, limits = rate_cells(each.by_part)
        parts = [n, limits]
    return [
        e(each.name),
        *rate_cells(each.rate),
        *parts,
        f"{sign} {100 * first:g} % ({100 * second:g} %)",
        flag(TONES[each.band], each.band),
    ]


def _agreement(found: Repeatability) -> str:
    heads = ["", "found", "rate or kappa", "95 % limits", "by"]
    rows = [
        ["always passed or never (within)", *rate_cells(found.within), "Clopper-Pearson, parts"],
        ["same evaluation every time", *rate_cells(found.same_evaluation), "the same"],
        _kappa("kappa within, pass or not (Fleiss)", found.kappa_within),
        _kappa("kappa against the reference (Cohen)", found.kappa_reference),
    ]
    note = (
        f"AIAG: kappa above {KAPPA_GOOD:g} good to excellent, below {KAPPA_POOR:g} poor agreement. "
        f"{found.undefined.events}/{found.undefined.n} presentations could not be judged "
        "(UNDEFINED)."
    )
    return table(heads, rows, words=(4,)) + f'<p class="note">{e(note)}</p>'


def _kappa(name: str, kappa: Kappa | None) -> list[str]:
    if kappa is None:
        return [e(name), "", "-", "-", "one presentation a part"]
    value = "not defined" if kappa.kappa is None else f"{kappa.kappa:.3f}"
    limits = "-"
    if kappa.low is not None and kappa.high is not None:
        limits = f"{kappa.low:.3f} to {kappa.high:.3f}"
    agree = f"{percent(kappa.observed)} of pairs"
    return [e(name), agree, value, limits, METHODS[kappa.method]]


def _scores(found: Repeatability) -> str:
    strips = []
    for part in found.parts[:DRAWN_MAX]:
        scores = [each.score for each in part.presentations if each.score is not None]
        remark = f"{part.passes}/{len(part.presentations)} OK"
        strips.append(Strip(part.part, scores, remark, bad=not part.good))
    pooled = "-" if found.pooled_sd is None else f"{found.pooled_sd:.4g}"
    note = (
        f"A dot a presentation; red: defective parts. Standard deviation of one score from "
        f"presentation to presentation, pooled over all parts: {pooled}."
    )
    more = len(found.parts) - DRAWN_MAX
    note += f" {more} parts more are in the table." if more > 0 else ""
    return dots(strips, found.conditions.limits) + f'<p class="note">{note}</p>'


def _parts(found: Repeatability) -> str:
    heads = ["part", "label", "judged", "mean", "sd", "range", "sigma to review",
             "sigma to reject", "doubt"]  # fmt: skip
    note = (
        "judged: how often OK, NOT_DECIDABLE, NOT_OK and UNDEFINED; "
        "sigma to review, to reject: how many standard deviations of its own scatter the part's "
        "mean score is below review_at (there it stops passing) and reject_at; negative: beyond. "
        "Novelty has a limit of its own."
    )
    rows = (_part(part) for part in found.parts)
    return table(heads, rows, words=(8,)) + f'<p class="note">{note}</p>'


def _part(part: RepeatedPart) -> list[str]:
    names: tuple[EvaluationName, ...] = ("OK", "NOT_DECIDABLE", "NOT_OK", "UNDEFINED")
    judged = " / ".join(str(part.evaluations[name]) for name in names)
    figures = [_figure(value, ".3g") for value in (part.mean, part.sd, part.span)]
    sigmas = [_figure(value, ".1f") for value in (part.sigmas_to_review, part.sigmas_to_reject)]
    wrong = bool(part.doubt) and (not part.alike or not part.right)
    doubt = flag("bad" if wrong else "open", part.doubt) if part.doubt else ""
    return [e(part.part), e(part.label), judged, *figures, *sigmas, doubt]


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _gallery(pictures: Mapping[str, Picture]) -> Iterator[str]:
    if pictures:
        yield "<h2>The doubtful parts</h2>"
        yield gallery(pictures.values())
