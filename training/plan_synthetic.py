"""[synthetic] of a plan: defects painted on good pictures."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.plan_networks import Section

Kind = Literal["spot", "scratch", "patch", "zone"]
Length = Annotated[float, Field(gt=0.0, le=1.0)]


class Synthetic(Section):
    """Of the good views some carry a painted defect, which is taught as "some defect"."""

    share: Annotated[float, Field(gt=0.0, le=0.9)] = 0.3
    """Of the good views."""
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = ("spot", "scratch", "patch")
    """zone: another finish beyond a line across the picture; for surfaces that are one all over."""
    size: tuple[Length, Length] = (0.04, 0.5)
    """From and to, of the picture's (or tile's) shorter side; a zone has no size."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.size[0] > self.size[1]:
            raise ValueError(f"size {list(self.size)}: from must not be above to")
        return self
