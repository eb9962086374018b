"""Which files of a folder are pictures of parts, and what an archive calls its own."""

from pathlib import Path
from typing import Final

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
SUFFIX: Final = ".jpg"
"""Ending of a part's picture in an archive."""
MAP: Final = ".map.png"
"""Beside it, where the bundle saw a defect: a picture of no part."""


def pictures_in(folder: Path) -> list[Path]:
    """All of the folder and below by their endings, in order; an archive's maps are left out, and
    what is hidden: macOS lays a ._NAME.png beside each picture, and a stick has its own bin."""
    named = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    found = {path for path in named if not _hidden(path.relative_to(folder))}
    maps = {path for path in found if path.name.endswith(MAP)}
    beside = {
        path for path in maps if path.with_name(path.name.removesuffix(MAP) + SUFFIX) in found
    }
    return sorted(found - beside)


def _hidden(path: Path) -> bool:
    return any(step.startswith(".") for step in path.parts)
