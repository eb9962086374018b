"""When a station asks for a person: what is wrong now, and whether the line should stop for it."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from pydantic import Field

from inspector.contract.status import Alarm, AlarmKind
from inspector.contract.strict import Strict


class Rules(Strict):
    """When a station asks for a person."""

    unjudged_max: Annotated[int, Field(ge=1, le=10_000)] = 5
    """So many parts in a row that could not be judged ask the line to stop."""
    restarts_max: Annotated[int, Field(ge=1, le=100)] = 5
    """After so many starts that did not end in order, the station starts in ERROR and waits."""
    restarts_within_min: Annotated[float, Field(gt=0.0, le=1_440.0)] = 10.0
    """... within so many minutes."""


def keep_nothing(cause: str | None) -> None:
    """A station without a disk of its own forgets its fault when it ends."""


class Alarms:
    """The alarms there are now; the first cause of each is kept. One thread uses it."""

    def __init__(self, utc: Callable[[], datetime]) -> None:
        self._utc = utc
        self._active: dict[AlarmKind, Alarm] = {}
        self.changed = True
        """Since `all` was called last; at first too, so that an older retained one is replaced."""

    def set(self, kind: AlarmKind, cause: str) -> bool:
        """Whether it is a new one."""
        if kind in self._active:
            return False
        self._active[kind] = Alarm(kind=kind, cause=cause, since=self._utc())
        self.changed = True
        return True

    def clear(self, kind: AlarmKind) -> None:
        self.changed |= self._active.pop(kind, None) is not None

    def all(self) -> tuple[Alarm, ...]:
        self.changed = False
        return tuple(self._active.values())
