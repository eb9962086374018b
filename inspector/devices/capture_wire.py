"""What crosses between the station and its capture process: pixels in shared memory, and
messages about them on a socket that keeps message boundaries.

**Who may touch a slot.** The memory is a row of slots, one frame each. A slot belongs to the
capture process until it says FRAME, then to the station, until that says FREE; who does not own a
slot does not touch it. The station says FREE when the last reference to the frame's pixels is gone,
so a picture that is still being judged, archived or looked at is never written over: it needs no
look before and after, because it cannot happen. The ring's number goes with every message: when a
camera changes its frame size there is a new ring, and a slot of the old one that comes home late
means nothing.

The memory is a memfd: it has no name that could be left behind, and the kernel takes it back
when both processes are gone, however they went. It is sealed against shrinking, so that a capture
process gone mad cannot pull it away from under the station.
"""

import fcntl
import mmap
import os
import socket
import struct
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from inspector.contract.image import Image

SLOTS = 6
VIEWS_MAX = 3
"""Frames the station may hold without a copy; the rest keep the camera going: one is being
written, one is the newest, one is on its way home."""
MESSAGE_MAX = 4_096
FRAME_BYTES_MAX = 8_192 * 8_192 * 3

FRAME, RING, ALIVE, SPOILED, FAILED, FREE, ASK = b"F", b"R", b"A", b"S", b"X", b"B", b"Q"
"""FRAME a slot holds a new frame; RING another row of slots, its memory comes with the message;
ALIVE it is well, but has no frame that could be judged; SPOILED in words: a frame came that is
none; FAILED in words, and the process ends; FREE the station does not need the slot any more; ASK
it wants a frame exposed at or after a time, of a source that waits to be asked: said once or often,
it is one exposure."""

_FRAME = struct.Struct("<cIIQd")  # kind, ring, slot, sequence, exposed_at
_RING = struct.Struct("<cIII")  # kind, ring, height, width
_FREE = struct.Struct("<cII")  # kind, ring, slot
_ASK = struct.Struct("<cd")  # kind, not_before
_SPOILED = struct.Struct("<cd")  # kind, began_at, and the words behind them


@dataclass(frozen=True, slots=True)
class Shot:
    """What a source has read."""

    image: Image
    """height x width x 3, BGR; the memory that was offered, where the frame fitted in."""
    exposed_at: float
    """time.monotonic(), which all processes of a machine share; never later than the truth."""
    fresh: bool
    """False where the frame had lain in a buffer, so that nobody knows its time."""


class Source(Protocol):
    """A camera as its own process sees it: it may block, since that process can be killed."""

    on_request: bool
    """It exposes when the station asks, and only then; others are read without pause."""

    def open(self) -> None:
        """Raises DeviceError where there is nothing to open."""

    def read(self, into: Image | None) -> Shot | None:
        """The next frame, into this memory where its size is right; None where it is well and has
        none. Raises FrameError for one that is none, DeviceError where the source fails.
        """

    def rest(self) -> None:
        """Now and then, while nobody asks a source on request. Raises DeviceError if it is gone."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FrameNote:
    ring: int
    slot: int
    sequence: int
    exposed_at: float


def pack_frame(note: FrameNote) -> bytes:
    return _FRAME.pack(FRAME, note.ring, note.slot, note.sequence, note.exposed_at)


def unpack_frame(message: bytes) -> FrameNote:
    """Raises struct.error where it is none."""
    return FrameNote(*_FRAME.unpack(message)[1:])


def pack_free(ring: int, slot: int) -> bytes:
    return _FREE.pack(FREE, ring, slot)


def unpack_free(message: bytes) -> tuple[int, int]:
    _, ring, slot = _FREE.unpack(message)
    return ring, slot


def pack_ask(not_before: float) -> bytes:
    return _ASK.pack(ASK, not_before)


def unpack_ask(message: bytes) -> float:
    _, not_before = _ASK.unpack(message)
    return float(not_before)


def pack_spoiled(began_at: float, words: str) -> bytes:
    """began_at: when the read that brought it was begun; on request nothing was exposed before."""
    return _SPOILED.pack(SPOILED, began_at) + words.encode()[: MESSAGE_MAX - _SPOILED.size]


def unpack_spoiled(message: bytes) -> tuple[float, str]:
    """When its read was begun, and why it is none. Raises struct.error where it is too short."""
    _, began_at = _SPOILED.unpack_from(message)
    return began_at, message[_SPOILED.size :].decode(errors="replace")


class RingWriter:
    """The capture process' side: makes the memory, and knows which slots are its own."""

    def __init__(self, number: int, shape: tuple[int, ...]) -> None:
        self.number = number
        self.shape = shape
        self._bytes = int(np.prod(shape))
        fd = os.memfd_create("inspector-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, SLOTS * self._bytes)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            self._memory = mmap.mmap(fd, SLOTS * self._bytes)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._mine = list(range(SLOTS))

    def announce(self, link: socket.socket) -> None:
        """Tell the station of this ring; its memory goes along."""
        message = _RING.pack(RING, self.number, self.shape[0], self.shape[1])
        socket.send_fds(link, [message], [self._fd])
        os.close(self._fd)  # the mapping, and the station's, keep the memory

    def next(self) -> tuple[int, Image] | None:
        """A slot of ours, still ours; None while the station holds all of them."""
        if not self._mine:
            return None
        slot = self._mine[0]
        count = self._bytes
        flat = np.frombuffer(self._memory, np.uint8, count, slot * count)
        return slot, flat.reshape(self.shape)

    def lend(self, slot: int) -> None:
        """The station owns it from now on: to be said before the message is sent."""
        self._mine.remove(slot)

    def take_back(self, ring: int, slot: int) -> None:
        if ring == self.number and slot not in self._mine:
            self._mine.append(slot)


class RingReader:
    """The station's side: sees the pixels, cannot change them."""

    def __init__(self, number: int, shape: tuple[int, int, int], memory: mmap.mmap) -> None:
        self.number = number
        self._shape = shape
        self._bytes = int(np.prod(shape))
        self._memory = memory

    @classmethod
    def received(cls, message: bytes, fds: list[int]) -> "RingReader":
        """Map what came with a RING message; the descriptors are closed.

        Raises ValueError, OSError or struct.error where it is not what it says.
        """
        try:
            _, number, height, width = _RING.unpack(message)
            size = SLOTS * height * width * 3
            if len(fds) != 1 or not 0 < size <= SLOTS * FRAME_BYTES_MAX:
                raise ValueError(f"a ring of {width}x{height} with {len(fds)} pieces of memory")
            sealed = fcntl.fcntl(fds[0], fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
            if not sealed or os.fstat(fds[0]).st_size != size:
                raise ValueError("a ring whose memory is not as large as it says")
            memory = mmap.mmap(fds[0], size, prot=mmap.PROT_READ)
            return cls(number, (height, width, 3), memory)
        finally:
            for fd in fds:
                os.close(fd)

    def view(self, slot: int) -> tuple[Image, Image]:
        """The pixels of a slot, read-only, without a copy; and the array that is the base of
        every view of them. Raises ValueError outside the ring.
        """
        if not 0 <= slot < SLOTS:
            raise ValueError(f"slot {slot} of {SLOTS}")
        flat = np.frombuffer(self._memory, np.uint8, self._bytes, slot * self._bytes)
        return flat.reshape(self._shape), flat
