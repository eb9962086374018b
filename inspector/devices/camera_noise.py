"""Noise at a steady pace: for measuring what the way from a camera to a verdict takes."""

import time
from dataclasses import dataclass

import numpy as np

from inspector.contract.image import Image
from inspector.devices.capture_process import ProcessCamera
from inspector.devices.capture_watch import Patience
from inspector.devices.capture_wire import Shot

FRAMES_KEPT = 8


@dataclass(frozen=True, slots=True)
class Noise:
    """What the frames are like."""

    width: int
    height: int
    period_ms: float = 25.0


def noise_images(noise: Noise) -> list[Image]:
    """A few different ones, height x width x 3, the same at every call."""
    random = np.random.default_rng(0)
    shape = (noise.height, noise.width, 3)
    return [random.integers(0, 256, shape, np.uint8) for _ in range(FRAMES_KEPT)]


class NoiseSource:
    """Frames of noise, no two alike in a row. As a driver does, it writes each into the memory
    it is given, and says when it was exposed: just before that."""

    on_request = False

    def __init__(self, noise: Noise) -> None:
        self._noise = noise
        self._images: list[Image] = []
        self._count = 0
        self._next_at = 0.0

    def open(self) -> None:
        self._images = noise_images(self._noise)
        self._next_at = time.monotonic()

    def read(self, into: Image | None) -> Shot:
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        exposed_at = time.monotonic()
        self._next_at = max(self._next_at, exposed_at) + self._noise.period_ms / 1000
        image = self._images[self._count % FRAMES_KEPT]
        self._count += 1
        if into is None:
            return Shot(image, exposed_at, fresh=True)
        np.copyto(into, image)
        return Shot(into, exposed_at, fresh=True)

    def rest(self) -> None: ...

    def close(self) -> None:
        self._images = []


def noise_camera(noise: Noise) -> ProcessCamera:
    """Noise as a live camera: from a capture process, through shared memory."""
    patience = Patience(open_s=10.0, stall_s=5.0, tries=1)
    return ProcessCamera(f"noise {noise.width}x{noise.height}", NoiseSource, noise, patience)
