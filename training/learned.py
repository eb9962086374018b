"""Networks that are handed on must not be judged by parts that they have learned.

A teacher tells its student what it remembers, and a student that starts from one remembers itself:
whatever is chosen on such parts, and figures of them, would promise what new parts do not hold. A
part is known by its picture's pixels, or by one that is nearly it; not by a part id, which another
product, or next year's count, has as well.
"""

from collections.abc import Callable, Sequence

from inspector.contract.bundle import file_sha256
from inspector.contract.errors import DataError
from training.dataset import SplitName
from training.job import Data
from training.learned_record import FILE, LEARNED, PIXELS, Memory, memory_of, taken_over
from training.likeness import Looks, nearly, same
from training.plan import Plan
from training.running import SPLIT

HELD_BACK: tuple[SplitName, ...] = ("validation", "calibration", "golden")
"""Epoch, temperature, INT8 and a search's winner are chosen on the first, limits, novelty's too, on
the second where there is one, and figures are of the last."""
_UNSAID = (
    f"not all that {{names}} learned is known (of an older program, or without {LEARNED}): should "
    f"parts that are held back here be among it, figures and limits flatter"
)


def require_unlearned(plan: Plan, data: Data, say: Callable[[str], None]) -> tuple[str, ...]:
    """Raises DataError where what limits and figures stand on was learned by a network that the
    plan takes over, or by one that it was made from; returns, and says, what of that is not known.
    """
    unknown: list[str] = []
    looks, kept = data.images.looks, data.images.report.kept
    files = {sample.name: sample.image for sample in data.images.samples}
    held = {name: places for name in HELD_BACK if (places := data.places(name))}
    sets = " or ".join(filter(None, (", ".join([*held][:-1]), *[*held][-1:])))
    for key, role, folder in taken_over(plan):
        memory = memory_of(folder, role)
        if memory.unsaid:
            unknown.append(f"{key}: {_UNSAID.format(names=', '.join(memory.unsaid))}")
            say(f"  {unknown[-1]}")
        knows = Knows(memory, plan.split.near_duplicate_at)
        known: dict[int, str] = {}
        for name, places in held.items():
            known |= knows.of(looks, places, name, lambda i: file_sha256(files[kept[i]]))
        if known:
            raise DataError(
                f"plan: {key} {str(folder)!r}: has learned {len(known)} of the "
                f"{sum(map(len, held.values()))} pictures that are {sets} here (the first: "
                f"{kept[min(known)]}, learned as {known[min(known)]}): its figures and "
                f"limits would flatter. Let inspector-train collect --from-bundle make the data, "
                f"give it a split column that keeps its sets ({folder / SPLIT} has them), or train "
                f"anew"
            )
    return tuple(unknown)


class Knows:
    """What of some data was learned before."""

    def __init__(self, memory: Memory, near_at: float) -> None:
        """near_at: as split.near_duplicate_at."""
        self._memory = memory
        self._near_at = near_at

    def of(
        self,
        looks: Looks,
        places: Sequence[int],
        split: SplitName | None,
        file_digest: Callable[[int], str],
    ) -> dict[int, str]:
        """Places of pictures of a set that were learned, and as what.

        looks: of all the data, `places` are in it; file_digest: SHA-256 of the file at a place.
        """
        # An epoch is chosen by validation parts in every job: the one before may have done so.
        validated = split != "validation"
        names = self._memory.names(PIXELS, validated=validated)
        mine, theirs = looks.taken(places), self._memory.looks.only(set(names))
        found = {places[i]: names[theirs.digests[j]] for i, j in same(mine, theirs).items()}
        # What is in this data too was compared with all of it: the split keeps twins apart.
        others = theirs.only(set(names) - set(looks.digests))
        if len(others) and len(mine):
            average = looks.faces().mean(axis=0)
            for i, j in nearly(mine, others, average, self._near_at).items():
                found.setdefault(places[i], f"nearly {names[others.digests[j]]}")
        files = self._memory.names(FILE, validated=validated)
        for place in (i for i in places if files and i not in found):
            name = files.get(file_digest(place))
            if name is not None:
                found[place] = name
        return found
