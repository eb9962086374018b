"""Why a part must not pass, whatever the model says of its picture."""

from inspector.contract.errors import FrameError, RecordError
from inspector.contract.result import InspectionResult
from inspector.contract.verdict import Cause, Evaluation, Verdict
from inspector.station.attest import same_pixels
from inspector.station.gear import Obstacle
from inspector.station.ports import Camera, Frame, Part
from inspector.station.recipe import Recipe

REASON_MAX = 1_000  # it may quote what came from outside, and brokers limit a message


def require_fresh(frame: Frame, part: Part, last: Frame | None, now: float) -> None:
    """A driver that hands out an old picture must not pass a new part by it."""
    if not frame.exposed_at >= part.seen_at:  # also true for NaN
        raise FrameError("stale frame: it was exposed before the trigger", frame.name, "stale")
    if frame.exposed_at > now:
        raise FrameError("odd frame: its exposure is in the future", frame.name, "stale")
    if last is not None and frame.sequence <= last.sequence:
        raise FrameError(
            f"stale frame: number {frame.sequence} after {last.sequence}, the camera repeats one",
            frame.name,
            "stale",
        )
    if last is not None and frame.exposed_at <= last.exposed_at:
        raise FrameError("stale frame: not newer than the one before", frame.name, "stale")


def require_new(frame: Frame, last: Frame | None, recipe: Recipe, camera: Camera) -> None:
    """A driver that is stuck may give one picture new times and numbers. Two files may be equal."""
    may_repeat = camera.simulated or (recipe.attest is not None and recipe.attest.may_repeat)
    if last is not None and not may_repeat and same_pixels(frame.image, last.image):
        raise FrameError("frozen: every pixel is that of the frame before", frame.name, "frozen")


def withheld(verdict: Verdict, late: bool, deadline_ms: int, obstacle: Obstacle | None) -> Verdict:  # noqa: FBT001
    """The verdict, or why it must not be given although the part was judged.

    obstacle: why nothing may pass now.
    """
    said = f"; judged {verdict.evaluation.name}: {verdict.reason}"
    if obstacle is not None:
        return Verdict.by(cause_kept(verdict, obstacle.cause), f"{obstacle.text}{said}")
    if late:
        return Verdict.by(cause_kept(verdict, "late"), f"deadline of {deadline_ms} ms missed{said}")
    return verdict


def cause_kept(verdict: Verdict, cause: Cause) -> Cause:
    """A part that could not be judged keeps why: what came on top of that did not cause it."""
    unjudged = verdict.evaluation is Evaluation.UNDEFINED
    return verdict.cause if unjudged and verdict.cause is not None else cause


def too_late(result: InspectionResult, total_ms: float, deadline_ms: int) -> InspectionResult:
    """The same part, recorded after its deadline: whatever was judged, it is rejected."""
    reason = f"deadline of {deadline_ms} ms missed: recorded {total_ms:.0f} ms after the trigger"
    return _rejected(result, "late", reason).model_copy(update={"late": True})


def unreleased(result: InspectionResult, error: RecordError) -> InspectionResult:
    """The same part, whose OK a kill would take back: so nobody is told of it."""
    return _rejected(result, "journal", f"journal: its OK cannot be made to last: {error}")


def _rejected(result: InspectionResult, cause: Cause, reason: str) -> InspectionResult:
    said = f"; judged {result.evaluation}: {result.reason}"
    changes = {
        "passed": False,
        "evaluation": "UNDEFINED",
        "cause": result.cause if result.evaluation == "UNDEFINED" else cause,
        "reason": (reason + said)[:REASON_MAX],
    }
    return result.model_copy(update=changes)
