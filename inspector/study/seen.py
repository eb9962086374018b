"""What a station, or its bundle on a picture, said of one part at one time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from inspector.contract.errors import ConfigError, FrameError, RecordError
from inspector.contract.image import Image, decode
from inspector.contract.result import NAMES, EvaluationName
from inspector.contract.strict import Strict
from inspector.contract.verdict import Cause, Evaluation, Limits
from inspector.delivery.kept import read_kept
from inspector.devices.camera_replay import read_image, shown
from inspector.replay import Row, judge_files
from inspector.station.judging import Job
from inspector.study.labels import Labelled
from inspector.study.page import Picture
from inspector.study.progress import Progress

WORST_FIRST = ("NOT_OK", "UNDEFINED", "NOT_DECIDABLE", "OK")
PLACE = ("name", "x", "y", "width", "height")


class Seen(Strict):
    """One verdict, as the line would have had it."""

    evaluation: EvaluationName
    cause: Cause | None
    reason: str
    label: str | None
    score: float | None
    novelty: float | None
    picture: str | None = None
    """The file, or the name in the archive; null where none was kept."""
    seq: int | None = None
    """Row of the journal; null where a file was judged."""
    captured_at: str | None = None
    simulated: bool = True

    @property
    def passed(self) -> bool:
        return self.evaluation == "OK"

    def columns(self) -> dict[str, Any]:
        """For a CSV, beside what the part truly is: what it was called is not its label there."""
        found = self.model_dump()
        return {"said" if name == "label" else name: value for name, value in found.items()}


def of_row(row: Row, picture: Path) -> Seen:
    judged = row.judged
    return Seen(
        evaluation=NAMES[judged.verdict.evaluation],
        cause=judged.verdict.cause,
        reason=judged.verdict.reason,
        label=judged.label,
        score=judged.score,
        novelty=judged.novelty,
        picture=str(picture),
    )


def of_result(result: Mapping[str, Any]) -> Seen:
    """Of any schema version. Raises RecordError where it is none."""
    try:
        return Seen(
            evaluation=result["evaluation"],
            cause=result.get("cause"),
            reason=result["reason"],
            label=result["label"],
            score=result["score"],
            novelty=result.get("novelty"),
            picture=result.get("image"),
            seq=result["seq"],
            captured_at=result["captured_at"],
            simulated=bool(result.get("simulated")),
        )
    except (KeyError, ValueError) as error:
        raise RecordError(f"row {result.get('seq')} is no result: {error}") from None


def judge_parts(
    parts: Sequence[Labelled], job: Job, progress: Progress
) -> Iterator[tuple[Labelled, tuple[Seen, ...]]]:
    """Every picture of every part by the bundle, as a station would, attestation included."""
    files = [(shown(path.name), path) for part in parts for path in part.pictures]
    rows = judge_files(files, job)
    progress.begin(len(files))
    for part in parts:
        seen = []
        for path in part.pictures:
            seen.append(of_row(next(rows), path))
            progress.step()
        yield part, tuple(seen)
    progress.end()


def standing(seen: Iterable[Seen], *, good: bool) -> Seen:
    """The one of a part's verdicts that counts: the one to the station's disadvantage.

    A defective part has escaped where it passed once; a good one was lost where it did once not.
    """
    every = list(seen)
    if not good:
        passed = [each for each in every if each.passed]
        every = passed or every
    return min(every, key=lambda each: WORST_FIRST.index(each.evaluation))


def one_setting(results: Iterable[Mapping[str, Any]], hint: str) -> tuple[str, str, Limits]:
    """(bundle, recipe, limits) that all of them were judged by, in the same regions.

    Raises ConfigError where they were not all judged alike: figures of a mixture describe neither.
    """
    found: dict[tuple[str, str, str], int] = {}
    kept: dict[tuple[str, str, str], Limits] = {}
    places: set[str] = set()
    for result in results:
        if result.get("regions"):  # a part that could not be judged has none
            places.add(str([[each.get(of) for of in PLACE] for each in result["regions"]]))
        used = {k: v for k, v in (result.get("limits") or {}).items() if k != "source"}
        limits = Limits.model_validate(used)
        key = (str(result["bundle"]), str(result["recipe"]), limits.model_dump_json())
        found[key] = found.get(key, 0) + 1
        kept[key] = limits
    if len(found) > 1:
        said = "; ".join(
            f"{count} by bundle {bundle}, recipe {recipe}, review_at {kept[key].review_at:g}, "
            f"reject_at {kept[key].reject_at:g}"
            for key, count in found.items()
            for bundle, recipe, _ in [key]
        )
        raise ConfigError(f"the parts were not all judged alike: {said}: {hint}")
    if len(places) > 1:
        raise ConfigError(f"the parts were not all judged in the same regions: {hint}")
    ((bundle, recipe, _), limits) = next(iter(kept.items()))
    return bundle, recipe, limits


def counts(seen: Iterable[Seen]) -> dict[EvaluationName, int]:
    """How often each evaluation was given, all four named."""
    every = [each.evaluation for each in seen]
    return {NAMES[each]: every.count(NAMES[each]) for each in (Evaluation.OK, *_NOT_OK)}


_NOT_OK = (Evaluation.NOT_DECIDABLE, Evaluation.NOT_OK, Evaluation.UNDEFINED)


SHOWN_MAX = 48


def gallery_of(parts: Iterable[tuple[str, str, Seen]], archive: Path | None) -> dict[str, Picture]:
    """The first of them with their pictures, by part. parts: part, label, what was seen."""
    found = {}
    for part, label, seen in islice(parts, SHOWN_MAX):
        score = "-" if seen.score is None else f"{seen.score:.4f}"
        caption = f"{part}: {label}, judged {seen.evaluation}, score {score}"
        caption += f", row {seen.seq}" if seen.seq is not None else ""
        found[part] = Picture(picture_of(seen, archive), caption)
    return found


def picture_of(seen: Seen, archive: Path | None) -> Image | None:
    """The picture, to be looked at; None where none is kept or it cannot be read."""
    if seen.picture is None:
        return None
    try:
        if seen.seq is None:
            path = Path(seen.picture)
            return read_image(path, shown(path.name))
        return decode(read_kept(archive, seen.picture)) if archive else None
    except (OSError, ValueError, FrameError):  # it may have been let go just now
        return None
