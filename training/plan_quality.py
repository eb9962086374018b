"""[quality] of a plan: what a model must hold, and what its errors cost."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from training.plan_networks import Rate, Section, Share


class Severity(Section):
    """One rank of the plant's defect catalogue."""

    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    """The defect classes of this rank."""
    escape_rate_at_most: Rate | None = None
    """Goal for these classes' defects alone, together; none where only the overall one counts."""
    cost: Annotated[float, Field(ge=0.0)] | None = None
    """Of one escape, in any unit."""
    per_1000: Annotated[float, Field(gt=0.0, lt=1000.0)] | None = None
    """Such defects among 1000 parts of the line; without it the golden set's mix is taken."""


class Severities(Section):
    """The ranks a plant uses; a class it leaves out counts for the overall goal alone."""

    critical: Severity | None = None
    major: Severity | None = None
    minor: Severity | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        stated = self.stated()
        classes = [label for each in stated.values() for label in each.classes]
        twice = [label for label in classes if classes.count(label) > 1]
        if twice:
            raise ValueError(f"class {twice[0]!r} has more than one severity")
        for key in ("cost", "per_1000"):
            silent = [name for name, each in stated.items() if getattr(each, key) is None]
            if silent and len(silent) < len(stated):
                raise ValueError(f"{key}: {silent[0]} lacks it; give it for all severities or none")
        if sum(each.per_1000 or 0.0 for each in stated.values()) > 1000.0:
            raise ValueError("per_1000: more than 1000 defects in 1000 parts")
        return self

    def stated(self) -> dict[str, Severity]:
        """By name, the gravest first."""
        each = {"critical": self.critical, "major": self.major, "minor": self.minor}
        return {name: severity for name, severity in each.items() if severity is not None}


class Quality(Section):
    """What the model must hold before it becomes a bundle."""

    escape_rate_at_most: Rate = 0.05
    """Goal for the upper bound of the escape rate at review_at, over all defects."""
    severity: Severities = Severities()
    """Goals and costs of a part of the defects: [quality.severity.critical]."""
    overkill_cost: Annotated[float, Field(ge=0.0)] = 0.0
    """Of one good part that is stopped, in the unit of the severities' costs."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    reject_overkill_at_most: Share = 0.02
    """Share of good calibration parts that may be rejected outright; the rest goes to review."""
    overkill_rate_at_most: Share = 1.0
    """Largest overkill on the golden set, review included."""
    overkill_to_spend: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Share of good parts, in all, that review_at may stop though the goals need less: a defect
    that nobody has shown scores lower than those that training knows."""
    novelty_overkill_at_most: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.02
    """Share of good parts that may be stopped as unlike anything seen in training; 0: novelty is
    not measured."""
    allow_uncertified: bool = False
    """Write a bundle though the data cannot prove the goal, and say so in it."""
