"""Which pictures that a promotion is judged by are new to the candidate: it says so itself.

Its release left what it has learned (networks/BUNDLE/learned.csv), with its teacher's and its
ancestors' pictures and those of an archive: none of them need be in the data.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from inspector.contract.bundle import Bundle, file_sha256
from training.dataset import Sample
from training.handover import FACTS, read_networks
from training.learned import Knows
from training.learned_record import Memory, memory_of
from training.likeness import Look, Looks, near_twins
from training.plan import SplitRule
from training.promotion import Case
from training.running import networks_of
from training.split import groups_of

_Twins = tuple[tuple[int, int], ...]


class Seen(NamedTuple):
    """How the pictures of some cases look."""

    judged: Looks
    whole: dict[int, Look]
    """Of a case that was judged in a region, by its place, what is around it too: `collect` cuts
    the region out, an archive keeps the whole."""


class Record(NamedTuple):
    """What a candidate has learned."""

    memory: Memory
    near_at: float
    networks: Path

    @classmethod
    def of(cls, candidate: Bundle) -> Self:
        """Raises DataError, ConfigError where what its release left is damaged."""
        networks, near_at = networks_of(candidate), SplitRule().near_duplicate_at
        if (networks / FACTS).is_file():
            near_at = read_networks(networks, "student", "networks").near_duplicate_at
        return cls(memory_of(networks, "student"), near_at, networks)

    def unsaid(self) -> tuple[str, ...]:
        """What of it is not known, and what to do."""
        own = self.networks.name
        found = []
        if own in self.memory.unsaid:
            found.append(
                f"what {own} learned is not known: name the bundle where its release left it, "
                f"DIR/bundles/{own} beside DIR/networks/{own}, or repeat the release"
            )
        others = [each for each in self.memory.unsaid if each != own]
        if others:
            found.append(
                f"not all that {', '.join(others)} learned is known, and {own} was made from it: "
                f"repeat its release, then that of {own}, or train one without it"
            )
        return tuple(found)


def settled(cases: Sequence[Case], seen: Seen, record: Record) -> tuple[Case, ...]:
    """The cases with twins under one part's name: they are no independent trials. Where one of a
    part was learned, none of it is held out.

    A golden picture counts as learned by the candidate's record alone: that a reviewed twin of it
    is in the data, by its name or part id, may just mean this golden picture.
    """
    samples = tuple(Sample(Path(c.picture), c.name, c.label, c.part) for c in cases)
    part = [case.part for case in cases]
    alike = tuple(near_twins(seen.judged.faces(), record.near_at))
    for first, members in groups_of(samples, alike).items():
        for i in members:
            part[i] = cases[first].part
    known, trained = _known(cases, seen, record), [case.trained for case in cases]
    for members in groups_of(samples, (*alike, *_whole_twins(seen, record.near_at))).values():
        learned = any(i in known for i in members)
        said = learned or any(trained[i] for i in members)
        for i in members:
            trained[i] = learned if cases[i].source == "golden" else said
    found = zip(cases, part, trained, strict=True)
    return tuple(c.model_copy(update={"part": name, "trained": new}) for c, name, new in found)


def _known(cases: Sequence[Case], seen: Seen, record: Record) -> set[int]:
    """Places of those that are, or nearly are, what the candidate learned."""

    def file_digest(i: int) -> str:
        return file_sha256(Path(cases[i].picture))

    knows = Knows(record.memory, record.near_at)
    known = set(knows.of(seen.judged, range(len(cases)), None, file_digest))
    wholes, places = Looks.of(list(seen.whole.values())), list(seen.whole)
    found = knows.of(wholes, range(len(wholes)), None, lambda i: file_digest(places[i]))
    return known | {places[i] for i in found}


def _whole_twins(seen: Seen, near_at: float) -> _Twins:
    """Cases whose frames are alike. `Knows` compares what is there with the very pixels of what was
    learned, and leaves it to such pairs that a twin of such a one is learned as well.
    """
    places = list(seen.whole)
    found = near_twins(Looks.of(list(seen.whole.values())).faces(), near_at)
    return tuple((places[i], places[j]) for i, j in found)
