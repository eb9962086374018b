"""What the networks of a release have learned, written beside them for whoever takes them over.

networks/BUNDLE/learned.csv: for teacher and student each picture that it has learned, or one that
it was made from: the job's train and validation pictures, an archive's, and all that its handed
teacher and its old student say they have. networks/BUNDLE/looks.npz: how these pictures look.
A student learned its teacher's answers, so it has learned what the teacher had.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from inspector.contract.errors import DataError
from inspector.contract.whole import write_whole
from training.dataset import SplitName
from training.handover import HANDED, OLD, Role
from training.job import Data
from training.likeness import NO_LOOKS, Looks
from training.plan import Plan
from training.running import DIGEST, SPLIT
from training.scan import LOOKS

LEARNED = "learned.csv"
FITTED: tuple[SplitName, SplitName] = ("train", "validation")
"""Weights are fitted to the one, and the best of their epochs is chosen by the other."""
SHOWN = (*FITTED, "archive", "")
PIXELS, FILE, UNSAID = "pixels", "file", "unsaid"


class Entry(NamedTuple):
    """One picture that a network has learned."""

    shown: str
    """In which set: SHOWN; "" where of is UNSAID."""
    of: str
    """What sha256 is of: PIXELS, or FILE by an older program. UNSAID: `image` names networks whose
    release did not say what they learned, or not all of it."""
    sha256: str
    image: str
    """Its name in the data, or in the archive, it was learned from."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What one network has learned, each picture once."""

    entries: tuple[Entry, ...] = ()
    looks: Looks = NO_LOOKS
    """Of those known by their pixels, in whatever order."""

    @classmethod
    def of(cls, shown: str, names: Sequence[str], looks: Looks) -> "Memory":
        pairs = zip(names, looks.digests, strict=True)
        return cls(tuple(Entry(shown, PIXELS, digest, name) for name, digest in pairs), looks)

    def with_all(self, others: Iterable["Memory"]) -> "Memory":
        memories = (self, *others)
        # of one that trained here and validated there the stronger word counts: it comes last
        entries = sorted(
            (entry for memory in memories for entry in memory.entries),
            key=lambda entry: (entry.shown != "validation", entry),
        )
        each = {(e.of, e.sha256 or e.image): e for e in entries}
        looks = Looks.joined([memory.looks for memory in memories])
        return Memory(tuple(sorted(each.values())), looks)

    @property
    def unsaid(self) -> tuple[str, ...]:
        """Networks on the way of which it is not known what, or all that, they learned."""
        return tuple(entry.image for entry in self.entries if entry.of == UNSAID)

    def names(self, of: str, *, validated: bool = True) -> dict[str, str]:
        """Pictures' names by their SHA-256; validated: also of those that only chose an epoch."""
        return {
            entry.sha256: entry.image
            for entry in self.entries
            if entry.of == of and (validated or entry.shown != "validation")
        }


def write_learned(plan: Plan, data: Data, student: Path, networks: Path) -> None:
    """Leave it. student: the folder of its stage, which says what of an archive it was shown."""
    own = Memory().with_all(
        Memory.of(
            name,
            [data.images.report.kept[i] for i in places],
            data.images.looks.taken(places),
        )
        for name in FITTED
        for places in [data.places(name)]
    )
    before = {key: memory_of(folder, role) for key, role, folder in taken_over(plan)}
    # a teacher that is handed on is asked, not trained
    teacher = before.get(HANDED, own if plan.teacher else Memory())
    mine = own.with_all([shown_of_archive(student), teacher, *before.values()])
    write_memories(networks, {"teacher": teacher, "student": mine})


def taken_over(plan: Plan) -> list[tuple[str, Role, Path]]:
    """The plan's key, which of the folder's networks, and the folder."""
    found: list[tuple[str, Role, Path]] = []
    if plan.teacher and plan.teacher.handed:
        found.append((HANDED, "teacher", Path(plan.teacher.handed)))
    if plan.student.old:
        found.append((OLD, "student", Path(plan.student.old.networks)))
    return found


def memory_of(networks: Path, role: Role) -> Memory:
    """What a folder of handed-on networks says; of an older program's, what its split says.

    Raises DataError where what it says is damaged.
    """
    if (networks / LEARNED).exists():
        return _read(networks, role)
    unsaid = Entry("", UNSAID, "", networks.resolve().name)
    return Memory((unsaid, *_of_split(networks / SPLIT)))


def shown_of_archive(student: Path) -> Memory:
    """What a student's stage, or that of a generation before it, was shown of an archive."""
    return _read(student, "student") if (student / LEARNED).exists() else Memory()


def write_memories(folder: Path, memories: dict[Role, Memory]) -> None:
    """looks.npz first: learned.csv names what must be in it."""
    Looks.joined([memory.looks for memory in memories.values()]).save(folder / LOOKS)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("network", *Entry._fields))
    for role, memory in memories.items():
        writer.writerows((role, *entry) for entry in memory.entries)
    write_whole(folder / LEARNED, text.getvalue().encode())


def _read(folder: Path, role: Role) -> Memory:
    path = folder / LEARNED
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["network"] == role]
        entries = tuple(Entry(*(row[name] for name in Entry._fields)) for row in rows)
        looks = Looks.load(folder / LOOKS)
        place = {digest: i for i, digest in enumerate(looks.digests)}
        mine = looks.taken([place[e.sha256] for e in entries if e.of == PIXELS])
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise _damaged(path, f"cannot be read: {error!r}") from None
    if not entries:  # no release learns from nothing
        raise _damaged(path, f"has no row of a {role}")
    for entry in entries:
        if entry.of not in (PIXELS, FILE, UNSAID) or entry.shown not in SHOWN:
            raise _damaged(path, f"{entry.shown!r}, {entry.of!r}: are no words of it")
    return Memory(entries, mine)


def _damaged(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: {what}: which parts its networks have learned is not known; remove it and repeat "
        f"the release, which leaves it and {LOOKS}"
    )


def _of_split(path: Path) -> tuple[Entry, ...]:
    """What the release itself trained on, by its pictures' files; nothing where it does not say."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["split"] in FITTED]
        return tuple(Entry(row["split"], FILE, row[DIGEST], row["image"]) for row in rows)
    except (OSError, KeyError, UnicodeDecodeError, csv.Error):
        return ()
