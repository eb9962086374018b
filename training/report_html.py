"""The report on one page: tables, plots, and the worst mistakes as pictures."""

import base64
import html
import io
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from inspector.contract.image import Image
from training.evaluate import Rate
from training.report import ModelRow, Report

GOOD, BAD, REVIEW, INK = "#4c78a8", "#c8553d", "#d9a441", "#333333"
mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1280px;margin:2rem auto;padding:0 1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0;font-size:13px}
td,th{padding:.3rem .55rem;text-align:right;white-space:nowrap}
th{border-bottom:1px solid #888;font-weight:600}td:first-child,th:first-child{text-align:left}
tr.shipped td{background:#eef3f8}figure{display:inline-block;margin:.5rem;vertical-align:top}
figcaption{font-size:13px;color:#444;max-width:300px}.notice{border:1px solid #c8553d;padding:.6rem}
.plots{display:grid;grid-template-columns:1fr 1fr;align-items:end}.plots img{max-width:100%}
"""


class Mistake(NamedTuple):
    """A part of the golden set that was judged wrongly."""

    name: str
    label: str
    guessed: str
    score: float
    evaluation: str
    image: Image
    defect_map: NDArray[np.float32]


def write_html(
    report: Report,
    scores: NDArray[np.float64],
    bad: NDArray[np.bool_],
    mistakes: list[Mistake],
    path: Path,
) -> None:
    """scores, bad: of the golden set, by the shipped model."""
    body = [
        f"<h1>{_e(report.name)}: release report</h1>",
        f'<p class="notice">{_e(report.notice)}</p>' if report.notice else "",
        f"<p>{_e(report.shipped_row.choice.sentence)}.</p>",
        f"<p>Shipped: <b>{_e(report.shipped)}</b>, because {_e(report.shipped_because)}.</p>",
        "<h2>Teacher beside student, on the golden set</h2>",
        _models_table(report),
        "<p>Accuracy takes the likeliest class; balanced is the mean of the recalls of good and "
        "defect; escape and overkill use the limits chosen on the calibration parts, with exact "
        f"one-sided bounds ({100 * report.shipped_row.golden.escape.confidence:g} %). "
        f"Time: one picture, one thread, {_e(report.machine)}.</p>",
        '<div class="plots">',
        _picture(_histogram(report.shipped_row, scores, bad), "Defect scores and limits"),
        _picture(_confusion(report), "Confusion matrix"),
        _picture(_recalls(report), "Recall of each class"),
        _picture(_history(report), "Training"),
        "</div>",
        "<h2>Worst mistakes</h2>",
        _mistakes(mistakes),
        "<h2>Data</h2>",
        _data_table(report),
        f"<pre>{_e(chr(10).join(report.data_lines))}</pre>",
        f"<p>Made by {_e(report.code)}.</p>",
    ]
    title = f"<title>{_e(report.name)}: release report</title>"
    head = f'<meta charset="utf-8">{title}<style>{_STYLE}</style>'
    text = f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'
    path.write_text(text, encoding="utf-8")


def _models_table(report: Report) -> str:
    heads = ["model", "architecture", "parameters", "MACs", "file", "ms", "accuracy", "balanced"]
    heads += ["macro recall", "AUROC", "escape", "overkill", "review"]
    rows = [_model_row(row, shipped=row.role == report.shipped) for row in report.models]
    cells = "".join(f"<th>{head}</th>" for head in heads)
    return f'<div class="wide"><table><tr>{cells}</tr>{"".join(rows)}</table></div>'


def _model_row(row: ModelRow, *, shipped: bool) -> str:
    g = row.golden
    cells = [
        row.role,
        row.architecture,
        f"{row.parameters / 1e6:.2f} M",
        f"{row.macs / 1e9:.2f} G",
        f"{row.file_bytes / 1e6:.1f} MB",
        f"{row.latency_ms:.2f}",
        *(f"{100 * v:.2f} %" for v in (g.accuracy, g.balanced_accuracy, g.macro_recall, g.auroc)),
        _rate(g.escape),
        _rate(g.overkill),
        f"{g.review.events}/{g.review.n}",
    ]
    inside = "".join(f"<td>{_e(cell)}</td>" for cell in cells)
    return f'<tr class="{"shipped" if shipped else ""}">{inside}</tr>'


def _rate(rate: Rate) -> str:
    return f"{rate.events}/{rate.n} (≤ {100 * rate.at_most:.1f} %)"


def _data_table(report: Report) -> str:
    heads = "".join(f"<th>{_e(label)}</th>" for label in ("split", *report.labels))
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
        data = _jpeg(_beside_map(mistake.image, mistake.defect_map))
        figures.append(
            f'<figure><img alt="{_e(text)}" src="data:image/jpeg;base64,{data}">'
            f"<figcaption>{_e(text)}</figcaption></figure>"
        )
    return "<p>The picture, and where the model sees a defect.</p>" + "".join(figures)


def _beside_map(image: Image, defect_map: NDArray[np.float32]) -> Image:
    """The picture, and again with the map over it: yellow where the score is high."""
    side = 150
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    heat = cv2.resize(defect_map, (side, side), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    over = cv2.addWeighted(small, 0.55, colours, 0.45, 0.0)
    return np.hstack([small, over]).astype(np.uint8)


def _histogram(row: ModelRow, scores: NDArray[np.float64], bad: NDArray[np.bool_]) -> Figure:
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(0, 1, 41).tolist()
    axes.hist(scores[~bad], bins, color=GOOD, alpha=0.75, label=f"good ({int((~bad).sum())})")
    axes.hist(scores[bad], bins, color=BAD, alpha=0.65, label=f"defect ({int(bad.sum())})")
    limits = row.choice.limits
    axes.axvline(limits.review_at, color=REVIEW, lw=2, label=f"review_at {limits.review_at:.3f}")
    axes.axvline(
        limits.reject_at, color=INK, lw=2, ls="--", label=f"reject_at {limits.reject_at:.3f}"
    )
    axes.set(yscale="symlog", xlabel="defect score", ylabel="parts of the golden set")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def _confusion(report: Report) -> Figure:
    matrix = np.array(report.shipped_row.golden.confusion)
    labels = report.labels
    side = 2.6 + 0.35 * len(labels)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(matrix.shape):
        colour = "white" if share[i, j] > 0.5 else INK
        axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true")
    return figure


def _recalls(report: Report) -> Figure:
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    labels = list(report.labels)
    width = 0.8 / len(report.models)
    for k, row in enumerate(report.models):
        values = [100 * row.golden.recall.get(label, 0.0) for label in labels]
        places = np.arange(len(labels)) + (k - (len(report.models) - 1) / 2) * width
        axes.bar(places, values, width * 0.92, color=(INK, GOOD, REVIEW)[k % 3], label=row.role)
    axes.set_xticks(range(len(labels)), labels, rotation=20)
    axes.set(ylabel="recall, %", ylim=(0, 105))
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


def _history(report: Report) -> Figure:
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    for rows, name, colour in (
        (report.teacher_history, "teacher", INK),
        (report.student_history, "student", GOOD),
    ):
        epochs = [row.epoch for row in rows]
        axes.plot(epochs, [100 * row.macro_recall for row in rows], color=colour, label=name)
        worst = [100 * row.worst_recall for row in rows]
        axes.plot(epochs, worst, color=colour, ls=":", label=f"{name}, worst class")
    axes.set(xlabel="epoch", ylabel="recall on validation, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def _picture(figure: Figure, alt: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{_e(alt)}" src="data:image/png;base64,{data}">'


def _jpeg(image: Image) -> str:
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise ValueError("the picture could not be encoded")
    return base64.b64encode(data.tobytes()).decode()


def _e(text: str) -> str:
    return html.escape(str(text), quote=True)
