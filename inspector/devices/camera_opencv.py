"""A live cv2.VideoCapture: a USB camera, or an RTSP or HTTP stream."""

import time
from collections import deque
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import cv2
import numpy as np
from pydantic import Field, SecretStr, field_validator, model_validator

from inspector.contract.errors import DeviceError
from inspector.contract.image import Image
from inspector.contract.strict import Strict
from inspector.devices.capture_process import ProcessCamera
from inspector.devices.capture_watch import Patience
from inspector.devices.capture_wire import Shot

SETTLE_S = 0.5
QUICK_SHARE = 0.3
GAP_PERIODS = 2.5
PACE_FRAMES = 50


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
    """Asked of a camera with an index alone; one that cannot keeps its own."""
    height: Annotated[int, Field(ge=16, le=8192)] | None = None
    latency_ms: Annotated[int, Field(ge=0, le=2_000)] = 100
    """The longest way from the lens to this program: a frame counts as exposed this long before
    the read that brought it was begun. Too small, and a part may be judged by a picture from
    before its trigger: measure it at commissioning. MPEG-TS adds a frame time to it (a frame's end
    is known when the next one begins), B frames as many as they are apart.
    """
    open_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 5_000
    read_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 1_000
    """Without a frame for so long, and for two frame times, it is stuck: its process is killed."""
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
        if self.index is None:
            for key, wish in (("width", self.width), ("height", self.height)):
                if wish is not None:
                    raise ValueError(f"{key}: only a camera with an index can be asked for it")
        if self.loop and self.file is None:
            raise ValueError("loop: only a file begins again")
        return self

    @property
    def shown(self) -> str:
        """The source as people may see it: without user, password and query."""
        if self.url is None:
            return f"camera {self.index}" if self.file is None else str(self.file)
        parts = urlsplit(self.url.get_secret_value())
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def opencv_camera(settings: OpenCvSettings) -> ProcessCamera:
    """A live source, in a process of its own."""
    patience = Patience(
        open_s=settings.open_timeout_ms / 1000,
        stall_s=settings.read_timeout_ms / 1000,
        tries=settings.reopen_tries,
    )
    return ProcessCamera(settings.shown, OpenCvSource, settings, patience)


class OpenCvSource:
    """Reads without pause, so that nothing old lies in a buffer; blocks, as its driver does."""

    on_request = False

    def __init__(self, settings: OpenCvSettings) -> None:
        self._settings = settings
        self._capture: cv2.VideoCapture | None = None
        self._pace = _Pace()

    def open(self) -> None:
        capture = open_capture(self._settings)
        if not capture.isOpened():
            raise DeviceError("cannot be opened")
        self._capture, self._pace = capture, _Pace()

    def read(self, into: Image | None) -> Shot:
        if self._capture is None:
            raise DeviceError("is not open")
        began_at = time.monotonic()
        try:
            # decodes into the memory given, if the size is right, else into new memory
            read, image = self._capture.read(into)
        except cv2.error as error:
            raise DeviceError(f"cv2 failed: {error.code}") from None
        if not read or image is None:
            raise DeviceError("gives no frames any more")
        fresh = self._pace.waited_for_it(began_at, time.monotonic())
        exposed_at = began_at - self._settings.latency_ms / 1000
        return Shot(image.astype(np.uint8, copy=False), exposed_at, fresh)

    def rest(self) -> None: ...

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class _Pace:
    """Tells a frame that came just now from one that lay in a buffer, whose time nobody knows.

    Opening RTSP alone leaves a second of old frames in ffmpeg, and a stall leaves as many as it
    lasted; they are handed out at once, one after the other. A frame counts as new only if the
    read had to wait for it, for a fair share of the time from one frame to the next; after a gap,
    when what was kept back may come in fits and starts, only if that was so twice running.
    """

    def __init__(self) -> None:
        self._began_at = time.monotonic()
        self._came_at: deque[float] = deque(maxlen=PACE_FRAMES)
        self._in_doubt = False
        self._waited_before = False

    def waited_for_it(self, began_at: float, came_at: float) -> bool:
        self._came_at.append(came_at)
        # the pace is known only when the frames stored before we came are through
        if came_at - self._began_at < SETTLE_S or len(self._came_at) < 3:
            return False
        period_s = (came_at - self._came_at[0]) / (len(self._came_at) - 1)
        waited = came_at - began_at >= QUICK_SHARE * period_s
        twice, self._waited_before = waited and self._waited_before, waited
        if came_at - began_at >= GAP_PERIODS * period_s:
            # this frame counts from before the gap, so it may be used; the next may be older
            self._in_doubt, self._waited_before = True, False
            return True
        self._in_doubt = self._in_doubt and not twice
        return waited and not self._in_doubt


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
    wishes = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        settings.open_timeout_ms,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        settings.read_timeout_ms,
    ]
    if settings.url:
        # each thread more keeps a frame back: on eight cores a new one would be seven frames old
        wishes += [cv2.CAP_PROP_N_THREADS, 1]
    return cv2.VideoCapture(source, cv2.CAP_FFMPEG, wishes)
