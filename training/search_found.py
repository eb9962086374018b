"""What a search found, as data (search.json): every student tried, the front, the winner."""

from pathlib import Path
from typing import Literal

from inspector.contract.strict import Strict
from inspector.contract.table import csv_table
from inspector.contract.whole import write_whole

HEADS = (
    "model",
    "width",
    "precision",
    "prune",
    "outcome",
    "latency_ms",
    "overkill",
    "escape",
    "macro_recall",
    "parameters",
    "macs",
    "file_bytes",
    "why",
)


def student_name(model: str, width: int, precision: str, prune: float) -> str:
    """As tables and the search's record call it."""
    cut = "" if prune == 1.0 else f" pruned to {prune:g}"
    return f"{model} {width} px {precision}{cut}"


class Tried(Strict):
    """One student of the space."""

    model: str
    width: int
    precision: Literal["fp32", "int8"]
    prune: float = 1.0
    """Share of its MACs that pruning was to leave; 1: uncut."""
    outcome: Literal["judged", "too slow", "failed", "unfit"]
    """unfit: in INT8, where the release would ship FP32."""
    latency_ms: float
    """Of a picture with all of its tiles, one thread; of a too slow one, before it was trained."""
    why: str = ""
    """What a failed one said; why an unfit one would not ship."""
    overkill: float | None = None
    """Of the selection parts, at the limit that holds the escape goal on them."""
    escape: float | None = None
    """Of the selection parts, at the limit that stops `overkill_goal` of the good ones."""
    macro_recall: float | None = None
    """Of the validation parts, at the likeliest class."""
    parameters: int | None = None
    macs: int | None = None
    file_bytes: int | None = None
    unknown: tuple[str, ...] = ()
    """Of what networks that the plan takes over have learned: its figures may flatter."""

    @property
    def name(self) -> str:
        return student_name(self.model, self.width, self.precision, self.prune)

    def holds(self, latency_ms: float, overkill: float) -> bool:
        """Both budgets."""
        return self.fits(latency_ms) and self.overkill is not None and self.overkill <= overkill

    def fits(self, latency_ms: float) -> bool:
        return self.outcome == "judged" and self.latency_ms <= latency_ms


class Found(Strict):
    plan: str
    latency_goal_ms: float
    escape_goal: float
    overkill_goal: float
    defects: int
    """Defective selection parts: what one of them is worth is 1/n of the escape rate."""
    goods: int
    timed_by: str
    """Who says how long a student takes: this machine, or a station's profile."""
    machine: str
    code: str
    space: int
    """How many students there are to choose from."""
    tried: tuple[Tried, ...]

    @property
    def judged(self) -> tuple[Tried, ...]:
        """The quickest first."""
        mine = [each for each in self.tried if each.outcome == "judged"]
        return tuple(sorted(mine, key=lambda each: (each.latency_ms, each.overkill)))

    @property
    def unknown(self) -> tuple[str, ...]:
        """That of all students, each once."""
        return tuple(dict.fromkeys(words for each in self.tried for words in each.unknown))

    @property
    def front(self) -> tuple[Tried, ...]:
        """Those than which none is both quicker and better, the quickest first (Pareto)."""
        kept: list[Tried] = []
        for each in self.judged:
            if not kept or _overkill(each) < _overkill(kept[-1]):
                kept.append(each)
        return tuple(kept)

    @property
    def winner(self) -> Tried | None:
        """The smallest that holds both: fewest parameters, of equals the least overkill.

        The time is a budget: what is left of it buys nothing, a good part that is stopped costs.
        """
        mine = [t for t in self.judged if t.holds(self.latency_goal_ms, self.overkill_goal)]
        return min(
            mine, key=lambda t: (t.parameters or 0, _overkill(t), t.latency_ms), default=None
        )

    def verdict(self) -> str:
        """In a sentence: who won, or how near the best came."""
        goals = (
            f"{self.latency_goal_ms:g} ms and escape {100 * self.escape_goal:g} % at "
            f"{100 * self.overkill_goal:g} % overkill"
        )
        share = float(f"{100 / self.defects:.2g}")  # 100, not 1e+02
        grain = f"one of {self.defects} defective selection parts is {share:g} %"
        best = self.winner
        if best is not None:
            return (
                f"{best.name} is the smallest of {len(self.judged)} students judged that holds "
                f"{goals}: {best.latency_ms:.2f} ms, overkill {100 * _overkill(best):.2f} % "
                f"({grain})"
            )
        quick = [each for each in self.judged if each.fits(self.latency_goal_ms)]
        nearest = min(quick, key=_overkill, default=None)
        failed = [
            each
            for each in self.tried
            if each.outcome == "failed" and each.latency_ms <= self.latency_goal_ms
        ]
        near = f"none is as quick as {self.latency_goal_ms:g} ms"
        if nearest:
            near = (
                f"within {self.latency_goal_ms:g} ms {nearest.name} comes nearest: overkill "
                f"{100 * _overkill(nearest):.2f} % at that escape rate"
            )
        elif failed:
            near = f"{len(failed)} quick enough failed, the last: {failed[-1].why}"
        return f"none of {len(self.judged)} students judged holds {goals}: {near} ({grain})"


def write_found(found: Found, folder: Path) -> None:
    """search.json, and search.csv with one row a student."""
    write_whole(folder / "search.json", found.model_dump_json(indent=1).encode())
    rows = ([_cell(getattr(each, head)) for head in HEADS] for each in found.tried)
    write_whole(folder / "search.csv", csv_table((HEADS, *rows)))


def table(found: Found) -> list[str]:
    """For a terminal: judged students, the quickest first; * is on the front."""
    shown = found.judged
    width = max((len(each.name) for each in shown), default=10) + 2
    lines = [f"  {'':{width}}{'params':>9}{'ms':>8}{'overkill':>10}{'macro recall':>14}"]
    front = set(found.front)
    lines += [
        f"{'*' if each in front else ' '} {each.name:{width}}"
        f"{(each.parameters or 0) / 1e6:8.2f}M{each.latency_ms:8.2f}"
        f"{100 * _overkill(each):9.2f}%{100 * (each.macro_recall or 0.0):13.2f}%"
        for each in shown
    ]
    kinds = ("too slow", "failed", "unfit")
    counts = {kind: sum(t.outcome == kind for t in found.tried) for kind in kinds}
    lines.append(
        f"{len(shown)} judged, {counts['too slow']} too slow to be trained, "
        f"{counts['failed']} failed, {counts['unfit']} unfit in INT8, of {found.space}"
    )
    return lines


def _overkill(each: Tried) -> float:
    return 1.0 if each.overkill is None else each.overkill


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
