"""Which escapes the plan counts together, how many it allows, and what they cost."""

from collections.abc import Mapping
from typing import NamedTuple

from inspector.contract.errors import ConfigError
from inspector.contract.strict import Strict
from training.evaluate import Figures
from training.plan import Plan
from training.plan_quality import Quality

EVERY_DEFECT = "all defects"


class Goal(NamedTuple):
    """At most this share of these classes' defective parts may escape."""

    name: str
    """A severity's, or EVERY_DEFECT."""
    classes: tuple[str, ...]
    at_most: float

    def __str__(self) -> str:
        of = "" if self.name == EVERY_DEFECT else f" ({', '.join(self.classes)})"
        return f"{self.name}{of} {100 * self.at_most:g} %"


class Cost(Strict):
    """Expected cost of 1000 parts, in the unit of the plan."""

    expected: float
    """At the golden set's own rates."""
    at_most: float
    """Were each of these rates at its bound."""
    sentence: str


def require_known_classes(plan: Plan, labels: tuple[str, ...]) -> None:
    """Raises ConfigError where a severity names a class that is no defect of the data."""
    defects = [label for label in labels if label not in plan.good]
    for name, severity in plan.quality.severity.stated().items():
        for label in severity.classes:
            if label not in defects:
                why = "is acceptable by the plan's good" if label in plan.good else "is not there"
                raise ConfigError(
                    f"plan: quality.severity.{name}.classes {label!r}: no defect class of this "
                    f"data ({why}); must be of {', '.join(defects)}"
                )


def goals_of(quality: Quality, defects: tuple[str, ...]) -> tuple[Goal, ...]:
    """Every goal of the plan, the overall one first."""
    stated = quality.severity.stated()
    return (
        Goal(EVERY_DEFECT, defects, quality.escape_rate_at_most),
        *(
            Goal(name, each.classes, each.escape_rate_at_most)
            for name, each in stated.items()
            if each.escape_rate_at_most is not None
        ),
    )


def severity_of(quality: Quality) -> dict[str, str]:
    """Class -> severity, for those that have one."""
    return {
        label: name
        for name, severity in quality.severity.stated().items()
        for label in severity.classes
    }


def expected_cost(quality: Quality, golden: Figures) -> Cost | None:
    """None where the plan states no costs."""
    stated = quality.severity.stated()
    if not any(severity.cost is not None for severity in stated.values()):
        return None
    parts = golden.escape.n + golden.overkill.n
    line = all(severity.per_1000 is not None for severity in stated.values())
    mix = {
        name: severity.per_1000 or 1000.0 * golden.severity_escape[name].n / parts
        for name, severity in stated.items()
    }
    good = 1000.0 - sum(mix.values()) if line else 1000.0 * golden.overkill.n / parts
    expected = good * quality.overkill_cost * golden.overkill.rate
    at_most = good * quality.overkill_cost * golden.overkill.at_most
    for name, severity in stated.items():
        escape = golden.severity_escape[name]
        expected += mix[name] * (severity.cost or 0.0) * escape.rate
        at_most += mix[name] * (severity.cost or 0.0) * escape.at_most
    sentence = _sentence(mix, good, expected, at_most, line=line)
    return Cost(expected=expected, at_most=at_most, sentence=sentence)


def _sentence(
    mix: Mapping[str, float], good: float, expected: float, at_most: float, *, line: bool
) -> str:
    source = "the plan's" if line else "the golden set's"
    defects = ", ".join(f"{n:.1f} {name}" for name, n in mix.items())
    return (
        f"cost of 1000 parts: {expected:,.1f} expected, at most {at_most:,.1f} were every rate at "
        f"its bound; {source} mix: {good:.1f} good, {defects}"
    )
