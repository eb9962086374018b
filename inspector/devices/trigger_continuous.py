"""The next part as soon as the last one is done: replays, soak runs, free-running inspection."""

import time
from typing import Literal

from inspector.contract.image import Image
from inspector.contract.result import InspectionResult
from inspector.contract.status import TriggerStatus
from inspector.contract.strict import Strict
from inspector.station.ports import Part


class ContinuousSettings(Strict):
    kind: Literal["continuous"] = "continuous"


class ContinuousTrigger:
    """Every wait is answered at once."""

    trouble = None
    status = TriggerStatus(kind="continuous")

    def __init__(self, settings: ContinuousSettings) -> None:  # noqa: ARG002 - as all triggers
        self.missed = 0
        self._sequence = 0

    def wait(self, timeout_s: float) -> Part | None:  # noqa: ARG002 - never waits
        self._sequence += 1
        return Part(self._sequence, None, time.monotonic())

    def restart(self) -> None:
        """Nothing goes by between two waits."""

    def pause(self) -> None: ...

    def overtaken(self, part: Part, by: float, picture: Image) -> str | None:  # noqa: ARG002
        """A part is whatever is there when the last is done."""
        return None

    def done(self, part: Part, result: InspectionResult | None) -> None: ...

    def end(self) -> int:
        return 0
