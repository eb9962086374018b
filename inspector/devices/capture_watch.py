"""One life of a capture process, as the station's watching thread sees it."""

import os
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from inspector.contract.image import Image
from inspector.devices.capture_wire import (
    ALIVE,
    FAILED,
    FRAME,
    MESSAGE_MAX,
    RING,
    SPOILED,
    FrameNote,
    RingReader,
    pack_ask,
    pack_free,
    unpack_frame,
    unpack_spoiled,
)
from inspector.station.ports import Frame

START_S = 15.0
"""A new process has this long, beside the source's own time to open, on a busy machine."""
STUCK_FRAMES = 2
"""A source is stuck when it has been silent for as many frame times, and for its `stall_s`."""
PERIODS = 9
LOOK_S = 0.1
END_S = 0.5
KILL_S = 2.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a source, and how often."""

    open_s: float
    """Until it is open; the start of its process has START_S beside it."""
    stall_s: float
    """Between two frames; two of its own frame times where those are longer."""
    tries: int
    """To open it again, in a row."""
    reports: bool = False
    """It says that it is well while no frame is due: silence is no slow camera."""


class Listener(Protocol):
    """Who wants to know what a child says."""

    def opened(self) -> None: ...

    def show(self, frame: Frame) -> None: ...

    def spoiled(self, began_at: float, why: str) -> None:
        """A frame came that is none; its read was begun then."""


class WayHome:
    """Says FREE to one child when nobody refers to a slot's pixels any more."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        # re-entrant: a finalizer may run wherever this very thread happens to be
        self._lock = threading.RLock()
        self._held: set[tuple[int, int]] = set()

    @property
    def held(self) -> int:
        """Slots the station has."""
        return len(self._held)

    def watch(self, memory: Image, ring: int, slot: int) -> None:
        """memory: the array that every view of these pixels has as its base."""
        self._held.add((ring, slot))
        weakref.finalize(memory, self._free, ring, slot).atexit = False

    def ask(self, not_before: float) -> None:
        """The other thing that is said to a child: expose, unless that was done since then."""
        with self._lock, suppress(OSError):
            self._link.send(pack_ask(not_before), socket.MSG_DONTWAIT)

    def close(self) -> None:
        with self._lock:  # no thread may send to a number that is already another file's
            self._link.close()

    def _free(self, ring: int, slot: int) -> None:
        with self._lock, suppress(OSError):  # that child is gone, and its slots with it
            self._held.discard((ring, slot))
            self._link.send(pack_free(ring, slot), socket.MSG_DONTWAIT)


class Child:
    """A capture process, from its start to its end."""

    def __init__(self, order: bytes) -> None:
        """order: what `capture_child` is to read, pickled. Raises OSError."""
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = _start(theirs)
        self.home = WayHome(self._link)
        self._link.send(order)
        self._ring: RingReader | None = None
        self._periods: deque[float] = deque(maxlen=PERIODS)
        self._frame_at = 0.0
        self.is_open = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def listen(self, patience: Patience, listener: Listener, stopping: threading.Event) -> str:
        """Tell the listener until it fails, goes silent or is to stop; says why."""
        heard_at = time.monotonic()
        while not stopping.is_set():
            limit_s = self._limit_s(patience)
            self._link.settimeout(min(LOOK_S, limit_s))
            try:
                message, fds, _, _ = socket.recv_fds(self._link, MESSAGE_MAX, 1)
            except TimeoutError:
                silent_s = time.monotonic() - heard_at
                if silent_s < limit_s:
                    continue
                what = "gives no frame" if self.is_open else "does not open"
                return f"is stuck, {what} for {silent_s:.1f} s: its process was killed"
            except OSError:  # it died with mail unread
                message, fds = b"", []
            heard_at = time.monotonic()
            failure = self._take(bytes(message), list(fds), listener)
            if failure:
                return failure
        return "was closed"

    def end(self, *, gently: bool) -> bool:
        """Kill it. Gently: it may first say goodbye to its camera. False where it cannot die."""
        if gently:
            with suppress(OSError):
                self._link.shutdown(socket.SHUT_WR)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
        self._process.kill()
        self.home.close()
        try:
            self._process.wait(KILL_S)
        except subprocess.TimeoutExpired:  # in the kernel, where not even that reaches it
            return False
        return True

    def _limit_s(self, patience: Patience) -> float:
        if not self.is_open:
            return patience.open_s + START_S
        if patience.reports:
            return patience.stall_s
        if not self._periods:  # its pace is not known yet
            return max(patience.open_s, patience.stall_s)
        return max(patience.stall_s, STUCK_FRAMES * statistics.median(self._periods))

    def _take(self, message: bytes, fds: list[int], listener: Listener) -> str:
        """Follow one message; says what is wrong with it, or with the child, if anything is."""
        kind = message[:1]
        try:
            if kind == FRAME:
                listener.show(self._frame(unpack_frame(message)))
            elif kind == RING:
                self._ring = RingReader.received(message, fds)
            elif kind == ALIVE:
                self.is_open = True
                listener.opened()
            elif kind == SPOILED:
                listener.spoiled(*unpack_spoiled(message))
            elif kind == FAILED:
                return message[1:].decode(errors="replace")
            elif not message:
                return f"its capture process died{self._how()}"
            else:
                raise ValueError(f"a message that begins with {kind!r}")
        except (ValueError, OSError, struct.error) as error:
            return f"its capture process talks nonsense: {error}"
        return ""

    def _frame(self, note: FrameNote) -> Frame:
        """Raises ValueError where the child does not keep to the rules."""
        if self._ring is None or note.ring != self._ring.number:
            raise ValueError(f"a frame of ring {note.ring}, which is not there")
        now = time.monotonic()
        if self._frame_at:
            self._periods.append(now - self._frame_at)
        self._frame_at = now
        image, memory = self._ring.view(note.slot)
        self.home.watch(memory, note.ring, note.slot)
        return Frame(image, note.exposed_at, note.sequence)

    def _how(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(LOOK_S)
            return f" of {signal.Signals(-code).name}" if code < 0 else f", exit code {code}"
        return ""


def _start(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """A child with its end of the socket, which finds the same modules as we do."""
    module = "inspector.devices.capture_child"
    return subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
