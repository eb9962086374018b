"""Commands to a station and its answers, schema version 1: one reply to every command.

The same message on every door. What comes in is somebody else's: it is measured before it is
read, and read strictly (no NaN, no key twice, nothing nested).
"""

import json
import re
from typing import Annotated, Any, Literal, NoReturn, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from inspector.contract.errors import CommandError, ConfigError
from inspector.contract.status import StateName
from inspector.contract.strict import Name, Strict, parse

COMMAND_BYTES_MAX = 65_536
DEPTH_MAX = 4
REASON_MAX = 1_000

# ends also where the text does: no character is looked at twice
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)

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
    if len(data) > COMMAND_BYTES_MAX:
        raise CommandError(f"the message is longer than {COMMAND_BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8")
        _require_flat(text)
        message = json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"the message is not JSON: {error}"[:REASON_MAX]) from None
    try:
        return parse(Command, message, "command")
    except ConfigError as error:
        raise CommandError(str(error)[:REASON_MAX]) from None


def _require_flat(text: str) -> None:
    """A parser that recurses must not be handed ten thousand brackets."""
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH_MAX:
            raise CommandError(f"the message is nested deeper than {DEPTH_MAX}")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise CommandError("the message has a key twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise CommandError(f"the message holds {name}, which is no JSON")
