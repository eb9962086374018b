"""What the line sends when a part is there, schema version 1: read strictly, acted on once."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, StringConstraints

from inspector.contract.foreign import read_message
from inspector.contract.result import PART_ID_MAX
from inspector.contract.strict import Name, Strict

DEADLINE_MS_MAX = 60_000


def _text(value: Any) -> Any:
    """A bare number would be read as seconds or milliseconds, by its size."""
    if isinstance(value, int | float):
        raise ValueError("must be text, as 2026-01-31T12:00:00.000Z")
    return value


PartId = Annotated[
    str, StringConstraints(min_length=1, max_length=PART_ID_MAX, pattern=r"^[^\x00-\x1f\x7f]+$")
]
"""What the line calls a part: no control characters."""


class TriggerMessage(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    id: Name
    """Another one for every trigger; the result repeats it. One that came before is a duplicate."""
    part_id: PartId | None = None
    deadline_ms: Annotated[int, Field(ge=1, le=DEADLINE_MS_MAX, strict=True)] | None = None
    """From the trigger's arrival until the verdict must be there. It can only shorten the recipe's.
    """
    sent_at: Annotated[AwareDatetime, BeforeValidator(_text)] | None = None
    """UTC, where the sender's clock and the station's are kept together: an old one is refused."""

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


def parse_trigger(data: bytes) -> TriggerMessage:
    """Raises CommandError in words, which quote little of what came."""
    return read_message(data, TriggerMessage, "trigger")
