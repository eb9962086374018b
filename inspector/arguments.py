"""What may stand behind an option. Raises ValueError, which argparse turns into words."""

from datetime import UTC, datetime


def size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT in pixels."""
    width, _, height = text.partition("x")
    found = int(width), int(height)
    if not all(8 <= side <= 8192 for side in found):
        raise ValueError(text)
    return found


def part_count(text: str) -> int:
    """At least one, at most a million."""
    parts = int(text)
    if not 1 <= parts <= 1_000_000:
        raise ValueError(text)
    return parts


def instant(text: str) -> datetime:
    """ISO 8601; without a zone it is UTC."""
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
