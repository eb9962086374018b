"""What a station says of itself: state and alarm, retained, so that who comes late knows at once,
and the heartbeat.

A change to these classes is a new version: tests/data holds the schemas as they are.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, field_serializer

from inspector.contract.result import EvaluationName, utc_text
from inspector.contract.strict import Name, Strict
from inspector.contract.verdict import Cause

StateName = Literal[
    "OFFLINE",
    "PREOPERATIONAL",
    "HALTED",
    "ERROR",
    "INITIALIZED",
    "READY",
    "SINGLE_EXECUTION",
    "CONTINUOUS_EXECUTION",
]
"""OPC 40100-1's states, and OFFLINE: what the broker says when the station is gone."""

Count = Annotated[int, Field(ge=0)]
LoadOutcome = Literal["taken", "refused"]
AlarmKind = Literal["fault", "not_judgeable", "rows_lost"]


class Spread(Strict):
    """A time over the last `n` parts, in milliseconds."""

    n: Count
    p50: float
    p99: float


class TallyCounts(Strict):
    """Since this boot. triggers = sum of verdicts + unrecorded, but for the part in work."""

    triggers: Count = 0
    verdicts: dict[EvaluationName, Count] = Field(default_factory=dict)
    triggers_missed: Count = 0
    """Parts that came while another was in work: no verdict, so nothing that could pass."""
    causes: dict[Cause, Count] = Field(default_factory=dict)
    """Parts that were not OK, by cause."""
    late: Count = 0
    """UNDEFINED because the deadline had passed."""
    late_commits: Count = 0
    """Those of `late` that were judged in time and durable too late: withdrawn before anybody saw
    them."""
    unrecorded: Count = 0
    """Judged but not storable: rejected, and the station went into ERROR."""
    unjudged_in_a_row: Count = 0
    """UNDEFINED since the last part that could be judged."""
    line_stops: Count = 0
    """How often so many were UNDEFINED in a row that the line was asked to stop."""
    unshown: Count = 0
    """Verdicts the line's signal did not get in time: rejected there, whatever their rows say."""
    clock_jumps: Count = 0
    """How often the wall's clock was set; nothing is decided by it."""
    frames_missed: Count = 0
    """Frames the camera took between two parts' frames; a free-running camera has many."""
    capture_restarts: Count = 0
    """How often the process that reads the camera had to be started again."""
    images_dropped: Count = 0
    trigger_to_verdict_ms: Spread | None = None
    """From trigger until the row is durable, which is when the verdict may leave."""


class BundleStatus(Strict):
    """Reloads since this boot."""

    loads: dict[LoadOutcome, Count] = Field(default_factory=dict)
    """How bundles ended that were to replace the serving one."""
    refused: str | None = None
    """The last one that was refused, and why; None once another was taken after it. Also why parts
    are not judged by the limits that a revision of the recipe says."""
    previous: str | None = None
    """What a rollback brings back."""
    on_trial: bool = False
    """It serves since so short a time that, should the process die, the one before serves again."""
    revision: Count = 0
    """Of the recipe, that holds; 0: its file does."""


class ModelStatus(Strict):
    """Which form of the bundle's model judges the parts, and why."""

    variant: str
    """float: the bundle's own; else a variant's name."""
    reason: str
    fell_back: bool = False
    """It is float though a variant was to run: that one failed its self-test on this machine, or
    the bundle has not got what the settings name."""
    golden_error: float | None = None
    """The largest difference of a golden picture's probability from the expected, on this machine,
    when it was loaded; the bundle's tolerance was kept."""


class ShadowStatus(Strict):
    """The bundle that judges the same parts without a say, since this boot."""

    bundle: str
    judged: Count = 0
    disagreements: Count = 0
    """It judged a part otherwise than the serving bundle."""
    dropped: Count = 0
    """Parts it did not see because it was still busy."""
    failed: Count = 0
    """Parts it could not judge: its model failed, or the picture did not suit it."""
    judge_ms: Spread | None = None


TriggerRefusal = Literal[
    "malformed", "oversized", "retained", "stale", "duplicate", "not_executing"
]


class TriggerStatus(Strict):
    """How parts are found, and what came that is none; since this boot."""

    kind: str
    trouble: str | None = None
    """Why no trigger can come now."""
    refused: dict[TriggerRefusal, Count] = Field(default_factory=dict)
    """Triggers that were not acted on: no verdict, so nothing that could pass."""


EchoRefusal = Literal["malformed", "oversized", "overflow", "retained", "stale", "unasked"]


class EchoStatus(Strict):
    """What the line's controller said it did with its verdicts; since this boot."""

    echoes: Count = 0
    """Verdicts it echoed as they were told."""
    ejected: Count = 0
    """Rejected parts it saw leave the belt."""
    missing: Count = 0
    """Verdicts it did not echo in time."""
    not_ejected: Count = 0
    """Rejected parts it did not see leave the belt in time."""
    mismatches: Count = 0
    """It acted on another verdict than was told, or passed a part that none was told of."""
    refused: dict[EchoRefusal, Count] = Field(default_factory=dict)
    """Messages that were no echo of a verdict of this boot, by reason."""
    echo_ms: Spread | None = None
    """From telling a verdict to its echo."""


class LineStatus(Strict):
    """The line's signal; since this boot."""

    kind: str
    trouble: str | None = None
    """Why the line cannot be told now: it rejects."""
    failures: Count = 0
    """How often it was lost, or did not answer."""
    echo: EchoStatus | None = None
    """None where neither an echo nor a confirmation is asked for."""


class ConsumerStatus(Strict):
    """A registered consumer, whose unacknowledged rows the journal keeps."""

    name: Name
    acknowledged: Count
    """Up to which row it has said that it has everything."""
    lag: Count
    """Rows behind that."""
    oldest_unacknowledged_s: Annotated[float, Field(ge=0.0)]
    """How long the first of them has waited; 0 where there is none."""
    lost: Count = 0
    """Rows the journal no longer has and it never acknowledged: only with may_lose."""
    refused: Count = 0
    """Acknowledgements and requests that were refused, since this boot."""
    replayed: Count = 0
    """Rows sent to it again, since this boot."""


class StateMessage(Strict):
    schema_version: Literal[4] = Field(default=4, alias="schema")
    station: str
    boot: str
    state: StateName
    cause: str
    """Why it is in this state: after a fault, the first cause."""
    since: AwareDatetime | None
    withheld: str | None = "the station is not there"
    """Why no part would pass now, however good; null where a good one would."""
    recipe: str | None = None
    bundle: str | None = None
    model: ModelStatus | None = None
    seq: Count = 0
    """The last row in the journal."""
    tally: TallyCounts = TallyCounts()
    bundles: BundleStatus | None = None
    shadow: ShadowStatus | None = None
    """None where no second bundle is named."""
    trigger: TriggerStatus | None = None
    line: LineStatus | None = None
    """None where the result on MQTT is the release."""
    consumers: tuple[ConsumerStatus, ...] = ()
    """Those registered in the station's settings."""

    @field_serializer("since")
    def _milliseconds(self, value: datetime | None) -> str | None:
        return None if value is None else utc_text(value)

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


class Alarm(Strict):
    kind: AlarmKind
    """fault: the station is in ERROR. not_judgeable: too many UNDEFINED parts in a row.
    rows_lost: a consumer that may lose rows was away until the journal let go of some."""
    cause: str
    since: AwareDatetime

    @field_serializer("since")
    def _milliseconds(self, value: datetime) -> str:
        return utc_text(value)


class AlarmMessage(Strict):
    """What needs a person now. Of a station whose state is OFFLINE it is the last known."""

    schema_version: Literal[2] = Field(default=2, alias="schema")
    station: str
    boot: str
    line_stop: bool
    """The line is asked to stop: it would only make rejects."""
    alarms: tuple[Alarm, ...]

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


class Heartbeat(Strict):
    """Sent by the thread that inspects, as it moves on; a station that hangs sends none."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    station: str
    boot: str
    beat: Annotated[int, Field(ge=1)]
    """Counts from 1 at each boot: who sees a gap has missed one."""
    state: StateName
    seq: Count
    """The last row in the journal."""

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()
