"""What may stand behind an option. Raises what argparse turns into words."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime


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
    parts = int(text)
    if not 1 <= parts <= 1_000_000:
        raise ValueError(text)
    return parts


def share(text: str) -> float:
    """0 to 1."""
    found = float(text)
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
