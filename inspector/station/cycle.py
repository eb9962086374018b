"""One part from trigger to verdict. Start reading here.

Only OK passes. Whatever keeps a part from being judged (no frame, a stale or odd one, a model
that fails or computes nonsense, a deadline gone by, a journal near its end) makes it UNDEFINED,
with the reason in the result. Record, then release: a verdict leaves only after its row is durable.

**The deadline** runs from the trigger until the row is durable. How long the commit takes is not
known before it, so the last look before it keeps a reserve: the slowest of the last hundred
commits, at most a quarter of the deadline (one stalled disk write must not reject a whole belt).
If the commit overruns even that, the row says what was judged, the part is late all the same:
`Inspected.released` is UNDEFINED, which is what the line is shown, and it is counted.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from inspector.contract.errors import (
    DeviceError,
    DeviceTimeout,
    EndOfStream,
    FrameError,
    ModelError,
)
from inspector.contract.image import Image, Region, cut, fit
from inspector.contract.result import NAMES, InspectionResult, LimitsUsed, PartRef, RegionResult
from inspector.contract.strict import Name
from inspector.contract.verdict import Evaluation, Limits, Prediction, Verdict, judge, worst
from inspector.station.ports import (
    Archive,
    Camera,
    Clock,
    Frame,
    Journal,
    Part,
    Publisher,
    Runtime,
)
from inspector.station.recipe import Recipe, limits_of, region_rule, regions_for
from inspector.station.stopwatch import Stopwatch, ms

COMMIT_SHARE_MAX = 0.25
PART_ID_MAX = 256
REASON_MAX = 1_000  # it may quote what came from outside, and brokers limit a message


@dataclass(frozen=True, slots=True)
class Job:
    """What to inspect by: a recipe and the runtime of its bundle. Never one without the other."""

    recipe: Recipe
    runtime: Runtime

    def __post_init__(self) -> None:
        """Raises ConfigError now, not at every part, where the two do not go together."""
        _ = self.limits, region_rule(self.recipe, self.runtime.tiles)

    @property
    def limits(self) -> Limits:
        return limits_of(self.recipe, self.runtime.limits)

    @property
    def limits_used(self) -> LimitsUsed:
        source: str = "recipe" if self.recipe.limits else "bundle"
        return LimitsUsed.model_validate({**self.limits.model_dump(), "source": source})


@dataclass(frozen=True, slots=True)
class Gear:
    """What the cycle works with; all of it lasts from part to part."""

    station: Name
    boot: str
    camera: Camera
    journal: Journal
    archive: Archive
    publisher: Publisher
    clock: Clock


@dataclass(frozen=True, slots=True)
class Judged:
    """What the model says of a frame: the part's verdict is its worst region's."""

    verdict: Verdict
    label: str | None = None
    score: float | None = None
    novelty: float | None = None
    regions: tuple[RegionResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspected:
    """What became of one part."""

    result: InspectionResult
    """What is in the journal."""
    released: Verdict
    """What the line may be shown: `result`'s verdict, or UNDEFINED where that came too late."""
    frame: Frame | None
    late: bool
    total_ms: float
    """From the trigger until the row was durable."""
    commit_ms: float
    fault: DeviceError | None
    """Why no further part can be inspected; this one is recorded."""


def inspect_part(
    part: Part, job: Job, gear: Gear, last: Frame | None, commit_reserve_ms: float
) -> Inspected:
    """Inspect one part: grab, judge, record, tell. `last` is the frame of the part before.

    commit_reserve_ms: what the commit may take, as far as is known.
    Raises RecordError where the result cannot be stored (the part must not pass), EndOfStream
    where there was no part any more. Everything else that goes wrong is in the result.
    """
    watch = Stopwatch(gear.clock, part.seen_at)
    frame: Frame | None = None
    fault: DeviceError | None = None
    try:
        frame = _grab(part, job.recipe, gear.camera)
        watch.lap("wait")
        _require_fresh(frame, part, last)
        judged = judge_image(frame.image, job, watch)
    except (DeviceTimeout, FrameError, ModelError, ValueError) as error:
        judged = Judged(Verdict(Evaluation.UNDEFINED, str(error)))
        part = _named_by(error, part)
    except EndOfStream:
        raise
    except DeviceError as error:
        judged = Judged(Verdict(Evaluation.UNDEFINED, f"camera gone: {error}"))
        fault = error

    shortage = gear.journal.shortage()
    reserve_ms = min(commit_reserve_ms, COMMIT_SHARE_MAX * job.recipe.deadline_ms)
    late = watch.total_ms() + reserve_ms > job.recipe.deadline_ms
    verdict = _withheld(judged.verdict, late, job.recipe.deadline_ms, shortage)
    result = _result(part, frame, job, gear, judged, verdict, late, watch)
    commit_at = gear.clock.monotonic()
    gear.journal.put(result)

    total_ms = watch.total_ms()
    released = _released(verdict, total_ms, job.recipe.deadline_ms)
    gear.publisher.wake()
    if frame is not None and result.image is not None:
        gear.archive.offer(result.image, frame.image)
    return Inspected(
        result=result,
        released=released,
        frame=frame,
        late=late,
        total_ms=total_ms,
        commit_ms=ms(gear.clock.monotonic() - commit_at),
        fault=fault,
    )


def judge_image(image: Image, job: Job, watch: Stopwatch) -> Judged:
    """Judge every region of one image, all in one batch; the worst stands for the part.

    Raises ValueError where the image does not suit the recipe, ModelError where the model fails.
    """
    regions = regions_for(image, job.recipe, job.runtime.tiles)
    cuts = [fit(cut(image, region), job.runtime.spec) for region in regions]
    watch.lap("fit")
    predictions = job.runtime.predict(cuts)
    watch.lap("predict")
    verdicts = [judge(prediction, job.limits) for prediction in predictions]
    judged = zip(regions, predictions, verdicts, strict=True)
    results = tuple(_region_result(*each) for each in judged)
    i = worst(verdicts, [prediction.defect_score for prediction in predictions])
    verdict, result = verdicts[i], results[i]
    if len(regions) > 1:
        verdict = Verdict(verdict.evaluation, f"{result.name}: {verdict.reason}")
    watch.lap("judge")
    return Judged(verdict, result.label, result.score, result.novelty, results)


def _grab(part: Part, recipe: Recipe, camera: Camera) -> Frame:
    # a frame that comes after the deadline could pass nothing
    timeout_ms = min(recipe.frame_timeout_ms, recipe.deadline_ms)
    return camera.grab(not_before=part.seen_at, timeout_s=timeout_ms / 1000)


def _require_fresh(frame: Frame, part: Part, last: Frame | None) -> None:
    """A driver that hands out an old picture must not pass a new part by it."""
    if frame.exposed_at < part.seen_at:
        raise FrameError("stale frame: it was exposed before the trigger", frame.name)
    if last is not None and frame.sequence <= last.sequence:
        raise FrameError(
            f"stale frame: number {frame.sequence} after {last.sequence}, the camera repeats one",
            frame.name,
        )
    if last is not None and frame.exposed_at <= last.exposed_at:
        raise FrameError("stale frame: not newer than the one before", frame.name)


def _named_by(error: Exception, part: Part) -> Part:
    """A picture that cannot be read still names its part, where it came from a file."""
    if part.part_id is None and isinstance(error, FrameError) and error.name:
        return Part(part.sequence, _stem(error.name), part.seen_at)
    return part


def _withheld(verdict: Verdict, late: bool, deadline_ms: int, shortage: str | None) -> Verdict:  # noqa: FBT001
    """The verdict, or why it must not be given although the part was judged."""
    said = f"; judged {verdict.evaluation.name}: {verdict.reason}"
    if shortage is not None:
        return Verdict(Evaluation.UNDEFINED, f"journal: {shortage}{said}")
    if late:
        return Verdict(Evaluation.UNDEFINED, f"deadline of {deadline_ms} ms missed{said}")
    return verdict


def _released(verdict: Verdict, total_ms: float, deadline_ms: int) -> Verdict:
    if verdict.passes and total_ms > deadline_ms:
        return Verdict(Evaluation.UNDEFINED, f"recorded {total_ms:.0f} ms after the trigger")
    return verdict


def _region_result(region: Region, prediction: Prediction, verdict: Verdict) -> RegionResult:
    understood = verdict.evaluation is not Evaluation.UNDEFINED
    label = prediction.label if verdict.passes else prediction.defect_label
    novelty = prediction.novelty
    return RegionResult(
        name=region.name,
        x=region.x,
        y=region.y,
        width=region.width,
        height=region.height,
        evaluation=NAMES[verdict.evaluation],
        reason=verdict.reason,
        label=label if understood else None,
        score=round(prediction.defect_score, 6) if understood else None,
        novelty=round(novelty, 6) if understood and novelty is not None else None,
    )


def _result(
    part: Part,
    frame: Frame | None,
    job: Job,
    gear: Gear,
    judged: Judged,
    verdict: Verdict,
    late: bool,  # noqa: FBT001
    watch: Stopwatch,
) -> InspectionResult:
    result_id = f"{gear.boot}-{part.sequence}"
    part_id = part.part_id or (_stem(frame.name) if frame and frame.name else None)
    kept = frame is not None and gear.archive.keeps(verdict.evaluation)
    return InspectionResult(
        result_id=result_id,
        station=gear.station,
        boot=gear.boot,
        seq=gear.journal.next_seq(),
        part=PartRef(id=part_id[:PART_ID_MAX] if part_id else None, sequence=part.sequence),
        passed=verdict.passes,
        evaluation=NAMES[verdict.evaluation],
        reason=verdict.reason[:REASON_MAX],
        label=judged.label,
        score=judged.score,
        novelty=judged.novelty,
        late=late,
        attestation=None,
        regions=judged.regions,
        limits=job.limits_used,
        recipe=job.recipe.name,
        bundle=job.runtime.bundle_id,
        captured_at=_captured_at(frame, gear.clock) if frame else None,
        times_ms={**watch.times_ms, "total": watch.total_ms()},
        image=result_id if kept else None,
        simulated=gear.camera.simulated,
    )


def _captured_at(frame: Frame, clock: Clock) -> datetime:
    return clock.utc() - timedelta(seconds=clock.monotonic() - frame.exposed_at)


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
