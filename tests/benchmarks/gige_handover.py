"""What it costs to hand a GigE Vision frame of 1920x1080 to the station.

`python -m tests.benchmarks.gige_handover` takes Aravis' fake camera on loopback, free-running, and
measures from the moment the library has the whole frame in the capture process until the station
has it as BGR in its hands; beside it, in the same run, what one more copy would cost.
"""

import argparse
import statistics
import sys
import time

import numpy as np

from inspector.devices.capture_process import ProcessCamera
from inspector.devices.capture_watch import Patience
from inspector.devices.genicam_settings import GenicamSettings
from tests.gige import ADDRESS, GigeCamera, Stamped

FRAMES = 200
WIDTH, HEIGHT = 1920, 1080


def main() -> None:
    server = GigeCamera().start()
    try:
        for pixel_format in ("Mono8", "BayerGR8", "RGB8"):
            say(f"{pixel_format:<9} {spread(handed_over(pixel_format))}")
    finally:
        server.end()
    say(f"one more copy of a colour frame: {spread(copied())}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def handed_over(pixel_format: str) -> list[float]:
    """Milliseconds."""
    settings = GenicamSettings.model_validate(
        {
            "camera": ADDRESS,
            "pixel_format": pixel_format,
            "width": WIDTH,
            "height": HEIGHT,
            "exposure_us": 10_000,
            "frames_per_s": 15,
            "packet_size": 9_000,
        }
    )
    camera = ProcessCamera("camera", Stamped, settings, Patience(5.0, 5.0, tries=2))
    camera.open()
    times_ms = []
    since = time.monotonic()
    for _ in range(FRAMES):
        frame = camera.grab(not_before=since, timeout_s=10.0)
        since = time.monotonic()
        times_ms.append((since - frame.exposed_at) * 1000)
        if frame.image.shape != (HEIGHT, WIDTH, 3):
            raise RuntimeError(f"frames of {frame.image.shape}")
    say(f"          {camera.spoiled} of the frames were spoiled, {camera.restarts} restarts")
    camera.close()
    return times_ms


def copied() -> list[float]:
    source, target = np.ones((2, HEIGHT, WIDTH, 3), np.uint8)
    times_ms = []
    for _ in range(FRAMES):
        began_at = time.monotonic()
        np.copyto(target, source)
        times_ms.append((time.monotonic() - began_at) * 1000)
    return times_ms


def spread(times_ms: list[float]) -> str:
    ordered = sorted(times_ms)
    p99 = ordered[len(ordered) * 99 // 100 - 1]
    return f"n {len(ordered)}, median {statistics.median(ordered):.2f} ms, p99 {p99:.2f} ms"


if __name__ == "__main__":
    module = "python -m tests.benchmarks.gige_handover"
    argparse.ArgumentParser(prog=module, description=__doc__).parse_args()
    main()
