"""How much energy the machine took: by the counters of its processor (RAPL), or by a meter.

Linux shows RAPL below /sys/class/powercap, for Intel and AMD alike, in microjoules that begin anew
at `max_energy_range_uj` (kernel: Documentation/power/powercap). Since 2020 root alone may read it.
A virtual machine has none, as a rule.
"""

import math
import shlex
import subprocess
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import Field

from inspector.contract.errors import DeviceError
from inspector.contract.strict import Strict

POWERCAP = Path("/sys/class/powercap")
COMMAND_S = 5.0
Scale = Annotated[float, Field(gt=0.0)]


class RaplSettings(Strict):
    kind: Literal["rapl"] = "rapl"
    folder: Path = POWERCAP


class FileMeterSettings(Strict):
    kind: Literal["file"] = "file"
    path: Path
    """Holds one number that only grows: hwmon's energy1_input, or what a driver writes."""
    joules_per_unit: Scale = 1.0
    """1e-6 where it counts microjoules, 3600 where it counts Wh."""


class CommandMeterSettings(Strict):
    kind: Literal["command"] = "command"
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    """Prints such a number within five seconds; no shell."""
    joules_per_unit: Scale = 1.0


EnergySettings = Annotated[
    RaplSettings | FileMeterSettings | CommandMeterSettings, Field(discriminator="kind")
]


class Meter(Protocol):
    name: str

    def joules(self) -> float:
        """Since it was opened. Raises DeviceError where it cannot be read any more."""


def open_meter(settings: EnergySettings | None = None) -> Meter:
    """Left out: RAPL. Raises DeviceError that says in words why there is none."""
    match settings:
        case FileMeterSettings():
            return FileMeter(settings)
        case CommandMeterSettings():
            return CommandMeter(settings)
        case RaplSettings():
            return Rapl(settings.folder)
        case _:
            return Rapl()


class _Counter:
    """One energy_uj, over its wraps."""

    def __init__(self, zone: Path) -> None:
        self._path = zone / "energy_uj"
        self._turn_uj = _number(zone / "max_energy_range_uj") + 1
        self._last_uj = _number(self._path)
        self._sum_uj = 0

    def joules(self) -> float:
        """To be asked more often than it wraps: at 100 W that is minutes."""
        now_uj = _number(self._path)
        self._sum_uj += (now_uj - self._last_uj) % self._turn_uj
        self._last_uj = now_uj
        return self._sum_uj / 1e6


class Rapl:
    """All packages, and their memory where it is counted. Not `psys`, nor the same over MMIO: they
    count the same joules again.
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        zones = {}
        for zone in sorted(folder.glob("*-rapl:*")):
            name = _text(zone / "name")
            if name.startswith("package-") or name == "dram":
                zones[zone] = name
        if not zones:
            raise DeviceError(f"no meter: {folder} shows no RAPL package")
        self.name = f"RAPL: {', '.join(zones.values())}"
        self._counters = [_Counter(zone) for zone in zones]

    def joules(self) -> float:
        return sum(counter.joules() for counter in self._counters)


class FileMeter:
    def __init__(self, settings: FileMeterSettings) -> None:
        self._path = settings.path
        self._scale = settings.joules_per_unit
        self.name = str(settings.path)
        self._first = _value(_text(self._path), self.name)

    def joules(self) -> float:
        return (_value(_text(self._path), self.name) - self._first) * self._scale


class CommandMeter:
    def __init__(self, settings: CommandMeterSettings) -> None:
        self._command = settings.command
        self._scale = settings.joules_per_unit
        self.name = shlex.join(settings.command)
        self._first = self._read()

    def joules(self) -> float:
        return (self._read() - self._first) * self._scale

    def _read(self) -> float:
        try:
            done = subprocess.run(  # noqa: S603 - what station.toml names is what a person wrote
                self._command, capture_output=True, timeout=COMMAND_S, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise DeviceError(f"no meter: {self.name}: {error}") from None
        return _value(done.stdout.decode(errors="replace"), self.name)


def _number(path: Path) -> int:
    return int(_value(_text(path), str(path)))


def _value(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DeviceError(f"no meter: {where}: {text[:40]!r} is no number")
    return value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except PermissionError:
        raise DeviceError(f"no meter: {path} may not be read; root may") from None
    except OSError as error:
        raise DeviceError(f"no meter: {path}: {error.strerror}") from None
