"""What the simulated line does, and how often it errs."""

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from inspector.contract.strict import Strict

Chance = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Milliseconds = Annotated[int, Field(ge=0, le=60_000)]


class Plan(Strict):
    """Chances are each part's own, from 0 to 1."""

    parts: Annotated[int, Field(ge=1)] | None = None
    """None: until it is stopped."""
    rate: Annotated[float, Field(gt=0.0, le=200.0, allow_inf_nan=False)] = 2.0
    """Parts a second."""
    jitter_ms: Milliseconds = 0
    """At most so much later than its turn does a part come."""
    deadline_ms: Annotated[int, Field(ge=1, le=60_000)] = 500
    """As the trigger says it."""
    margin_ms: Milliseconds = 100
    """The controller's own time for a part is so much longer: the verdict's way."""
    late: Chance = 0.0
    late_ms: Milliseconds = 2_000
    """How long a late trigger is on its way: above the station's age_max_ms it is refused."""
    duplicate: Chance = 0.0
    """The trigger is sent twice."""
    lost: Chance = 0.0
    """The trigger never leaves."""
    lose_echo: Chance = 0.0
    wrong_echo: Chance = 0.0
    """The echo tells of the other verdict."""
    eject_ms: Milliseconds = 200
    """From a reject to the sensor behind the ejector."""
    lose_eject: Chance = 0.0
    """The sensor sees nothing."""
    seed: int = 0

    @property
    def own_s(self) -> float:
        return (self.deadline_ms + self.margin_ms) / 1000


@dataclass(frozen=True, slots=True)
class Fate:
    """What goes wrong with one part; drawn before it comes, so that a seed tells all of it."""

    delay_s: float
    late: bool
    duplicate: bool
    lost: bool
    lose_echo: bool
    wrong_echo: bool
    lose_eject: bool


class Dice:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._random = random.Random(plan.seed)  # noqa: S311 - a simulation, no secret

    def throw(self) -> Fate:
        plan, chance = self._plan, self._random.random
        return Fate(
            delay_s=chance() * plan.jitter_ms / 1000,
            late=chance() < plan.late,
            duplicate=chance() < plan.duplicate,
            lost=chance() < plan.lost,
            lose_echo=chance() < plan.lose_echo,
            wrong_echo=chance() < plan.wrong_echo,
            lose_eject=chance() < plan.lose_eject,
        )
