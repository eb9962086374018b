"""The recheck report: which parts to fetch back, and of how many nothing is known."""

from collections.abc import Mapping

from inspector.study.page import (
    Picture,
    caveats,
    conditions,
    e,
    gallery,
    page,
    signatures,
    table,
    verdict_box,
)
from inspector.study.recheck import Recheck, Rechecked
from inspector.study.recheck_words import remarks, sentences

LISTED_MAX = 500
COLUMNS = (
    "passed with: the score on the line; from the archive: the score that the same bundle gives "
    "the archived picture, so that what JPEG does is seen; now: the second model's."
)
METHOD = (
    "Every result of the journal that passed since the time asked for is looked up; its picture is "
    "taken from the archive, cut by the station's recipe and judged by the second model with the "
    "limits above. A part is suspect where that model would not have passed it. The journal and "
    "the archive were read beside the running station and not changed."
)


def recheck_page(found: Recheck, pictures: Mapping[str, Picture]) -> str:
    """pictures: of the first suspects, by result_id."""
    where = found.conditions
    sub = f"{where.station}, judged again by {found.plan.judge}; {where.ended_at}"
    count = len(found.suspects)
    verdict, tone = f"{count} suspect {'part' if count == 1 else 'parts'}", "bad"
    if not count:
        verdict, tone = "No suspects", "good"
        if not found.complete:
            verdict, tone = "No suspects among the parts that could be rechecked", "open"
    body = [
        verdict_box(tone, verdict, list(sentences(found))),
        caveats([*where.caveats, *remarks(found)]),
        f"<h2>Suspect parts, the highest score first: {count}</h2>",
        _suspects(found),
        gallery(pictures.values()),
        "<h2>Passes that could not be judged again</h2>",
        _lacking(found),
        conditions(where),
        f'<h2>Method</h2><p class="note">{e(METHOD)}</p>',
        signatures("Study made by: name, date", "Quality: name, date", "Decision on the parts"),
    ]
    return page(f"Recheck of passed parts: {where.station}", sub, body)


def _suspects(found: Recheck) -> str:
    if not found.suspects:
        return "<p>None.</p>"
    heads = ["part", "row", "taken at (UTC)", "passed with", "from the archive", "now",
             "judged", "why"]  # fmt: skip
    shown = table(heads, (_row(each) for each in found.suspects[:LISTED_MAX]), words=(7,))
    more = len(found.suspects) - LISTED_MAX
    shown += f'<p class="note">{COLUMNS}</p>'
    return shown + (f'<p class="note">{more} more are in the CSV.</p>' if more > 0 else "")


def _row(each: Rechecked) -> list[str]:
    values = (each.score, each.first_again, each.again)
    scores = ["-" if value is None else f"{value:.4f}" for value in values]
    return [
        e(each.part or "no id"),
        str(each.seq),
        e(each.captured_at[:19].replace("T", " ")),
        *scores,
        e(each.evaluation),
        e(each.why[:120]),
    ]


def _lacking(found: Recheck) -> str:
    rows = [[e(why), str(count)] for why, count in found.not_rechecked.items()]
    if found.gone_before is not None:
        rows.append([f"gone from the journal, which begins at {e(found.gone_before)}", "unknown"])
    return table(["why", "parts"], rows) if rows else "<p>None: every pass was judged again.</p>"
