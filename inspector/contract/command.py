"""Commands to a station and its answers: one reply to every command.

The same message on every door. Version 2 of a command has `trigger` with `part` and `image` with
`result`, version 2 of a reply has `picture`, version 3 of a command has `recipe`; older ones are
still read.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from inspector.contract.foreign import REASON_MAX, read_message
from inspector.contract.revision import RecipeChange
from inspector.contract.status import StateName
from inspector.contract.strict import Name, Strict
from inspector.contract.trigger import PartId

Action = Literal[
    "select",
    "start",
    "single",
    "stop",
    "reset",
    "halt",
    "reload",
    "rollback",
    "status",
    "trigger",
    "image",
    "recipe",
]
ACTIONS: tuple[Action, ...] = get_args(Action)

Outcome = Literal["done", "refused", "failed"]
"""refused: nothing was changed. failed: it was allowed, and the world did not let it happen."""

PICTURE_BYTES_MAX = 700_000
"""In base64, with the rest of its reply, less than what a packet may have."""
REPLY_BYTES_MAX = 1_000_000


class Command(Strict):
    schema_version: Literal[1, 2, 3] = Field(alias="schema")
    id: Name
    """The sender's name for it; the reply repeats it."""
    action: Action
    bundle: Name | None = None
    """reload: the one to serve by."""
    part: PartId | None = None
    """trigger: what the line calls the part that is there."""
    result: Name | None = None
    """image: the result_id of the part whose kept picture is wanted."""
    recipe: RecipeChange | None = None
    """recipe: what it shall be from the next part on."""

    @model_validator(mode="after")
    def _what_its_action_needs(self) -> Self:
        if self.part is not None and self.action != "trigger":
            raise ValueError("trigger may name a part, no other action does")
        if (self.bundle is not None) is not (self.action == "reload"):
            raise ValueError("reload names a bundle, no other action does")
        if (self.result is not None) is not (self.action == "image"):
            raise ValueError("image names a result, no other action does")
        if (self.recipe is not None) is not (self.action == "recipe"):
            raise ValueError("recipe brings a recipe, no other action does")
        return self

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


class Picture(Strict):
    result_id: Name
    jpeg: Annotated[
        str,
        StringConstraints(
            pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=4 * (PICTURE_BYTES_MAX // 3 + 1)
        ),
    ]
    """In base64."""
    scale: Annotated[float, Field(gt=0.0, le=1.0)]
    """1: the archive's own bytes. Less: made smaller by this factor, to fit into a message."""


class Reply(Strict):
    schema_version: Literal[1, 2] = Field(default=2, alias="schema")
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
    picture: Picture | None = None
    """image: the one asked for."""

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


def parse_command(data: bytes) -> Command:
    """Raises CommandError in words, which quote little of what came."""
    return read_message(data, Command, "command")
