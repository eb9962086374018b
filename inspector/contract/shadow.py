"""The shadow message, schema version 1: a part that a second bundle would have judged otherwise."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, field_serializer

from inspector.contract.result import EvaluationName, utc_text
from inspector.contract.strict import Score, Strict


class Opinion(Strict):
    """What one bundle says of a part: its worst region's."""

    bundle: str
    evaluation: EvaluationName
    label: str | None
    score: Score | None
    """null where it could not judge the part."""


class ShadowMessage(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    station: str
    boot: str
    number: Annotated[int, Field(ge=1)]
    """Counts disagreements since this boot: a gap is one that is on the station's disk alone."""
    judged: Annotated[int, Field(ge=1)]
    """Parts both bundles have judged since this boot, this one included."""
    result_id: str
    """Of the result, which alone counts for the line."""
    seq: Annotated[int, Field(ge=1)]
    part: str | None
    captured_at: AwareDatetime | None
    serving: Opinion
    shadow: Opinion
    image: str
    """Name in the shadow's folder; the picture may have been dropped."""

    @field_serializer("captured_at")
    def _milliseconds(self, value: datetime | None) -> str | None:
        return None if value is None else utc_text(value)

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


class ShadowTally(Strict):
    """How many parts a pair of bundles has judged since a boot: a file, not a message.

    Disagreements alone do not tell a shadow that agreed from one that hardly ran.
    """

    station: str
    boot: str
    serving: str
    shadow: str
    judged: Annotated[int, Field(ge=1)]
    disagreements: Annotated[int, Field(ge=0)]
    """Also of those that the list has let go for room."""
