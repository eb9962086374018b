"""What the station needs of the world. A driver fulfils one of these and knows nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from inspector.contract.defect_map import RegionMaps
from inspector.contract.image import Image, ImageSpec, Tiling
from inspector.contract.result import InspectionResult
from inspector.contract.status import (
    ConsumerStatus,
    LineStatus,
    ModelStatus,
    ShadowStatus,
    TriggerStatus,
)
from inspector.contract.verdict import Evaluation, Limits, Prediction
from inspector.station.recipe import Recipe
from inspector.station.spread import Buckets


@dataclass(frozen=True, slots=True)
class Part:
    """The thing inspected, known from the moment it was triggered."""

    sequence: int
    part_id: str | None
    seen_at: float  # time.monotonic()
    trigger_id: str | None = None  # what the line calls its trigger
    deadline_ms: int | None = None  # as the line asks; it can only shorten the recipe's
    refused: str | None = None
    """Why it must not be judged, though it was triggered: it is recorded as UNDEFINED."""
    asked: bool = False
    """Whoever triggered it waits, and is told its verdict at once."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One exposure. The image is read-only: a stage that wants to draw copies it."""

    image: Image  # height x width x 3, BGR
    exposed_at: float  # time.monotonic(); never later than the true exposure
    sequence: int  # from 1, on over closing and opening; a gap means the camera lost frames
    name: str | None = None  # the file's name where a file was replayed


class Clock(Protocol):
    """Passed in, so that what decides can be tested at any hour."""

    def monotonic(self) -> float:
        """Seconds; never goes back, and means nothing on the wall."""

    def utc(self) -> datetime:
        """The wall's time, for people; nothing is decided by it."""


class Camera(Protocol):
    """A source of frames. One thread uses it; open and close may be called twice."""

    simulated: bool

    @property
    def restarts(self) -> int:
        """How often its capture had to be started again since this program started."""

    def open(self) -> None:
        """Make ready. Raises DeviceError where the device is not there and will not come by itself.

        A device that may still come (a camera that boots slower than we do) raises in `grab`. One
        that is open already and has given up begins anew.
        """

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:
        """Return the first frame exposed at or after `not_before`.

        This keeps a buffered picture of the previous part from being judged as this one.
        Raises DeviceTimeout if none comes, FrameError if one came that cannot be read,
        DeviceError if the camera is gone, EndOfStream if a finite source has shown its last.
        """

    def close(self) -> None: ...


class Trigger(Protocol):
    """Says when a part is there. One thread uses it."""

    @property
    def missed(self) -> int:
        """Parts that came while another was in work: they have no verdict and must not pass."""

    @property
    def trouble(self) -> str | None:
        """Why no trigger can come now; None where one could."""

    @property
    def status(self) -> TriggerStatus:
        """Any thread may ask."""

    def restart(self) -> None:
        """The station begins to execute: what came before is neither a part nor missed."""

    def pause(self) -> None:
        """It executes no more: what comes now is no part. May be called twice."""

    def wait(self, timeout_s: float) -> Part | None:
        """The next part, or None if none came in time. Sequences count from 1 without gaps.

        Raises DeviceError if the trigger is gone, EndOfStream where no part will ever come again.
        """

    def overtaken(self, part: Part, by: float, picture: Image) -> str | None:
        """What told of another part after the one in work and up to `by` (time.monotonic()), when
        that one's picture was in hand, or that it is gone from that picture; None where nothing
        did, as far as it can know.
        """

    def done(self, part: Part, result: InspectionResult | None) -> None:
        """What became of a part it gave; None where nothing was recorded of it."""

    def end(self) -> int:
        """The station ends: what comes now is no part. How many accepted ones still wait for
        `wait`, which gives each of them refused.
        """


class LineSignal(Protocol):
    """What the line's machine sees of the station. At rest it rejects.

    One thread uses it. Only `show` waits, and never beyond its `by`.
    """

    @property
    def status(self) -> LineStatus | None:
        """None where there is no signal. Any thread may ask."""

    @property
    def trouble(self) -> str | None:
        """Why a pass could not be shown now; None where it could."""

    @property
    def latencies(self) -> Mapping[str, Buckets]:
        """How long its controller took to echo a verdict, as `echo`, where that is asked."""

    def rest(self, *, ready: bool, fault: bool) -> None:
        """No part is in work: reject. ready: parts may come.

        A verdict that stands just now runs out; with `fault` it is over at once.
        """

    def busy(self, part: Part) -> None:
        """A part is in work; what was shown of the one before is over."""

    def acquired(self) -> None:
        """Its picture is taken: it may move."""

    def show(self, part: Part, *, passes: bool, by: float) -> None:
        """Tell the part's verdict, for a moment; returns when the line has it.

        Raises DeviceTimeout where it has not by then (time.monotonic()), DeviceError where it
        cannot be told; either way no pass is left standing, as far as the medium lets us.
        """

    def require(self) -> None:
        """Raises DeviceError where the line was there since `rest(ready=True)`, and is gone; or,
        once each, where its controller owes a word about a verdict, or acted on another one.
        """

    def moved(self) -> None:
        """The pipeline has come a step further: who watches the signal may know."""


class Runtime(Protocol):
    """A bundle's model, opened, warmed up and self-tested."""

    bundle_id: str
    spec: ImageSpec
    tiles: Tiling | None
    """What the model was trained on and judges: tiles of a picture; None: whole pictures."""
    limits: Limits
    running: ModelStatus
    """Which of the bundle's models this is, and why."""
    notice: str
    """What must be said wherever the bundle is used; empty where nothing restricts its use."""
    golden_error: float
    """The largest difference of a probability from the expected, in its self-test here."""

    def predict(self, images: Sequence[Image]) -> list[Prediction]:
        """One prediction an image; images are of `spec`'s size.

        Where `tiles` have an overview, that is the first, has its say in the others' predictions
        and gets none. Raises ModelError where the model fails or answers in another shape.
        """

    def under_way(self) -> Callable[[], None] | None:
        """What stops the predict that is under way, and no other: it raises ModelError then.

        None where there is none. Any thread may ask.
        """


class Journal(Protocol):
    """Where a result is before its part is released. One thread writes it."""

    def next_seq(self) -> int:
        """The number the next row will have. Raises RecordError where the journal is gone."""

    def put(self, result: InspectionResult) -> None:
        """Store durably: when this returns, a power cut forgets nothing. Nobody is told of it
        before `release`; an OK that was never released is withdrawn.

        Raises RecordError where it cannot, or where result.seq is not the next.
        """

    def amend(self, result: InspectionResult) -> None:
        """Replace the row just put, durably; nobody has seen it. Raises RecordError."""

    def release(self, seq: int, *, durably: bool = False) -> None:
        """The row is final: whoever wants it may have it. Waits for nothing, but `durably`: when
        that returns, a power cut does not withdraw it. Raises RecordError where it would: the row
        is not final then, and may be amended.
        """

    def rest(self) -> None:
        """No part is there: time for what must not be done on a part's way. Never raises."""

    def shortage(self) -> str | None:
        """Why nothing may pass though a row could still be written; None where there is room."""

    def lost(self) -> str | None:
        """Which consumers lack rows that were let go for room; None where none does."""

    def close(self) -> None: ...


class Archive(Protocol):
    """Keeps images, may drop them, counts every drop. Never blocks."""

    @property
    def dropped(self) -> int:
        """Images offered since the start that were not kept for want of time or room."""

    def keeps(self, evaluation: Evaluation) -> bool:
        """Whether images of parts judged so are wanted at all."""

    def offer(self, name: str, image: Image, maps: RegionMaps | None = None) -> None:
        """Take the image to be kept as `name`, a file name without an ending, and beside it where
        the model saw a defect.
        """


class Publisher(Protocol):
    """Carries results and states to who wants them, on a thread of its own. Never blocks."""

    @property
    def consumers(self) -> tuple[ConsumerStatus, ...]:
        """Registered consumers, and how far each has acknowledged."""

    def wake(self) -> None:
        """The journal has a new row."""

    def offer_state(self, payload: bytes) -> None:
        """The station's newest state; one not yet sent is replaced."""

    def offer_alarm(self, payload: bytes) -> None:
        """The newest alarms; ones not yet sent are replaced."""

    def beat(self, payload: bytes) -> None:
        """A heartbeat: sent now or never."""


class Shadow(Protocol):
    """A second bundle that judges the same parts without a say, on a thread of its own."""

    @property
    def status(self) -> ShadowStatus:
        """Any thread may ask."""

    def offer(self, result: InspectionResult, image: Image, recipe: Recipe) -> None:
        """A part was judged. Never blocks: where it is busy, the part is counted as dropped.

        The image is read-only and stays as it is.
        """
