"""The capture process: reads one source without pause until the station lets go or dies.

Started by `capture_process.py` as `python -m inspector.devices.capture_child FD PARENT`: FD is its
end of the socket, over which the first message says what to read. It ends at the first failure and
says why: opening again, with pauses and a limit, is the station's business, which kills this
process where it says nothing at all.
"""

import ctypes
import faulthandler
import os
import pickle
import select
import signal
import socket
import sys
import time
from typing import cast

import numpy as np

from inspector.contract.errors import DeviceError, FrameError
from inspector.contract.image import Image
from inspector.devices.capture_wire import (
    ALIVE,
    ASK,
    FAILED,
    FRAME_BYTES_MAX,
    MESSAGE_MAX,
    FrameNote,
    RingWriter,
    Shot,
    Source,
    pack_frame,
    pack_spoiled,
    unpack_ask,
    unpack_free,
)
from inspector.devices.quiet import quiet_cv2

PR_SET_PDEATHSIG = 1
ORDER_MAX = 65_536
REST_S = 0.2


def main(fd: int, parent: int) -> int:
    """Serve the station on `fd` until one side ends; the exit code."""
    die_with(parent)
    faulthandler.enable()
    quiet_cv2()
    with socket.socket(fileno=fd) as link:
        order = link.recv(ORDER_MAX)
        if not order:
            return 0
        kind, settings = pickle.loads(order)  # noqa: S301 - from our parent
        source = cast(Source, kind(settings))
        try:
            source.open()
            link.send(ALIVE)
            Shooting(source, link).run()
        except DeviceError as error:
            link.send(FAILED + str(error).encode()[: MESSAGE_MAX - 1])
        except (BrokenPipeError, ConnectionResetError):
            return 0  # the station is gone: nobody to tell
        finally:
            source.close()
    return 0


def die_with(parent: int) -> None:
    """However the station ends, kill -9 included, this process ends with it.

    A signal to the whole group (Ctrl-C, systemd's stop) is for the station, which needs its camera
    until the last part is judged.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(0)


class Shooting:
    """From the source into the ring, frame by frame."""

    def __init__(self, source: Source, link: socket.socket) -> None:
        self._source = source
        self._link = link
        self._ring: RingWriter | None = None
        self._sequence = 0
        self._asked = False
        self._began_at = float("-inf")
        """The newest read."""
        self._ending = False

    def run(self) -> None:
        """Until the station closes its end. Raises DeviceError where the source fails."""
        while True:
            self._take_back()
            if self._ending:
                return
            if self._source.on_request and not self._asked:
                self._rest()
            else:
                self._asked = False
                self._read()

    def _rest(self) -> None:
        if not select.select([self._link], [], [], REST_S)[0]:
            self._source.rest()
            self._link.send(ALIVE)

    def _read(self) -> None:
        free = self._ring.next() if self._ring else None
        self._began_at = time.monotonic()
        try:
            shot = self._source.read(free[1] if free else None)
        except FrameError as error:
            self._sequence += 1
            self._link.send(pack_spoiled(self._began_at, str(error)))
            return
        self._sequence += shot is not None
        if shot is None or not shot.fresh:
            self._link.send(ALIVE)
        else:
            self._show(shot, free)

    def _show(self, shot: Shot, free: tuple[int, Image] | None) -> None:
        image = shot.image
        if self._ring is None or image.shape != self._ring.shape:
            self._new_ring(image)
            free = None
        ring = self._ring
        if ring is None:
            return
        if free is None:
            self._take_back()
            free = ring.next()
        if free is None:  # the station holds every slot: this frame is lost, its number shows it
            self._link.send(ALIVE)
            return
        slot, memory = free
        if image is not memory:
            np.copyto(memory, image)
        ring.lend(slot)
        note = FrameNote(ring.number, slot, self._sequence, shot.exposed_at)
        self._link.send(pack_frame(note))

    def _new_ring(self, image: Image) -> None:
        fits = image.ndim == 3 and image.shape[2] == 3 and 0 < image.nbytes <= FRAME_BYTES_MAX
        if image.dtype != np.uint8 or not fits:
            raise DeviceError(f"gives no colour pictures: {image.dtype} of shape {image.shape}")
        self._ring = RingWriter(self._ring.number + 1 if self._ring else 1, image.shape)
        self._ring.announce(self._link)

    def _take_back(self) -> None:
        """Slots that come home, and requests; an empty message: the station has let go."""
        while not self._ending:
            try:
                message = self._link.recv(MESSAGE_MAX, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not message:
                self._ending = True
            elif message[:1] == ASK:
                # what was exposed since is what is asked for, whatever came of it
                self._asked |= unpack_ask(message) > self._began_at
            elif self._ring is not None:
                self._ring.take_back(*unpack_free(message))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
