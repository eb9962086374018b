"""The picture to look at after commissioning: the right parts, the right view, limits that fit?"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from inspector.contract.image import Image
from inspector.station.attest_rule import LANDMARK, Attest, Range, reference_of

TILE = 320
PLOT_HEIGHT = 110
COLUMNS = 4
BINS = 40
EXTREMES = {"sharpness": ("blurriest", "sharpest"), "brightness": ("darkest", "brightest")}
INK, QUIET, LIMIT = (30, 30, 30), (190, 190, 190), (40, 40, 220)


def draw(images: Sequence[Image], rule: Attest, figures: dict[str, list[float]]) -> Image:
    """Reference, extremes of sharpness and brightness, and each figure's histogram with limits."""
    tiles = [_picture("reference", _reference(rule))] if rule.reference else []
    for name, words in EXTREMES.items():
        seen = figures.get(name)
        if seen:
            for word, at in zip(words, (int(np.argmin(seen)), int(np.argmax(seen))), strict=True):
                tiles.append(_picture(f"{word} good part: {name} {seen[at]:.4g}", images[at]))
    plots = [_plot(name, seen, getattr(rule, name)) for name, seen in figures.items()]
    return np.vstack([*_rows(tiles), *_rows(plots)])


def write_sheet(path: Path, sheet: Image) -> None:
    """Raises OSError where it cannot be written."""
    done, data = cv2.imencode(".png", sheet)
    if not done:
        raise OSError(f"{path}: cannot be encoded")
    path.write_bytes(data.tobytes())


def _reference(rule: Attest) -> Image:
    """With its landmarks framed."""
    grey = reference_of(rule.reference or "")
    out = np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    for x, y in rule.landmarks:
        cv2.rectangle(out, (x, y), (x + LANDMARK - 1, y + LANDMARK - 1), LIMIT, 1)
    return out


def _rows(tiles: list[Image]) -> list[Image]:
    rows = []
    for first in range(0, len(tiles), COLUMNS):
        row = tiles[first : first + COLUMNS]
        height = max(tile.shape[0] for tile in row)
        row += [np.full((height, TILE, 3), 255, np.uint8)] * (COLUMNS - len(row))
        rows.append(np.hstack([_padded(tile, height) for tile in row]))
    return rows


def _padded(tile: Image, height: int) -> Image:
    out = np.full((height, TILE, 3), 255, np.uint8)
    out[: tile.shape[0]] = tile
    return out


def _picture(caption: str, image: Image) -> Image:
    height, width = image.shape[:2]
    scale = min(TILE / width, TILE / height)
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    out = np.full((size[1] + 24, TILE, 3), 255, np.uint8)
    out[24:, : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return _text(out, caption, (4, 16))


def _plot(name: str, seen: Sequence[float], limits: Range) -> Image:
    ends = [end for end in (limits.min, limits.max) if end is not None]
    low, high = min([*seen, *ends]), max([*seen, *ends])
    low, high = low - 0.05 * (high - low + 1e-9), high + 0.05 * (high - low + 1e-9)
    counts, _ = np.histogram(seen, BINS, (low, high))
    out = np.full((PLOT_HEIGHT, TILE, 3), 255, np.uint8)
    floor, top = PLOT_HEIGHT - 20, 24
    for i, count in enumerate(counts):
        x = 10 + i * (TILE - 20) // BINS
        tall = int((floor - top) * count / max(1, counts.max()))
        cv2.rectangle(out, (x, floor - tall), (x + (TILE - 20) // BINS - 1, floor), QUIET, -1)
    for end in ends:
        x = 10 + int((end - low) / (high - low) * (TILE - 20))
        cv2.line(out, (x, top), (x, floor), LIMIT, 1)
    said = " ".join(f"{end:.4g}" for end in ends)
    middle = float(np.median(seen))
    _text(out, f"{name}: median {middle:.4g}, limits {said}", (4, 14))
    return _text(out, f"{low:.4g}", (4, PLOT_HEIGHT - 5))


def _text(image: Image, text: str, at: tuple[int, int]) -> Image:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
    return image
