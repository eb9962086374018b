"""When a frame was exposed, from three clocks of which none can be trusted alone.

The camera stamps every frame with its own clock, whose beginning nobody knows. The library notes
this machine's wall clock when it sees a frame's first packet: it may be set at any moment, and a
busy machine sees a packet long after it came, so an old frame would look new. So the camera's clock
says how far apart frames are, and the quickest way a frame took lately says where that clock began.
"""

from collections import deque

FRAMES_KEPT = 64
KEPT_S = 60.0
"""Two clocks drift apart by some milliseconds in that time; what is older says nothing any more."""
LOOKS_KEPT = 16
JUMP_S = 0.05
"""A way shorter by more than this than any other lately is no way: the camera's clock was set."""
SETTLE = 3
"""Frames until the quickest way is known, after a beginning, a jump or a long pause."""


class FrameTime:
    """Estimates never later than the truth, by up to what the quickest way took."""

    def __init__(self, settle: int = SETTLE) -> None:
        """settle: after how many frames the quickest way is believed to be known."""
        self._settle = settle
        self._ways: deque[tuple[float, float]] = deque(maxlen=FRAMES_KEPT)
        self._wall_leads: deque[float] = deque(maxlen=LOOKS_KEPT)

    def look(self, monotonic: float, wall: float) -> None:
        """This machine's two clocks, the first read first: before and after each frame, so that a
        wall clock set in between makes a frame older, never newer.
        """
        self._wall_leads.append(wall - monotonic)

    def of(self, device_s: float, leader_s: float) -> float | None:
        """time.monotonic() at the camera's stamp, too late by the quickest way and no more; None
        while nobody can know.

        device_s: the stamp by the camera's clock. leader_s: the first packet by the wall clock.
        """
        seen_at = leader_s - max(self._wall_leads)
        way_s = seen_at - device_s
        while self._ways and self._ways[0][0] < seen_at - KEPT_S:
            self._ways.popleft()
        if self._ways and way_s < min(each for _, each in self._ways) - JUMP_S:
            self._ways.clear()
        self._ways.append((seen_at, way_s))
        quickest_s = min(each for _, each in self._ways)
        return device_s + quickest_s if len(self._ways) >= self._settle else None
