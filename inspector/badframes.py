"""What goes wrong with pictures, made from good ones: attestation is tried on them."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from inspector.contract.image import Image
from inspector.station.attest import same_pixels

SHIFT_PX = 10


def bad_frames(image: Image) -> Iterator[tuple[str, Image]]:
    """(name, picture) of each fault that changes this image: height x width x 3, BGR."""
    for name, fault in FAULTS.items():
        spoilt = np.ascontiguousarray(fault(image))
        if not same_pixels(spoilt, image):  # a grey picture has no channels to swap
            yield name, spoilt


def _blurred(sigma: float) -> Callable[[Image], Image]:
    return lambda image: _u8(cv2.GaussianBlur(image, (0, 0), sigma))


def _moved(x: float, y: float, degrees: float = 0.0) -> Callable[[Image], Image]:
    def move(image: Image) -> Image:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        matrix[:, 2] += np.array((x, y))
        size = (width, height)
        return _u8(cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT_101))

    return move


def _half(fill: Callable[[Image], Image]) -> Callable[[Image], Image]:
    """The lower half did not arrive: what stands there instead."""

    def tear(image: Image) -> Image:
        out = image.copy()
        middle = len(image) // 2
        out[middle:] = fill(image)[middle:]
        return out

    return tear


def _u8(image: object) -> Image:
    return np.asarray(image, np.uint8)


FAULTS: dict[str, Callable[[Image], Image]] = {
    "black": np.zeros_like,
    "white": lambda image: np.full_like(image, 255),
    "dim": lambda image: image // 8,
    "over-exposed": lambda image: _u8(np.minimum(image.astype(np.int32) * 6, 255)),
    "blurred 2 px": _blurred(2.0),
    "blurred 4 px": _blurred(4.0),
    "blurred 8 px": _blurred(8.0),
    "moved 10 px across": _moved(SHIFT_PX, 0),
    "moved 10 px down": _moved(0, SHIFT_PX),
    "turned 5 degrees": _moved(0, 0, 5.0),
    "turned 90 degrees": _moved(0, 0, 90.0),
    "half black": _half(np.zeros_like),
    "half grey": _half(lambda image: np.full_like(image, 128)),
    "half one line": _half(lambda image: np.broadcast_to(image[len(image) // 2], image.shape)),
    "half displaced": _half(lambda image: np.roll(image, image.shape[1] // 3, axis=1)),
    "grey": lambda image: _u8(np.repeat(image[:, :, 1:2], 3, axis=2)),
    "channels swapped": lambda image: image[:, :, ::-1],
}
