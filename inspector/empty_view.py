"""`inspector commission STATION.TOML --empty FILE`: the scene without a part, for part_present."""

import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.build_devices import build_camera, open_camera
from inspector.contract.errors import DeviceError, EndOfStream, FrameError
from inspector.contract.whole import write_whole
from inspector.settings import read_settings

FRAMES = 8
FRAME_TIMEOUT_S = 10.0


def take(station: Path, out: Path) -> str:
    """Write the mean of some frames, so that noise is not taken for the scene; what was done.

    Raises ConfigError, DeviceError, OSError.
    """
    if not out.suffix or not cv2.haveImageWriter(str(out)):
        raise DeviceError(f"{out}: cannot be written as a picture: name it .png")
    camera = build_camera(read_settings(station).camera)
    images: list[NDArray[np.float32]] = []
    bad: list[FrameError] = []
    try:
        open_camera(camera)
        while len(images) < FRAMES and len(bad) < FRAMES:
            try:
                frame = camera.grab(not_before=time.monotonic(), timeout_s=FRAME_TIMEOUT_S)
                images.append(frame.image.astype(np.float32))
            except FrameError as error:
                bad.append(error)
    except EndOfStream:
        pass
    finally:
        camera.close()
    left_out = f" ({len(bad)} could not be read: {bad[-1]})" if bad else ""
    if not images or any(image.shape != images[0].shape for image in images):
        raise DeviceError(f"the camera gives no frames of one size{left_out}")
    mean = np.mean(images, axis=0).round().astype(np.uint8)
    # whole: a station that is started meanwhile, or after a kill, has the old scene or this one
    write_whole(out, cv2.imencode(out.suffix, mean)[1].tobytes())
    return f"{out}: the mean of {len(images)} frames{left_out}; look at it: no part may be in it"
