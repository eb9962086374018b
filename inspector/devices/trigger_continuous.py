"""The next part as soon as the last one is done: replays, soak runs, free-running inspection."""

import time
from typing import Literal

from inspector.contract.strict import Strict
from inspector.station.ports import Part


class ContinuousSettings(Strict):
    kind: Literal["continuous"] = "continuous"


class ContinuousTrigger:
    """Every wait is answered at once."""

    def __init__(self, settings: ContinuousSettings) -> None:  # noqa: ARG002 - as all triggers
        self.missed = 0
        self._sequence = 0

    def wait(self, timeout_s: float) -> Part | None:  # noqa: ARG002 - never waits
        self._sequence += 1
        return Part(self._sequence, None, time.monotonic())

    def restart(self) -> None:
        """Nothing goes by between two waits."""
