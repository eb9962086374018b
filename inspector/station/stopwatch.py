"""How long each stage of a part took."""

from inspector.station.ports import Clock


class Stopwatch:
    """Milliseconds per stage, from the trigger on."""

    def __init__(self, clock: Clock, started_at: float) -> None:
        self._clock = clock
        self._started_at = self._lap_at = started_at
        self.times_ms: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = self._clock.monotonic()
        self.times_ms[stage] = ms(now - self._lap_at)
        self._lap_at = now

    def total_ms(self) -> float:
        return ms(self._clock.monotonic() - self._started_at)


def ms(seconds: float) -> float:
    """Milliseconds to the microsecond; never below zero."""
    return round(max(0.0, seconds) * 1000, 3)
