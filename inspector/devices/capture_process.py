"""A camera in a process of its own, which can be killed when nothing else helps.

A driver's read can block for ever (opencv issue 22677), crash, or leak; a thread in it cannot be
ended, a process can. So the source runs in a child (`capture_child.py`), its frames come through
shared memory without a copy (`capture_wire.py`), and one thread here watches it. Whatever goes
wrong with the source ends the same way: dead, stuck, unplugged, stream dropped, server restarted:
the child is killed, the parts meanwhile find no frame and are rejected, and a new child is
started, after a pause that grows, so many times in a row, then it is a fault.
"""

import logging
import mmap
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from inspector.contract.errors import DeviceError, DeviceTimeout, FrameError
from inspector.contract.image import Image
from inspector.devices.capture_watch import END_S, KILL_S, START_S, Child, Patience
from inspector.devices.capture_wire import VIEWS_MAX, Source
from inspector.station.ports import Frame

BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 10.0
OPEN_S = 5.0
"""So long the first try is waited for: the station's thread must move on, SIGTERM and systemd's
watchdog wait for it."""
STEADY_S = 10.0
"""A source that has worked this long has its tries back; one that comes and goes has not."""

log = logging.getLogger(__name__)


class ProcessCamera:
    """A live source behind `ports.Camera`."""

    simulated = False

    def __init__(
        self,
        shown: str,
        kind: Callable[[Any], Source],
        settings: object,
        patience: Patience,
        *,
        on_request: bool = False,
    ) -> None:
        """shown: the source as people may see it. kind: its class, made from `settings` there.

        on_request: as the source's; each `not_before` of `grab` has one frame exposed, however
        often it is said.
        """
        self._shown = shown
        self._on_request = on_request
        self._order = pickle.dumps((kind, settings))
        self._patience = patience
        self._link: _Link | None = None
        self._restarts = 0
        self._spoiled = 0
        self._sequence = 0

    @property
    def spoiled(self) -> int:
        """Frames that did not come whole since this camera was made: none of them was shown."""
        return self._spoiled + (self._link.spoiled_count if self._link else 0)

    @property
    def restarts(self) -> int:
        """How often its process was started again since this camera was made."""
        return self._restarts + (self._link.restarts if self._link else 0)

    @property
    def pid(self) -> int | None:
        """The capture process' id; None while there is none."""
        return self._link.pid if self._link else None

    def open(self) -> None:
        """Begin to read; waits a moment for the first try, which goes on behind `grab`. One that
        has given up begins anew.
        """
        if self._link is not None and self._link.has_given_up:
            self.close()
        if self._link is None:
            self._link = _Link(
                self._shown, self._order, self._patience, self._sequence, self._on_request
            )
            self._link.first_try.wait(OPEN_S)

    def tried(self) -> None:
        """Wait until something has become of the first try: for who has the time."""
        if self._link is not None:
            self._link.first_try.wait(self._patience.open_s + START_S)

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:
        if self._link is None:
            raise DeviceError("the camera is not open")
        return self._link.newest(not_before, timeout_s)

    def close(self) -> None:
        if self._link is not None:
            self._link.stop()
            self._restarts += self._link.restarts
            self._spoiled += self._link.spoiled_count
            self._sequence = self._link.sequence
            self._link = None


def _copied(image: Image) -> Image:
    """The picture, read-only, in memory that goes back to the kernel with its last reference.

    On the heap a few frames held at once, while the disk is slow, lie between smaller things that
    stay: the process would be larger from then on.
    """
    own = np.frombuffer(mmap.mmap(-1, image.nbytes), np.uint8).reshape(image.shape)
    own[:] = image
    own.flags.writeable = False
    return own


class _Link:
    """One opening of the camera: the watching thread, the newest frame, and what is known."""

    def __init__(
        self,
        shown: str,
        order: bytes,
        patience: Patience,
        sequence: int,
        on_request: bool,  # noqa: FBT001 - as the camera's
    ) -> None:
        self.first_try = threading.Event()
        self.on_request = on_request
        self.restarts = 0
        self.spoiled_count = 0
        self.sequence = sequence
        self._child: Child | None = None
        self._base = 0
        self._shown = shown
        self._order = order
        self._patience = patience
        self._news = threading.Condition()
        self._frame: Frame | None = None
        self._away = ""
        self._gone = ""
        self._first_cause = ""
        self._why_spoiled = ""
        self._spoiled_at = float("-inf")
        """When the newest spoiled frame came; on request, when its exposure may have begun."""
        self._works_since: float | None = None
        """Of the child there is now; None while it has shown nothing."""
        self._stopping = threading.Event()
        # the kernel kills the child with the thread that started it: that must be this one
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    @property
    def has_given_up(self) -> bool:
        return bool(self._gone)

    @property
    def pid(self) -> int | None:
        child = self._child
        return child.pid if child else None

    def newest(self, not_before: float, timeout_s: float) -> Frame:
        """Raises as Camera.grab."""
        end = time.monotonic() + timeout_s
        asked: Child | None = None
        with self._news:
            while True:
                if self._gone:
                    raise DeviceError(self._gone)
                frame = self._frame
                if frame is not None and frame.exposed_at >= not_before:
                    break
                spoiled = self._spoiled_at >= not_before
                if spoiled and self.on_request:
                    raise FrameError(self._spoiled_text())
                if not self._thread.is_alive():
                    raise DeviceError(f"{self._shown}: nobody watches its capture process")
                rest_s = end - time.monotonic()
                if rest_s <= 0:
                    late = f"{self._shown}: no frame within {timeout_s:.2g} s"
                    raise DeviceTimeout(self._away or (self._spoiled_text() if spoiled else late))
                asked = self._ask(asked, not_before)
                self._news.wait(rest_s)
        child = self._child
        if child is None or child.home.held <= VIEWS_MAX:
            return frame
        # so many are held that the camera would run out of slots
        return Frame(_copied(frame.image), frame.exposed_at, frame.sequence)

    def _ask(self, asked: Child | None, not_before: float) -> Child | None:
        """Have a frame exposed, by each child that is open; the one that was asked."""
        child = self._child
        if not self.on_request or child is None or child is asked or not child.is_open:
            return asked
        child.home.ask(not_before)
        return child

    def _spoiled_text(self) -> str:
        return f"{self._shown}: {self._why_spoiled} ({self.spoiled_count} such frames by now)"

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=END_S + KILL_S + 1.0)
        if self._thread.is_alive():
            log.warning("%s: its capture process does not end; it is left behind", self._shown)

    # --- the watching thread ---

    def _run(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            self._works_since = None
            reason = self._watch_one_child()
            if self._stopping.is_set():
                return
            since = self._works_since
            steady = since is not None and time.monotonic() - since >= STEADY_S
            tries = 1 if steady else tries + 1
            self._note(reason, tries)
            self.first_try.set()
            if tries > self._patience.tries:
                return
            self._stopping.wait(min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(tries - 1, 10)))
            self.restarts += 1

    def _watch_one_child(self) -> str:
        """Start a child and take its frames until it fails or goes silent; says why."""
        try:
            child = self._child = Child(self._order)
        except OSError as error:
            return f"its capture process cannot be started: {error.strerror}"
        self._base = self.sequence + 1  # so that a restart shows as a gap
        try:
            return child.listen(self._patience, self, self._stopping)
        finally:
            self._child = None
            if not child.end(gently=self._stopping.is_set()):
                log.warning("%s: capture process %d cannot be killed", self._shown, child.pid)

    def opened(self) -> None:
        with self._news:
            if self._patience.reports:
                self._is_back()
            self._news.notify_all()

    def show(self, frame: Frame) -> None:
        with self._news:
            self._is_back()
            self.sequence = self._base + frame.sequence
            self._frame = Frame(frame.image, frame.exposed_at, self.sequence)
            self._news.notify_all()

    def spoiled(self, began_at: float, why: str) -> None:
        with self._news:
            self.spoiled_count += 1
            self._spoiled_at = began_at if self.on_request else time.monotonic()
            self._why_spoiled = why
            self._is_back()
            self._news.notify_all()
        if self.spoiled_count.bit_count() == 1:  # the 1st, 2nd, 4th, 8th...: no flood in the log
            log.warning("%s", self._spoiled_text())

    def _is_back(self) -> None:
        if self._away:
            log.info("%s: is back", self._shown)
        self._away = self._first_cause = ""
        self._works_since = self._works_since or time.monotonic()
        self.first_try.set()

    def _note(self, reason: str, tries: int) -> None:
        of = self._patience.tries
        with self._news:
            self._first_cause = self._first_cause or reason
            text = f"{self._shown}: {self._first_cause}"
            now = f" (now: {reason})" if reason != self._first_cause else ""
            self._frame = None
            if tries > of:
                self._gone = f"{text}; given up after {of} tries{now}" if of else text
            else:
                self._away = f"{text}; opening it again, try {tries} of {of}{now}"
            self._news.notify_all()
        if tries == 1:
            log.warning("%s; trying %d times to open it again", text, of)
