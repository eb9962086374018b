"""Sources for the capture process that do what drivers do on a bad day."""

import os
import time
from dataclasses import dataclass

import numpy as np

from inspector.contract.errors import DeviceError
from inspector.contract.image import Image
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
