"""The plots of a comparison, one function each: a PNG file's bytes."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.comparison import METRICS, Comparison, Contender, Row
from training.report_plots import BAD, GOOD, INK, REVIEW, png

COLOURS = (GOOD, BAD, "#6a994e", "#8d6cab", REVIEW, "#4aa3a2", INK)
MARKERS = {"student": "o", "student-int8": "s", "original": "D", "teacher": "^"}
LEGEND_MAX = 12
ASIDE = 0.06
"""Share of the figure by which equals are moved apart."""
LOG_FROM = 4.0
"""Highest by lowest figure: below it a logarithmic axis has no numbers."""


def against_parameters(found: Comparison, metric: str) -> bytes:
    """Mean and standard deviation over the runs, each run as a dot; equals side by side."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    peers: dict[int, list[str]] = {}
    for contender in found.contenders:
        peers.setdefault(contender.parameters, []).append(contender.name)
    for contender, colour in _coloured(found):
        names = peers[contender.parameters]
        aside = names.index(contender.name) - (len(names) - 1) / 2
        x = contender.parameters / 1e6 * (1.0 + ASIDE * aside)
        _point(axes, found, contender, colour, metric, x, 0.0)
    axes.set(
        xscale="log",
        xlabel="parameters, million (equals side by side)",
        ylabel=f"{METRICS[metric]}, %",
    )
    _finish(axes)
    return png(figure)


def against_latency(found: Comparison, metric: str) -> bytes:
    """Mean and standard deviation over the runs, of both axes."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    for contender, colour in _coloured(found):
        spread = contender.latency_ms_sd
        _point(axes, found, contender, colour, metric, contender.latency_ms, spread)
    axes.set(xscale="log", xlabel="one picture, one thread, ms", ylabel=f"{METRICS[metric]}, %")
    _finish(axes)
    return png(figure)


def side_by_side(found: Comparison, metric: str) -> bytes:
    """A line for each contender, the best on top: mean, standard deviation, each run as a dot.

    For so many that colours and a legend would not tell which is which.
    """
    order = sorted(found.contenders, key=lambda contender: contender.mean[metric])
    figure = Figure(figsize=(5.6, 1.3 + 0.26 * len(order)), layout="constrained")
    axes = figure.subplots()
    for place, contender in enumerate(order):
        values = [100 * row.figures[metric] for row in _runs(found, contender)]
        colour = BAD if contender.role == "teacher" else GOOD
        axes.plot(values, [place] * len(values), ".", color=colour, alpha=0.4, ms=5)
        mean, spread = 100 * contender.mean[metric], 100 * contender.sd[metric]
        marker = MARKERS[contender.role]
        axes.errorbar([mean], [place], xerr=[spread], marker=marker, color=colour, capsize=3)
    axes.set_yticks(range(len(order)), [contender.name for contender in order], fontsize=8)
    axes.grid(visible=True, axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.set(xlabel=f"{METRICS[metric]}, %", ylim=(-0.6, len(order) - 0.4))
    return png(figure)


def differences(found: Comparison, metric: str) -> bytes:
    """The second less the first of each pair, with the corrected 95 % interval."""
    pairs = found.pairs
    figure = Figure(figsize=(8.4, 1.3 + 0.36 * len(pairs)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0.0, color="#aaaaaa", lw=1)
    for place, pair in enumerate(reversed(pairs)):
        each = pair.differences[metric]
        mean = 100 * each.mean
        if each.low is not None and each.high is not None:
            axes.plot([100 * each.low, 100 * each.high], [place, place], color=GOOD, lw=2)
        axes.plot([mean], [place], "o", color=INK)
    names = [f"{pair.second} less {pair.first}" for pair in reversed(pairs)]
    axes.set_yticks(range(len(pairs)), names)
    axes.set(xlabel=f"difference of {METRICS[metric]}, points", ylim=(-0.6, len(pairs) - 0.4))
    return png(figure)


def _runs(found: Comparison, contender: Contender) -> list[Row]:
    return [r for r in found.rows if (r.plan, r.role) == (contender.plan, contender.role)]


def _coloured(found: Comparison) -> list[tuple[Contender, str]]:
    """A colour for each plan, whatever the model of it."""
    plans = list(dict.fromkeys(contender.plan for contender in found.contenders))
    return [(c, COLOURS[plans.index(c.plan) % len(COLOURS)]) for c in found.contenders]


def _point(
    axes: Axes,
    found: Comparison,
    contender: Contender,
    colour: str,
    metric: str,
    x: float,
    x_spread: float,
) -> None:
    rows = _runs(found, contender)
    values = [100 * row.figures[metric] for row in rows]
    at = [row.latency_ms for row in rows] if x_spread else [x] * len(rows)
    axes.plot(at, values, ".", color=colour, alpha=0.35, ms=4)
    axes.errorbar(
        [x],
        [100 * contender.mean[metric]],
        yerr=[100 * contender.sd[metric]],
        xerr=[x_spread] if x_spread else None,
        marker=MARKERS[contender.role],
        mfc="white" if contender.role == "teacher" else colour,
        color=colour,
        ls="",
        capsize=3,
        label=contender.name,
    )


def _finish(axes: Axes) -> None:
    axes.grid(visible=True, which="major", color="#eeeeee")
    axes.set_axisbelow(True)
    low, high = axes.get_xlim()
    if high / low < LOG_FROM:
        axes.set_xscale("linear")
    else:
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(_few)
    handles, _ = axes.get_legend_handles_labels()
    if len(handles) <= LEGEND_MAX:
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _few(value: float, _place: float) -> str:
    """Names of minor ticks: 2 and 5 of each decade."""
    first = f"{value:e}"[0]
    return f"{value:g}" if first in "25" else ""
