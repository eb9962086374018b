"""The result message, schema version 3: what the journal keeps and MQTT carries.

A change to these classes is a new version: tests/data/result-v3.json holds the schema as it is.
Rows that an older station wrote are delivered as they were written: `schema` says how to read one.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    AwareDatetime,
    Field,
    StringConstraints,
    field_serializer,
    model_validator,
)

from inspector.contract.strict import Score, Strict
from inspector.contract.verdict import Cause, Evaluation

EvaluationName = Literal["OK", "NOT_OK", "NOT_DECIDABLE", "UNDEFINED"]
NAMES: dict[Evaluation, EvaluationName] = {
    Evaluation.OK: "OK",
    Evaluation.NOT_OK: "NOT_OK",
    Evaluation.NOT_DECIDABLE: "NOT_DECIDABLE",
    Evaluation.UNDEFINED: "UNDEFINED",
}
"""How an evaluation is called in messages."""

Milliseconds = Annotated[float, Field(ge=0.0)]
Novelty = Annotated[float, Field(ge=0.0)]
"""How far from everything the model was taught: a distance, in the bundle's own unit."""
Figure = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
FIGURES_MAX = 32
PART_ID_MAX = 256


def row_of(payload: bytes) -> dict[str, Any] | None:
    """A row of a journal, of any schema version; None where a disk has spoilt it."""
    try:
        found = json.loads(payload)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def part_called(result: Mapping[str, Any]) -> str | None:
    """The id that a row, of any schema version, gives its part; None where it has none.

    Without the spaces around it: controllers fill a text of fixed length up with them, and no list
    of parts has them.
    """
    found = (result.get("part") or {}).get("id")
    return found.strip() if isinstance(found, str) else None


class PartRef(Strict):
    id: str | None = Field(max_length=PART_ID_MAX)
    """What the line calls the part; null where nobody named it."""
    sequence: Annotated[int, Field(ge=1)]
    """Trigger number since this boot."""


class TriggerRef(Strict):
    """What the line sent with its trigger, given back so that it can be compared."""

    id: str | None = Field(max_length=64)
    deadline_ms: Annotated[int, Field(ge=1)] | None
    """As the line asked; null where it asked for none. `deadline_ms` of the result is what held."""


class RegionResult(Strict):
    name: str
    x: int
    y: int
    width: int
    height: int
    evaluation: EvaluationName
    reason: str
    label: str | None
    score: Score | None
    novelty: Novelty | None
    """null where the bundle measures none, or the region was not understood."""


class LimitsUsed(Strict):
    review_at: Score
    reject_at: Score
    novelty_at: Novelty | None = Field(
        description="The bundle's where the recipe states none; null: novelty is not measured."
    )
    source: Literal["bundle", "recipe"] = Field(
        description="Whose review_at and reject_at these are; novelty_at may be the bundle's."
    )


class InspectionResult(Strict):
    schema_version: Literal[3] = Field(default=3, alias="schema")
    result_id: str
    """Unique for ever: a consumer drops one it has seen before."""
    station: str
    boot: str
    """Changes at every start of the station."""
    seq: Annotated[int, Field(ge=1)]
    """Row number in the station's journal: without gaps, never reused."""
    part: PartRef
    trigger: TriggerRef | None
    """null where the station found its parts by itself."""
    passed: bool = Field(
        validation_alias=AliasChoices("pass", "passed"), serialization_alias="pass"
    )
    """True only for OK."""
    evaluation: EvaluationName
    reason: str
    cause: Cause | None
    """Why it is not OK, one word of a fixed list; null for OK."""
    label: str | None
    """Class of the worst region; null where none was judged."""
    score: Score | None
    """Defect score of the worst region; null where none was judged."""
    novelty: Novelty | None
    """Of the same region; null where none was judged, or the bundle measures none."""
    deadline_ms: Annotated[int, Field(ge=1)]
    """From the trigger until the verdict must be there: the recipe's, or the line's if shorter."""
    late: bool
    """True where it was decided or recorded after its deadline: rejected."""
    attestation: dict[Figure, float] | None = Field(max_length=FIGURES_MAX)
    """What was measured of the frame (sharpness, exposure, shift ...); null without a frame."""
    regions: tuple[RegionResult, ...]
    limits: LimitsUsed
    recipe: str
    bundle: str
    captured_at: AwareDatetime | None
    """UTC, milliseconds; null where no frame came."""
    times_ms: dict[str, Milliseconds]
    """Per stage; `total` runs from the trigger until the result is ready to be recorded."""
    image: str | None
    """Name in the archive; null where the image was not kept."""
    simulated: bool
    """True where the picture came from a file, not from a camera."""

    @model_validator(mode="after")
    def _only_ok_passes(self) -> Self:
        if self.passed is not (self.evaluation == "OK"):
            raise ValueError("pass is true for OK and for nothing else")
        if self.passed and self.late:
            raise ValueError("what is late does not pass")
        if (self.cause is None) is not self.passed:
            raise ValueError("what is not OK has a cause, and nothing else has")
        return self

    @field_serializer("captured_at")
    def _milliseconds(self, value: datetime | None) -> str | None:
        return None if value is None else utc_text(value)

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


def utc_text(value: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and Z, as SCADA systems read it."""
    if value.utcoffset() != timedelta(0):
        raise ValueError(f"{value} is not in UTC")
    return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
