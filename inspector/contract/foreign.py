"""What others send: measured before it is read, and read strictly.

`foreign_json` for a value of any form, as a subscriber of another version may get; `read_message`
for a message to a station, whose form is known.
"""

import json
import math
import re
from typing import Any, NoReturn, TypeVar

from inspector.contract.errors import CommandError, ConfigError
from inspector.contract.strict import Strict, parse

MESSAGE_BYTES_MAX = 65_536
DEPTH_MAX = 6
VALUE_DEPTH_MAX = 32
"""Of a value of any form; our own messages are six deep at most."""
REASON_MAX = 1_000
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1
_DIGITS_MAX = len(str(INTEGER_MIN))

# ends also where the text does: no character is looked at twice
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)

Model = TypeVar("Model", bound=Strict)


def foreign_json(payload: bytes, depth_max: int = VALUE_DEPTH_MAX) -> Any:
    """One JSON value that can be written again, stored and computed with, whatever it is.

    UTF-8, without a surrogate that stands alone; numbers finite (1e999 is not) and integers of at
    most 64 bits; no key twice; nested `depth_max` deep at most. Raises ValueError in words.

    payload: not measured here, whoever listens has bounded it.
    """
    text = payload.decode("utf-8")
    _require_flat(text, depth_max)
    found = json.loads(
        text,
        object_pairs_hook=_no_key_twice,
        parse_constant=_no_constant,
        parse_float=_finite,
        parse_int=_integer,
    )
    if "\\u" in text:  # the only way by which half a character comes through UTF-8
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    return found


def read_message(data: bytes, model: type[Model], what: str) -> Model:
    """Raises CommandError in words, which quote little of what came.

    As `foreign_json` reads it, nothing nested deep, at most MESSAGE_BYTES_MAX bytes.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise CommandError(f"the message is longer than {MESSAGE_BYTES_MAX} bytes")
    try:
        message = foreign_json(data, DEPTH_MAX)
    except ValueError as error:
        raise CommandError(f"the message is not JSON: {error}"[:REASON_MAX]) from None
    try:
        return parse(model, message, what)
    except ConfigError as error:
        raise CommandError(str(error)[:REASON_MAX]) from None


def _require_flat(text: str, depth_max: int) -> None:
    """A parser that recurses must not be handed ten thousand brackets."""
    if text.count("[") + text.count("{") <= depth_max:
        return  # most messages: no need to look more closely
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > depth_max:
            raise ValueError(f"nested deeper than {depth_max}")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}")


def _finite(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        raise ValueError("a number beyond what can be computed with")
    return found


def _integer(digits: str) -> int:
    # by length first: a long one is expensive, and Python refuses it in words of its own
    if len(digits) <= _DIGITS_MAX and INTEGER_MIN <= (found := int(digits)) <= INTEGER_MAX:
        return found
    raise ValueError("an integer of more than 64 bits")
