"""What was tried on the way to INT8, as data for the report."""

from typing import NamedTuple

from inspector.contract.strict import Strict


class Scored(Strict):
    """An INT8 form against FP32, on the same validation pictures."""

    worst_class: str
    """The one whose recall falls most, or else is least."""
    worst_lost: float
    """Recall that this class loses, as a share; below 0 it gains."""
    macro_lost: float
    novelty_ranks: float | None
    """Spearman's rank correlation of novelty with FP32's; None where none is measured."""
    shift: float
    """Mean difference of a probability from FP32's: tells forms apart that decide alike."""


class Tried(Strict):
    method: str
    per_channel: bool
    float_layers: tuple[str, ...] = ()
    scored: Scored

    @property
    def text(self) -> str:
        floats = f", {len(self.float_layers)} layers float" if self.float_layers else ""
        return f"{self.method} {'per channel' if self.per_channel else 'per tensor'}{floats}"


class LayerScore(Strict):
    """One layer in INT8 and every other one in float."""

    layer: str
    scored: Scored


class Quantised(Strict):
    """The sweep, the layers where they were measured, and what was kept."""

    pictures: int
    """Validation pictures they were all held to."""
    layers: int
    sweep: tuple[Tried, ...]
    sensitivity: tuple[LayerScore, ...] = ()
    """The most harmful first; empty where it was not measured."""
    fallback: tuple[Tried, ...] = ()
    """With one layer more in float each."""
    chosen: Tried
    held: bool
    """Whether what was chosen loses no more than the plan allows."""
    because: str


class Rule(NamedTuple):
    """What INT8 may lose."""

    loss_at_most: float
    ranks_at_least: float

    def faults(self, scored: Scored) -> list[str]:
        """Why a form is not as safe as FP32, in words; none where it is."""
        found = []
        if scored.worst_lost > self.loss_at_most:
            words = f"{100 * scored.worst_lost:.2f} points of the recall of {scored.worst_class}"
            found.append(f"it loses {words}")
        if scored.macro_lost > self.loss_at_most:
            found.append(f"it loses {100 * scored.macro_lost:.2f} points of macro recall")
        if scored.novelty_ranks is not None and scored.novelty_ranks < self.ranks_at_least:
            found.append(
                f"it finds other parts strange (rank correlation {scored.novelty_ranks:.2f}, "
                f"at least {self.ranks_at_least:g} is asked)"
            )
        return found

    def order(self, scored: Scored) -> tuple[float, ...]:
        """The best first: what holds before what does not, then by what is lost."""
        lost = max(0.0, scored.worst_lost - self.loss_at_most)
        macro = max(0.0, scored.macro_lost - self.loss_at_most)
        ranks = 1.0 if scored.novelty_ranks is None else scored.novelty_ranks
        return lost, macro, max(0.0, self.ranks_at_least - ranks), scored.shift
