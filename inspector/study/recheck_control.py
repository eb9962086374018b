"""What the archive itself does to a score: the bundle that passed a part, asked again."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from inspector.contract.errors import ModelError
from inspector.station.judging import Job, Judged, judge_image
from inspector.station.ports import Clock
from inspector.station.stopwatch import Stopwatch
from inspector.study.recheck import Control, Passed, Rechecked, archived

CONTROL_MAX = 25
JobOf = Callable[[str], Job | None]
"""Of the bundle of this id, as it judged; None where it is not there any more."""


def first_opinion(
    each: Passed | Rechecked, job_of: JobOf, archive: Path, clock: Clock
) -> Judged | None:
    """What the bundle that passed a part says of its archived picture; None where it cannot."""
    job, image = job_of(each.bundle), archived(each.image, archive)[0]
    if job is None or image is None:
        return None
    try:
        return judge_image(image, job, Stopwatch(clock, clock.monotonic()))
    except (ModelError, ValueError):
        return None


def with_first_opinion(
    every: Sequence[Rechecked], job_of: JobOf, archive: Path, clock: Clock
) -> Iterator[Rechecked]:
    """The same, suspects with `first_again`."""
    for each in every:
        judged = None
        if each.outcome == "suspect":
            judged = first_opinion(each, job_of, archive, clock)
        yield each.model_copy(update={"first_again": judged.score}) if judged else each


def control(
    passes: Sequence[Passed], job_of: JobOf, recipe: str, archive: Path, clock: Clock
) -> Control | None:
    """Some archived pictures judged by the very bundle that passed them, spread over all."""
    kept = [each for each in passes if each.image is not None and each.recipe == recipe]
    differences = []
    turned = 0
    for each in kept[:: max(1, len(kept) // CONTROL_MAX)]:
        judged = first_opinion(each, job_of, archive, clock)
        if judged and judged.score is not None and each.score is not None:
            differences.append(abs(judged.score - each.score))
            turned += not judged.verdict.passes
    if not differences:
        return None
    return Control(
        pictures=len(differences), largest_difference=round(max(differences), 6), turned=turned
    )
