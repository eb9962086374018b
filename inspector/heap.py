"""How a process that runs for months keeps its memory."""

import ctypes
import logging

M_ARENA_MAX = -8
"""From glibc's malloc.h; see mallopt(3)."""

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
