"""When a frame was exposed, from three clocks of which none can be trusted alone.

The camera stamps every frame with its own clock, whose beginning nobody knows. The library notes
this machine's wall clock when it sees a frame's first packet: it may be set at any moment, and a
busy machine sees a packet long after it came, so an old frame would look new. So the camera's clock
says how far apart frames are, and the quickest way a frame took lately says where that clock began.
"""

from collections import deque

FRAMES_KEPT = 64
LOOKS_KEPT = 16
JUMP_S = 0.05
"""A way shorter by more than this than any other lately is no way: the camera's clock was set."""
SETTLE = 3
"""Frames until the quickest way is known, after a beginning or a jump."""


class FrameTime:
    """Estimates never later than the truth, by up to what the quickest way took."""

    def __init__(self) -> None:
        self._ways: deque[float] = deque(maxlen=FRAMES_KEPT)
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
        way = leader_s - max(self._wall_leads) - device_s
        if self._ways and way < min(self._ways) - JUMP_S:
            self._ways.clear()
        self._ways.append(way)
        return device_s + min(self._ways) if len(self._ways) >= SETTLE else None
