"""What is recorded of a part: the row that the journal keeps and everybody is told."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from inspector.contract.errors import DeviceError, FrameError
from inspector.contract.result import NAMES, PART_ID_MAX, InspectionResult, PartRef, TriggerRef
from inspector.contract.verdict import Verdict
from inspector.station.attest import Attested
from inspector.station.gear import Gear
from inspector.station.judging import Job, Judged
from inspector.station.ports import Clock, Frame, Part
from inspector.station.recipe import Recipe
from inspector.station.stopwatch import Stopwatch
from inspector.station.withhold import REASON_MAX


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of looking at a part."""

    part: Part
    judged: Judged
    frame: Frame | None = None
    attested: Attested | None = None
    fault: DeviceError | None = None


def deadline_of(part: Part, recipe: Recipe) -> int:
    """Milliseconds from the trigger: the recipe's, or the line's where that is shorter."""
    return min(recipe.deadline_ms, part.deadline_ms or recipe.deadline_ms)


def named_by(error: Exception, part: Part) -> Part:
    """A picture that cannot be read still names its part, where it came from a file."""
    if part.part_id is None and isinstance(error, FrameError) and error.name:
        return replace(part, part_id=_stem(error.name))
    return part


def result_of(
    looked: Looked,
    job: Job,
    gear: Gear,
    verdict: Verdict,
    late: bool,  # noqa: FBT001
    watch: Stopwatch,
) -> InspectionResult:
    """verdict: what the part gets, which may be less than it was judged."""
    part, frame, judged, attested = looked.part, looked.frame, looked.judged, looked.attested
    result_id = f"{gear.boot}-{part.sequence}"
    part_id = part.part_id or (_stem(frame.name) if frame and frame.name else None)
    kept = frame is not None and gear.archive.keeps(verdict.evaluation)
    by_line = part.trigger_id is not None or part.deadline_ms is not None
    return InspectionResult(
        result_id=result_id,
        station=gear.station,
        boot=gear.boot,
        seq=gear.journal.next_seq(),
        part=PartRef(id=part_id[:PART_ID_MAX] if part_id else None, sequence=part.sequence),
        trigger=TriggerRef(id=part.trigger_id, deadline_ms=part.deadline_ms) if by_line else None,
        passed=verdict.passes,
        evaluation=NAMES[verdict.evaluation],
        reason=verdict.reason[:REASON_MAX],
        cause=verdict.cause,
        label=judged.label,
        score=judged.score,
        novelty=judged.novelty,
        deadline_ms=deadline_of(part, job.recipe),
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
