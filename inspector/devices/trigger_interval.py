"""A part every so often, for machines that move at a fixed beat."""

import math
import time
from typing import Annotated, Literal

from pydantic import Field

from inspector.contract.image import Image
from inspector.contract.result import InspectionResult
from inspector.contract.status import TriggerStatus
from inspector.contract.strict import Strict
from inspector.station.ports import Part

LATE_SHARE = 0.1
"""A beat seen later than this share of the period counts as gone by."""


class IntervalSettings(Strict):
    kind: Literal["interval"] = "interval"
    period_ms: Annotated[int, Field(ge=1, le=3_600_000)]


class IntervalTrigger:
    """One part a beat; beats keep their phase.

    A beat that goes by while a part is still being inspected is skipped and counted, not made up
    for: a part judged by a picture of another moment could pass for its neighbour.
    """

    trouble = None
    status = TriggerStatus(kind="interval")

    def __init__(self, settings: IntervalSettings) -> None:
        self.missed = 0
        self._period_s = settings.period_ms / 1000
        self._next_at: float | None = None
        self._sequence = 0

    def wait(self, timeout_s: float) -> Part | None:
        now = time.monotonic()
        if self._next_at is None:
            self._next_at = now
        late_s = now - self._next_at
        if late_s > LATE_SHARE * self._period_s:
            beats = math.ceil(late_s / self._period_s)
            self.missed += beats
            self._next_at += beats * self._period_s
        rest_s = self._next_at - now
        if rest_s > timeout_s:
            time.sleep(timeout_s)
            return None
        if rest_s > 0:
            time.sleep(rest_s)
        self._next_at += self._period_s
        self._sequence += 1
        return Part(self._sequence, None, time.monotonic())

    def restart(self) -> None:
        """Begin a new row of beats now: what went by while nobody asked was not missed."""
        self._next_at = None

    def pause(self) -> None: ...

    def overtaken(self, part: Part, by: float, picture: Image) -> str | None:  # noqa: ARG002
        if self._next_at is None or by < self._next_at:
            return None
        return f"the next beat, {1_000 * self._period_s:.0f} ms after its own,"

    def done(self, part: Part, result: InspectionResult | None) -> None: ...

    def end(self) -> int:
        return 0
