"""The report's part about INT8: what was tried, which layers hurt, what was kept and why."""

from training.compress.found import Quantised, Scored, Tried


def heads(found: Quantised) -> list[str]:
    ranks = ["rank correlation of novelty"] if found.chosen.scored.novelty_ranks is not None else []
    lost = ["worst class", "loses", "macro recall loses"]
    return ["ranges, weights", "layers float", *lost, *ranks, "mean shift"]


def rows(found: Quantised) -> list[list[str]]:
    """The sweep, then the way back to float; points of recall that each loses against FP32."""
    return [_row(each, chosen=each == found.chosen) for each in (*found.sweep, *found.fallback)]


def layer_rows(found: Quantised, at_most: int) -> list[list[str]]:
    """The layers that hurt most when they alone are in INT8."""
    return [[each.layer, *_figures(each.scored)] for each in found.sensitivity[:at_most]]


def _row(tried: Tried, *, chosen: bool) -> list[str]:
    way = f"{tried.method}, {'per channel' if tried.per_channel else 'per tensor'}"
    mark = " (chosen)" if chosen else ""
    return [way + mark, str(len(tried.float_layers)), *_figures(tried.scored)]


def _figures(scored: Scored) -> list[str]:
    ranks = [] if scored.novelty_ranks is None else [f"{scored.novelty_ranks:.3f}"]
    lost = (scored.worst_lost, scored.macro_lost)
    worst, macro = (f"{100 * each:.2f}" for each in lost)
    return [scored.worst_class, worst, macro, *ranks, f"{scored.shift:.4f}"]
