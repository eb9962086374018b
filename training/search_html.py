"""A search on one page: who won, the front, every student tried."""

from pathlib import Path

from inspector.contract.whole import write_whole
from training import search_plots
from training.page import document, plain, png_image
from training.search_found import Found, Tried

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1000px;margin:2rem auto;padding:0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0;font-size:13px}
td,th{padding:.3rem .55rem;text-align:right;white-space:nowrap}
th{border-bottom:1px solid #888;font-weight:600}td:first-child,th:first-child{text-align:left}
tr.won td{font-weight:700}tr.off td{color:#888}.verdict{border:1px solid #888;padding:.6rem}
img{max-width:100%}td.why{white-space:normal;text-align:left;max-width:24rem}
"""


def write_html(found: Found, path: Path) -> None:
    """One file; nothing is fetched when it is read."""
    title = f"Search of {found.plan}"
    body = [
        f"<h1>{plain(title)}</h1>",
        f'<p class="verdict">{plain(found.verdict())}.</p>',
        *(f'<p class="verdict">{plain(words)}.</p>' for words in found.unknown),
        f"<p>{len(found.judged)} of {found.space} students were trained and judged, on "
        f"{found.goods} good and {found.defects} defective validation parts. Calibration and "
        "golden set were not looked at: the winner's release is their first use. Figures of the "
        "best of many are a little too good; the release's own count.</p>",
        _plot(found),
        _table(found),
        f"<p>Time: one part, one thread, {plain(found.timed_by)}; {plain(found.machine)}. Made by "
        f"{plain(found.code)}.</p>",
    ]
    write_whole(path, document(title, _STYLE, body).encode())


def _plot(found: Found) -> str:
    if not found.judged:
        return ""
    return png_image(
        search_plots.front(found), "Time of one part against overkill at the escape goal"
    )


def _table(found: Found) -> str:
    heads = (
        "student", "ms", f"overkill at {100 * found.escape_goal:g} % escape",
        f"escape at {100 * found.overkill_goal:g} % overkill", "macro recall", "parameters",
        "MACs", "file", "",
    )  # fmt: skip
    front, winner = set(found.front), found.winner
    rest = [each for each in found.tried if each.outcome != "judged"]
    rows = "".join(_row(each, each in front, each == winner) for each in (*found.judged, *rest))
    cells = "".join(f"<th>{plain(head)}</th>" for head in heads)
    return f'<div class="wide"><table><tr>{cells}</tr>{rows}</table></div>'


def _row(each: Tried, in_front: bool, won: bool) -> str:  # noqa: FBT001 - how it is drawn
    place = "winner" if won else "on the front" if in_front else ""
    others = {
        "too slow": "too slow untrained",
        "failed": f"failed: {each.why}",
        "unfit": f"would not ship: {each.why}",
    }
    words = others.get(each.outcome, place)
    kind = "won" if won else "" if each.outcome == "judged" else "off"
    cells = (
        f"{each.latency_ms:.2f}",
        _percent(each.overkill),
        _percent(each.escape),
        _percent(each.macro_recall),
        "" if each.parameters is None else f"{each.parameters / 1e6:.2f} M",
        "" if each.macs is None else f"{each.macs / 1e6:.0f} M",
        "" if each.file_bytes is None else f"{each.file_bytes / 1e6:.2f} MB",
    )
    figures = "".join(f"<td>{plain(cell)}</td>" for cell in cells)
    why = f'<td class="why">{plain(words)}</td>'
    return f'<tr class="{kind}"><td>{plain(each.name)}</td>{figures}{why}</tr>'


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.2f} %"
