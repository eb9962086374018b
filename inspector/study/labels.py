"""Parts whose truth is known: a folder by class, a CSV of pictures, or a CSV of part ids."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from inspector.contract.bundle import file_sha256
from inspector.contract.errors import ConfigError, FrameError
from inspector.contract.pictures import pictures_in
from inspector.contract.table import beyond_head
from inspector.devices.camera_replay import read_image, shown

GOOD_WORD, DEFECT_WORD = "OK", "NOT_OK"
"""May stand for a label where nobody noted which defect it was."""
COLUMNS = {
    "image": ("image", "file", "filename", "path"),
    "label": ("label", "class"),
    "part": ("part", "part_id", "part id"),
}
"""As in the manifests that a plan is trained on."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One part, and what it truly is."""

    part: str
    label: str
    pictures: tuple[Path, ...] = ()
    """Empty where only the part's id is known."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What a label means."""

    good: frozenset[str]
    defects: frozenset[str]

    def is_good(self, label: str) -> bool:
        return label in self.good

    @classmethod
    def of(cls, labels: Iterable[str], good: Iterable[str], further: Iterable[str] = ()) -> "Truth":
        """labels, good: the bundle's; further: defect classes that the bundle need not know."""
        accepted = frozenset(good)
        defects = (frozenset(labels) | frozenset(further)) - accepted
        return cls(accepted | {GOOD_WORD}, defects | {DEFECT_WORD})


def require_known(parts: Iterable[Labelled], truth: Truth, where: str) -> None:
    """A slip in a label must not make a good part a defect. Raises ConfigError."""
    known = truth.good | truth.defects
    for part in parts:
        if part.label not in known:
            raise ConfigError(
                f"{where}: part {part.part}: label {part.label!r}: must be one of "
                f"{', '.join(sorted(known))}"
            )


def read_pictures(path: Path) -> list[Labelled]:
    """A CSV with image, label and, where a part has several, part; or a folder LABEL/PICTURE, or
    LABEL/PART/PICTURE. Raises ConfigError in words.
    """
    found = _from_folder(path) if path.is_dir() else _from_list(path)
    parts = _gathered(found, str(path))
    absent = next((p for each in parts for p in each.pictures if not p.is_file()), None)
    if absent is not None:
        raise ConfigError(f"{path}: {absent} is not there")
    return parts


def require_different(parts: Iterable[Labelled], where: str) -> None:
    """A copied picture is no further part, and no further look at one: it would only make the
    study look surer than it is. Saved again in another form it is one still. Raises ConfigError.
    """
    seen: dict[str, tuple[str, Path]] = {}
    for part in parts:
        for path in part.pictures:
            known = _pixels_of(path)
            if known in seen:
                other, first = seen[known]
                raise ConfigError(
                    f"{where}: part {part.part}: {path} has every pixel of {first} of part "
                    f"{other}: a copy tells nothing new"
                )
            seen[known] = part.part, path


def _pixels_of(path: Path) -> str:
    """Of one that is no picture, its bytes. Raises ConfigError."""
    try:
        image = read_image(path, path.name)
        return f"{image.shape} {sha256(image.tobytes()).hexdigest()}"
    except FrameError:
        try:
            return file_sha256(path)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def read_labels(path: Path) -> list[Labelled]:
    """A CSV with part and label: what people found. Raises ConfigError in words."""
    rows = _rows(path, ("part", "label"))
    return _gathered([(row["part"], row["label"], None) for row in rows], str(path))


def _from_list(path: Path) -> list[tuple[str, str, Path | None]]:
    """A picture whose part is not named is a part of its own, called as short as is clear."""
    rows = _rows(path, ("image", "label"))
    stems = Counter(Path(row["image"]).stem for row in rows if not row.get("part"))
    found: list[tuple[str, str, Path | None]] = []
    for row in rows:
        stem = Path(row["image"]).stem
        alone = stem if stems[stem] == 1 else str(Path(row["image"]).with_suffix(""))
        found.append((row.get("part") or alone, row["label"], path.parent / row["image"]))
    return found


def _from_folder(folder: Path) -> list[tuple[str, str, Path | None]]:
    found: list[tuple[str, str, Path | None]] = []
    for path in filter(Path.is_file, pictures_in(folder)):
        below = path.relative_to(folder).parts
        if len(below) not in (2, 3):
            raise ConfigError(
                f"{folder}: {shown(str(path.relative_to(folder)))}: must be LABEL/PICTURE or "
                "LABEL/PART/PICTURE"
            )
        part = below[1] if len(below) == 3 else f"{below[0]}/{path.stem}"
        found.append((shown(part), shown(below[0]), path))
    return found


def _rows(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """The named columns of each line, whatever they are called there."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            heads = {(head or "").strip().lower(): head for head in reader.fieldnames or ()}
            columns = {
                name: heads[alias]
                for name, aliases in COLUMNS.items()
                for alias in reversed(aliases)
                if alias in heads
            }
            lacking = [name for name in needed if name not in columns]
            if lacking:
                raise ConfigError(
                    f"{path}: needs the columns {' and '.join(needed)}; there are: "
                    f"{', '.join(heads) or 'none'}"
                )
            return list(_cells(path, reader, columns, needed))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file or folder") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def _cells(
    path: Path,
    reader: "csv.DictReader[str]",
    columns: Mapping[str, str],
    needed: tuple[str, ...],
) -> Iterator[dict[str, str]]:
    for row in reader:
        cells = {name: (row[head] or "").strip() for name, head in columns.items()}
        empty = [name for name in needed if not cells[name]]
        wrong = f"{empty[0]} is empty" if empty else beyond_head(row)
        if wrong:
            raise ConfigError(f"{path}: line {reader.line_num}: {wrong}")
        yield cells


def _gathered(found: Iterable[tuple[str, str, Path | None]], where: str) -> list[Labelled]:
    """One a part, in the order they first came. Raises ConfigError for two truths of one part."""
    labels: dict[str, str] = {}
    pictures: dict[str, list[Path]] = {}
    for part, label, picture in found:
        if labels.setdefault(part, label) != label:
            raise ConfigError(
                f"{where}: part {part}: is labelled {labels[part]!r} and {label!r}: a part has "
                "one truth"
            )
        pictures.setdefault(part, []).extend([picture] if picture else [])
    if not labels:
        raise ConfigError(f"{where}: there are no parts in it")
    return [Labelled(part, label, tuple(pictures[part])) for part, label in labels.items()]
