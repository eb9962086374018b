"""Messages that others send to a station: measured before they are read, and read strictly."""

import json
import re
from typing import Any, NoReturn, TypeVar

from inspector.contract.errors import CommandError, ConfigError
from inspector.contract.strict import Strict, parse

MESSAGE_BYTES_MAX = 65_536
DEPTH_MAX = 6
REASON_MAX = 1_000

# ends also where the text does: no character is looked at twice
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)

Model = TypeVar("Model", bound=Strict)


def read_message(data: bytes, model: type[Model], what: str) -> Model:
    """Raises CommandError in words, which quote little of what came.

    No NaN, no key twice, nothing nested deep, at most MESSAGE_BYTES_MAX bytes.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise CommandError(f"the message is longer than {MESSAGE_BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8")
        _require_flat(text)
        message = json.loads(text, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"the message is not JSON: {error}"[:REASON_MAX]) from None
    try:
        return parse(model, message, what)
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
