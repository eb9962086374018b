"""How the station's process is set up before its first thread starts."""

import ctypes
import logging
import sys

M_ARENA_MAX = -8
"""From glibc's malloc.h; see mallopt(3)."""

TURN_S = 0.0005
"""Ten times shorter than Python's own choice."""

log = logging.getLogger(__name__)


def one_heap() -> None:
    """Have all threads of this process allocate from one heap; before the first of them starts.

    By itself glibc gives each thread a heap of its own, up to eight for each processor. What one
    frees no other can use, and each stays as large as it ever was: under load the station grew with
    every burst. One lock more costs nothing measurable where Python's own lock goes before it.
    Elsewhere than on glibc nothing is done: other C libraries have no such heaps.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    if mallopt(M_ARENA_MAX, 1) != 1:
        log.warning("the C library does not take M_ARENA_MAX: memory may grow under load")


def short_turns() -> None:
    """Let no thread that computes keep the station's waiting for more than half a millisecond.

    Model, journal and pixels release Python's lock some ten times a part, and each time it has to
    be had back; a courier with a backlog gives it away only when asked, after 5 ms by default.
    """
    sys.setswitchinterval(TURN_S)
