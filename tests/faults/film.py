"""A live camera for long runs: real solar cells in a fixture, as motion JPEG over HTTP."""

import time
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path

import cv2
import numpy as np

from inspector.badframes import FAULTS
from inspector.contract.image import Image
from inspector.demo.parts import dataset_folder
from tests.streams import MjpegServer
from tests.test_commission import good_cells, in_fixture

QUICK = 80
"""JPEG quality: 120 frames a second leave two cores some time for the station."""
REGION = {"kind": "rectangle", "x": 90, "y": 50, "width": 300, "height": 300}
"""Where `in_fixture` puts the cell."""


def good_frames(count: int) -> list[Image]:
    return in_fixture(good_cells(count))


def defective_frames(count: int) -> list[Image]:
    """Cells labelled defective beyond doubt, in the same fixture."""
    lines = (dataset_folder() / "labels.csv").read_text(encoding="utf-8").splitlines()
    names = [line.split()[0] for line in lines if float(line.split()[1]) == 1.0]
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, count).astype(int)]
    paths = [str(dataset_folder() / name) for name in chosen]
    return in_fixture([np.asarray(cv2.imread(path), np.uint8) for path in paths])


def mixed_film(count: int) -> list[bytes]:
    """JPEGs of parts as they come: of nine one is defective, of 45 one is spoilt."""
    good, defective = good_frames(count), defective_frames(count)
    faults = list(FAULTS.values())
    film = []
    for i in range(count):
        image = defective[i] if i % 9 == 4 else good[i]
        if i % 45 == 22:
            image = np.ascontiguousarray(faults[i // 45 % len(faults)](image))
        film.append(jpeg(image, QUICK))
    return film


def write_frames(folder: Path, images: Sequence[Image], quality: int = 95) -> Path:
    """As the camera will show them: compressed once."""
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        (folder / f"part{i:03d}.jpg").write_bytes(jpeg(image, quality))
    return folder


def jpeg(image: Image, quality: int = 95) -> bytes:
    """At 85 and below, the blocks of a compressed picture hide a blur of 2 px."""
    encoded, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert encoded
    return data.tobytes()


class FilmServer(MjpegServer):
    """Shows a film for ever at a fixed pace; what it shows may be exchanged while it runs.

    While `held` is set, frames are exposed but kept back; then they come all at once.
    """

    def __init__(self, film: Sequence[bytes], frames_per_s: float) -> None:
        super().__init__()
        self.film = film
        self._period_s = 1 / frames_per_s

    def serve(self, out: BufferedIOBase) -> None:
        at, number = time.monotonic(), 0
        kept: list[bytes] = []
        with suppress(OSError):
            while not self._ended.is_set():
                film = self.film
                kept.append(film[number % len(film)])
                while kept and not self.held.is_set():
                    data = kept.pop(0)
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}"
                    out.write(f"{head}\r\n\r\n".encode() + data + b"\r\n")
                number += 1
                at += self._period_s
                time.sleep(max(0.0, at - time.monotonic()))
