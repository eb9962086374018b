"""Commands to a station and its answers, schema version 1: one reply to every command.

The same message on every door.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from inspector.contract.foreign import REASON_MAX, read_message
from inspector.contract.status import StateName
from inspector.contract.strict import Name, Strict

Action = Literal[
    "select", "start", "single", "stop", "reset", "halt", "reload", "rollback", "status"
]
ACTIONS: tuple[Action, ...] = get_args(Action)

Outcome = Literal["done", "refused", "failed"]
"""refused: nothing was changed. failed: it was allowed, and the world did not let it happen."""


class Command(Strict):
    schema_version: Literal[1] = Field(alias="schema")
    id: Name
    """The sender's name for it; the reply repeats it."""
    action: Action
    bundle: Name | None = None
    """reload: the one to serve by."""

    @model_validator(mode="after")
    def _bundle_for_reload(self) -> Self:
        if (self.bundle is not None) is not (self.action == "reload"):
            raise ValueError("reload names a bundle, no other action does")
        return self

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


class Reply(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    id: str | None
    """The command's; null where it could not be read."""
    station: str
    boot: str
    outcome: Outcome
    reason: Annotated[str, StringConstraints(max_length=REASON_MAX)]
    state: StateName
    """After the command."""
    cause: str
    withheld: str | None
    """Why no part would pass now; null where a good one would."""

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


def parse_command(data: bytes) -> Command:
    """Raises CommandError in words, which quote little of what came."""
    return read_message(data, Command, "command")
