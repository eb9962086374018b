"""The line's signal on wires of this machine: a GPIO chip, by libgpiod.

WRITTEN, UNTESTED: no chip and no simulated one (gpio-sim, gpio-mockup) was to be had where this
was written. Try it with a lamp on every wire before a line trusts it.

A wire keeps its last level when the process dies, as most chips do: only a heartbeat (a wire that
toggles while the pipeline moves, on a watchdog relay that opens the pass wire) tells the line.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from inspector.contract.errors import ConfigError, DeviceError
from inspector.contract.strict import Strict
from inspector.station.signal import Signal

Offset = Annotated[int, Field(ge=0, le=1_023)]
WIRES = ("pass", "reject", "busy", "acquired", "done", "ready", "fault", "heartbeat")


class GpioLineSettings(Strict):
    """Offsets on the chip; a wire that is left out is not driven."""

    kind: Literal["gpio"] = "gpio"
    chip: Annotated[str, Field(min_length=1)] = "/dev/gpiochip0"
    pass_: Offset = Field(alias="pass")
    reject: Offset | None = None
    busy: Offset | None = None
    acquired: Offset | None = None
    done: Offset | None = None
    ready: Offset | None = None
    fault: Offset | None = None
    heartbeat: Offset
    """For the watchdog relay: without it a dead station's pass would stand."""
    active_low: bool = False
    pulse_ms: Annotated[int, Field(ge=1, le=10_000)] = 100
    """How long a verdict stands: longer than the reader's cycle, shorter than the gap between
    parts."""


class GpioLine:
    """station.line.LineDriver"""

    kind = "gpio"

    def __init__(self, settings: GpioLineSettings) -> None:
        """Raises ConfigError where the extra is not installed."""
        try:
            import gpiod
            from gpiod.line import Direction, Value
        except ModuleNotFoundError:
            raise ConfigError(
                "line.kind gpio: needs the gpio extra: pip install 'inspector[gpio]'"
            ) from None
        self._settings = settings
        self._gpiod, self._output = gpiod, Direction.OUTPUT
        self._values = {False: Value.INACTIVE, True: Value.ACTIVE}
        wires = {wire: getattr(settings, f"{wire}_" if wire == "pass" else wire) for wire in WIRES}
        self._offsets: dict[str, int] = {
            wire: offset for wire, offset in wires.items() if offset is not None
        }
        if len(set(self._offsets.values())) < len(self._offsets):
            raise ConfigError("line: two wires have the same offset")
        self._request: Any = None
        self._beat, self._level = 0, False

    def open(self) -> None:
        at_rest = self._gpiod.LineSettings(
            direction=self._output,
            active_low=self._settings.active_low,
            output_value=self._values[False],
        )
        config: dict[Any, Any] = dict.fromkeys(self._offsets.values(), at_rest)
        try:
            self._request = self._gpiod.request_lines(
                self._settings.chip, consumer="inspector", config=config
            )
        except OSError as error:
            raise DeviceError(f"{self._settings.chip}: {error.strerror or error}") from None

    def write(self, signal: Signal) -> None:
        levels = {
            "pass": signal.passes,
            "reject": signal.rejects,
            "busy": signal.busy,
            "acquired": signal.acquired,
            "done": signal.done,
            "ready": signal.ready,
            "fault": signal.fault,
        }
        self._set({wire: level for wire, level in levels.items() if wire in self._offsets})

    def hear(self) -> tuple[()]:
        return ()  # nothing is read from wires: its settings ask for no echo

    def tend(self, beat: int) -> None:
        if beat != self._beat:  # it may have gone on by any number
            self._beat, self._level = beat, not self._level
            self._set({"heartbeat": self._level})

    def close(self) -> None:
        if self._request is not None:
            self._request.release()
            self._request = None

    def _set(self, levels: dict[str, bool]) -> None:
        try:
            values = {self._offsets[wire]: self._values[level] for wire, level in levels.items()}
            self._request.set_values(values)
        except OSError as error:
            raise DeviceError(f"{self._settings.chip}: {error.strerror or error}") from None
