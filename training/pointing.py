"""Whether the defect map points at the defect: held to the marks of the golden set's pictures.

Zhang et al. 2018 (arXiv:1608.00507) call it the pointing game. It is played on what a person at the
station sees: the maps of a picture's regions put together.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.contract.bounds import lower_bound
from inspector.contract.defect_map import LEAST, MOST, UNSEEN, Grid, RegionMaps, put_together
from inspector.contract.image import ImageSpec, decode, whole
from inspector.contract.strict import Strict
from training.dataset import Sample
from training.export import DEFECT_MAP, INPUT, has_map, open_session
from training.job import Data
from training.masks import Mask, read_marks


class Pointing(Strict):
    """On golden defects that carry a mask or boxes, by the shipped model."""

    pictures: int
    hits: int
    """Where most of the strongest places of the map touch a mark."""
    chance: float
    """Mean share of a picture's places that touch a mark: the hits of a map drawn by lot."""
    inside: float
    """Mean share of the map's strength that lies on places that touch a mark."""
    left_out: int
    """Pictures whose marks, or whose map, could not be used."""
    confidence: float

    @property
    def sentence(self) -> str:
        at_least = lower_bound(self.hits, self.pictures, self.confidence)
        out = (
            f"; {self.left_out} pictures left out: no usable marks or map" if self.left_out else ""
        )
        return (
            f"the strongest place of the map touches the marked defect in {self.hits}/"
            f"{self.pictures}, at least {100 * at_least:.1f} % ({100 * self.confidence:g} %), by "
            f"chance {100 * self.chance:.1f} %; {100 * self.inside:.1f} % of its strength lies "
            f"there{out}"
        )


def pointing(data: Data, model: Path, spec: ImageSpec, confidence: float) -> Pointing | None:
    """None where the model has no map, or no golden defect is marked. spec: what the model sees.

    Nothing is decided by it, so marks that do not fit their picture stop no release.
    """
    if not has_map(model):
        return None
    session = open_session(model)
    hits, left_out, chances, shares = 0, 0, list[float](), list[float]()
    for sample, rows in _marked(data).items():
        try:
            image = decode(sample.image.read_bytes())
            covered = read_marks(sample, *image.shape[:2]).covered
        except (OSError, ValueError):
            left_out += 1
            continue
        if not covered.any():
            continue
        regions = tuple(data.layout.region(i) if data.layout else whole(image) for i in rows)
        cells = [session.run([DEFECT_MAP], {INPUT: data.images.pixels[i][None]})[0] for i in rows]
        maps = RegionMaps(regions, tuple(each[0] for each in cells), spec)
        grid = put_together(maps, image.shape[1], image.shape[0])
        if grid is None:
            left_out += 1
            continue
        hit, chance, share = play(grid, covered)
        hits += hit
        chances.append(chance)
        shares.append(share)
    if not chances:
        return None
    return Pointing(
        pictures=len(chances),
        hits=hits,
        chance=float(np.mean(chances)),
        inside=float(np.mean(shares)),
        left_out=left_out,
        confidence=confidence,
    )


def play(grid: Grid, covered: Mask) -> tuple[bool, float, float]:
    """Whether most of the strongest places touch a mark, the share of places that do, and the share
    of the map's strength on these.
    """
    seen = grid != UNSEEN
    touched = _touched(covered, *grid.shape) & seen
    strength = np.where(seen, grid.astype(np.float64) - LEAST, 0.0) / (MOST - LEAST)
    strongest = seen & (grid == grid.max())
    hit = 2 * int((touched & strongest).sum()) >= int(strongest.sum())
    total = strength.sum()
    inside = strength[touched].sum() / total if total else 0.0
    return hit, float(touched.sum() / seen.sum()), float(inside)


def _touched(covered: Mask, rows: int, columns: int) -> NDArray[np.bool_]:
    """Which places of a grid over the picture hold any marked pixel."""
    shares = cv2.resize(covered.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(shares > 0.0)


def _marked(data: Data) -> dict[Sample, list[int]]:
    """Golden pictures with a mask or boxes, and the rows they are judged in."""
    found: dict[Sample, list[int]] = {}
    for i in data.rows["golden"].tolist():
        sample = data.images.samples[i]
        if sample.mask is not None or sample.boxes:
            found.setdefault(sample, []).append(i)
    return found
