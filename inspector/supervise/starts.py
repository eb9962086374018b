"""What must outlast the process: starts that did not end in order, and a fault nobody has seen.

Times are those of the running machine (CLOCK_BOOTTIME), so that setting the wall clock neither
makes nor hides a crash loop; a machine that was switched off and on begins a new list.
"""

import json
import logging
import time
from pathlib import Path
from typing import Literal

from pydantic import Field

from inspector.contract.errors import ConfigError
from inspector.contract.strict import Strict, parse
from inspector.contract.whole import write_whole
from inspector.station.alarm import Rules

log = logging.getLogger(__name__)

_MACHINE_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STARTS_KEPT = 1_000


class _Kept(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    machine_boot: str
    starts_s: tuple[float, ...] = ()
    """Of those that did not end in order, in seconds since the machine's start."""
    fault: str | None = None
    """The first cause of an ERROR that no RESET and no HALT has ended."""


class StartLog:
    """One file in the station's state folder; replaced whole, durably."""

    def __init__(self, folder: Path, rules: Rules) -> None:
        self._path = folder / "starts.json"
        self._rules = rules
        self._own_s: float | None = None
        self._kept = _Kept(machine_boot=_machine_boot())

    def begin(self) -> str | None:
        """Note this start. Returns why the station must begin in ERROR, None where it need not."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        before, recent = self._before(now)
        self._own_s = now
        self._write(before.fault, (*recent[-_STARTS_KEPT:], now))
        return self._why(before, recent)

    def expected(self) -> str | None:
        """What `begin` would return now, without a note of it."""
        return self._why(*self._before(time.clock_gettime(time.CLOCK_BOOTTIME)))

    def end(self) -> None:
        """This start ended in order."""
        rest = tuple(at for at in self._kept.starts_s if at != self._own_s)
        self._write(self._kept.fault, rest)

    def keep_fault(self, cause: str | None) -> None:
        """The station is in ERROR for this cause; None: a person has seen it and ended it."""
        own = (self._own_s,) if self._own_s is not None else ()
        self._write(cause, self._kept.starts_s if cause is not None else own)

    def _before(self, now: float) -> tuple[_Kept, tuple[float, ...]]:
        """What the starts before this one have left, and which of them count still."""
        before = self._read()
        within_s = 60 * self._rules.restarts_within_min
        recent: tuple[float, ...] = ()
        if before.machine_boot == self._kept.machine_boot:
            recent = tuple(at for at in before.starts_s if 0 <= now - at <= within_s)
        return before, recent

    def _why(self, before: _Kept, recent: tuple[float, ...]) -> str | None:
        if before.fault is not None:
            return before.fault
        if len(recent) >= self._rules.restarts_max:
            return (
                f"crash loop: {len(recent)} starts within {self._rules.restarts_within_min:g} "
                "minutes did not end in order"
            )
        return None

    def _read(self) -> _Kept:
        try:
            return parse(_Kept, json.loads(self._path.read_bytes()), str(self._path))
        except FileNotFoundError:
            return self._kept
        except (OSError, ValueError, ConfigError) as error:
            why = f"{self._path}: cannot be read ({error}): a fault may not have been seen"
            return self._kept.model_copy(update={"fault": why})

    def _write(self, fault: str | None, starts_s: tuple[float, ...]) -> None:
        """A disk that refuses must not keep a station from rejecting parts and saying why."""
        self._kept = self._kept.model_copy(update={"fault": fault, "starts_s": starts_s})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, self._kept.model_dump_json(by_alias=True).encode())
        except OSError as error:
            log.warning("%s: cannot be written: %s", self._path, error.strerror)


def _machine_boot() -> str:
    try:
        return _MACHINE_BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
