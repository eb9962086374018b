"""While the station's thread is in one long call: whether that is work, and for how long.

A model slower than a heartbeat is work; one that has not come back when its part's time is over may
hang. So another thread looks on: it beats in the station's place until that time, never longer, and
a while later it stops the model, whose part is then UNDEFINED like any other that took too long.
"""

import logging
from collections.abc import Callable

from inspector.station.ports import Clock

GIVE_UP_S = 1.0
"""After its time, a model is stopped: it could pass nothing any more."""

Stop = Callable[[], None]

log = logging.getLogger(__name__)


def nothing_to_stop() -> Stop | None:
    """What is under way ends by itself, or not at all."""
    return None


class Busy:
    """The station's thread says what it begins; `look_on` belongs to another."""

    def __init__(self, clock: Clock, beat: Callable[[], None]) -> None:
        self._clock = clock
        self._beat = beat
        self._work: tuple[float, Callable[[], Stop | None]] = (float("-inf"), nothing_to_stop)

    def until(self, at: float, under_way: Callable[[], Stop | None] = nothing_to_stop) -> None:
        """What begins now may take until then (time.monotonic()) without a sign of life.

        under_way: how to stop the call it is in, if that can be stopped.
        """
        self._work = at, under_way

    def at_work(self) -> bool:
        """Whether a call is under way. Any thread may ask."""
        return self._work[0] > float("-inf")

    def over(self) -> None:
        """The call has come back."""
        self._work = float("-inf"), nothing_to_stop

    def look_on(self) -> None:
        """Several times a second."""
        _, under_way = self._work
        # asked before the time: what begins meanwhile has a time of its own, and is not stopped
        stop = under_way()
        at, _ = self._work
        late_s = self._clock.monotonic() - at
        if late_s <= 0.0:
            self._beat()
        elif stop is not None and late_s > GIVE_UP_S:
            log.error("the model is stopped: %.1f s after its part's deadline", late_s)
            stop()
