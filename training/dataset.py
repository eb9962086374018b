"""Labelled images as people have them, and the parts they are of."""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from inspector.contract.errors import DataError
from inspector.contract.pictures import SUFFIXES
from inspector.contract.review import class_said
from inspector.contract.table import beyond_head
from training.pictures import pictures_in, require_utf8
from training.plan import fingerprint

SplitName = Literal["train", "validation", "calibration", "golden"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "calibration", "golden")
_SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "calibration": "calibration",
    "test": "golden",
    "golden": "golden",
}
_COLUMNS = {
    "image": ("image", "file", "filename", "path"),
    "label": ("label", "class"),
    "part": ("part", "part_id", "part id", "group"),
    "split": ("split",),
    "severity": ("severity",),
    "mask": ("mask",),
    "boxes": ("boxes", "bbox"),
}

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the picture."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of one part."""

    image: Path
    name: str
    """The image's path below the data folder: names it in reports on any machine."""
    label: str
    part: str
    split: SplitName | None = None
    severity: float | None = None
    mask: Path | None = None
    """A picture of the image's size, white where the defect is."""
    boxes: tuple[Box, ...] = ()
    """Around each defect."""


@dataclass(frozen=True, slots=True)
class Dataset:
    samples: tuple[Sample, ...]
    layout: str
    """How it was read, in words."""

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({sample.label for sample in self.samples}))

    def fingerprint(self, *, marks: bool = False) -> str:
        """Changes with every file's bytes, label, part and split; not with where it lies.

        marks: also with masks and boxes, for a plan that trains on them.
        """
        rows = [
            (s.name, s.label, s.part, s.split, s.severity, _digest(s.image)) for s in self.samples
        ]
        whole = fingerprint(sorted(rows, key=lambda row: row[0]))
        if not marks:
            return whole
        marked = [(s.name, _digest(s.mask) if s.mask else "", s.boxes) for s in self.samples]
        return fingerprint(whole, sorted(marked))


def read_dataset(data: Path) -> Dataset:
    """Read a manifest CSV, a folder that holds `manifest.csv`, or a folder of class folders.

    Raises DataError in words where there is nothing to train on.
    """
    if data.is_file():
        return _read_manifest(data)
    if not data.is_dir():
        raise DataError(f"{data}: there is no such file or folder")
    if (data / "manifest.csv").is_file():
        return _read_manifest(data / "manifest.csv")
    folders = _folders_in(data)
    names = {folder.name.lower() for folder in folders}
    if "ground_truth" in names:
        return _read_mvtec(data, {folder.name.lower(): folder for folder in folders})
    if names and names <= set(_SPLIT_FOLDERS):
        samples = [
            sample
            for folder in folders
            for sample in _read_classes(data, folder, _SPLIT_FOLDERS[folder.name.lower()])
        ]
        return _checked(samples, f"{data}: class folders below {', '.join(sorted(names))}")
    return _checked(_read_classes(data, data, None), f"{data}: a folder per class")


def _folders_in(folder: Path) -> list[Path]:
    """Of classes, or of sets; hidden ones are none: a stick has its own bin."""
    return [p for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")]


def _read_classes(root: Path, folder: Path, split: SplitName | None) -> list[Sample]:
    return [
        Sample(image, str(image.relative_to(root)), label.name, _part_of(root, image), split)
        for label in _folders_in(folder)
        for image in pictures_in(label)
    ]


def _read_mvtec(root: Path, folders: dict[str, Path]) -> Dataset:
    """MVTec's layout: train/good, test/CLASS, ground_truth/CLASS/NAME_mask.png.

    It keeps every defect in test, for methods that learn from good parts alone; a classifier
    must see some, so its split is not used and the pictures are split anew.
    """
    samples: list[Sample] = []
    of: dict[Path, Sample] = {}
    for name in ("train", "test"):
        if name not in folders:
            raise DataError(f"{root}: has ground_truth, as MVTec's layout, but no folder {name}")
        for sample in _read_classes(root, folders[name], None):
            below = sample.image.relative_to(folders[name])
            mask = folders["ground_truth"] / below.with_name(f"{below.stem}_mask.png")
            if not mask.is_file():
                samples.append(sample)
                continue
            samples.append(replace(sample, mask=mask))
            if of.setdefault(mask, sample) is not sample:
                raise DataError(
                    f"{mask}: may be of {of[mask].name} or of {sample.name}: rename one of them, "
                    f"or name the masks in a manifest"
                )
    return _checked(samples, f"{root}: MVTec layout, split anew")


def _read_manifest(path: Path) -> Dataset:
    """image, label, then if known part, split, severity, mask, boxes; paths are relative to it."""
    require_utf8(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from None
    if not rows:
        raise DataError(f"{path}: holds no rows")
    header = [name for name in rows[0] if name is not None]
    columns = _find_columns(path, header)
    for number, row in enumerate(rows, start=2):
        shifted = beyond_head(row)
        if shifted:
            raise DataError(f"{path}, line {number}: {shifted}")
    samples = [
        _sample_of(path, number, {key: row.get(name) for key, name in columns.items()})
        for number, row in enumerate(rows, start=2)
    ]
    unread = ", ".join(name for name in header if name not in columns.values())
    return _checked(samples, f"{path}: manifest" + (f"; not read: {unread}" if unread else ""))


def _find_columns(path: Path, header: list[str]) -> dict[str, str]:
    known = {name.strip().lower(): name for name in header}
    found = {}
    for key, names in _COLUMNS.items():
        for name in names:
            if name in known:
                found[key] = known[name]
                break
    for key in ("image", "label"):
        if key not in found:
            raise DataError(
                f"{path}: has no column {key!r}; it has {', '.join(header)}; "
                f"allowed: {', '.join(_COLUMNS)}"
            )
    return found


def _sample_of(path: Path, number: int, row: dict[str, str | None]) -> Sample:
    values = {key: (value or "").strip() for key, value in row.items()}
    where = f"{path}, line {number}"
    if not values["image"] or not values["label"]:
        raise DataError(f"{where}: image and label must not be empty")
    image = path.parent / values["image"]
    split = values.get("split", "").lower()
    if split and split not in _SPLIT_FOLDERS:
        raise DataError(f"{where}: split {split!r}: must be one of {', '.join(_SPLIT_FOLDERS)}")
    return Sample(
        image=image,
        name=values["image"],
        label=values["label"],
        part=values.get("part") or _part_of(path.parent, image),
        split=_SPLIT_FOLDERS[split] if split else None,
        severity=_severity(where, values.get("severity", "")),
        mask=path.parent / values["mask"] if values.get("mask") else None,
        boxes=_boxes(where, values.get("boxes", "")),
    )


def _boxes(where: str, text: str) -> tuple[Box, ...]:
    """x,y,width,height of each defect, with semicolons between them."""
    boxes: list[Box] = []
    for box in filter(None, (each.strip() for each in text.split(";"))):
        try:
            x, y, width, height = (int(number) for number in box.split(","))
        except ValueError:
            x = y = width = height = -1
        if min(x, y) < 0 or min(width, height) < 1:
            raise DataError(
                f"{where}: boxes {box!r}: must be x,y,width,height in whole pixels, "
                f"several with ';' between them"
            )
        boxes.append((x, y, width, height))
    return tuple(boxes)


def _severity(where: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise DataError(f"{where}: severity {text!r}: must be a number from 0 to 1")
    return value


def _part_of(root: Path, image: Path) -> str:
    """Without a part id each image is a part of its own."""
    try:
        return str(image.relative_to(root).with_suffix(""))
    except ValueError:
        return str(image.with_suffix(""))


def _checked(samples: list[Sample], layout: str) -> Dataset:
    if not samples:
        raise DataError(f"{layout}: holds no image ({', '.join(sorted(SUFFIXES))})")
    twice = [name for name, count in Counter(s.name for s in samples).items() if count > 1]
    if twice:
        raise DataError(f"{layout}: {twice[0]} is listed twice")
    return Dataset(tuple(sorted(samples, key=lambda sample: sample.name)), layout)


def require_trainable(samples: Iterable[Sample], good: Iterable[str], where: str) -> None:
    """Refuse in words what cannot work. Raises DataError."""
    counts = Counter(sample.label for sample in samples)
    have = ", ".join(f"{label} {counts[label]}" for label in sorted(counts))
    if len(counts) < 2:
        raise DataError(f"{where}: only one class ({have}); at least two are needed")
    written: dict[str, str] = {}
    for label in sorted(counts):
        other = written.setdefault(class_said(label), label)
        if other != label:
            raise DataError(f"{where}: classes {other!r} and {label!r} ({have}): are they one?")
    wanted = set(good)
    unknown = sorted(wanted - set(counts))
    if unknown:
        raise DataError(f"plan: good {unknown[0]!r}: no such class here; there are {have}")
    if wanted == set(counts):
        raise DataError(f"plan: good names every class ({have}); then nothing is a defect")


def subset(dataset: Dataset, images: int = 12, each_min: int = 5) -> Dataset:
    """About a dozen images, evenly from every class and each of another part: for --smoke.

    each_min: of a class; one for each of four sets, and one more to train on, since what differs
    within a class is what novelty is measured by.
    """
    chosen: list[Sample] = []
    each = max(each_min, images // len(dataset.labels))
    for label in dataset.labels:
        of_parts = {s.part: s for s in dataset.samples if s.label == label}
        mine = list(of_parts.values())
        step = max(1, len(mine) // each)
        chosen += [replace(sample, split=None) for sample in mine[::step][:each]]
    return _checked(chosen, f"{dataset.layout}, {len(chosen)} images of it")


def _digest(path: Path) -> str:
    """Of the file's bytes; a file that cannot be read is for the scan to report."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"
