"""A station's results, read beside it while it runs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from inspector.contract.errors import ConfigError
from inspector.contract.result import part_called
from inspector.examine import Filter, rows
from inspector.study.labels import Labelled
from inspector.study.seen import Seen, of_result

Result = Mapping[str, Any]


def results_between(
    path: Path, since: datetime | None, until: datetime | None
) -> Iterator[dict[str, Any]]:
    """Settled results from `since` on and before `until`. Raises RecordError."""
    return (result for _, _, result in rows(path, Filter(since, until)))


class Joined(NamedTuple):
    """Results beside what people found."""

    judged: list[tuple[Labelled, tuple[Seen, ...]]]
    used: list[Result]
    unlabelled: int
    """Results of parts nobody labelled, or of parts without an id."""
    not_judged: list[str]
    """Parts that people labelled and the station never saw."""


def join(results: Iterable[Result], labelled: Sequence[Labelled], where: str) -> Joined:
    """By part id. Raises ConfigError where no part has both."""
    known = {part.part for part in labelled}
    by_part: dict[str, list[Result]] = {}
    unlabelled = 0
    for result in results:
        part = part_called(result)
        if part in known:
            by_part.setdefault(part, []).append(result)
        else:
            unlabelled += 1
    if not by_part:
        raise ConfigError(
            f"{where}: none of its {len(known)} parts is among the {unlabelled} results: are these "
            "the part ids of the results, and is the time right (--since, --until)?"
        )
    judged = [
        (part, tuple(of_result(each) for each in by_part[part.part]))
        for part in labelled
        if part.part in by_part
    ]
    return Joined(
        judged=judged,
        used=[result for part in labelled for result in by_part.get(part.part, ())],
        unlabelled=unlabelled,
        not_judged=[part.part for part in labelled if part.part not in by_part],
    )


def caveats_of(seen: Iterable[Seen]) -> Iterator[str]:
    """What the results themselves say against the study."""
    sources = Counter(each.simulated for each in seen)
    if sources[True]:
        yield (
            f"{sources[True]} of {sources.total()} results are of pictures from files (simulated): "
            "camera, light and handling of the parts were not part of it"
        )
