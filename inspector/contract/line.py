"""What a station shows the line's machine over MQTT, schema version 1: levels, as on wires.

Retained, but for a pass: whoever comes later must not find one.
"""

from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, model_validator

from inspector.contract.strict import Strict


class LineMessage(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    station: str
    boot: str
    ready: bool = False
    """Parts may come."""
    busy: bool = False
    """One is in work."""
    acquired: bool = False
    """Its picture is taken: it may move."""
    done: bool = False
    """A verdict stands, for a moment: pass or reject. Without it, reject is the rest."""
    passed: bool = Field(
        default=False,
        validation_alias=AliasChoices("pass", "passed"),
        serialization_alias="pass",
    )
    reject: bool = True
    fault: bool = False
    """The station is in ERROR."""
    sequence: Annotated[int, Field(ge=0)] = 0
    """The part's, as in its result; 0 before the first."""
    part: str | None = None
    """What the line calls it."""
    trigger: str | None = None
    """The id of the line's trigger."""

    @model_validator(mode="after")
    def _pass_or_reject(self) -> Self:
        if self.passed is self.reject:
            raise ValueError("pass and reject exclude each other, and one of them stands")
        if self.passed and not self.done:
            raise ValueError("a pass is a verdict")
        return self

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()
