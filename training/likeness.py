"""What a picture is recognised by: the hash of its pixels, and how it looks small and grey.

A file's bytes are too narrow for that: saved again, or shot again, a part is the same to whoever
has learned it.
"""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.contract.image import Image
from inspector.contract.whole import write_whole

LIKENESS_SIDE = 64
BLOCK = 512


class Look(NamedTuple):
    """Of one picture."""

    digest: str
    """SHA-256 of its decoded pixels."""
    grey: NDArray[np.uint8]
    """LIKENESS_SIDE pixels square."""


def digest_of(picture: Image) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()


def look(picture: Image) -> Look:
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    side = (LIKENESS_SIDE, LIKENESS_SIDE)
    small = cv2.resize(grey, side, interpolation=cv2.INTER_AREA)
    return Look(digest_of(picture), np.asarray(small, np.uint8))


def _none() -> NDArray[np.uint8]:
    return np.zeros((0, LIKENESS_SIDE, LIKENESS_SIDE), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """Of several pictures, in their order."""

    digests: tuple[str, ...] = ()
    greys: NDArray[np.uint8] = field(default_factory=_none)

    @classmethod
    def of(cls, looks: Sequence[Look]) -> Self:
        greys = np.stack([each.grey for each in looks]) if looks else _none()
        return cls(tuple(each.digest for each in looks), greys)

    @classmethod
    def joined(cls, several: Sequence["Looks"]) -> Self:
        """All of them, each picture once."""
        places = {digest: (looks, i) for looks in several for i, digest in enumerate(looks.digests)}
        return cls.of([Look(digest, looks.greys[i]) for digest, (looks, i) in places.items()])

    def __len__(self) -> int:
        return len(self.digests)

    def taken(self, places: Sequence[int]) -> "Looks":
        """Those at these places."""
        return Looks(tuple(self.digests[i] for i in places), self.greys[list(places)])

    def only(self, digests: set[str]) -> "Looks":
        """Those of them that are there."""
        return self.taken([i for i, digest in enumerate(self.digests) if digest in digests])

    def faces(self) -> NDArray[np.float32]:
        """What is compared to find twins: images x side x side."""
        if not len(self):
            return _none().astype(np.float32)
        return np.stack([face(grey) for grey in self.greys])

    def save(self, path: Path, draft: Path | None = None) -> None:
        """draft: as `write_whole`."""
        text = io.BytesIO()
        np.savez(text, digests=np.array(self.digests, "S64"), greys=self.greys)
        write_whole(path, text.getvalue(), draft=draft)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises OSError or ValueError where there is no such thing."""
        try:
            with np.load(io.BytesIO(path.read_bytes())) as kept:
                return cls(tuple(digest.decode() for digest in kept["digests"]), kept["greys"])
        except (zipfile.BadZipFile, EOFError, KeyError) as error:
            raise ValueError(f"{path}: {error}") from None


NO_LOOKS = Looks()


def face(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A small grey picture without its light."""
    small = grey.astype(np.float32)
    face_of: NDArray[np.float32] = (small - small.mean()) / (small.std() + np.float32(1e-3))
    return face_of


def near_twins(faces: NDArray[np.float32], near_at: float) -> list[tuple[int, int]]:
    """Pairs whose pictures, less the average picture, have a cosine of at least `near_at`.

    Pictures of one product all look alike; what they share is taken off first, so that what is
    compared is what makes each its own. faces: images x side x side, float32.
    """
    if near_at >= 1.0 or len(faces) < 2:
        return []
    rest = _own(faces, faces.mean(axis=0))
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(rest), BLOCK):
        likeness = rest[start : start + BLOCK] @ rest.T
        for i, j in zip(*np.nonzero(likeness >= near_at), strict=True):
            if start + i < j:
                pairs.append((int(start + i), int(j)))
    return pairs


def same(these: Looks, those: Looks) -> dict[int, int]:
    """Which of `these` has the very pixels of which of `those`."""
    places = {digest: j for j, digest in enumerate(those.digests)}
    return {i: places[digest] for i, digest in enumerate(these.digests) if digest in places}


def nearly(
    these: Looks, those: Looks, average: NDArray[np.float32], near_at: float
) -> dict[int, int]:
    """Which of `these` is nearly the picture of which of `those`, the likest, as `near_twins`.

    average: mean face of the data that `these` are of. Not of both: where `those` are of other
    products too, all pictures of one would look alike beside them.
    """
    if near_at >= 1.0 or not len(these) or not len(those):
        return {}
    mine, best = _own(these.faces(), average), np.full(len(these), near_at, np.float32)
    found: dict[int, int] = {}
    for start in range(0, len(those), BLOCK):
        block = those.taken(range(start, min(start + BLOCK, len(those))))
        likeness = mine @ _own(block.faces(), average).T
        at = likeness.argmax(axis=1)
        likest = likeness[np.arange(len(mine)), at]
        for i in np.flatnonzero(likest >= best):
            best[i], found[int(i)] = likest[i], start + int(at[i])
    return found


def _own(faces: NDArray[np.float32], average: NDArray[np.float32]) -> NDArray[np.float32]:
    """What makes each picture its own, of length 1: images x numbers."""
    rest = (faces - average).reshape(len(faces), -1)
    rest /= np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-6)
    return rest
