"""Which new pictures are new indeed, and which must not train: twins of what there is already."""

import hashlib
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from inspector.contract.errors import DataError
from inspector.contract.image import Image, decode
from training.dataset import SPLITS
from training.scan import face, near_twins
from training.split import groups_of
from training.versions import LeftOut, Row

SAME, NEARLY = "same picture as another", "nearly the same as another"
ALIKE = (SAME, NEARLY)
"""Left out for being in the data already: whoever trains on it has seen them."""
_Twins = tuple[tuple[int, int], ...]


class Freshness:
    """Looks at every picture once; says what it leaves out, and why."""

    def __init__(self, near_at: float, left_out: list[LeftOut]) -> None:
        """near_at: as split.near_duplicate_at."""
        self._near_at = near_at
        self._left_out = left_out
        self._faces: dict[str, NDArray[np.float32]] = {}
        self._digests: dict[str, str] = {}
        self._asked: tuple[list[str], _Twins] = ([], ())

    def of(
        self,
        rows: list[Row],
        fresh: list[Row],
        bar: Callable[[Iterable[Row], int], Iterable[Row]],
    ) -> list[Row]:
        """The rows there are, and those of `fresh` that add something and leak nothing.

        Raises DataError where a picture that was there is gone.
        """
        for row in bar([*rows, *fresh], len(rows) + len(fresh)):
            picture = _read(row)
            self._faces[row.sample.name] = face(picture)
            self._digests[row.sample.name] = hashlib.sha256(picture.tobytes()).hexdigest()
        fresh = self._of_other_parts(rows, fresh)
        fresh = self._of_other_pixels(rows, fresh)
        both = self._unlike(rows, fresh)
        return self._apart(both)

    def twins(self, rows: list[Row]) -> _Twins:
        """Pairs of rows that are nearly the same picture."""
        names = [row.sample.name for row in rows]
        if len(names) < 2:
            return ()
        if self._asked[0] != names:  # every picture is compared with every other
            faces = np.stack([self._faces[name] for name in names])
            self._asked = names, tuple(near_twins(faces, self._near_at))
        return self._asked[1]

    def _drop(self, row: Row, why: str, what: str) -> None:
        self._left_out.append(LeftOut(why=why, part=row.sample.name, what=what))

    def _of_other_parts(self, rows: list[Row], fresh: list[Row]) -> list[Row]:
        """Without the golden set's own parts, seen again."""
        golden = {row.sample.part for row in rows if row.sample.split == "golden"}
        kept = []
        for row in fresh:
            if row.sample.part in golden:
                self._drop(row, "a part of the golden set", row.sample.part)
            else:
                kept.append(row)
        return kept

    def _of_other_pixels(self, rows: list[Row], fresh: list[Row]) -> list[Row]:
        """Without the very same picture; none of several whose labels contradict."""
        first = {self._digests[row.sample.name]: row for row in rows}
        kept: dict[str, Row] = {}
        for row in fresh:
            digest = self._digests[row.sample.name]
            other = first.setdefault(digest, row)
            if other is row:
                kept[digest] = row
                continue
            name, label = other.sample.name, other.sample.label
            if label == row.sample.label:
                self._drop(row, SAME, name)
                continue
            self._drop(row, "same picture, two labels", f"{row.sample.label}; {name} is {label}")
            if kept.pop(digest, None):
                self._drop(other, "same picture, two labels", f"{label}; beside {row.sample.name}")
        return list(kept.values())

    def _unlike(self, rows: list[Row], fresh: list[Row]) -> list[Row]:
        """Without what looks like a golden picture, or like one of its class that is there."""
        both = [*rows, *fresh]
        partners: dict[int, list[int]] = {}
        for i, j in self.twins(both):
            partners.setdefault(j, []).append(i)
        kept = list(range(len(rows)))
        there = set(kept)
        for j in range(len(rows), len(both)):
            near = [both[i].sample for i in partners.get(j, []) if i in there]
            golden = [each for each in near if each.split == "golden"]
            same = [each for each in near if each.label == both[j].sample.label]
            if golden:
                self._drop(both[j], "looks like a golden picture", golden[0].name)
            elif same:
                self._drop(both[j], NEARLY, same[0].name)
            else:
                kept.append(j)
                there.add(j)
        return [both[i] for i in kept]

    def _apart(self, rows: list[Row]) -> list[Row]:
        """Without what ties two sets together, as a part or as twins: the newest goes first, then
        what trains. Likeness is to the average picture, which new ones move a little.
        """
        while True:
            samples = tuple(row.sample for row in rows)
            loose: set[int] = set()
            for members in groups_of(samples, self.twins(rows)).values():
                named = {samples[i].split for i in members} - {None}
                if len(named) < 2:
                    continue
                new = [i for i in members if samples[i].split is None]
                lowest = next(split for split in SPLITS if split in named)
                loose |= set(new or [i for i in members if samples[i].split == lowest])
            if not loose:
                return rows
            for i in sorted(loose):
                what = samples[i].split or "new"
                self._drop(rows[i], "ties two sets together", what)
            rows = [row for i, row in enumerate(rows) if i not in loose]


def _read(row: Row) -> Image:
    try:
        return decode(row.data or row.sample.image.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{row.sample.image}: cannot be read: {error}") from None
