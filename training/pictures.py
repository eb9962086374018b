"""Which files of a folder are pictures of parts."""

from pathlib import Path

from inspector.contract import pictures
from inspector.contract.errors import DataError


def pictures_in(folder: Path) -> list[Path]:
    """All of a folder and below, a station's maps left out: they are no pictures of a part.

    Raises DataError where a name is no UTF-8.
    """
    found = pictures.pictures_in(folder)
    for path in (folder, *found):
        require_utf8(path)
    return found


def require_utf8(path: Path) -> None:
    """Raises DataError in words: such a name could be written into no report."""
    try:
        str(path).encode()
    except UnicodeEncodeError:  # as unpacking leaves what was packed under another alphabet's
        raise DataError(f"{str(path)!a}: is no name in UTF-8: rename it") from None
