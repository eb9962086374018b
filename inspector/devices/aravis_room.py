"""Room in the kernel for a frame's packets, until the library's thread fetches them.

The system's own choice holds some ninety packets, which is less than a frame: on a busy machine
hardly one came whole. The library enlarges it, if told to, when it has the first packet: too late
for the first frame.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SO_RCVBUFFORCE = 33  # Linux; beyond the system's limit, where we may
BYTES_MIN = 1 << 20
FRAMES = 2
"""Of which the kernel takes a part for itself: 2,304 bytes for a packet of 1,400."""


def make_room(port: int, frame_bytes: int) -> str:
    """For the frames that come to this UDP port of ours; what to raise where they hardly fit, as
    words that may follow why one was lost.
    """
    wanted = max(BYTES_MIN, FRAMES * frame_bytes)
    for ours in _sockets(port):
        try:
            ours.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, wanted)
        except PermissionError:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
        # the kernel doubles what it was asked for, and tells the double
        got = ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        if got < frame_bytes:
            return f" (a frame has {frame_bytes} bytes, its socket {got}: raise net.core.rmem_max)"
    return ""


def _sockets(port: int) -> Iterator[socket.socket]:
    """The library's, by its port: it does not show it."""
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if not str(link.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(link.name))) as found:
                is_udp = found.family == socket.AF_INET and found.type == socket.SOCK_DGRAM
                if is_udp and found.getsockname()[1] == port:
                    yield found
