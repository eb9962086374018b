"""Sources for the capture process that do what drivers do on a bad day."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspector.contract.errors import DeviceError, FrameError
from inspector.contract.image import Image
from inspector.devices.capture_process import ProcessCamera
from inspector.devices.capture_watch import Patience
from inspector.devices.capture_wire import Shot


@dataclass(frozen=True)
class Day:
    """How the source behaves; every frame is filled with its number, modulo 251."""

    period_s: float = 0.01
    sizes: tuple[tuple[int, int], ...] = ((40, 48),)
    """height and width, changing every tenth frame."""
    after: int = 1_000_000
    """So many frames, then `ends`."""
    ends: str = ""
    """"blocks" for ever, "crashes" without a word, "fails" with a reason."""
    opens: bool = True


class Driver:
    """devices.capture_wire.Source."""

    on_request = False

    def __init__(self, day: Day) -> None:
        self._day = day
        self._count = 0

    def open(self) -> None:
        if not self._day.opens:
            raise DeviceError("is not there")

    def read(self, into: Image | None) -> Shot:
        day = self._day
        if self._count >= day.after:
            if day.ends == "crashes":
                os.abort()
            if day.ends == "blocks":
                time.sleep(3600)
            raise DeviceError("was unplugged")
        exposed_at = time.monotonic()
        time.sleep(day.period_s)
        self._count += 1
        size = day.sizes[self._count // 10 % len(day.sizes)]
        shape = (*size, 3)
        image = into if into is not None and into.shape == shape else np.empty(shape, np.uint8)
        image[:] = self._count % 251
        return Shot(image, exposed_at, fresh=True)

    def rest(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Booth:
    """A folder that a camera in another process looks at, and a test looks into."""

    folder: Path
    period_s: float
    on_request: bool = True
    latency_s: float = 0.0
    """So much earlier than its read a frame counts as exposed."""

    @property
    def exposures(self) -> int:
        """How many were begun."""
        log = self.folder / "exposures"
        return log.stat().st_size if log.exists() else 0

    def spoils(self, *, now: bool) -> None:
        """Whether a frame whose exposure begins from now on is spoiled."""
        self._is("spoils", now=now)

    def holds_a_part(self, *, now: bool) -> None:
        """Whether a part lies there from now on."""
        self._is("part", now=now)

    def _is(self, name: str, *, now: bool) -> None:
        (self.folder / name).touch() if now else (self.folder / name).unlink(missing_ok=True)


class BoothCamera:
    """devices.capture_wire.Source: dark, and bright in the middle where a part lies."""

    def __init__(self, booth: Booth) -> None:
        self._booth = booth
        self.on_request = booth.on_request

    def open(self) -> None: ...

    def read(self, into: Image | None) -> Shot:  # noqa: ARG002 - of no interest here
        booth = self._booth
        exposed_at = time.monotonic() - booth.latency_s
        with (booth.folder / "exposures").open("ab") as log:
            log.write(b".")
        spoils, part = ((booth.folder / name).exists() for name in ("spoils", "part"))
        time.sleep(booth.period_s)
        if spoils:
            raise FrameError("a frame is not whole")
        image = np.full((48, 64, 3), 30, np.uint8)
        if part:
            image[12:36, 16:48] = 220
        return Shot(image, exposed_at, fresh=True)

    def rest(self) -> None: ...

    def close(self) -> None: ...


def booth_camera(booth: Booth) -> ProcessCamera:
    """Open."""
    patience = Patience(5.0, 2.0, tries=20, reports=booth.on_request)
    camera = ProcessCamera("the camera", BoothCamera, booth, patience, on_request=booth.on_request)
    camera.open()
    return camera
