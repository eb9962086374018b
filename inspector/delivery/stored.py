"""When a row was stored: to the millisecond, and no two rows at one time.

A part without a picture has no other time, and a historian keeps one value of a time. The whole
seconds of older programs stay what they are, so no new row has one.
"""

RUN_ON_MS = 1_000  # a clock that is behind by more was set, and is followed


class StoredTimes:
    """Of one journal's writer."""

    def __init__(self) -> None:
        self._last_ms = 0

    def next(self, now: float) -> float:
        """now, or a little later where a row was stored then already; in seconds since 1970."""
        at_ms = int(1_000 * now)
        if at_ms <= self._last_ms < at_ms + RUN_ON_MS:
            at_ms = self._last_ms + 1
        if at_ms % 1_000 == 0:
            at_ms += 1
        self._last_ms = at_ms
        return at_ms / 1_000


def stored_ms(stored_at: float, seq: int) -> int:
    """The same for a row however often it is asked, and another for each: milliseconds since 1970.

    The rows an older program stored in one second are told apart by their numbers.
    """
    return round(1_000 * stored_at) + (seq % 1_000 if stored_at == int(stored_at) else 0)
