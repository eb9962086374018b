"""Pictures whose class is known, for two bundles to judge: the golden set, and reviewed parts.

A picture is shown as the station judged it: in the area that its recipe named, each of its regions
for itself. A reviewed defect that cannot be shown again is said, never left out: it may be the one
that a candidate would let pass.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from inspector.contract.bundle import Bundle
from inspector.contract.errors import DataError
from inspector.contract.image import Image, cut, decode
from inspector.contract.review import Box
from training.dataset import Dataset
from training.freshness import ALIKE
from training.reviewed import Reviewed, region_of
from training.versions import FACTS, Row, read_facts, read_rows


class Known(NamedTuple):
    """A picture whose class is known, before it is judged."""

    path: Path
    name: str
    part: str
    label: str
    is_golden: bool
    trained: bool
    areas: tuple[Box, ...] = ()
    """What of it was judged, each by itself; empty: all of it."""
    stopped_there: bool = False
    """By the incumbent, at its station."""

    def read(self) -> tuple[list[Image], Image]:
        """What was judged, and what that was cut from. Raises DataError."""
        try:
            image = decode(self.path.read_bytes())
            return [cut(image, region_of(box)) for box in self.areas] or [image], image
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: cannot be read: {error}") from None


def golden_pictures(data: Path, dataset: Dataset, incumbent: Bundle) -> list[Known]:
    """The golden set. data: as for `reviewed_pictures`."""
    stopped = {
        row.sample.name
        for row in _rows_of_stations(data)
        if _stopped(row.origin["bundle"], row.origin["evaluation"], incumbent)
    }
    return [
        Known(
            s.image,
            s.name,
            s.part,
            s.label,
            is_golden=True,
            trained=False,
            stopped_there=s.name in stopped,
        )
        for s in dataset.samples
        if s.split == "golden"
    ]


def reviewed_pictures(
    reviewed: Iterable[Reviewed], data: Path, dataset: Dataset, pair: tuple[Bundle, Bundle]
) -> tuple[list[Known], tuple[str, ...]]:
    """What people agree on, the golden set's own left out where they still say the same of it; and
    what cannot be shown again.

    data: a version of `collect`, or another data set; pair: the candidate and the incumbent.
    """
    candidate, incumbent = pair
    tiles = candidate.manifest.tiles is not None or incumbent.manifest.tiles is not None
    learned = _Learned.of(data, dataset)
    known: list[Known] = []
    gone: list[str] = []
    unclear: list[str] = []
    for part in reviewed:
        if part.label is None or part.label == learned.golden.get(part.key):
            continue
        path: Path | None = part.picture
        areas = _areas(part, tiles=tiles)
        if part.picture_bytes() is None:  # collected pictures may be deleted: the version has them
            path, areas = learned.kept.get(part.key), ()
        if path is None or areas is None:
            if part.label not in candidate.manifest.good:
                (unclear if areas is None else gone).append(part.name)
            continue
        facts = part.facts
        known.append(
            Known(
                path,
                part.name,
                part.part,
                part.label,
                is_golden=False,
                trained=learned.has(part),
                areas=areas,
                stopped_there=_stopped(facts.bundle, facts.evaluation, incumbent),
            )
        )
    return known, _sentences(gone, unclear)


def _stopped(bundle: str, evaluation: str, incumbent: Bundle) -> bool:
    return bundle == incumbent.id and evaluation in ("NOT_OK", "NOT_DECIDABLE")


def _rows_of_stations(data: Path) -> list[Row]:
    """None where it is no version of `collect`."""
    return [row for row in read_rows(data) if row.key] if (data / FACTS).is_file() else []


def _areas(part: Reviewed, *, tiles: bool) -> tuple[Box, ...] | None:
    """What to show of its picture: tiles are cut again from the area around them. None: unknown."""
    judged = part.facts.judged()
    if judged is None:
        return () if part.facts.regions == 1 else None
    return (part.area,) if tiles and part.area else judged


def _sentences(gone: Sequence[str], unclear: Sequence[str]) -> tuple[str, ...]:
    found = []
    for names, why in (
        (gone, "picture is gone or another: put it back, or take the reviews back"),
        (unclear, "judged areas are not known, by an older program's review: review them again"),
    ):
        if names:
            some = f"{', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
            found.append(f"{len(names)} reviewed defects ({some}) whose {why}")
    return tuple(found)


class _Learned(NamedTuple):
    """What of the stations' parts is in the data, or so much like it that it was left out."""

    golden: dict[tuple[str, str], str]
    """What the version calls them."""
    names: frozenset[str]
    pictures: frozenset[str]
    parts: frozenset[str]
    kept: dict[tuple[str, str], Path]
    """Pictures that the version has, as they were judged."""

    @classmethod
    def of(cls, data: Path, dataset: Dataset) -> Self:
        parts = frozenset(s.part for s in dataset.samples if s.split != "golden")
        if not (data / FACTS).is_file():  # no version of `collect`: it has no station's parts
            return cls({}, frozenset(), frozenset(), parts, {})
        rows = _rows_of_stations(data)
        twins = [each.part for each in read_facts(data).left_out if each.why in ALIKE]
        return cls(
            golden={
                row.key: row.sample.label
                for row in rows
                if row.key and row.sample.split == "golden"
            },
            names=frozenset(_stem(name) for name in (*twins, *(row.sample.name for row in rows))),
            pictures=frozenset(row.origin["image_sha256"] for row in rows),
            parts=parts,
            kept={row.key: row.sample.image for row in rows if row.key},
        )

    def has(self, part: Reviewed) -> bool:
        facts = part.facts
        return (
            part.name in self.names
            or facts.image_sha256 in self.pictures
            or part.part in self.parts
        )


def _stem(name: str) -> str:
    """Of a picture in a version: STATION/RESULT."""
    return name.removesuffix(".jpg").removesuffix(".png")
