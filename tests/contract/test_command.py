"""What comes in at a command door is somebody else's: read strictly, refused in words."""

import time

import pytest

from inspector.contract.command import Command, parse_command
from inspector.contract.errors import CommandError
from inspector.contract.foreign import DEPTH_MAX, MESSAGE_BYTES_MAX

GOOD = b'{"schema":1,"id":"c-1","action":"reset"}'


def test_a_command_survives_the_way_to_json_and_back() -> None:
    command = parse_command(GOOD)
    assert (command.id, command.action) == ("c-1", "reset")
    assert (
        parse_command(command.to_json()) == command == Command(schema=1, id="c-1", action="reset")
    )


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "command"),
        (b"reset", "is not JSON"),
        (GOOD + GOOD, "is not JSON"),
        (b'{"schema":1,"id":"c-1","action":"reset","action":"start"}', "a key twice"),
        (b'{"schema":NaN,"id":"c-1","action":"reset"}', "holds NaN"),
        (b'{"schema":-Infinity,"id":"c-1","action":"reset"}', "holds -Infinity"),
        (b'{"schema":4,"id":"c-1","action":"reset"}', "must be 1, 2 or 3"),
        (b'{"schema":2,"id":"c-1","action":"reset","part":"P1"}', "may name a part"),
        (b'{"id":"c-1","action":"reset"}', "schema"),
        (b'{"schema":1,"id":"c-1","action":"explode"}', "must be 'select'"),
        (b'{"schema":1,"id":"c-1","action":"reload"}', "reload names a bundle"),
        (b'{"schema":1,"id":"c-1","action":"halt","bundle":"b"}', "reload names a bundle"),
        (b'{"schema":2,"id":"c-1","action":"image"}', "image names a result"),
        (b'{"schema":2,"id":"c-1","action":"stop","result":"b-1"}', "image names a result"),
        (b'{"schema":2,"id":"c-1","action":"image","result":"../b-1"}', "result"),
        (b'{"schema":2,"id":"c-1","action":"image","result":".b-1"}', "result"),
        (b'{"schema":3,"id":"c-1","action":"recipe"}', "recipe brings a recipe"),
        (b'{"schema":1,"id":"../c","action":"reset"}', "id"),
        (b'{"schema":1,"id":"c-1","action":"reset","force":true}', "is not a key here"),
        (b'{"schema":' + b"9" * 5_000 + b',"id":"c-1","action":"reset"}', "is not JSON"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "nested deeper"),
        (b"[" * MESSAGE_BYTES_MAX, "nested deeper"),
        (b" " * (MESSAGE_BYTES_MAX + 1), "is longer than"),
    ],
)
def test_what_is_no_command_is_refused_in_words(message: bytes, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        parse_command(message)


@pytest.mark.parametrize("unit", [b'\\"', b'"', b"\\\\", b"{}", b'"['])
def test_no_message_takes_long_to_refuse(unit: bytes) -> None:
    message = (b'{"id":"' + unit * MESSAGE_BYTES_MAX)[:MESSAGE_BYTES_MAX]
    start = time.monotonic()
    with pytest.raises(CommandError):
        parse_command(message)
    assert time.monotonic() - start < 2.0
