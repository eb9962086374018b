"""How long a station takes to bring a picture to the model's size, and which size near it is quick.

OpenCV takes means over whole pixels with vector instructions, and over fractions of them one value
at a time: from 300 x 300 to 150 x 150 in 0.02 ms, to 160 x 160 in 0.34. With a model of 2 ms that
is a seventh of the part's time.
"""

import functools
import time
from collections.abc import Sequence

import numpy as np

from inspector.contract.image import ImageSpec, fit

NEAR = 0.15
"""The other size may differ by this share."""
WORTH_MS = 0.1
RUNS = 7


def quick_size(wide: int, high: int, spec: ImageSpec) -> tuple[int, int] | None:
    """The width and height nearest to the plan's to which whole pixels are put together.

    None where there is none near, or the plan's is one itself.
    """
    if spec.fit == "pad" and wide * spec.height != high * spec.width:
        return None  # one side or the other is not met by whole numbers
    width, height = _by_whole_numbers(wide, spec.width), _by_whole_numbers(high, spec.height)
    if width is None or height is None or (width, height) == (spec.width, spec.height):
        return None
    return width, height


def advice(sizes: Sequence[tuple[int, int, int]], spec: ImageSpec) -> str | None:
    """A sentence where most pictures would be shrunk much sooner to a size near the plan's.

    sizes: as ScanReport's. The times are measured here and now.
    """
    if not sizes:
        return None
    wide, high, n = sizes[0]
    size = quick_size(wide, high, spec)
    if size is None or 2 * n < sum(each for *_, each in sizes):
        return None
    width, height = size
    quick_ms = fit_ms(wide, high, spec.model_copy(update={"width": width, "height": height}))
    plan_ms = fit_ms(wide, high, spec)
    if plan_ms - quick_ms < WORTH_MS or plan_ms < 2 * quick_ms:
        return None
    return (
        f"hint: [image] {width} x {height} in place of {spec.width} x {spec.height}: pictures of "
        f"{wide} x {high} come to it in {quick_ms:.2f} ms, to the plan's in {plan_ms:.2f}"
    )


@functools.cache
def fit_ms(wide: int, high: int, spec: ImageSpec) -> float:
    """What `fit` takes for a picture of this size, undisturbed, in milliseconds; measured once."""
    picture = np.zeros((high, wide, 3), np.uint8)
    took = []
    for _ in range(RUNS):
        start = time.perf_counter()
        fit(picture, spec)
        took.append(time.perf_counter() - start)
    return 1000.0 * min(took)


def _by_whole_numbers(pixels: int, wanted: int) -> int | None:
    """The side nearest to `wanted` of which `pixels` is a multiple."""
    sides = [pixels // n for n in range(1, pixels + 1) if pixels % n == 0]
    near = [side for side in sides if abs(side - wanted) <= NEAR * wanted]
    return min(near, key=lambda side: abs(side - wanted), default=None)
