"""What the line's controller says it did with a verdict, schema version 1: read strictly.

One as soon as it has acted, and for a rejected part one more, `ejected`, once a sensor behind the
ejector has seen it leave the belt.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from inspector.contract.foreign import read_message
from inspector.contract.strict import Name, Strict
from inspector.contract.trigger import PartId


class EchoMessage(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    boot: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    """As in the line's message: a station that starts again counts its parts from 1."""
    sequence: Annotated[int, Field(ge=1, strict=True)]
    """The part's, as in the line's message."""
    verdict: Literal["pass", "reject"]
    """What the controller acted on."""
    ejected: Annotated[bool, Field(strict=True)] = False
    """The rejected part has left the belt: said later, and of a rejected part only."""
    part: PartId | None = None
    """As in the line's message; where it is given, it must be this part's."""
    trigger: Name | None = None
    """As `part`."""

    @model_validator(mode="after")
    def _only_rejects_are_ejected(self) -> Self:
        if self.ejected and self.verdict == "pass":
            raise ValueError("a part that passes is not ejected")
        return self

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


def parse_echo(data: bytes) -> EchoMessage:
    """Raises CommandError in words, which quote little of what came."""
    return read_message(data, EchoMessage, "echo")
