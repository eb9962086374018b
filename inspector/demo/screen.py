"""What the demo shows: one line a result, and the summary. Never by colour alone."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from inspector.contract.bounds import say_rate
from inspector.contract.result import InspectionResult
from inspector.contract.status import StateMessage, TallyCounts
from inspector.demo.score import Score

# Three ways to tell them apart: shape, word, colour
_LOOKS = {
    "OK": ("●", "+", "green"),
    "NOT_OK": ("✖", "x", "bold red"),
    "NOT_DECIDABLE": ("◆", "?", "yellow"),
    "UNDEFINED": ("▲", "!", "magenta"),
}
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """The three counts that have to be one."""

    journalled: int
    sent: int
    """Acknowledged by the broker, as far as the station's cursor says."""
    received: int

    @property
    def agree(self) -> bool:
        return self.journalled == self.sent == self.received


class Screen:
    """Colour where it is a terminal, plain text elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._unicode = self._console.encoding.lower().startswith("utf")

    def say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style))

    def head(self) -> None:
        self._console.print(
            Text(
                f"{'seq':>6}  {'part':<18} {'verdict':<15} {'class':<14} {'score':>6} {'ms':>7}  "
                "the expert's label",
                "bold",
            )
        )

    def result(self, result: InspectionResult, opinion: str) -> None:
        """One line; `ms` runs from the trigger until the result is ready to be recorded."""
        shape, plain, style = _LOOKS[result.evaluation]
        score = "-" if result.score is None else f"{result.score:.3f}"
        line = Text(f"{result.seq:>6}  {_short(result.part.id or '-', 18):<18} ")
        mark = shape if self._unicode else plain
        line.append(f"{mark} {result.evaluation:<13}", style)
        line.append(
            f" {_short(result.label or '-', 14):<14} {score:>6} {result.times_ms['total']:>7.1f}  "
        )
        line.append(opinion, "bold red" if "ESCAPE" in opinion else "")
        if result.evaluation == "UNDEFINED":
            line.append(f"  ({result.reason})")
        self._console.print(line)

    def summary(
        self, score: Score, counts: Counts, state: StateMessage | None, took_s: float
    ) -> None:
        self._console.print()
        for name, value in _rows(score, state, took_s):
            self._console.print(Text(f"{name:<32}{value}"))
        numbers = f"{counts.sent} = {counts.received} = {counts.journalled}"
        if not counts.agree:
            numbers = (
                f"{counts.sent} sent, {counts.received} received, "
                f"{counts.journalled} journalled: THEY DIFFER"
            )
        style = "green" if counts.agree else "bold red"
        self._console.print(
            Text.assemble(f"{'sent = received = journalled':<32}", (numbers, style))
        )

    def log_tail(self, log: Path, text: str) -> None:
        self.say(f"the station ended by itself; the end of {log.name}:", "bold red")
        self._console.print(Text(text))


def _rows(score: Score, state: StateMessage | None, took_s: float) -> list[tuple[str, str]]:
    verdicts = ", ".join(f"{n} {name}" for name, n in sorted(score.evaluations.items()))
    rate = f", {(score.results - 1) / took_s:.1f} a second" if took_s > 0 else ""
    review = f"{score.review}/{score.results}" if score.results else "0"
    rows = [
        ("parts", f"{score.results} ({verdicts or 'none'}){rate}"),
        ("escapes (defective, judged OK)", say_rate(score.escapes, score.defective)),
        ("overkill (good, not judged OK)", say_rate(score.overkill, score.good_parts)),
        ("review band (NOT_DECIDABLE)", review),
    ]
    if score.unlabelled:
        rows.append(("parts without a label", str(score.unlabelled)))
    if score.repeated:
        rows.append(("received twice, counted once", str(score.repeated)))
    if state is None:
        return [*rows, ("trigger to verdict", "unknown: no state message came")]
    spread = state.tally.trigger_to_verdict_ms
    if spread is not None:
        times = f"p50 {spread.p50:.1f} ms, p99 {spread.p99:.1f} ms"
        rows.append(("trigger to verdict", f"{times} over {spread.n} parts, commit included"))
    return [*rows, *_troubles(state.tally)]


def _troubles(tally: TallyCounts) -> list[tuple[str, str]]:
    """What should be zero, shown where it is not."""
    counts = {
        "triggers missed": tally.triggers_missed,
        "late": tally.late,
        "judged but not recorded": tally.unrecorded,
        "images dropped": tally.images_dropped,
    }
    return [(name, str(count)) for name, count in counts.items() if count]


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"
