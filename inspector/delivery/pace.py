"""How fast rows may leave that nobody waits for at this very moment."""

import time


class Pace:
    """At most so many a second, in bursts of what `burst_s` allows."""

    def __init__(self, per_s: float, burst_s: float) -> None:
        self._per_s = per_s
        self._burst = max(1.0, per_s * burst_s)
        self._saved = self._burst
        self._at = time.monotonic()

    def allows(self, now: float) -> int:
        self._saved = min(self._burst, self._saved + max(0.0, now - self._at) * self._per_s)
        self._at = now
        return int(self._saved)

    def take(self) -> None:
        self._saved -= 1.0

    def next_at(self) -> float:
        """When one more will be allowed."""
        return self._at + max(0.0, 1.0 - self._saved) / self._per_s
