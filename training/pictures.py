"""Which files of a folder are pictures of parts."""

from pathlib import Path

from inspector.contract.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
PICTURE, MAP = ".jpg", ".map.png"
"""As a station's archive calls a picture, and beside it where its bundle saw a defect."""


def pictures_in(folder: Path) -> list[Path]:
    """All of a folder and below, a station's maps left out: they are no pictures of a part.

    Raises DataError where a name is no UTF-8.
    """
    found = {p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES}
    maps = {p for p in found if p.name.endswith(MAP)}
    beside = {p for p in maps if p.with_name(p.name.removesuffix(MAP) + PICTURE) in found}
    for path in (folder, *found):
        require_utf8(path)
    return sorted(found - beside)


def require_utf8(path: Path) -> None:
    """Raises DataError in words: such a name could be written into no report."""
    try:
        str(path).encode()
    except UnicodeEncodeError:  # as unpacking leaves what was packed under another alphabet's
        raise DataError(f"{str(path)!a}: is no name in UTF-8: rename it") from None
