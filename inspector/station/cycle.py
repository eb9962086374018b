"""One part from trigger to verdict. Start reading here.

Only OK passes. Whatever keeps a part from being judged (no frame, a stale or odd one, a model
that fails or computes nonsense, a deadline gone by, a journal near its end) makes it UNDEFINED,
with the reason in the result. Record, then release: a verdict leaves only after its row is durable.

**The deadline** runs from the trigger until the row is durable. How long the commit takes is not
known before it, so the last look before it keeps a reserve: the slowest of the last hundred
commits, at most a quarter of the deadline (one stalled disk write must not reject a whole belt).
If the commit overruns even that, the row is turned into a late UNDEFINED before anybody is told
of it: only then it is released. The usual part costs one commit, a part too late two.
"""

from collections.abc import Callable
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
from inspector.station.attest import Attested, attest
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
from inspector.station.withhold import REASON_MAX, require_fresh, require_new, too_late, withheld

COMMIT_SHARE_MAX = 0.25
GRAB_TURN_S = 0.2
PART_ID_MAX = 256


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
    """What is in the journal, final: what everybody is told, the line too."""
    frame: Frame | None
    late: bool
    late_commit: bool
    """Judged in time, durable too late."""
    total_ms: float
    """From the trigger until the row was durable."""
    commit_ms: float
    fault: DeviceError | None
    """Why no further part can be inspected; this one is recorded."""


def nothing() -> None:
    """Of no interest to anybody."""


def inspect_part(
    part: Part,
    job: Job,
    gear: Gear,
    last: Frame | None,
    commit_reserve_ms: float,
    moved: Callable[[], None] = nothing,
) -> Inspected:
    """Inspect one part: grab, judge, record, tell. `last` is the frame of the part before.

    commit_reserve_ms: what the commit may take, as far as is known.
    moved: called at every step, so that a station that hangs is told from one that works.
    Raises RecordError where the result cannot be stored (the part must not pass), EndOfStream
    where there was no part any more. Everything else that goes wrong is in the result.
    """
    watch = Stopwatch(gear.clock, part.seen_at)
    frame: Frame | None = None
    fault: DeviceError | None = None
    attested: Attested | None = None
    try:
        frame = _grab(part, job.recipe, gear, moved)
        watch.lap("wait")
        require_fresh(frame, part, last, gear.clock.monotonic())
        require_new(frame, last, job.recipe, gear.camera)
        attested = attest(frame.image, job.recipe.attest)
        watch.lap("attest")
        moved()
        judged = judge_attested(frame.image, attested, job, watch)
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
    verdict = withheld(judged.verdict, late, job.recipe.deadline_ms, shortage)
    result = _result(part, frame, job, gear, judged, verdict, late, attested, watch)
    moved()
    commit_at = gear.clock.monotonic()
    gear.journal.put(result)

    total_ms = watch.total_ms()
    commit_ms = ms(gear.clock.monotonic() - commit_at)
    late_commit = not late and total_ms > job.recipe.deadline_ms
    if late_commit:
        result = too_late(result, total_ms, job.recipe.deadline_ms)
        gear.journal.amend(result)
    gear.journal.release(result.seq)
    gear.publisher.wake()
    moved()
    if frame is not None and result.image is not None:
        gear.archive.offer(result.image, frame.image)
    return Inspected(
        result=result,
        frame=frame,
        late=late or late_commit,
        late_commit=late_commit,
        total_ms=total_ms,
        commit_ms=commit_ms,
        fault=fault,
    )


def judge_attested(image: Image, attested: Attested, job: Job, watch: Stopwatch) -> Judged:
    """Judge an image that is fit for it; one that is not is UNDEFINED. Raises as judge_image."""
    if attested.fault is not None:
        return Judged(Verdict(Evaluation.UNDEFINED, f"attestation: {attested.fault}"))
    return judge_image(image, job, watch)


def judge_image(image: Image, job: Job, watch: Stopwatch) -> Judged:
    """Judge every region of one image, all in one batch; the worst stands for the part.

    Raises ValueError where the image does not suit the recipe, ModelError where the model fails.
    """
    regions = regions_for(image, job.recipe, job.runtime.tiles)
    cuts = [fit(cut(image, region), job.runtime.spec) for region in regions]
    watch.lap("fit")
    predictions = job.runtime.predict(cuts)
    watch.lap("predict")
    limits = job.limits
    verdicts = [judge(prediction, limits) for prediction in predictions]
    judged = zip(regions, predictions, verdicts, strict=True)
    results = tuple(_region_result(*each) for each in judged)
    i = worst(verdicts, [prediction.defect_score for prediction in predictions])
    verdict, result = verdicts[i], results[i]
    if len(regions) > 1:
        verdict = Verdict(verdict.evaluation, f"{result.name}: {verdict.reason}")
    watch.lap("judge")
    return Judged(verdict, result.label, result.score, result.novelty, results)


def _grab(part: Part, recipe: Recipe, gear: Gear, moved: Callable[[], None]) -> Frame:
    """The part's frame. Waiting for it is work: it is done in short turns."""
    # a frame that comes after the deadline could pass nothing
    timeout_ms = min(recipe.frame_timeout_ms, recipe.deadline_ms)
    end = gear.clock.monotonic() + timeout_ms / 1000
    while True:
        rest_s = end - gear.clock.monotonic()
        try:
            return gear.camera.grab(not_before=part.seen_at, timeout_s=min(rest_s, GRAB_TURN_S))
        except DeviceTimeout as error:
            if rest_s <= GRAB_TURN_S:
                raise DeviceTimeout(f"no frame for {timeout_ms} ms: {error}") from None
            moved()


def _named_by(error: Exception, part: Part) -> Part:
    """A picture that cannot be read still names its part, where it came from a file."""
    if part.part_id is None and isinstance(error, FrameError) and error.name:
        return Part(part.sequence, _stem(error.name), part.seen_at)
    return part


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
    attested: Attested | None,
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
        attestation=attested.figures if attested else None,
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
