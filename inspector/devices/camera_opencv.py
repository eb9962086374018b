"""A live cv2.VideoCapture, a USB camera or an RTSP or HTTP stream: newest frame, bounded reopen."""

import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import cv2
import numpy as np
from pydantic import Field, SecretStr, field_validator, model_validator

from inspector.contract.errors import DeviceError, DeviceTimeout
from inspector.contract.image import Image
from inspector.contract.strict import Strict
from inspector.station.ports import Frame

BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 10.0
STEADY_S = 10.0
"""A source that has worked this long has its tries back; one that comes and goes has not."""

SETTLE_S = 0.5
QUICK_SHARE = 0.3
PACE_FRAMES = 50

log = logging.getLogger(__name__)


class OpenCvSettings(Strict):
    """Exactly one of index, file and url."""

    kind: Literal["opencv"] = "opencv"
    index: Annotated[int, Field(ge=0, le=63)] | None = None
    """A camera of this machine: /dev/videoINDEX."""
    file: Path | None = None
    """A video file: every frame of it, in order."""
    url: SecretStr | None = None
    """rtsp://, rtsps://, http:// or https://; a password in it is never shown or logged."""
    loop: bool = False
    """A file begins again after its end; otherwise the station ends there."""
    width: Annotated[int, Field(ge=16, le=8192)] | None = None
    """Asked of a camera with an index; one that cannot keeps its own."""
    height: Annotated[int, Field(ge=16, le=8192)] | None = None
    latency_ms: Annotated[int, Field(ge=0, le=2_000)] = 100
    """The longest way from the lens to this program: a frame counts as exposed this long before
    the read that brought it was begun. Too small, and a part may be judged by a picture from
    before its trigger: measure it at commissioning.
    """
    open_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 5_000
    read_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 1_000
    reopen_tries: Annotated[int, Field(ge=0, le=1_000)] = 10
    """In a row, with growing pauses up to 10 s; ten take about a minute. Then it is a fault."""

    @field_validator("url")
    @classmethod
    def _is_stream(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        text = url.get_secret_value()
        if not text.startswith(("rtsp://", "rtsps://", "http://", "https://")):
            raise ValueError("must begin with rtsp://, rtsps://, http:// or https://")
        try:
            parts = urlsplit(text)
            parsed = bool(parts.hostname) and parts.port != 0
        except ValueError:  # whose text may quote the password
            parsed = False
        # an @ behind the host is the end of a password that / ? or # has cut in two
        if not parsed or "@" in text.partition("://")[2].removeprefix(parts.netloc):
            raise ValueError(
                "is not an address; in user and password / ? # @ are written %2F %3F %23 %40"
            )
        return url

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(each is not None for each in (self.index, self.file, self.url)) != 1:
            raise ValueError("name exactly one of index, file and url")
        return self

    @property
    def shown(self) -> str:
        """The source as people may see it: without user, password and query."""
        if self.url is None:
            return f"camera {self.index}" if self.file is None else str(self.file)
        parts = urlsplit(self.url.get_secret_value())
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


class OpenCvCamera:
    """A live source. A thread of its own reads it without pause, so that nothing old lies in a
    buffer, and keeps the newest frame; a read that never returns holds up only that thread.
    """

    simulated = False

    def __init__(self, settings: OpenCvSettings) -> None:
        self._settings = settings
        self._link: _Link | None = None

    def open(self) -> None:
        """Begin to read; waits for the first try, later ones go on behind `grab`."""
        if self._link is None:
            self._link = _Link(self._settings)
            self._link.first_try.wait(self._settings.open_timeout_ms / 1000)

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:
        if self._link is None:
            raise DeviceError("the camera is not open")
        return self._link.newest(not_before, timeout_s)

    def close(self) -> None:
        """Let go; a thread stuck in its driver is left behind, and what it reads is not used."""
        if self._link is not None:
            self._link.stop()
            self._link = None


class _Link:
    """One opening of the source: a thread, its newest frame, and what it last knew."""

    def __init__(self, settings: OpenCvSettings) -> None:
        self.first_try = threading.Event()
        self._settings = settings
        self._news = threading.Condition()
        self._sequence = 0
        self._frame: Frame | None = None
        self._away = ""
        self._gone = ""
        self._heard_at = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def newest(self, not_before: float, timeout_s: float) -> Frame:
        """Raises as Camera.grab."""
        end = time.monotonic() + timeout_s
        with self._news:
            while True:
                if self._gone:
                    raise DeviceError(self._gone)
                if self._frame is not None and self._frame.exposed_at >= not_before:
                    return self._frame
                rest_s = end - time.monotonic()
                if rest_s <= 0:
                    self._require_alive()
                    raise DeviceTimeout(
                        self._away or f"{self._settings.shown}: no frame within {timeout_s:g} s"
                    )
                self._news.wait(rest_s)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=self._settings.read_timeout_ms / 1000 + 0.5)
        if self._thread.is_alive():
            log.warning("%s: its driver does not return; it is left behind", self._settings.shown)

    def _require_alive(self) -> None:
        """A driver that has not returned for longer than any timeout of ours never will."""
        settings = self._settings
        silent_s = time.monotonic() - self._heard_at
        limit_s = BACKOFF_MAX_S + 2 * (settings.open_timeout_ms + settings.read_timeout_ms) / 1000
        if silent_s > limit_s or not self._thread.is_alive():
            raise DeviceError(f"{settings.shown}: its driver has been stuck for {silent_s:.0f} s")

    # --- the capture thread ---

    def _run(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            began_at = time.monotonic()
            reason = self._read_until_it_fails()
            if self._stopping.is_set():
                return
            tries = 1 if time.monotonic() - began_at >= STEADY_S else tries + 1
            self._note(reason, tries)
            self.first_try.set()
            if tries > self._settings.reopen_tries:
                return
            self._stopping.wait(min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(tries - 1, 10)))

    def _read_until_it_fails(self) -> str:
        """Open and read until there is nothing to read; says why."""
        capture = open_capture(self._settings)
        if not capture.isOpened():
            return "cannot be opened"
        pace = _Pace()
        try:
            while not self._stopping.is_set():
                began_at = time.monotonic()
                read, image = capture.read()
                if not read or image is None:
                    return "gives no frames any more"
                self._sequence += 1
                if pace.waited_for_it(began_at, time.monotonic()):
                    self._show(image.astype(np.uint8, copy=False), began_at)
            return "was closed"
        except cv2.error as error:
            return f"cv2 failed: {error.code}"
        finally:
            capture.release()

    def _show(self, image: Image, began_at: float) -> None:
        image.flags.writeable = False
        with self._news:
            if self._away:
                log.info("%s: is back", self._settings.shown)
            self._heard_at = time.monotonic()
            self._away = ""
            exposed_at = began_at - self._settings.latency_ms / 1000
            self._frame = Frame(image, exposed_at, self._sequence)
            self._news.notify_all()
        self.first_try.set()

    def _note(self, reason: str, tries: int) -> None:
        of = self._settings.reopen_tries
        text = f"{self._settings.shown}: {reason}"
        with self._news:
            self._heard_at = time.monotonic()
            self._frame = None
            if tries > of:
                self._gone = f"{text}; given up after {of} tries"
            else:
                self._away = f"{text}; opening it again, try {tries} of {of}"
            self._news.notify_all()
        if tries == 1:
            log.warning("%s; trying %d times to open it again", text, of)


class _Pace:
    """Tells a frame that came just now from one that lay in a buffer, whose time nobody knows.

    Opening RTSP alone leaves a second of old frames in ffmpeg, and a stall leaves as many as it
    lasted; they are handed out at once, one after the other. A frame counts as new only if the
    read had to wait for it, for a fair share of the time from one frame to the next.
    """

    def __init__(self) -> None:
        self._began_at = time.monotonic()
        self._came_at: deque[float] = deque(maxlen=PACE_FRAMES)

    def waited_for_it(self, began_at: float, came_at: float) -> bool:
        self._came_at.append(came_at)
        # the pace is known only when the frames stored before we came are through
        if came_at - self._began_at < SETTLE_S or len(self._came_at) < 3:
            return False
        period_s = (came_at - self._came_at[0]) / (len(self._came_at) - 1)
        return came_at - began_at >= QUICK_SHARE * period_s


def open_capture(settings: OpenCvSettings) -> cv2.VideoCapture:
    """Opened, if `isOpened` says so afterwards; every wait in it has its limit."""
    # ffmpeg alone: other backends would write the url, password and all, into the log
    if settings.url is None and settings.file is None:
        capture = cv2.VideoCapture(settings.index or 0)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, settings.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
        ):
            if value is not None:
                capture.set(key, value)
        return capture
    source = settings.url.get_secret_value() if settings.url else str(settings.file)
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        settings.open_timeout_ms,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        settings.read_timeout_ms,
    ]
    return cv2.VideoCapture(source, cv2.CAP_FFMPEG, timeouts)
