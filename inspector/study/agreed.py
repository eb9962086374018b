"""What customer and supplier agreed on before the test: acceptance.toml."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from inspector.contract.strict import Strict
from inspector.study.labels import DEFECT_WORD

Share = Annotated[float, Field(gt=0.0, lt=1.0, strict=True)]
EVERY_DEFECT = "every defect"


class Rank(Strict):
    """One rank of the defect catalogue, as in a plan's [quality.severity]."""

    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    escape_rate_at_most: Share | None = None
    """Of these classes together; left out: counted alone, held to the overall limit only."""


class Ranks(Strict):
    critical: Rank | None = None
    major: Rank | None = None
    minor: Rank | None = None

    def stated(self) -> Mapping[str, Rank]:
        """By name, the gravest first."""
        each = {"critical": self.critical, "major": self.major, "minor": self.minor}
        return {name: rank for name, rank in each.items() if rank is not None}


class Agreed(Strict):
    """The limits of an acceptance, agreed on before its first part."""

    escape_rate_at_most: Share
    """Defective parts judged OK, of the defective parts of the test."""
    overkill_rate_at_most: Share
    """Good parts not judged OK, review included, of the good parts of the test."""
    confidence: Annotated[float, Field(ge=0.5, le=0.9999, strict=True)] = 0.95
    """With which each escape rate must be proven, one-sided, by Clopper and Pearson."""
    overkill_confidence: Annotated[float, Field(ge=0.5, le=0.9999, strict=True)] | None = None
    """The same of overkill; left out: the rate observed is what counts."""
    severity: Ranks = Ranks()

    @model_validator(mode="after")
    def _each_class_once(self) -> Self:
        classes = [label for rank in self.severity.stated().values() for label in rank.classes]
        for label in classes:
            if classes.count(label) > 1:
                raise ValueError(f"severity: class {label!r} has more than one rank")
        if DEFECT_WORD in classes:
            raise ValueError(f"severity: {DEFECT_WORD} is no class of defects")
        return self

    def classes(self) -> tuple[str, ...]:
        """Every class that has a rank."""
        return tuple(label for rank in self.severity.stated().values() for label in rank.classes)

    def rank_of(self, label: str) -> str | None:
        for name, rank in self.severity.stated().items():
            if label in rank.classes:
                return name
        return None

    def escape_limits(self) -> "tuple[EscapeLimit, ...]":
        """The one over all defects first."""
        ranks = self.severity.stated().items()
        return (
            EscapeLimit(EVERY_DEFECT, None, self.escape_rate_at_most),
            *(
                EscapeLimit(name, rank.classes, rank.escape_rate_at_most)
                for name, rank in ranks
                if rank.escape_rate_at_most is not None
            ),
        )


class EscapeLimit(NamedTuple):
    name: str
    classes: tuple[str, ...] | None
    """None: all."""
    at_most: float
