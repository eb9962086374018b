"""May this bundle replace that one? The terms, the evidence, and the decision, as data."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from inspector.contract.result import EvaluationName
from inspector.contract.strict import Strict
from training.evaluate import Rate
from training.paired import Parts
from training.plan_networks import Rate as Small
from training.plan_networks import Section, Share

Count = Annotated[int, Field(ge=0)]
Outcome = Literal["promote", "refuse", "not enough evidence"]


class Terms(Section):
    """What a candidate must hold, and on how much: promote.toml."""

    golden_defects_at_least: Count = 59
    """Defective parts in the golden set; 59 without an escape prove 5 % at 95 %."""
    golden_good_at_least: Count = 59
    class_defects_at_least: Count = 3
    """Golden parts of each defect class."""
    shadow_parts_at_least: Count = 1_000
    """Parts of the line that both have judged, the candidate as the shadow."""
    shadow_unreviewed_at_most: Count = 0
    """Parts the incumbent stopped and the candidate would pass, of which nobody has said what they
    are."""
    new_escapes_at_most: Count = 0
    """Defective parts the incumbent stopped and the candidate passes."""
    overkill_rate_at_most: Share = 1.0
    """On the golden set."""
    overkill_growth_at_most: Share = 0.01
    """Over the incumbent's overkill on the golden set, and of the shadow's parts."""
    latency_ratio_at_most: Annotated[float, Field(gt=0.0)] = 1.2
    """Time of the candidate in that of the incumbent, measured in turn, each undisturbed."""
    latency_ms_at_most: Annotated[float, Field(gt=0.0)] | None = None
    """p99 of one picture on this machine."""
    worse_at_p: Small = 0.05
    """The candidate is worse where it gets fewer parts right and chance alone is less likely than
    this (McNemar's exact test)."""
    must_be_better: bool = False
    """It must get more parts right, and not by chance."""


class Says(Strict):
    """What a bundle says of a picture."""

    evaluation: EvaluationName
    label: str | None
    score: float | None

    @property
    def passes(self) -> bool:
        return self.evaluation == "OK"


class Case(Strict):
    """A picture whose class is known, and what both say of it."""

    name: str
    picture: str
    part: str
    label: str
    is_defect: bool
    source: Literal["golden", "reviewed"]
    trained: bool
    """The candidate learned from it, or from its part: it can only speak against it."""
    incumbent: Says
    candidate: Says
    caught: bool
    """The incumbent stopped it, here or at its station."""

    @property
    def is_new_escape(self) -> bool:
        return self.is_defect and self.caught and self.candidate.passes


class Disagreed(Strict):
    """A part of the line, of the shadow's record."""

    station: str
    result_id: str
    picture: str
    label: str | None
    """What people say it is; None: nobody has, or they do not agree."""
    is_defect: bool | None
    incumbent: Says
    candidate: Says

    @property
    def is_new_pass(self) -> bool:
        return self.candidate.passes and not self.incumbent.passes

    @property
    def is_new_stop(self) -> bool:
        return self.incumbent.passes and not self.candidate.passes


class Shadowed(Strict):
    """The shadow's record of just this pair."""

    judged: int
    disagreed: tuple[Disagreed, ...]
    lost: int
    """Disagreements that were counted and are no longer on the disk."""


class Latency(Strict):
    """Of one whole picture, in milliseconds."""

    n: int
    least_ms: float
    """What is left where nothing else disturbs it: on a busy machine its ratio repeats best."""
    p50_ms: float
    p99_ms: float


class Evidence(Strict):
    incumbent: str
    candidate: str
    unfit: tuple[str, ...]
    """Why a station would not take it, or it is not known what it learned from."""
    unshown: tuple[str, ...]
    """Reviewed defects that no bundle can be shown again, and why."""
    unknown: tuple[str, ...]
    """What is not known of the candidate's training."""
    classes: tuple[str, ...]
    """The defects."""
    cases: tuple[Case, ...]
    shadow: Shadowed
    latency_incumbent: Latency
    latency_candidate: Latency
    latency_ratio: float
    machine: str
    data: str
    data_fingerprint: str
    at: AwareDatetime
    """When it was gathered."""

    def golden(self, *, defects: bool) -> list[Case]:
        return [e for e in self.cases if e.source == "golden" and e.is_defect is defects]

    def new_escapes(self) -> list[Case]:
        return [each for each in self.cases if each.is_new_escape]


class Check(Strict):
    """One of the terms, and what was found."""

    name: str
    found: str
    asked: str
    verdict: Literal["holds", "fails", "missing"]


class Figures(Strict):
    """One bundle on the golden set."""

    bundle: str
    escape: Rate
    class_escape: dict[str, Rate]
    overkill: Rate
    review: Rate


class Decision(Strict):
    outcome: Outcome
    terms: Terms
    reasons: tuple[str, ...]
    """Why not, each with what to do; empty where it is promoted."""
    checks: tuple[Check, ...]
    incumbent: Figures
    candidate: Figures
    tests: dict[str, Parts]
    """first: the incumbent; second: the candidate. On parts the candidate never learned from."""
