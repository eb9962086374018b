"""A video file as a camera: the same settings as a live cv2.VideoCapture, with `file`."""

import time
from pathlib import Path

import cv2
import numpy as np

from inspector.contract.errors import DeviceError, EndOfStream
from inspector.contract.image import Image
from inspector.devices.camera_opencv import OpenCvSettings, open_capture
from inspector.station.ports import Frame


class VideoCamera:
    """A video file: every frame once, in order, as if it were exposed when it is asked for."""

    simulated = True
    restarts = 0

    def __init__(self, settings: OpenCvSettings) -> None:
        self._settings = settings
        self._capture: cv2.VideoCapture | None = None
        self._shown = 0
        self._sequence = 0

    def open(self) -> None:
        if self._capture is None:
            capture = open_capture(self._settings)
            if not capture.isOpened():
                raise DeviceError(f"{self._settings.shown}: is not there, or is not a video")
            self._capture, self._shown = capture, 0

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:  # noqa: ARG002 - a file is there
        image = self._next()
        image.flags.writeable = False
        self._sequence += 1
        name = f"{Path(self._settings.shown).stem}-{self._shown:06d}"
        return Frame(image, max(time.monotonic(), not_before), self._sequence, name)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _next(self) -> Image:
        for _ in range(2):
            if self._capture is None:
                raise DeviceError("the video is not open")
            read, image = self._capture.read()
            if read and image is not None:
                self._shown += 1
                return image.astype(np.uint8, copy=False)
            if not self._shown:
                break
            if not self._settings.loop:
                raise EndOfStream(f"all {self._shown} frames of {self._settings.shown} were shown")
            self.close()
            self.open()
        raise DeviceError(f"{self._settings.shown}: has no frame that can be read")
