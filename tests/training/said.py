"""What people said of pictures made here, in a station's own store."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from inspector.contract.review import Kept, Review
from inspector.delivery.reviews import FILE, ReviewStore
from tests.training.plates import draw


class Station:
    """Its folder holds what `collect` reads."""

    def __init__(self, folder: Path, name: str = "s1", seed: int = 11) -> None:
        self.folder = folder / name
        self.name = name
        self._seq = 0
        self._rng = np.random.default_rng(seed)

    def take(self, label: str) -> bytes:
        """The JPEG of one more plate."""
        return jpeg(draw(self._rng, label))

    def say(
        self, label: str | None, picture: bytes, *by: str, part: str | None = None, seq: int = 0
    ) -> list[Kept]:
        """Each of `by` (anna, where nobody is named) says the same; seq: of a part before."""
        self._seq += not seq
        number = seq or self._seq
        with ReviewStore(self.folder / FILE) as store:
            return [
                store.put(self.review(label, picture, who, part, number), picture)
                for who in by or ("anna",)
            ]

    def say_all(self, label: str, count: int) -> None:
        for _ in range(count):
            self.say(label, self.take(label))

    def review(
        self, label: str | None, picture: bytes, by: str, part: str | None, seq: int
    ) -> Review:
        return Review(
            station=self.name,
            boot="b",
            seq=seq,
            part=part,
            result_id=f"b-{seq}",
            bundle="plate-0",
            evaluation="NOT_DECIDABLE",
            cause="novelty",
            score=0.2,
            novelty=3.0,
            captured_at=datetime(2026, 11, 25, tzinfo=UTC),
            regions=1,
            region=(0, 0, 64, 64),
            image_sha256=hashlib.sha256(picture).hexdigest(),
            label=label,
            severity=None,
            by=by,
            at=datetime.now(UTC),
        )


def jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    data: bytes = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return data


def dent(rng: np.random.Generator) -> np.ndarray:
    """A class that no bundle of the plates has seen."""
    image = draw(rng, "good")
    x, y = (int(v) for v in rng.integers(4, 36, 2))
    image[y : y + 24, x : x + 24, 2] = 240
    return image
