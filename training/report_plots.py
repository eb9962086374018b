"""The report's plots, one function each: a PNG file's bytes. The one door to matplotlib."""

import io
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from training.compress.found import Quantised
from training.evaluate import Held
from training.report import ModelRow, Report

GOOD, BAD, REVIEW, INK = "#4c78a8", "#c8553d", "#d9a441", "#333333"
ROLES = {"teacher": INK, "original": "#8d6cab", "student": GOOD, "student-int8": REVIEW}
NEAR_0 = 5e-4
"""Where the logit scale of a limit ends."""
mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

P = ParamSpec("P")


def written(label: str) -> str:
    """A class's name as text: between two dollars matplotlib would read a formula."""
    return label.replace("$", r"\$")


def once(draw: Callable[P, bytes]) -> Callable[P, bytes]:
    """What was drawn last is kept: a release and its bundle show the same plots of the same row."""
    kept: list[tuple[tuple[object, ...], bytes]] = []

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> bytes:
        of = (*args, *kwargs.values())
        if not kept or any(one is not other for one, other in zip(kept[0][0], of, strict=True)):
            kept[:] = [(of, draw(*args, **kwargs))]
        return kept[0][1]

    return drawn


@once
def histogram(row: ModelRow, golden: Held) -> bytes:
    """Defect scores of the golden set, with the limits."""
    scores, bad = golden.scores, golden.is_defect
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
    axes.set(yscale="symlog", xlabel="defect score", ylabel="pictures of the golden set")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return png(figure)


@once
def novelty(row: ModelRow, golden: Held) -> bytes:
    """How far the parts of the golden set are from everything in training, with the limit."""
    if golden.novelty is None or row.choice.limits.novelty_at is None:
        raise ValueError("this model measures no novelty")
    far, bad, limit = golden.novelty, golden.is_defect, row.choice.limits.novelty_at
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    bins = np.linspace(float(far.min()), max(float(far.max()), limit), 41).tolist()
    axes.hist(far[~bad], bins, color=GOOD, alpha=0.75, label=f"good ({int((~bad).sum())})")
    axes.hist(far[bad], bins, color=BAD, alpha=0.65, label=f"defect ({int(bad.sum())})")
    axes.axvline(limit, color=INK, lw=2, ls="--", label=f"novelty_at {limit:.3g}")
    axes.set(yscale="symlog", xlabel="novelty (1: usual in training)")
    axes.set(ylabel="pictures of the golden set")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return png(figure)


@once
def confusion(report: Report) -> bytes:
    """True against predicted class, golden set."""
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
    names = [written(label) for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), names)
    axes.set(xlabel="predicted", ylabel="true")
    return png(figure)


@once
def recalls(report: Report) -> bytes:
    """Of each class by each model for this machine, golden set."""
    models = [row for row in report.models if row.role in ROLES]
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    labels = list(report.labels)
    width = 0.8 / len(models)
    for k, row in enumerate(models):
        values = [100 * row.golden.recall.get(label, 0.0) for label in labels]
        places = np.arange(len(labels)) + (k - (len(models) - 1) / 2) * width
        axes.bar(places, values, width * 0.92, color=ROLES[row.role], label=row.role)
    axes.set_xticks(range(len(labels)), [written(label) for label in labels], rotation=20)
    axes.set(ylabel="recall, %", ylim=(0, 105))
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return png(figure)


@once
def history(report: Report) -> bytes:
    """How teacher and student learned; one that did not learn here has no line."""
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    for rows, name, colour in (
        (report.teacher_history, "teacher", INK),
        (report.student_history, "student", GOOD),
    ):
        if not rows:
            continue
        epochs = [row.epoch for row in rows]
        axes.plot(epochs, [100 * row.macro_recall for row in rows], color=colour, label=name)
        worst = [100 * row.worst_recall for row in rows]
        axes.plot(epochs, worst, color=colour, ls=":", label=f"{name}, worst class")
    axes.set(xlabel="epoch", ylabel="recall on validation, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return png(figure)


def steps(report: Report, *, times: bool) -> bytes:
    """What each step of the compression left of the student's cost, and what it held."""
    rows = report.compression
    first, names = rows[0], [row.name for row in rows]
    figure = Figure(figsize=(10.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    shares = [
        ("parameters not zero", [row.nonzero / first.nonzero for row in rows], INK, "o-"),
        ("MACs", [row.macs / first.macs for row in rows], GOOD, "s-"),
        ("packed file", [row.packed_bytes / first.packed_bytes for row in rows], REVIEW, "v:"),
    ]
    if times:
        took = [row.latency_ms / first.latency_ms for row in rows]
        shares.append(("time, 1 thread", took, BAD, "^--"))
    for label, values, colour, style in shares:
        left.plot(names, [100 * v for v in values], style, color=colour, label=label)
    left.set(ylabel="% of the student as it was", ylim=(0, None))
    for label, colour, value in (
        ("accuracy", GOOD, "accuracy"),
        ("worst class", BAD, "worst_recall"),
    ):
        taught = [100 * getattr(row.taught, value) for row in rows]
        cut = [100 * getattr(row.cut or row.taught, value) for row in rows]
        right.plot(names, taught, "o-", color=colour, label=label)
        right.plot(names, cut, "x:", color=colour, lw=1, label=f"{label}, just cut")
    right.set(ylabel=f"of the validation set (n = {first.images}), %", ylim=(-3, 103))
    for axes in (left, right):
        axes.tick_params(axis="x", rotation=20)
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return png(figure)


@once
def trade_off(row: ModelRow) -> bytes:
    """What another review_at would have meant, on the parts it was chosen with."""
    choice, points = row.choice, row.choice.curve
    limit = [min(max(point.review_at, NEAR_0), 1.0 - NEAR_0) for point in points]
    escape = [100 * point.escapes / max(choice.escape.n, 1) for point in points]
    bound = [100 * point.escape_at_most for point in points]
    overkill = [100 * point.overkill / max(choice.overkill.n, 1) for point in points]
    goal, cost = 100 * choice.goals[0].at_most, 100 * choice.overkill.rate
    proven = 100 * choice.escape.at_most
    figure = Figure(figsize=(10.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.step(limit, escape, where="pre", color=BAD, label=f"escape, n = {choice.escape.n}")
    left.step(limit, bound, where="pre", color=BAD, ls=":", label="its upper bound")
    left.step(limit, overkill, where="pre", color=GOOD, label=f"overkill, n = {choice.overkill.n}")
    left.axvline(choice.limits.review_at, color=REVIEW, lw=2, label="review_at")
    left.axvline(choice.limits.reject_at, color=INK, lw=2, ls="--", label="reject_at")
    left.set_xscale("logit", one_half="0.5")
    left.set(xlabel="review_at", ylabel="%", xlim=(NEAR_0, 1.0 - NEAR_0), ylim=(0, 103))
    left.xaxis.set_major_locator(FixedLocator([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]))
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_locator(NullLocator())
    right.plot(overkill, escape, color=BAD, label="escape")
    right.plot(overkill, bound, color=BAD, ls=":", label="its upper bound")
    right.axhline(goal, color=INK, lw=1, ls="--", label=f"goal over all defects, {goal:g} %")
    right.axvline(cost, color=REVIEW, lw=2, label=f"chosen: {cost:.1f} %, escape ≤ {proven:.1f} %")
    top = min(max(4 * goal, 1.3 * proven), 103)
    right.set(xlabel="overkill, %", ylabel="escape, %", xlim=(-2, 102), ylim=(0, top))
    for axes in (left, right):
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return png(figure)


@once
def reliability(row: ModelRow) -> bytes:
    """Confidence against accuracy in equal bins, golden set, without and with the temperature."""
    figure = Figure(figsize=(8.4, 4.0), layout="constrained")
    sides = figure.subplots(1, 2, sharey=True)
    before, after = row.calibration.before, row.calibration.after
    found = (("before", before, REVIEW), ("after", after, GOOD))
    for axes, (name, each, colour) in zip(sides, found, strict=True):
        some = [one for one in each.bins if one.n]
        total = sum(one.n for one in some)
        x, y = [100 * one.confidence for one in some], [100 * one.accuracy for one in some]
        axes.plot([0, 100], [0, 100], color=INK, lw=1, ls="--")
        axes.plot(x, y, color=colour, lw=1)
        axes.scatter(x, y, [12 + 300 * one.n / total for one in some], color=colour, zorder=3)
        for one, place in zip(some, zip(x, y, strict=True), strict=True):
            axes.annotate(f"{one.n}", place, (9, -11), textcoords="offset points", fontsize=7)
        axes.set(xlabel="confidence, %", xlim=(0, 108), ylim=(0, 108))
        axes.set_title(f"{name}: ECE {100 * each.ece:.2f} %", fontsize=9)
    sides[0].set_ylabel("right, % (beside it: parts)")
    return png(figure)


@once
def quantised(found: Quantised) -> bytes:
    """Recall lost on the way: the sweep, layers back in float, and the layers one by one."""
    figure = Figure(figsize=(10.4, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    tried = [*found.sweep, *found.fallback]
    x, chosen = range(1, len(tried) + 1), tried.index(found.chosen) + 1
    worst = [100 * each.scored.worst_lost for each in tried]
    macro = [100 * each.scored.macro_lost for each in tried]
    left.plot(x, worst, "o-", color=BAD, ms=4, lw=1, label="worst class")
    left.plot(x, macro, "s-", color=GOOD, ms=4, lw=1, label="macro recall")
    left.axvline(chosen, color=REVIEW, lw=2, label="chosen")
    left.axhline(0.0, color=INK, lw=1, ls="--")
    if found.fallback:
        left.axvspan(len(found.sweep) + 0.5, len(tried) + 0.5, color=INK, alpha=0.07)
    left.set(xlabel="tried, in the table's order (grey: layers back in float)")
    left.set(ylabel="points of recall lost")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    told = [each.scored.novelty_ranks for each in tried]
    ranks = [each for each in told if each is not None]
    if ranks:
        beside = left.twinx()
        beside.plot(x, ranks, "^:", color=INK, ms=4, lw=1)
        bottom = min(-0.05, *ranks)
        beside.set(ylabel="rank correlation of novelty (triangles)", ylim=(bottom, 1.05))
        beside.spines["right"].set_visible(True)
    left.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    layers = found.sensitivity[:12][::-1]
    if layers:
        names = [f"{'...' if len(each.layer) > 30 else ''}{each.layer[-30:]}" for each in layers]
        lost = [100 * each.scored.worst_lost for each in layers]
        away = [1.0 - (each.scored.novelty_ranks or 0.0) for each in layers]
        words = "points the worst class loses, this layer alone in INT8"
        if ranks and not any(lost):
            lost, words = away, "1 - rank correlation of novelty, this layer alone in INT8"
        right.barh(names, lost, color=BAD)
        right.set(xlabel=words)
        right.tick_params(axis="y", labelsize=7)
    else:
        right.axis("off")
        right.text(0.5, 0.5, "layers: not measured one by one", ha="center", color=INK)
    return png(figure)


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
