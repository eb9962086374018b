"""The report on one page: tables, plots, and the worst mistakes as pictures."""

import base64
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.contract.image import Image
from training import report_plots, report_quantised
from training.evaluate import Held, Rate
from training.page import document, plain, png_image
from training.report import NO_TEACHER, ModelRow, Report
from training.report_map import beside_map

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1280px;margin:2rem auto;padding:0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0;font-size:13px}
td,th{padding:.3rem .55rem;text-align:right;white-space:nowrap}
th{border-bottom:1px solid #888;font-weight:600}td:first-child,th:first-child{text-align:left}
tr.shipped td{background:#eef3f8}figure{display:inline-block;margin:.5rem;vertical-align:top}
figcaption{font-size:13px;color:#444;max-width:300px}.notice{border:1px solid #c8553d;padding:.6rem}
.plots{display:grid;grid-template-columns:1fr 1fr;align-items:end}.plots img{max-width:100%}
"""


LAYERS_SHOWN = 12


class Mistake(NamedTuple):
    """A part of the golden set that was judged wrongly."""

    name: str
    label: str
    guessed: str
    score: float
    evaluation: str
    image: Image
    defect_map: NDArray[np.float32] | None
    """None where the model has none."""


def write_html(
    report: Report, golden: Held, mistakes: list[Mistake], path: Path, *, times: bool
) -> None:
    """golden: the golden set, scored by the shipped model; times: whether to show any."""
    tiles = report.tiles_per_picture
    unit = "picture" if tiles is None else "tile"
    where = f"Time: one {unit}, one thread," if times else "Computed"
    shipped = report.shipped_row
    body = [
        f"<h1>{plain(report.name)}: release report</h1>",
        f'<p class="notice">{plain(report.notice)}</p>' if report.notice else "",
        *(f'<p class="notice">{plain(text)}.</p>' for text in report.unknown),
        f"<p>{plain(shipped.choice.sentence)}.</p>",
        f"<p>Shipped: <b>{plain(report.shipped)}</b>, because {plain(report.shipped_because)}.</p>",
        f"<h2>{_models_head(report)}, on the golden set</h2>",
        _models_table(report, times=times),
        "<p>Accuracy takes the likeliest class; balanced is the mean of the recalls of good and "
        f"defect; escape and overkill use the limits chosen on the {shipped.choice.chosen_on} "
        "parts, with exact "
        f"one-sided bounds ({100 * shipped.golden.escape.confidence:g} %), the pictures of one "
        "part, and twins, counted once. "
        f"{where} on {plain(report.machine)}.</p>",
        "" if tiles is None else f"<p>{plain(report.tiles_text(tiles))}.</p>",
        '<div class="plots">',
        png_image(report_plots.histogram(shipped, golden), "Defect scores and limits"),
        png_image(report_plots.confusion(report), "Confusion matrix"),
        png_image(report_plots.recalls(report), "Recall of each class"),
        png_image(report_plots.history(report), "Training"),
        "</div>",
        *_compression(report, times=times),
        "<h2>What escapes</h2>",
        _goals_table(shipped),
        _classes_table(report),
        f"<p>{plain(shipped.cost.sentence)}.</p>" if shipped.cost else "",
        "<h2>What another limit would mean</h2>",
        png_image(report_plots.trade_off(shipped), "Trade-off of escapes and overkill"),
        f"<p>On the {shipped.choice.chosen_on} parts; each point's bound holds for that point "
        "alone. report.json has the figures. Another goal gives another limit with its guarantee; "
        "a limit picked from this curve has none.</p>",
        "<h2>How honest the probabilities are</h2>",
        f"<p>{plain(report.calibration_text(shipped))}.</p>",
        png_image(report_plots.reliability(shipped), "Reliability before and after"),
        *_novelty(report, golden),
        *_quantised(report),
        "<h2>Worst mistakes</h2>",
        f"<p>Defect map: {plain(report.pointing.sentence)}.</p>" if report.pointing else "",
        _mistakes(mistakes),
        "<h2>Data</h2>",
        _data_table(report),
        f"<pre>{plain(chr(10).join(report.data_lines))}</pre>",
        f"<p>Made by {plain(report.code)}.</p>",
    ]
    text = document(f"{report.name}: release report", _STYLE, body)
    path.write_text(text, encoding="utf-8")


def _novelty(report: Report, golden: Held) -> list[str]:
    text = report.novelty_text(report.shipped_row)
    if text is None:
        return []
    plot = png_image(report_plots.novelty(report.shipped_row, golden), "Novelty and its limit")
    ranks = [
        f"<p>{plain(row.role)}: {plain(said)}.</p>"
        for row in report.models
        if (said := report.ranks_text(row))
    ]
    return ["<h2>Unlike anything seen in training</h2>", f"<p>{plain(text)}.</p>", plot, *ranks]


def _compression(report: Report, *, times: bool) -> list[str]:
    """Each cut: what the student cost and held before and after it."""
    rows = report.compression
    if not rows:
        return []
    heads = ["step", "", "parameters", "not zero", "MACs", "file", "packed", *["ms"] * times]
    heads += ["accuracy", "macro recall", "worst class", "worst class, just cut"]
    cells = [
        [
            row.name,
            row.done,
            f"{row.parameters / 1e6:.3f} M",
            f"{row.nonzero / 1e6:.3f} M",
            f"{row.macs / 1e9:.3f} G",
            f"{row.file_bytes / 1e6:.2f} MB",
            f"{row.packed_bytes / 1e6:.2f} MB",
            *([f"{row.latency_ms:.2f}"] if times else []),
            f"{100 * row.taught.accuracy:.2f} %",
            f"{100 * row.taught.macro_recall:.2f} %",
            f"{100 * row.taught.worst_recall:.2f} %",
            f"{100 * row.cut.worst_recall:.2f} %" if row.cut else "",
        ]
        for row in rows
    ]
    plot = report_plots.steps(report, times=times)
    return [
        "<h2>Made smaller, step by step</h2>",
        _table(heads, cells),
        f"<p>Recalls are of the validation set (n = {rows[0].images}), which chose each step's "
        "epoch; the table above has original and student on the golden set. Files are the graph "
        "without map and novelty, packed by zlib. Zeros save room in a packed file, not time.</p>",
        png_image(plot, "Cost and recall of each step"),
    ]


def _quantised(report: Report) -> list[str]:
    found = report.quantised
    lines = [f"<p>{plain(line)}.</p>" for line in report.variant_lines()]
    if found is None:
        return ["<h2>Other forms</h2>", *lines] if lines else []
    layers = report_quantised.layer_rows(found, LAYERS_SHOWN)
    heads = report_quantised.heads(found)
    return [
        "<h2>INT8 and other forms</h2>",
        f"<p>{plain(found.because)}.</p>",
        png_image(report_plots.quantised(found), "What INT8 loses"),
        f"<p>Points of recall lost against FP32 on {found.pictures} validation pictures or tiles; "
        f"{found.layers} layers.</p>",
        _table(heads, report_quantised.rows(found)),
        "<p>Each layer alone in INT8, the most harmful first:</p>" if layers else "",
        _table(["layer", *heads[2:]], layers) if layers else "",
        *lines,
    ]


def _models_head(report: Report) -> str:
    return "Teacher beside student" if report.has_teacher else f"The student ({NO_TEACHER})"


def _models_table(report: Report, *, times: bool) -> str:
    heads = ["model", "architecture", "parameters", "MACs", "file"]
    heads += ["ms"] if times else []
    heads += ["accuracy", "balanced", "macro recall", "AUROC", "escape", "overkill", "review"]
    rows = [
        _model_row(row, shipped=row.role == report.shipped, times=times) for row in report.models
    ]
    cells = "".join(f"<th>{head}</th>" for head in heads)
    return f'<div class="wide"><table><tr>{cells}</tr>{"".join(rows)}</table></div>'


def _model_row(row: ModelRow, *, shipped: bool, times: bool) -> str:
    g = row.golden
    cells = [
        row.role,
        row.architecture,
        f"{row.parameters / 1e6:.2f} M",
        f"{row.macs / 1e9:.2f} G",
        f"{row.file_bytes / 1e6:.1f} MB",
        *([f"{row.latency_ms:.2f}"] if times else []),
        *(f"{100 * v:.2f} %" for v in (g.accuracy, g.balanced_accuracy, g.macro_recall, g.auroc)),
        _rate(g.escape),
        _rate(g.overkill),
        f"{g.review.events}/{g.review.n}",
    ]
    inside = "".join(f"<td>{plain(cell)}</td>" for cell in cells)
    return f'<tr class="{"shipped" if shipped else ""}">{inside}</tr>'


def _rate(rate: Rate) -> str:
    return f"{rate.events}/{rate.n} (≤ {100 * rate.at_most:.1f} %)"


def _goals_table(row: ModelRow) -> str:
    """Each goal: what was proven, and what the golden set says of it."""
    rows = []
    for goal in row.choice.goals:
        seen = row.golden.severity_escape.get(goal.name, row.golden.escape)
        proven = "proven" if goal.certified else f"not proven: {goal.needed} missed-free needed"
        rows.append(
            [
                goal.name,
                f"at most {100 * goal.at_most:g} %",
                f"{goal.review_at:.4f}",
                _rate(goal.overkill_alone),
                _rate(goal.escape),
                proven,
                _rate(seen),
            ]
        )
    on = row.choice.chosen_on
    heads = [
        "goal",
        "escape",
        "allows review_at",
        "overkill of it alone",
        f"escape, {on}",
        "",
        "escape, golden set",
    ]
    return _table(heads, rows)


def _classes_table(report: Report) -> str:
    """Every defect class, on the golden set."""
    rows = [
        [label, report.severities.get(label, "none stated"), _rate(escape)]
        for label, escape in report.shipped_row.golden.class_escape.items()
    ]
    return _table(["defect class", "severity", "escape, golden set"], rows)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    top = "".join(f"<th>{plain(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{plain(c)}</td>' for c in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def _data_table(report: Report) -> str:
    heads = "".join(f"<th>{plain(label)}</th>" for label in ("split", *report.labels))
    rows = [
        f"<tr><td>{split}</td>"
        + "".join(f"<td>{counts.get(label, 0)}</td>" for label in report.labels)
        + "</tr>"
        for split, counts in report.images.items()
    ]
    return f"<table><tr>{heads}</tr>{''.join(rows)}</table>"


def _mistakes(mistakes: list[Mistake]) -> str:
    if not mistakes:
        return "<p>None on the golden set.</p>"
    figures = []
    for mistake in mistakes:
        text = (
            f"{mistake.name}: is {mistake.label}, judged {mistake.evaluation} as "
            f"{mistake.guessed}, score {mistake.score:.3f}"
        )
        data = _jpeg(beside_map(mistake.image, mistake.defect_map))
        figures.append(
            f'<figure><img alt="{plain(text)}" src="data:image/jpeg;base64,{data}">'
            f"<figcaption>{plain(text)}</figcaption></figure>"
        )
    return "<p>The picture, and where the model sees a defect.</p>" + "".join(figures)


def _jpeg(image: Image) -> str:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise ValueError("the picture could not be encoded")
    return base64.b64encode(data.tobytes()).decode()
