"""Versions of a line's data set: v0001, v0002 ... in one folder, each whole and never changed.

A version is what `--data` takes: manifest.csv with a set for every picture and, for those from
stations, where each comes from; the pictures; collected.json with what was new and what was left
out. Pictures that versions share are one file under several names (hard links).
"""

import csv
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from inspector.contract.errors import DataError
from inspector.contract.strict import Strict
from inspector.contract.whole import write_whole
from training.dataset import SPLITS, Sample, SplitName, read_dataset

MANIFEST = "manifest.csv"
FACTS = "collected.json"
SAMPLE_COLUMNS = ("image", "label", "part", "split", "severity", "mask", "boxes")
ORIGIN_COLUMNS = (
    "station",
    "result_id",
    "boot",
    "seq",
    "part_id",
    "captured_at",
    "bundle",
    "evaluation",
    "score",
    "reviewers",
    "reviewed_at",
    "image_sha256",
)
"""Of pictures that stations took: which part it was, what judged it, who said what it is."""
_NAME = re.compile(r"v(\d{4,})")


@dataclass(frozen=True, slots=True)
class Row:
    """A picture of a version: from the line's first data, or from a station."""

    sample: Sample
    """`image` is where the picture lies now; `name` where it lies in the version."""
    origin: dict[str, str] = field(default_factory=dict)
    """By ORIGIN_COLUMNS; empty where no station took it."""
    data: bytes | None = None
    """The picture's bytes, where it is no file yet."""

    @property
    def key(self) -> tuple[str, str] | None:
        """Station and result; None where no station took it."""
        return (self.origin["station"], self.origin["result_id"]) if self.origin else None


class LeftOut(Strict):
    """A reviewed part that is not in the version."""

    why: str
    part: str
    what: str = ""


class Collected(Strict):
    """What a version holds and what is new in it: collected.json."""

    name: str
    before: str | None
    """The version it was made from; None: the data of `from_bundle`."""
    from_bundle: str
    """The bundle whose sets the first version keeps."""
    tiles: bool
    """Its model judges tiles: pictures are kept whole."""
    plan: str
    counts: dict[str, dict[str, int]]
    """Pictures by class and set."""
    new: dict[str, dict[str, int]]
    """Of these, those that came with this version."""
    stations: dict[str, int]
    """Pictures that each took."""
    seen: dict[str, int]
    """Pictures of each class that stations took."""
    added: tuple[str, ...]
    changed: tuple[str, ...]
    """Parts whose label was changed, or that were taken out again."""
    left_out: tuple[LeftOut, ...]
    opinions: dict[str, int]
    """Parts with one label, with two that agree, and with two that do not."""


def newest(into: Path) -> Path | None:
    """The version with the highest number; None where there is none yet."""
    found = all_versions(into)
    return found[-1] if found else None


def all_versions(into: Path) -> list[Path]:
    """The oldest first."""
    found = [(int(m[1]), p) for p in into.glob("v*") if (m := _NAME.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def next_name(before: Path | None) -> str:
    return f"v{int(before.name[1:]) + 1 if before else 1:04d}"


def read_facts(version: Path) -> Collected:
    """Raises DataError where it is no version."""
    try:
        return Collected.model_validate_json((version / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{version}: is no version of a data set: {error}") from None


def read_rows(version: Path) -> list[Row]:
    """Raises DataError in words."""
    with (version / MANIFEST).open(newline="", encoding="utf-8") as file:
        origins = {row["image"]: row for row in csv.DictReader(file)}
    rows = []
    for sample in read_dataset(version).samples:
        said = origins[sample.name]
        origin = {name: said[name] for name in ORIGIN_COLUMNS} if said["station"] else {}
        rows.append(Row(sample, origin))
    return rows


def write_version(into: Path, facts: Collected, rows: Iterable[Row]) -> Path:
    """Put a version in place whole; returns its folder.

    Pictures of the version before, which nobody changes, are linked, others copied. Raises
    DataError where it cannot be put there.
    """
    draft = into / f".draft-{facts.name}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    with (draft / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*SAMPLE_COLUMNS, *ORIGIN_COLUMNS))
        for row in sorted(rows, key=lambda each: each.sample.name):
            mask = _place(row, draft, linked=facts.before is not None)
            writer.writerow((*_values(row.sample, mask), *_origin(row)))
    write_whole(draft / FACTS, facts.model_dump_json(indent=1).encode())
    os.sync()  # all of its files, before any of it can be taken for whole
    version = into / facts.name
    try:
        draft.rename(version)
    except OSError as error:
        raise DataError(f"{version}: cannot be put in place: {error.strerror}") from None
    return version


def _place(row: Row, draft: Path, *, linked: bool) -> str:
    """Put a picture, and its mask, into the draft; the mask's name there."""
    sample = row.sample
    path = draft / sample.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if row.data is not None:
        path.write_bytes(row.data)
    else:
        _same_file(sample.image, path, linked=linked)
    if sample.mask is None:
        return ""
    mask = f"masks/{sample.name}.png"
    (draft / mask).parent.mkdir(parents=True, exist_ok=True)
    _same_file(sample.mask, draft / mask, linked=linked)
    return mask


def _same_file(source: Path, target: Path, *, linked: bool) -> None:
    if not linked:
        shutil.copyfile(source, target)
        return
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _values(sample: Sample, mask: str) -> tuple[str, ...]:
    severity = "" if sample.severity is None else f"{sample.severity:g}"
    boxes = ";".join(",".join(map(str, box)) for box in sample.boxes)
    return (sample.name, sample.label, sample.part, sample.split or "", severity, mask, boxes)


def _origin(row: Row) -> tuple[str, ...]:
    return tuple(row.origin.get(name, "") for name in ORIGIN_COLUMNS)


def by_class(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Pictures of each class in each set."""
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        split: SplitName = row.sample.split or "train"
        mine = counts.setdefault(row.sample.label, {})
        mine[split] = mine.get(split, 0) + 1
    return dict(sorted(counts.items()))


def lines(facts: Collected, *, is_new: bool) -> list[str]:
    """What a version holds and what is new, for a person. is_new: whether it was written now; no
    file says else what was left out, and each is named.
    """
    form = "{:<20}" + " {:>14}" * len(SPLITS)
    table = [form.format("class", *SPLITS)]
    for label, counts in facts.counts.items():
        new = facts.new.get(label, {})
        cells = [
            f"{counts.get(split, 0)}" + (f" (+{new[split]})" if new.get(split) else "")
            for split in SPLITS
        ]
        table.append(form.format(label, *cells))
    stations = ", ".join(f"{name} {n}" for name, n in facts.stations.items()) or "none"
    opinions = ", ".join(f"{name}: {n}" for name, n in facts.opinions.items())
    said = [*table, f"from stations: {stations}", f"opinions of reviewed parts: {opinions}"]
    said += [f"changed: {words}" for words in facts.changed]
    for why, count in sorted(Counter(each.why for each in facts.left_out).items()):
        said.append(f"left out, {why}: {count}")
        shown = [each for each in facts.left_out if each.why == why][: 5 if is_new else None]
        said += [f"  {each.part} {each.what}".rstrip() for each in shown]
        if count > len(shown):
            said.append(f"  and {count - len(shown)} more, in collected.json")
    return said + _one_sided(facts)


def _one_sided(facts: Collected) -> list[str]:
    """Classes that only stations have pictures of, while others have none from there.

    A model may then learn how a station's pictures look (light, JPEG) in place of the defect.
    """
    if not facts.stations:
        return []
    alone = [label for label, n in facts.seen.items() if n == sum(facts.counts[label].values())]
    absent = sorted(set(facts.counts) - set(facts.seen))
    if not alone or not absent:
        return []
    return [
        f"note: all pictures of {', '.join(alone)} are from stations, none of {', '.join(absent)}: "
        f"review some of those there too (the audit), or the camera is learned with the defect"
    ]
