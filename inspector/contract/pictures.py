"""Which files of a folder are pictures of parts, and what an archive calls its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
SUFFIX: Final = ".jpg"
"""Ending of a part's picture in an archive."""
MAP: Final = ".map.png"
"""Beside it, where the bundle saw a defect: a picture of no part."""


def pictures_in(folder: Path) -> list[Path]:
    """All of the folder and below by their endings, in order; an archive's maps are left out, and
    what is hidden: macOS lays a ._NAME.png beside each picture, and a stick has its own bin.
    Folders that are linked to are looked into too."""
    found = {path for path in _files_in(folder, set()) if path.suffix.lower() in SUFFIXES}
    maps = {path for path in found if path.name.endswith(MAP)}
    beside = {
        path for path in maps if path.with_name(path.name.removesuffix(MAP) + SUFFIX) in found
    }
    return sorted(found - beside)


def _files_in(folder: Path, above: set[Path]) -> Iterator[Path]:
    """above: the folders that it lies in, wherever they are, since a link may lead back."""
    where = folder.resolve()
    if where in above or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files_in(path, above | {where})
        else:
            yield path
