"""One part from trigger to verdict. Start reading here.

Only OK passes. Whatever keeps a part from being judged (no frame, a stale or odd one, the next
part announced before it came, a model that fails or computes nonsense, a deadline gone by, a
journal near its end) makes it UNDEFINED, with the reason in the result. Record, then release: a
verdict leaves only after its row is durable, and the line's signal shows it last, since a pass it
has shown cannot be taken back. An OK that somebody is told of here (the line, or who asked) is
first made final for the next start too: a station killed in that moment must not take back what
has passed. Where it cannot be, the row is turned into an UNDEFINED and the part is rejected; the
next part may have better luck.

**The deadline** runs from the trigger until the row is durable and the line has been told; the
line may ask for less than the recipe allows, never for more. How long the commit takes is not
known before it, so the last look before it keeps a reserve: the slowest of the last hundred
commits, at most a quarter of the deadline (one stalled disk write must not reject a whole belt).
If the commit overruns even that, the row is turned into a late UNDEFINED before anybody is told
of it: only then it is released. The usual part costs one commit, a part too late two, one that
passes on the line a commit and a sync of one sector. A line that cannot be told in time rejects the
part, whatever its row says: that is counted and said.
"""

from collections.abc import Callable
from dataclasses import dataclass

from inspector.contract.errors import (
    DeviceError,
    DeviceTimeout,
    EndOfStream,
    FrameError,
    RecordError,
)
from inspector.contract.image import Image
from inspector.contract.result import InspectionResult
from inspector.contract.verdict import Verdict
from inspector.station.attest import Attested
from inspector.station.attest_rule import Attest
from inspector.station.gear import Gear, in_the_way
from inspector.station.judging import Job, Judged, cause_of, judge_attested
from inspector.station.line import NO_LINE
from inspector.station.ports import Frame, Part
from inspector.station.recipe import Recipe
from inspector.station.record import Looked, deadline_of, named_by, result_of
from inspector.station.stopwatch import Stopwatch, ms
from inspector.station.withhold import (
    require_fresh,
    require_new,
    too_late,
    unreleased,
    withheld,
)

__all__ = [
    "Gear",
    "Inspected",
    "Job",
    "inspect_part",
]

COMMIT_SHARE_MAX = 0.25
GRAB_TURN_S = 0.2


@dataclass(frozen=True, slots=True)
class Inspected:
    """What became of one part."""

    result: InspectionResult
    """What is in the journal, final: what everybody is told, the line too."""
    rule: Attest | None
    """What its frame was held against."""
    frame: Frame | None
    late: bool
    late_commit: bool
    """Judged in time, durable too late."""
    total_ms: float
    """From the trigger until the row was durable."""
    commit_ms: float
    line_ms: float
    """From the durable row until the line had the verdict, or it was given up; 0 without one."""
    unshown: str | None
    """Why the line did not get the verdict in time: it rejects the part, whatever the row says."""
    fault: DeviceError | None
    """Why no further part can be inspected; this one is recorded."""


def nothing() -> None:
    """Of no interest to anybody."""


def never(part: Part, by: float, picture: Image) -> str | None:
    """One part at a time: none comes while another is in work."""


def inspect_part(
    part: Part,
    job: Job,
    gear: Gear,
    last: Frame | None,
    commit_reserve_ms: float,
    moved: Callable[[], None] = nothing,
    overtaken: Callable[[Part, float, Image], str | None] = never,
) -> Inspected:
    """Inspect one part: grab, judge, record, tell. `last` is the frame of the part before.

    commit_reserve_ms: what the commit, and telling the line, may take, as far as is known.
    moved: called at every step, so that a station that hangs is told from one that works.
    overtaken: the trigger's, asked whether another part came before the picture was in hand, or
    this one was gone by then.
    Raises RecordError where the result cannot be stored (the part must not pass), EndOfStream
    where there was no part any more. Everything else that goes wrong is in the result.
    """
    watch = Stopwatch(gear.clock, part.seen_at)
    deadline_ms = deadline_of(part, job.recipe)
    looked = _look(part, job, gear, last, watch, moved, overtaken)

    reserve_ms = min(commit_reserve_ms, COMMIT_SHARE_MAX * deadline_ms)
    # one that was never looked at is not late: why it was not says more
    late = part.refused is None and watch.total_ms() + reserve_ms > deadline_ms
    verdict = withheld(looked.judged.verdict, late, deadline_ms, in_the_way(gear))
    result = result_of(looked, job, gear, verdict, late, watch)
    moved()
    commit_at = gear.clock.monotonic()
    gear.journal.put(result)

    total_ms = watch.total_ms()
    commit_ms = ms(gear.clock.monotonic() - commit_at)
    late_commit = part.refused is None and not late and total_ms > deadline_ms
    if late_commit:
        result = too_late(result, total_ms, deadline_ms)
        gear.journal.amend(result)
    line_at = gear.clock.monotonic()
    result = _release(result, part, gear)
    gear.publisher.wake()
    unshown, line_fault = _show(part, gear, passes=result.passed, deadline_ms=deadline_ms)
    line_ms = 0.0 if gear.line is NO_LINE else ms(gear.clock.monotonic() - line_at)
    moved()
    if looked.frame is not None and result.image is not None:
        gear.archive.offer(result.image, looked.frame.image, looked.judged.maps)
    return Inspected(
        result=result,
        rule=job.recipe.attest,
        frame=looked.frame,
        late=late or late_commit,
        late_commit=late_commit,
        total_ms=total_ms,
        commit_ms=commit_ms,
        line_ms=line_ms,
        unshown=unshown,
        fault=_both(looked.fault, line_fault),
    )


def _look(
    part: Part,
    job: Job,
    gear: Gear,
    last: Frame | None,
    watch: Stopwatch,
    moved: Callable[[], None],
    overtaken: Callable[[Part, float, Image], str | None],
) -> Looked:
    """From the trigger to what the model says. Raises EndOfStream where there was no part."""
    if part.refused is not None:
        return Looked(part, Judged(Verdict.by("trigger", part.refused)))
    gear.line.busy(part)
    frame: Frame | None = None
    attested: Attested | None = None
    fault: DeviceError | None = None
    try:
        frame = _grab(part, job.recipe, gear, moved)
        in_hand_at = gear.clock.monotonic()
        gear.line.acquired()
        watch.lap("wait")
        require_fresh(frame, part, last, gear.clock.monotonic())
        require_new(frame, last, job.recipe, gear.camera)
        moved()
        judged, attested = judge_attested(frame.image, job, watch, gear.attester)
        # Not held against `exposed_at`, which may lie too early. Asked only now: a trigger read
        # just before the picture came is sorted by then. A picture of a file shows its own part.
        another = None if gear.camera.simulated else overtaken(part, in_hand_at, frame.image)
        if another is not None:
            words = f"{another} came before this part's picture: it may show another part"
            judged = Judged(Verdict.by("trigger", words))
    except (DeviceTimeout, FrameError) as error:
        judged = Judged(Verdict.by(cause_of(error), str(error)))
        part = named_by(error, part)
    except EndOfStream:
        raise
    except DeviceError as error:
        judged = Judged(Verdict.by("camera", f"camera gone: {error}"))
        fault = error
    return Looked(part, judged, frame, attested, fault)


def _release(result: InspectionResult, part: Part, gear: Gear) -> InspectionResult:
    """Let it be told; returns what may be told, which is less where an OK cannot be made to last.

    A reject says nothing that a kill could take back. Raises RecordError where not even the
    rejection can be stored: the row stays as it is, released to nobody.
    """
    told_at_once = part.asked or gear.line is not NO_LINE
    try:
        gear.journal.release(result.seq, durably=result.passed and told_at_once)
    except RecordError as error:
        result = unreleased(result, error)
        gear.journal.amend(result)
        gear.journal.release(result.seq)
    return result


def _show(
    part: Part, gear: Gear, *, passes: bool, deadline_ms: int
) -> tuple[str | None, DeviceError | None]:
    """Tell the line, last of all; (why it was not told, whether that is a fault)."""
    if part.refused is not None:
        return None, None  # it rests: another part may be where this one was
    try:
        gear.line.show(part, passes=passes, by=part.seen_at + deadline_ms / 1000)
    except DeviceTimeout as error:
        return str(error), None
    except DeviceError as error:
        return str(error), error
    return None, None


def _both(first: DeviceError | None, then: DeviceError | None) -> DeviceError | None:
    """A person is to see both, the first cause first."""
    return DeviceError(f"{first}; {then}") if first and then else first or then


def _grab(part: Part, recipe: Recipe, gear: Gear, moved: Callable[[], None]) -> Frame:
    """The part's frame. Waiting for it is work: it is done in short turns."""
    # a frame that comes after the deadline could pass nothing
    timeout_ms = min(recipe.frame_timeout_ms, deadline_of(part, recipe))
    end = gear.clock.monotonic() + timeout_ms / 1000
    while True:
        rest_s = end - gear.clock.monotonic()
        try:
            return gear.camera.grab(not_before=part.seen_at, timeout_s=min(rest_s, GRAB_TURN_S))
        except DeviceTimeout as error:
            if rest_s <= GRAB_TURN_S:
                raise DeviceTimeout(f"no frame for {timeout_ms} ms: {error}") from None
            moved()
