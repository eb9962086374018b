"""A picture beside itself with its defect map, for the report."""

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.contract.image import Image

SIDE = 150


def beside_map(image: Image, defect_map: NDArray[np.float32] | None) -> Image:
    """The picture, and again with the map over it: yellow where the score is high.

    The picture alone where the model has no map.
    """
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if defect_map is None:
        return small.astype(np.uint8)
    heat = cv2.resize(defect_map, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    over = cv2.addWeighted(small, 0.55, colours, 0.45, 0.0)
    return np.hstack([small, over]).astype(np.uint8)
