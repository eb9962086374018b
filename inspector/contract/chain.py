"""Rows to which rows are only added: each holds the hash of itself and of the row before."""

import hashlib
from collections.abc import Iterable, Iterator

from inspector.contract.errors import RecordError

FIRST = bytes(32)
"""What stands before the first row."""


def link(before: bytes, text: str) -> bytes:
    """The hash of a row behind the one whose hash is `before`."""
    return hashlib.sha256(before + text.encode()).digest()


def head(seq: int, found: bytes) -> str:
    """NUMBER:HASH, to be noted elsewhere and held against the chain later."""
    return f"{seq}:{found.hex()}"


def checked(
    rows: Iterable[tuple[int, str, bytes]], where: str, told: str | None = None
) -> Iterator[tuple[int, str, bytes]]:
    """Every row (number, text, hash), from the first on, checked against the one before.

    told: NUMBER:HASH as it was told once; the row must be there as it was. Raises RecordError at
    the first row that is not as it was written.
    """
    before, expected = FIRST, 1
    for seq, text, found in rows:
        before = link(before, text)
        if seq != expected:
            raise RecordError(f"{where}: row {expected} is missing")
        if found != before or (told and told.startswith(f"{seq}:") and told != head(seq, found)):
            raise RecordError(f"{where}: row {seq} is not as it was written")
        expected += 1
        yield seq, text, found
    if told and int(told.partition(":")[0]) >= expected:
        raise RecordError(f"{where}: ends at {expected - 1}, before {told[:40]}")
