"""What may stand behind an option. Raises what argparse turns into words."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from math import inf


def size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT in pixels."""
    width, _, height = text.partition("x")
    try:
        found = int(width), int(height)
    except ValueError:
        found = 0, 0
    if not all(8 <= side <= 8192 for side in found):
        raise ArgumentTypeError(f"{text!r} is no WIDTHxHEIGHT of 8 to 8192 pixels, such as 640x480")
    return found


def part_count(text: str) -> int:
    """At least one, at most a million."""
    try:
        parts = int(text)
    except ValueError:
        parts = 0
    if not 1 <= parts <= 1_000_000:
        raise ArgumentTypeError(f"{text!r}: must be 1 to 1000000")
    return parts


def seconds(text: str) -> float:
    """How long; above 0."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.0 < found < inf:
        raise ArgumentTypeError(f"{text!r}: must be seconds, above 0")
    return found


def share(text: str) -> float:
    """0 to 1."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0.0 <= found <= 1.0:
        raise ArgumentTypeError(f"{text}: must be 0 to 1")
    return found


def instant(text: str) -> datetime:
    """ISO 8601; without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        words = f"{text!r} is no time in ISO 8601, such as 2026-11-25T14:00:00Z"
        raise ArgumentTypeError(words) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def require_meant(
    args: Namespace, command: str, action: str, meant: Mapping[str, Collection[str]]
) -> None:
    """Refuse what has no effect with this action: its answer would be one to another question.

    meant: by action, the options that go with it; one left out is None or False. Raises
    ConfigError.
    """
    # only here: `inspector --help` needs none of it
    from inspector.contract.errors import ConfigError

    for name in dict.fromkeys(each for names in meant.values() for each in names):
        if getattr(args, name) not in (None, False) and name not in meant.get(action, ()):
            called = repr(args.named) if name == "named" else f"--{name}"
            goes_with = " and ".join(each for each, names in meant.items() if name in names)
            raise ConfigError(f"{command} {action}: {called} goes with {goes_with} alone")
