"""A comparison on one page: the table, what is luck, and the plots."""

from pathlib import Path

from inspector.contract.whole import write_whole
from training import compare_plots
from training.comparison import METRICS, TESTED, Comparison, Contender, Pair
from training.page import document, plain, png_image
from training.paired import Difference
from training.report import NO_TEACHER

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1280px;margin:2rem auto;padding:0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0;font-size:13px}
td,th{padding:.3rem .55rem;text-align:right;white-space:nowrap}
th{border-bottom:1px solid #888;font-weight:600}td:first-child,th:first-child{text-align:left}
td small{color:#666}tr.teacher td{color:#666}.caveat{border:1px solid #d9a441;padding:.6rem}
.plots{display:grid;grid-template-columns:1fr 1fr;align-items:end}img{max-width:100%}
"""

NAMED_MAX = 5
"""Plans that the title names."""


def write_html(found: Comparison, path: Path) -> None:
    """One file; nothing is fetched when it is read."""
    done = sum(1 for row in found.rows if row.role == "student")
    plans = _plans(found)
    named = ", ".join(plans) if len(plans) <= NAMED_MAX else f"{len(plans)} plans"
    title = f"Comparison of {named}"
    folds = f", {found.folds} folds each" if found.folds > 1 else ", split anew by each"
    body = [
        f"<h1>{plain(title)}</h1>",
        "" if done == found.wanted else f"<p><b>{done} of {found.wanted} runs so far.</b></p>",
        f"<p>{plain(found.data)}. Seeds {', '.join(map(str, found.seeds))}{folds}: {done} runs. "
        "Mean ± standard deviation over runs, on golden sets.</p>",
        _table(found),
        "<p>Accuracy, recall and F1 take the likeliest class. At limits: those that each run chose "
        "on its own calibration parts. Escape at 5 % overkill and overkill at 5 % escape take the "
        "limit from the golden set itself: they tell models apart, and promise nothing. A part "
        "escapes where its least suspicious picture does; by picture, as papers count, shots of "
        "one part are as many trials. Time: one "
        f"picture with all of its tiles, one thread, {plain(found.machine)}; a busy machine takes "
        "longer, and where equal networks differ in ms, that is how much.</p>",
        f'<p class="caveat">{plain(found.caveat)}</p>',
        *(f'<p class="caveat">{plain(words)}.</p>' for words in found.unknown),
        '<div class="plots">',
        *_plots(found),
        "</div>",
        *_pairs(found),
        f"<p>Made by {plain(found.code)}.</p>",
    ]
    write_whole(path, document(title, _STYLE, body).encode())


def _plots(found: Comparison) -> list[str]:
    if len(found.contenders) > compare_plots.LEGEND_MAX:
        return [
            png_image(compare_plots.side_by_side(found, metric), f"{METRICS[metric]} of each plan")
            for metric in ("macro_recall", "auroc")
        ]
    return [
        png_image(plot(found, metric), f"{METRICS[metric]} {by}")
        for metric in ("accuracy", "macro_recall")
        for plot, by in (
            (compare_plots.against_parameters, "by parameters"),
            (compare_plots.against_latency, "by latency"),
        )
    ]


def lines(found: Comparison) -> list[str]:
    """The comparison for a terminal."""
    width = max(len(contender.name) for contender in found.contenders) + 2
    shown = ("accuracy", "macro_recall", "macro_f1", "auroc", "escape_at_overkill")
    heads = ("accuracy", "macro rec.", "macro F1", "AUROC", "esc@5%ok")
    out = [f"{'':{width}}{'runs':>4}{'params':>9}{'ms':>8}" + "".join(f"{h:>14}" for h in heads)]
    for each in found.contenders:
        figures = "".join(f"{_spread(each, name):>14}" for name in shown)
        out.append(
            f"{each.name:{width}}{each.runs:4}{each.parameters / 1e6:8.2f}M"
            f"{each.latency_ms:8.2f}{figures}  {_taught_by(each)}".rstrip()
        )
    for pair in found.pairs:
        gain, p = pair.differences["macro_recall"], pair.p_holm["macro_recall"]
        out.append(
            f"{pair.second} less {pair.first}: macro recall {_points(gain)} points, "
            f"p {_p(p)} (corrected t, Holm); parts told right by only one: "
            f"{pair.parts.second_better} against {pair.parts.first_better}, p {_p(pair.parts.p)}"
        )
    return [*out, found.caveat]


def _table(found: Comparison) -> str:
    heads = ["plan", "model", "teacher", "runs", "parameters", "ms", *METRICS.values()]
    cells = "".join(f"<th>{head}</th>" for head in heads)
    rows = []
    for each in found.contenders:
        figures = [_spread(each, name) for name in METRICS]
        values = [
            each.name,
            each.architecture,
            _teacher(each),
            str(each.runs),
            f"{each.parameters / 1e6:.2f} M",
            f"{each.latency_ms:.2f} ± {each.latency_ms_sd:.2f}",
            *figures,
        ]
        inside = "".join(f"<td>{plain(value)}</td>" for value in values)
        rows.append(f'<tr class="{each.role}">{inside}</tr>')
    return f'<div class="wide"><table><tr>{cells}</tr>{"".join(rows)}</table></div>'


def _taught_by(contender: Contender) -> str:
    return f"taught by {contender.teacher}" if contender.teacher else _teacher(contender)


def _teacher(contender: Contender) -> str:
    return "" if contender.role == "teacher" else contender.teacher or NO_TEACHER


def _pairs(found: Comparison) -> list[str]:
    if not found.pairs:
        return []
    heads = ["second less first", *(METRICS[name] for name in TESTED), "parts won by one alone"]
    cells = "".join(f"<th>{plain(head)}</th>" for head in heads)
    rows = "".join(_pair(pair) for pair in found.pairs)
    plot = compare_plots.differences(found, "macro_recall")
    return [
        "<h2>Is it luck?</h2>",
        "<p>Mean difference in points on the same runs [95 % interval, corrected resampled t-test, "
        "Nadeau and Bengio 2003]; p of that test, adjusted over the pairs of "
        "students, and over those of teacher and student (Holm 1979); p of the "
        "Wilcoxon signed-rank test. Last: parts that the second, and that the first, told right "
        "more often, and the exact sign test (McNemar's with one seed).</p>",
        f'<div class="wide"><table><tr>{cells}</tr>{rows}</table></div>',
        png_image(plot, "Differences of macro recall"),
    ]


def _pair(pair: Pair) -> str:
    name = f"<td>{plain(pair.second)} less {plain(pair.first)}</td>"
    cells = []
    for metric in TESTED:
        each = pair.differences[metric]
        p = f"p {_p(pair.p_holm[metric])}, Wilcoxon {_p(each.p_wilcoxon)}"
        cells.append(f"<td>{plain(_points(each))}<br><small>{plain(p)}</small></td>")
    parts = pair.parts
    won = f"{parts.second_better} : {parts.first_better} of {parts.parts}"
    cells.append(f"<td>{won}<br><small>p {plain(_p(parts.p))}</small></td>")
    return f"<tr>{name}{''.join(cells)}</tr>"


def _spread(contender: Contender, metric: str) -> str:
    mean = f"{100 * contender.mean[metric]:.2f}"
    return f"{mean} ± {100 * contender.sd[metric]:.2f}" if contender.runs > 1 else mean


def _points(each: Difference) -> str:
    interval = ""
    if each.low is not None and each.high is not None:
        interval = f" [{100 * each.low:+.2f}, {100 * each.high:+.2f}]"
    return f"{100 * each.mean:+.2f}{interval}"


def _p(value: float | None) -> str:
    if value is None:
        return "?"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _plans(found: Comparison) -> list[str]:
    return list(dict.fromkeys(contender.plan for contender in found.contenders))
