"""The plot of a search: time against overkill, the front, the budgets."""

from matplotlib.figure import Figure

from training.report_plots import BAD, GOOD, INK, REVIEW, png
from training.search_found import Found, Tried

COLOURS = (GOOD, "#6a994e", "#8d6cab", REVIEW, "#4aa3a2", "#b5651d", "#777777")
MARKERS = {"fp32": "o", "int8": "s"}


def front(found: Found) -> bytes:
    """Every student judged; what is left of and below both dashed lines holds the budgets."""
    figure = Figure(figsize=(8.4, 4.8), layout="constrained")
    axes = figure.subplots()
    models = sorted({each.model for each in found.judged})
    said: set[str] = set()
    for each in found.judged:
        colour = COLOURS[models.index(each.model) % len(COLOURS)]
        label = f"{each.model} {each.precision}"
        axes.plot(
            *_place(each),
            MARKERS[each.precision],
            color=colour,
            markersize=7,
            label=None if label in said else label,
        )
        said.add(label)
        words = str(each.width) if each.prune == 1.0 else f"{each.width}, {each.prune:g} of MACs"
        axes.annotate(words, _place(each), (5, 4), textcoords="offset points", fontsize=8)
    best = found.front
    if best:
        times = [each.latency_ms for each in best]
        rates = [_place(each)[1] for each in best]
        axes.step(times, rates, where="post", color=INK, lw=1, label="front")
    winner = found.winner
    if winner is not None:
        axes.plot(*_place(winner), "o", ms=15, mfc="none", mec=BAD, mew=2, label="winner")
    axes.axvline(found.latency_goal_ms, color=BAD, lw=1, ls="--")
    axes.axhline(100 * found.overkill_goal, color=BAD, lw=1, ls="--", label="budgets")
    axes.set(
        xlabel=f"one part, one thread, ms ({found.timed_by})",
        ylabel=f"overkill at {100 * found.escape_goal:g} % escape, %",
    )
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def _place(each: Tried) -> tuple[float, float]:
    return each.latency_ms, 100 * (1.0 if each.overkill is None else each.overkill)
