"""The verdicts beside the labels: what was escaped, what was thrown away, and how sure that is."""

from collections import Counter
from dataclasses import dataclass, field

from inspector.contract.result import InspectionResult


@dataclass(slots=True)
class Score:
    """Counts the first receipt of every result."""

    good: frozenset[str]
    """The labels that may pass."""
    labels: dict[str, str]
    """By part id."""
    results: int = 0
    repeated: int = 0
    """Received again under the same result_id: at least once is what QoS 1 promises."""
    evaluations: Counter[str] = field(default_factory=Counter)
    escapes: int = 0
    defective: int = 0
    overkill: int = 0
    good_parts: int = 0
    unlabelled: int = 0
    _seen: set[str] = field(default_factory=set)

    def add(self, result: InspectionResult) -> str | None:
        """Count one; returns how the label sees it, None where it was received before."""
        if result.result_id in self._seen:
            self.repeated += 1
            return None
        self._seen.add(result.result_id)
        self.results += 1
        self.evaluations[result.evaluation] += 1
        label = self.labels.get(result.part.id or "")
        if label is None:
            self.unlabelled += 1
            return "no label"
        is_good = label in self.good
        self.good_parts += is_good
        self.defective += not is_good
        self.overkill += is_good and not result.passed
        self.escapes += result.passed and not is_good
        return f"{label}: {_opinion(result, is_good=is_good)}"

    @property
    def review(self) -> int:
        return self.evaluations["NOT_DECIDABLE"]


def _opinion(result: InspectionResult, *, is_good: bool) -> str:
    if result.passed:
        return "agrees" if is_good else "ESCAPE"
    if result.evaluation == "NOT_DECIDABLE":
        return "held back for review"
    return "overkill" if is_good else "agrees"
