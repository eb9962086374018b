"""Was a defect passed? Another model judges the archived pictures of parts that passed.

A picture that was not archived cannot be judged again, and "no suspects" means nothing for it:
that is counted apart, by reason, and never looks like an answer.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from inspector.contract.errors import ConfigError, ModelError
from inspector.contract.image import Image, decode
from inspector.contract.regions import RegionRule
from inspector.contract.result import NAMES, EvaluationName
from inspector.contract.strict import Strict
from inspector.delivery.kept import read_kept
from inspector.examine import Filter, rows
from inspector.station.judging import Job, cause_of, judge_image
from inspector.station.ports import Clock
from inspector.station.stopwatch import Stopwatch
from inspector.study.conditions import Conditions
from inspector.study.kept import Lines
from inspector.study.progress import Progress

Outcome = Literal["suspect", "passes", "not rechecked"]


class RecheckPlan(Strict):
    """What a folder's recheck was begun with."""

    study: Literal["recheck"] = "recheck"
    station: str
    since: str
    until: str | None
    judge: str
    """Id of the bundle, or teacher- and the beginning of its hash."""
    suspect_at: float
    """From this score on a part is suspect."""
    regions: RegionRule | None
    """Where it looks, as the recipe says; null: as its bundle was trained."""


class Passed(NamedTuple):
    """A part that left as OK."""

    seq: int
    result_id: str
    part: str | None
    captured_at: str
    score: float | None
    bundle: str
    recipe: str
    image: str | None


class Rechecked(Strict):
    """One of them, judged again or not."""

    seq: int
    result_id: str
    part: str | None
    captured_at: str
    bundle: str
    """That passed it."""
    score: float | None
    """By that bundle."""
    image: str | None
    outcome: Outcome
    why: str
    """The second opinion's reason; or why there is none."""
    evaluation: EvaluationName | None = None
    label: str | None = None
    again: float | None = None
    """The second opinion's score."""
    novelty: float | None = None
    first_again: float | None = None
    """Of a suspect: the score that the bundle which passed it gives the archived picture. Far from
    `score`, and it is the archive's JPEG that speaks; null where that bundle is not there."""


class Control(Strict):
    """The archive keeps JPEG, the station judged pixels: what that does to a score."""

    pictures: int
    largest_difference: float
    turned: int
    """Pictures that the very bundle that passed them would not pass from the archive."""


class Recheck(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    plan: RecheckPlan
    passes: int
    rechecked: int
    suspects: tuple[Rechecked, ...]
    """The highest score first."""
    not_rechecked: dict[str, int]
    """By reason."""
    gone_before: str | None
    """The journal begins here: passes of before, since the time asked for, are gone from it."""
    control: Control | None
    """null where the bundle that passed them is not there any more."""
    conditions: Conditions

    @property
    def complete(self) -> bool:
        """Whether every pass since then has a second opinion."""
        return not self.not_rechecked and self.gone_before is None


def passes_since(
    path: Path, since: datetime, until: datetime | None
) -> tuple[list[Passed], str | None]:
    """And, where rows of that time are gone, when the journal begins.

    Raises ConfigError where nothing passed, RecordError.
    """
    found: list[Passed] = []
    first_seq: int | None = None
    begins: str | None = None
    last: str | None = None
    wanted = Filter(since, until, evaluation="OK")
    for seq, _, result in rows(path, Filter()):
        at = result["captured_at"]
        first_seq = first_seq or seq
        if at is not None:
            begins, last = begins or at, at
        if at is not None and wanted.takes(result, datetime.fromisoformat(at)):
            found.append(
                Passed(
                    seq=seq,
                    result_id=result["result_id"],
                    part=(result.get("part") or {}).get("id"),
                    captured_at=at,
                    score=result["score"],
                    bundle=result["bundle"],
                    recipe=result["recipe"],
                    image=result.get("image"),
                )
            )
    if not found:
        raise ConfigError(
            f"{path}: no part passed since {since.isoformat()}: the journal reaches from {begins} "
            f"to {last}"
        )
    gone = first_seq != 1 and begins is not None and datetime.fromisoformat(begins) > since
    return found, begins if gone else None


def recheck(
    passes: Sequence[Passed],
    job: Job,
    *,
    archive: Path,
    clock: Clock,
    lines: Lines,
    progress: Progress,
) -> Iterator[Rechecked]:
    """Each in turn; what `lines` has of an earlier run is not judged again."""
    # not by their rows: a journal that was begun anew has the same numbers
    known = {line["result_id"]: Rechecked.model_validate(line) for line in lines.found}
    progress.begin(len(passes), sum(each.result_id in known for each in passes))
    for each in passes:
        if each.result_id in known:
            yield known[each.result_id]
            continue
        found = _judge_again(each, job, archive, clock)
        if found.outcome != "not rechecked":  # a picture that is away for a moment may come back
            lines.add(found.model_dump())
        progress.step()
        yield found
    progress.end()


def _judge_again(each: Passed, job: Job, archive: Path, clock: Clock) -> Rechecked:
    if each.recipe != job.recipe.name:
        return _made(
            each, "not rechecked", f"of recipe {each.recipe}, the station's is {job.recipe.name}"
        )
    image, why = archived(each.image, archive)
    if image is None:
        return _made(each, "not rechecked", why)
    try:
        judged = judge_image(image, job, Stopwatch(clock, clock.monotonic()))
    except (ModelError, ValueError) as error:
        return _made(each, "not rechecked", f"cannot be judged ({cause_of(error)})")
    evaluation = NAMES[judged.verdict.evaluation]
    if evaluation == "UNDEFINED":
        return _made(each, "not rechecked", "the model computed nonsense")
    return _made(
        each,
        "passes" if judged.verdict.passes else "suspect",
        judged.verdict.reason,
        evaluation=evaluation,
        label=judged.label,
        again=judged.score,
        novelty=judged.novelty,
    )


def archived(name: str | None, archive: Path) -> tuple[Image | None, str]:
    """The picture; else why there is none."""
    if name is None:
        return None, "no picture was archived (archive.keep)"
    try:
        return decode(read_kept(archive, name)), ""
    except FileNotFoundError:
        return None, "its picture is not in the archive any more (size_max_mb), or was dropped"
    except (OSError, ValueError):
        return None, "its picture cannot be read"


def _made(each: Passed, outcome: Outcome, why: str, **more: Any) -> Rechecked:
    return Rechecked(
        seq=each.seq,
        result_id=each.result_id,
        part=each.part,
        captured_at=each.captured_at,
        bundle=each.bundle,
        score=each.score,
        image=each.image,
        outcome=outcome,
        why=why,
        **more,
    )


def conclude(
    every: Iterable[Rechecked],
    plan: RecheckPlan,
    gone_before: str | None,
    checked: Control | None,
    conditions: Conditions,
) -> Recheck:
    found = list(every)
    suspects = [each for each in found if each.outcome == "suspect"]
    suspects.sort(key=lambda each: (-(each.again or 0.0), each.seq))
    lacking = Counter(each.why for each in found if each.outcome == "not rechecked")
    return Recheck(
        plan=plan,
        passes=len(found),
        rechecked=len(found) - lacking.total(),
        suspects=tuple(suspects),
        not_rechecked=dict(lacking.most_common()),
        gone_before=gone_before,
        control=checked,
        conditions=conditions,
    )


def rows_of(every: Sequence[Rechecked]) -> list[Mapping[str, Any]]:
    """For the CSV: suspects first, by score; then those not rechecked, then the rest."""
    order = {"suspect": 0, "not rechecked": 1, "passes": 2}
    chosen = sorted(every, key=lambda each: (order[each.outcome], -(each.again or 0.0), each.seq))
    return [each.model_dump() for each in chosen]
