"""Whether the defect map points at the defect: held to the marks of the golden set's pictures.

Zhang et al. 2018 (arXiv:1608.00507) call it the pointing game: here a cell of the map is drawn, of
all the picture's regions, and hits where it touches a mark.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.contract.bounds import lower_bound
from inspector.contract.image import Image, ImageSpec, cut, decode, fit, whole
from inspector.contract.strict import Strict
from training.dataset import Sample
from training.export import DEFECT_MAP, INPUT, has_map, open_session
from training.job import Data, part_numbers
from training.masks import read_marks


class Pointing(Strict):
    """On golden defects that carry a mask or boxes, by the shipped model."""

    pictures: int
    hits: int
    """Where the strongest cell of the map touches a mark; of equally strong ones, most of them."""
    parts: int | None = None
    """A part's pictures, and twins, are one trial; None in reports of before they were counted."""
    parts_hit: int | None = None
    """Parts that were hit in every picture."""
    chance: float
    """Mean share of a picture's cells that touch a mark: the hits of a map drawn by lot."""
    inside: float
    """Mean share of the map's strength that lies on cells that touch a mark."""
    left_out: int
    """Pictures whose marks, or whose map, could not be used."""
    confidence: float

    @property
    def sentence(self) -> str:
        out = (
            f"; {self.left_out} pictures left out: no usable marks or map" if self.left_out else ""
        )
        bound = ""
        if self.parts is not None and self.parts_hit is not None:
            at_least = lower_bound(self.parts_hit, self.parts, self.confidence)
            bound = (
                f" ({self.parts_hit}/{self.parts} parts in every picture, at least "
                f"{100 * at_least:.1f} % with {100 * self.confidence:g} %)"
            )
        return (
            f"the strongest cell of the map touches the marked defect in {self.hits}/"
            f"{self.pictures}{bound}, by chance {100 * self.chance:.1f} %; "
            f"{100 * self.inside:.1f} % of its strength lies there{out}"
        )


def pointing(data: Data, model: Path, spec: ImageSpec, confidence: float) -> Pointing | None:
    """None where the model has no map, or no golden defect is marked. spec: what the model sees.

    Nothing is decided by it, so marks that do not fit their picture stop no release.
    """
    if not has_map(model):
        return None
    session = open_session(model)
    hits, left_out, chances, shares = 0, 0, list[float](), list[float]()
    numbers, parts = part_numbers(data.images), dict[int, bool]()
    for sample, rows in _marked(data).items():
        try:
            image = decode(sample.image.read_bytes())
            covered = read_marks(sample, *image.shape[:2]).covered
        except (OSError, ValueError):
            left_out += 1
            continue
        if not covered.any():
            continue
        regions = [data.layout.region(i) if data.layout else whole(image) for i in rows]
        found = [session.run([DEFECT_MAP], {INPUT: data.images.pixels[i][None]})[0] for i in rows]
        cells = np.concatenate([each.ravel() for each in found])
        if not np.isfinite(cells).all():
            left_out += 1
            continue
        inside, marked = (
            np.concatenate(
                [
                    _cells(fit(cut(pixels, region), spec), each.shape[1:])
                    for region, each in zip(regions, found, strict=True)
                ]
            )
            for pixels in (np.full_like(image, 255), np.where(covered[..., None], 255, image * 0))
        )
        hit, chance, share = play(cells[inside], marked[inside])
        hits += hit
        part = int(numbers[rows[0]])
        parts[part] = parts.get(part, True) and hit
        chances.append(chance)
        shares.append(share)
    if not chances:
        return None
    return Pointing(
        pictures=len(chances),
        hits=hits,
        parts=len(parts),
        parts_hit=sum(parts.values()),
        chance=float(np.mean(chances)),
        inside=float(np.mean(shares)),
        left_out=left_out,
        confidence=confidence,
    )


def play(cells: NDArray[np.float32], marked: NDArray[np.bool_]) -> tuple[bool, float, float]:
    """Whether the strongest cell is a marked one, the share of cells that are, and the share of the
    map's strength on these.
    """
    strongest = marked[cells == cells.max()]
    hit = 2 * int(strongest.sum()) >= len(strongest)
    total = float(cells.sum())
    return hit, float(marked.mean()), float(cells[marked].sum()) / total if total else 0.0


def _cells(pixels: Image, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which cells of a map hold any pixel that is not black."""
    rows, columns = shape
    small = cv2.resize(
        pixels[..., 0].astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA
    )
    return np.asarray(small > 0.0).ravel()


def _marked(data: Data) -> dict[Sample, list[int]]:
    """Golden pictures with a mask or boxes, and the rows whose maps are shown."""
    found: dict[Sample, list[int]] = {}
    for i in data.rows["golden"].tolist():
        if data.layout is not None and data.layout.overview[i]:
            continue
        sample = data.images.samples[i]
        if sample.mask is not None or sample.boxes:
            found.setdefault(sample, []).append(i)
    return found
