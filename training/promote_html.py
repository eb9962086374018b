"""A promotion on one page: the decision, each term as it was found, the parts it is about."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from inspector.contract.whole import write_whole
from training.page import document, photograph, plain
from training.paired import Parts
from training.promotion import Case, Decision, Disagreed, Evidence, Figures, Says

SHOWN_MAX = 12
SIDE = 180
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1100px;margin:2rem auto;padding:0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0;font-size:13px}
td,th{padding:.3rem .55rem;text-align:left;vertical-align:top}
th{border-bottom:1px solid #888;font-weight:600}td.n{text-align:right;white-space:nowrap}
.outcome{border:2px solid #888;padding:.8rem 1rem}.outcome b{font-size:20px}
.refused{border-color:#b3261e}.thin{border-color:#b26a00}.promoted{border-color:#2e6b34}
.fails{color:#b3261e;font-weight:600}.missing{color:#8a5200;font-weight:600}
figure{display:inline-block;margin:.5rem;vertical-align:top}
figcaption{font-size:13px;color:#444;max-width:220px;overflow-wrap:anywhere}
"""
_MARK = {"holds": "✓ holds", "fails": "✗ fails", "missing": "? not enough evidence"}
_CLASS = {"promote": "promoted", "refuse": "refused", "not enough evidence": "thin"}


def write_html(evidence: Evidence, decision: Decision, path: Path) -> None:
    """One file; nothing is fetched when it is read."""
    title = f"{evidence.candidate} in place of {evidence.incumbent}: {decision.outcome}"
    caught = [c for c in evidence.cases if c.is_defect and not c.caught and not c.candidate.passes]
    stopped = [
        c
        for c in evidence.cases
        if not c.is_defect and c.incumbent.passes and not c.candidate.passes
    ]
    body = [
        _outcome(evidence, decision),
        "<h2>The terms</h2>",
        _checks(decision),
        "<h2>On the golden set</h2>",
        _figures(decision.incumbent, decision.candidate),
        "<p>Parts with events, of how many, and the exact one-sided upper bound (95 %). Each "
        "bundle judged with its own limits, whole pictures, on "
        f"{plain(evidence.machine)}.</p>",
        "<h2>Part by part</h2>",
        _tests(decision.tests),
        "<p>McNemar's exact test on parts the candidate never learned from, a part being one "
        "trial. No proof of a difference is no proof of sameness.</p>",
        "<h2>New escapes: stopped by the incumbent, passed by the candidate</h2>",
        _cases(evidence.new_escapes()),
        "<h2>Newly caught</h2>",
        _cases(caught),
        "<h2>Good parts the candidate alone stops</h2>",
        _cases(stopped),
        "<h2>The shadow's record</h2>",
        *_shadow(evidence),
        f"<p>Data: {plain(evidence.data)}, fingerprint {evidence.data_fingerprint[:12]}; "
        f"{len(evidence.cases)} pictures judged by both, {evidence.at:%Y-%m-%d %H:%M} UTC.</p>",
    ]
    write_whole(path, document(title, _STYLE, body).encode())


def _outcome(evidence: Evidence, decision: Decision) -> str:
    reasons = "".join(f"<li>{plain(reason)}</li>" for reason in decision.reasons)
    why = f"<ul>{reasons}</ul>" if reasons else "<p>Every term holds.</p>"
    return (
        f"<h1>May {plain(evidence.candidate)} replace {plain(evidence.incumbent)}?</h1>"
        f'<div class="outcome {_CLASS[decision.outcome]}"><b>{plain(decision.outcome)}</b>'
        f"{why}</div>"
    )


def _checks(decision: Decision) -> str:
    rows = "".join(
        f"<tr><td>{plain(c.name)}</td><td>{plain(c.found)}</td><td>{plain(c.asked)}</td>"
        f'<td class="{c.verdict}">{_MARK[c.verdict]}</td></tr>'
        for c in decision.checks
    )
    return _table(("term", "found", "asked", ""), rows)


def _figures(incumbent: Figures, candidate: Figures) -> str:
    names = ["escape", *(f"escape, {label}" for label in incumbent.class_escape)]
    both = [
        [figures.escape, *figures.class_escape.values(), figures.overkill, figures.review]
        for figures in (incumbent, candidate)
    ]
    names += ["overkill (good parts stopped)", "review (not decidable)"]
    rows = "".join(
        f'<tr><td>{plain(name)}</td><td class="n">{plain(str(before))}</td>'
        f'<td class="n">{plain(str(now))}</td></tr>'
        for name, before, now in zip(names, *both, strict=True)
    )
    return _table(("", incumbent.bundle, candidate.bundle), rows)


def _tests(tests: dict[str, Parts]) -> str:
    rows = "".join(
        f'<tr><td>{plain(name)}</td><td class="n">{t.parts}</td><td class="n">{t.first_better}</td>'
        f'<td class="n">{t.second_better}</td><td class="n">{t.p:.3g}</td></tr>'
        for name, t in tests.items()
    )
    heads = ("", "parts", "right by the incumbent alone", "by the candidate alone", "p")
    return _table(heads, rows)


def _cases(cases: Sequence[Case]) -> str:
    return _pictures(
        (
            case.picture,
            f"{case.name}: is {case.label}{', learned from' if case.trained else ''}; incumbent "
            f"{_says(case.incumbent)}, candidate {_says(case.candidate)}",
        )
        for case in cases
    )


def _shadow(evidence: Evidence) -> list[str]:
    shadow = evidence.shadow
    passes = [d for d in shadow.disagreed if d.is_new_pass]
    stops = [d for d in shadow.disagreed if d.is_new_stop]
    return [
        f"<p>{shadow.judged} parts judged by both, {len(shadow.disagreed)} otherwise: "
        f"{len(passes)} passed and {len(stops)} stopped by the candidate alone.</p>",
        _disagreed([*passes, *stops]),
    ]


def _disagreed(some: Sequence[Disagreed]) -> str:
    return _pictures(
        (
            d.picture,
            f"{d.station}/{d.result_id}: people say {d.label or 'nothing'}; incumbent "
            f"{_says(d.incumbent)}, candidate {_says(d.candidate)}",
        )
        for d in some
    )


def _says(says: Says) -> str:
    score = "" if says.score is None else f" {says.score:.3f}"
    return f"{says.evaluation}{score}"


def _pictures(shown: Iterable[tuple[str, str]]) -> str:
    pairs = list(shown)
    if not pairs:
        return "<p>None.</p>"
    figures = "".join(
        f"<figure>{_image(Path(path), text)}<figcaption>{plain(text)}</figcaption></figure>"
        for path, text in pairs[:SHOWN_MAX]
    )
    more = len(pairs) - SHOWN_MAX
    return figures + (f"<p>And {more} more, in promote.json.</p>" if more > 0 else "")


def _image(path: Path, text: str) -> str:
    try:
        return photograph(path, SIDE, text, enlarge=True)
    except (OSError, ValueError):
        return "<p>(its picture is gone)</p>"


def _table(heads: Sequence[str], rows: str) -> str:
    top = "".join(f"<th>{plain(head)}</th>" for head in heads)
    return f'<div class="wide"><table><tr>{top}</tr>{rows}</table></div>'
