"""Which new pictures are new indeed, and which must not train: twins of what there is already;
and which must not be held back: what the running networks have learned.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from inspector.contract.errors import DataError
from inspector.contract.image import Image, decode
from training.dataset import SPLITS, SplitName
from training.learned import HELD_BACK, Knows
from training.learned_record import FITTED, Memory, memory_of
from training.likeness import Look, Looks, look, near_twins
from training.split import groups_of
from training.versions import LeftOut, Row, all_versions, read_rows

SAME, NEARLY = "same picture as another", "nearly the same as another"
TWIN_LEARNED = "held back, but a part that trains ties to it"
LEARNED_BEFORE = "held back, but learned before"
OF_GOLDEN = "a part of the golden set"
ALIKE = (SAME, NEARLY, TWIN_LEARNED, LEARNED_BEFORE)
"""Left out for being in the data already: whoever trains on it has seen them."""
_Twins = tuple[tuple[int, int], ...]


class Before(NamedTuple):
    """What was learned before, if anything, and must train."""

    memory: Memory
    parts: frozenset[str] = frozenset()
    """Part ids of which no picture is left."""


class Freshness:
    """Looks at every picture once; says what it leaves out, and why."""

    def __init__(self, near_at: float, left_out: list[LeftOut], before: Before) -> None:
        """near_at: as split.near_duplicate_at."""
        self._near_at = near_at
        self._left_out = left_out
        self._learned = Knows(before.memory, near_at)
        self._gone = before.parts
        self._looks: dict[str, Look] = {}
        self._asked: tuple[list[str], _Twins] = ([], ())
        self._fresh: set[str] = set()
        self._ties: dict[str, int] = {}
        """Of each name its group, before anything was left out: what goes must not take with it
        that another picture is of the same part.
        """
        self._learned_ties: set[int] = set()
        self._golden_ties: dict[int, str] = {}
        self.placed: set[str] = set()
        """Names of new pictures that train, since they were learned before."""

    def of(
        self,
        rows: list[Row],
        fresh: list[Row],
        undecided: list[Row],
        bar: Callable[[Iterable[Row], int], Iterable[Row]],
    ) -> list[Row]:
        """The rows there are, and those of `fresh` that add something and leak nothing.

        undecided: left out already; they say which pictures are of one part. Raises DataError where
        a picture that was there is gone.
        """
        all_ = [*rows, *fresh, *undecided]
        for row in bar(all_, len(all_)):
            self._looks[row.sample.name] = look(_read(row))
        self._fresh = {row.sample.name for row in fresh}
        self._tie(rows, [*fresh, *undecided])
        fresh = self._of_other_parts(rows, fresh)
        fresh = self._of_other_pixels(rows, fresh)
        return self._apart(self._tied(self._unlike(rows, fresh)))

    def twins(self, rows: list[Row]) -> _Twins:
        """Pairs of rows that are nearly the same picture, or of one part by one that was left
        out. Two that were there are tied by no new one: while it is here it is told with them.
        """
        new: dict[int, list[int]] = {}
        old: dict[int, dict[str | None, int]] = {}
        for i, row in enumerate(rows):
            tie = self._ties[row.sample.name]
            if row.sample.name in self._fresh:
                new.setdefault(tie, []).append(i)
            else:
                old.setdefault(tie, {}).setdefault(row.sample.split, i)
        tied = [
            (one, other)
            for tie, members in new.items()
            for other in members
            for one in (members[0], *old.get(tie, {}).values())
            if one != other
        ]
        return (*self._nearly(rows), *tied)

    def _tie(self, rows: list[Row], new: list[Row]) -> None:
        both = [*rows, *new]
        first: dict[str, int] = {}
        same = [(first.setdefault(self._digest(row), i), i) for i, row in enumerate(both)]
        known = set(self._known(both))
        # what is in the data already has learned no more than what is there: that one was asked
        known -= {i for one, i in same if one < len(rows) <= i}
        samples = tuple(row.sample for row in both)
        for tie, members in groups_of(samples, (*self._nearly(both), *same)).items():
            self._ties |= {samples[i].name: tie for i in members}
            if any(i in known or samples[i].part in self._gone for i in members):
                self._learned_ties.add(tie)
            golden = [samples[i].name for i in members if samples[i].split == "golden"]
            if golden:
                self._golden_ties[tie] = golden[0]

    def _digest(self, row: Row) -> str:
        return self._looks[row.sample.name].digest

    def _nearly(self, rows: list[Row]) -> _Twins:
        names = [row.sample.name for row in rows]
        if len(names) < 2:
            return ()
        if self._asked[0] != names:  # every picture is compared with every other
            faces = Looks.of([self._looks[name] for name in names]).faces()
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
                self._drop(row, OF_GOLDEN, row.sample.part)
            else:
                kept.append(row)
        return kept

    def _of_other_pixels(self, rows: list[Row], fresh: list[Row]) -> list[Row]:
        """Without the very same picture; none of several whose labels contradict."""
        first = {self._digest(row): row for row in rows}
        kept: dict[str, Row] = {}
        for row in fresh:
            digest = self._digest(row)
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
        for i, j in self._nearly(both):
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

    def _tied(self, rows: list[Row]) -> list[Row]:
        """Without what is of a golden part by a picture that was left out; what is of a part that
        was learned before trains.
        """
        kept = []
        for row in rows:
            tie = self._ties[row.sample.name]
            if row.sample.name in self._fresh and tie in self._golden_ties:
                self._drop(row, OF_GOLDEN, self._golden_ties[tie])
            elif row.sample.name in self._fresh and tie in self._learned_ties:
                kept.append(self._placed(row))
            else:
                kept.append(row)
        return kept

    def _placed(self, row: Row) -> Row:
        self.placed.add(row.sample.name)
        return replace(row, sample=replace(row.sample, split="train"))

    def _apart(self, rows: list[Row]) -> list[Row]:
        """Without what ties two sets together, as a part or as twins, and with nothing held back
        that was learned. The newest goes first. Then what is held back, where the other trains, or
        chose an epoch: a bundle has learned that, so that it knows its twin. Likeness is to the
        average picture, which new ones move a little.
        """
        while True:
            rows = self._not_learned(rows)
            samples = tuple(row.sample for row in rows)
            loose: dict[int, LeftOut] = {}
            for members in groups_of(samples, self.twins(rows)).values():
                named = {samples[i].split for i in members} - {None}
                if len(named) < 2:
                    continue
                new = [i for i in members if samples[i].name in self._fresh]
                lowest = next(split for split in SPLITS if split in named)
                firm = [i for i in members if samples[i].split == lowest]
                why, what, out = "ties two sets together", "", new or firm
                if not new and lowest in FITTED:
                    why, what = TWIN_LEARNED, f" beside {samples[firm[0]].name}"
                    out = [i for i in members if i not in firm]
                for i in out:
                    part, where = samples[i].name, samples[i].split or "new"
                    loose[i] = LeftOut(why=why, part=part, what=f"{where}{what}")
            if not loose:
                return rows
            self._left_out += [loose[i] for i in sorted(loose)]
            rows = [row for i, row in enumerate(rows) if i not in loose]

    def _not_learned(self, rows: list[Row]) -> list[Row]:
        """Without what is held back and was learned; what is new and was learned trains."""
        known = self._known(rows)
        kept = []
        for i, row in enumerate(rows):
            if i not in known:
                kept.append(row)
            elif row.sample.split is None:
                kept.append(self._placed(row))
            else:
                self._drop(row, LEARNED_BEFORE, f"{row.sample.split}, as {known[i]}")
        return kept

    def _known(self, rows: list[Row]) -> dict[int, str]:
        """Which rows, of those that are new or held back, were learned before, and as what."""
        looks = Looks.of([self._looks[row.sample.name] for row in rows])
        asked: tuple[SplitName | None, ...] = (None, *HELD_BACK)
        known: dict[int, str] = {}
        for split in asked:
            places = [i for i, row in enumerate(rows) if row.sample.split == split]
            known |= self._learned.of(looks, places, split, lambda i: _file_digest(rows[i]))
        return known


def learned_before(into: Path, rows: list[Row], networks: Path | None) -> Before:
    """What earlier versions had a bundle learn that is no longer there; and what is learned by the
    student in a folder of networks.
    """
    there = {row.sample.name for row in rows}
    gone = {
        row.sample.name: row
        for version in all_versions(into)
        for row in read_rows(version)
        if row.sample.split in FITTED and row.sample.name not in there
    }
    memories = []
    for split in FITTED:  # a twin of one that only chose an epoch may still do so
        mine = {name: row for name, row in gone.items() if row.sample.split == split}
        looks = Looks.of([look(_read(row)) for row in mine.values()])
        memories.append(Memory.of(split, list(mine), looks))
    if networks:
        memories.append(memory_of(networks, "student"))
    parts = {row.sample.part for row in gone.values()} - {row.sample.part for row in rows}
    return Before(Memory().with_all(memories), frozenset(parts))


def _read(row: Row) -> Image:
    try:
        return decode(row.data or row.sample.image.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{row.sample.image}: cannot be read: {error}") from None


def _file_digest(row: Row) -> str:
    return hashlib.sha256(row.data or row.sample.image.read_bytes()).hexdigest()
