"""What the audit holds of every command: who asked for what, when, and what became of it."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from inspector.contract.command import Outcome
from inspector.contract.foreign import REASON_MAX
from inspector.contract.strict import Strict

Event = Literal["begun", "answered", "dropped"]
"""begun: a signed command was taken, its effect may follow. dropped: how many messages were let
fall, by reason, since the last such row."""


class AuditEntry(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    at: str
    """UTC, by this machine's clock; the order is the rows'."""
    boot: str
    event: Event
    sender: str
    action: str | None = None
    """null where it could not be read."""
    id: str | None = None
    nonce: str | None = None
    outcome: Outcome | None = None
    reason: Annotated[str, StringConstraints(max_length=REASON_MAX)] = ""
