"""Scores beside the limits, drawn as SVG: the edge has no plotting library, and needs none."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from inspector.contract.verdict import Limits
from inspector.study.page import e

WIDTH, LEFT, RIGHT, HEAD, FOOT = 680, 150, 70, 30, 18
BINS = 50
INK, QUIET, BAD, OPEN = "#33506b", "#c9d3dc", "#a3301f", "#9a6a00"
NAME_MAX = 26


class Strip(NamedTuple):
    """One row of a plot."""

    name: str
    scores: Sequence[float]
    remark: str = ""
    bad: bool = False


def histograms(strips: Sequence[Strip], limits: Limits) -> str:
    """A row a class, a bar a fiftieth of the score; heights by the row's own largest bar."""
    return _plot(strips, limits, 56, _bars)


def dots(strips: Sequence[Strip], limits: Limits) -> str:
    """A row a part, a dot a presentation."""
    return _plot(strips, limits, 13, _points)


def _plot(
    strips: Sequence[Strip],
    limits: Limits,
    tall: int,
    draw: Callable[[Strip, float, int], Iterator[str]],
) -> str:
    height = HEAD + tall * len(strips) + FOOT
    floor = height - FOOT
    inside = []
    for i, strip in enumerate(strips):
        base = HEAD + tall * (i + 1) - 2
        name = strip.name if len(strip.name) <= NAME_MAX else f"{strip.name[: NAME_MAX - 1]}…"
        colour = BAD if strip.bad else "#1c1c1c"
        inside.append(
            f'<text x="{LEFT - 8}" y="{base - 2:.1f}" text-anchor="end" style="fill:{colour}">'
            f"{e(name)}</text>"
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}" stroke="#e6e6e6"/>'
            f'<text x="{WIDTH - RIGHT + 6}" y="{base - 2:.1f}" style="fill:{colour}">'
            f"{e(strip.remark)}</text>"
        )
        inside += draw(strip, base, tall)
    for tick in range(0, 11, 2):
        x = _x(tick / 10)
        inside.append(
            f'<text x="{x:.1f}" y="{floor + 12}" text-anchor="middle">{tick / 10:g}</text>'
        )
    near = abs(limits.reject_at - limits.review_at) < 0.16
    for k, (word, at, colour) in enumerate(
        (("review_at", limits.review_at, OPEN), ("reject_at", limits.reject_at, BAD))
    ):
        y = 10 + (11 if near and k else 0)
        inside.append(
            f'<line x1="{_x(at):.1f}" x2="{_x(at):.1f}" y1="{y + 3}" y2="{floor}" '
            f'stroke="{colour}" stroke-dasharray="3 2"/>'
            f'<text x="{_x(at):.1f}" y="{y}" text-anchor="middle" style="fill:{colour}">'
            f"{word} {at:.3g}</text>"
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Defect scores beside the limits">{"".join(inside)}</svg>'
    )


def _bars(strip: Strip, base: float, tall: int) -> Iterator[str]:
    counts = [0] * BINS
    for score in strip.scores:
        counts[min(BINS - 1, int(score * BINS))] += 1
    most = max(counts, default=0) or 1
    wide = (WIDTH - LEFT - RIGHT) / BINS
    for i, count in enumerate(counts):
        if count:  # one part must be seen beside hundreds
            high = max(2.0, (tall - 8) * count / most)
            yield (
                f'<rect x="{LEFT + i * wide + 0.4:.1f}" y="{base - high:.1f}" '
                f'width="{wide - 0.8:.1f}" height="{high:.1f}" fill="{INK}"/>'
            )


def _points(strip: Strip, base: float, tall: int) -> Iterator[str]:
    middle = base - tall / 2 + 1
    colour = BAD if strip.bad else INK
    for score in strip.scores:
        yield (
            f'<circle cx="{_x(score):.1f}" cy="{middle:.1f}" r="2.6" fill="{colour}" '
            'fill-opacity="0.55"/>'
        )


def _x(score: float) -> float:
    return LEFT + score * (WIDTH - LEFT - RIGHT)
