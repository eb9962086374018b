"""The one door to albumentations: augmented views that depend on seed, image and view alone.

albumentations is held at 2.0.8, the last MIT release, which is no longer maintained; to leave it,
only this file changes.
"""

import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import albumentations
import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.plan import Step

AHEAD = 3
"""Batches prepared while the network works on one."""

Work = TypeVar("Work")
Made = TypeVar("Made")


class Augmenter:
    """Draws views. The same (seed, image, view) gives the same pixels, whatever came before."""

    def __init__(self, steps: Sequence[Step], spec: ImageSpec, seed: int) -> None:
        """Raises ConfigError where albumentations refuses a step."""
        self._steps = steps
        self._shape = (spec.height, spec.width, 3)
        self._seed = seed
        self._local = threading.local()
        with warnings.catch_warnings():  # what it does not know, albumentations leaves out
            warnings.filterwarnings("error", r"Argument\(s\) .* not valid for", UserWarning)
            self._pipeline()
        probe = np.zeros(self._shape, np.uint8)
        self.view(probe, image=0, view=0)

    def view(self, pixels: NDArray[np.uint8], *, image: int, view: int) -> NDArray[np.uint8]:
        """One view of an image of height x width x 3, BGR. image: its place in the pixel file."""
        if not self._steps:
            return pixels
        pipeline = self._pipeline()
        sequence = np.random.SeedSequence([self._seed, image, view])
        pipeline.set_random_seed(int(sequence.generate_state(1)[0]))
        # its steps take the first channel for red: a shift of red, a grey, a temperature of light
        rgb = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2RGB)
        out: NDArray[np.uint8] = pipeline(image=rgb)["image"]
        if out.shape != self._shape or out.dtype != np.uint8:
            raise ConfigError(
                f"plan: augment: the steps turn {self._shape} uint8 into {out.shape} {out.dtype}; "
                f"they must keep size and type (normalisation is inside the graph)"
            )
        return np.asarray(cv2.cvtColor(out, cv2.COLOR_RGB2BGR), np.uint8)

    def _pipeline(self) -> albumentations.Compose:
        """One a thread: a pipeline holds its random state."""
        if not hasattr(self._local, "pipeline"):
            self._local.pipeline = _build(self._steps)
        pipeline: albumentations.Compose = self._local.pipeline
        return pipeline


def _build(steps: Sequence[Step]) -> albumentations.Compose:
    transforms: list[albumentations.BasicTransform | albumentations.BaseCompose] = []
    for number, step in enumerate(steps):
        where = f"plan: augment.{number} {step.name!r}"
        kind = getattr(albumentations, step.name, None)
        if not (isinstance(kind, type) and issubclass(kind, albumentations.BasicTransform)):
            raise ConfigError(f"{where}: albumentations has no such transform")
        try:
            transforms.append(kind(p=step.p, **step.options))
        except (TypeError, ValueError, UserWarning) as error:
            raise ConfigError(f"{where}: {error}") from None
    return albumentations.Compose(transforms)


def ahead(make: Callable[[Work], Made], work: Sequence[Work], threads: int) -> Iterator[Made]:
    """make(each) in order, prepared by a few threads ahead of whoever takes them."""
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        waiting = deque(pool.submit(make, each) for each in work[:AHEAD])
        try:
            for number in range(len(work)):
                if number + AHEAD < len(work):
                    waiting.append(pool.submit(make, work[number + AHEAD]))
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
