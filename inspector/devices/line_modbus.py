"""The line's signal as coils and registers of a PLC's Modbus TCP server; we are its client.

    coil      + 0 ready   1 busy   2 acquired   3 done   4 pass   5 reject   6 fault
    register  + 0 heartbeat, counts while the pipeline moves   1 the part's sequence, modulo 65536

Where an echo is asked for, the PLC writes and we read, from `echo_register` on:

              + 0 counts its echoes   1 sequence of the part   2 what it did: 1 pass, 2 reject
              + 3 counts parts ejected   4 sequence of the last one

It writes sequence and verdict first and counts last: only a count that has changed is news.

All coils are written in one request. Nobody can take a coil back from a PLC that is not reached:
the PLC must hold a coil for nothing

- whose heartbeat has not changed for 500 ms: the station is dead, hangs, or cannot reach it,
- that comes after the PLC's own time for this part, counted from its own trigger,
- unless done and pass are set, reject is not, and the sequence is another than at its own trigger:
  read the sequence first, then the coils. A pass is never beside the next part's sequence.
"""

import logging
import time
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from inspector.contract.address import is_loopback
from inspector.contract.errors import ConfigError, DeviceError
from inspector.contract.status import EchoRefusal
from inspector.station.echo import Asked
from inspector.station.signal import Heard, Signal

WORD = 65_536
PASSED, REJECTED = 1, 2
OWN_WORDS, ECHO_WORDS = 2, 5
Address = Annotated[int, Field(ge=0, le=65_500)]


class ModbusLineSettings(Asked):
    kind: Literal["modbus"] = "modbus"
    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65_535)] = 502
    device: Annotated[int, Field(ge=0, le=255)] = 1
    """The unit identifier."""
    coil: Address = 0
    """The first of seven, counted from 0."""
    register_: Address = Field(default=0, alias="register")
    """The first of two holding registers, counted from 0."""
    echo_register: Address | None = None
    """The first of five that the PLC writes; left out: behind the two of `register`."""
    pulse_ms: Annotated[int, Field(ge=10, le=10_000)] = 100
    """How long a verdict stands: longer than the PLC's cycle, shorter than the gap between parts.
    """
    timeout_ms: Annotated[int, Field(ge=10, le=5_000)] = 250
    """For an answer of the PLC, and for TCP."""
    plaintext_beyond_loopback: bool = False
    """Modbus knows no other way: whoever is on that network can forge a pass."""

    @model_validator(mode="after")
    def _said_where_it_leaves_the_machine(self) -> Self:
        if not self.plaintext_beyond_loopback and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} is beyond this machine and anyone on its network can forge a "
                "pass: write plaintext_beyond_loopback = true to accept that"
            )
        return self

    @model_validator(mode="after")
    def _words_apart(self) -> Self:
        first, own = self.echo_first, self.register_
        if self.echo_register is not None and not self.asks:
            raise ValueError("echo_register: nothing reads it without echo_max_ms or eject_max_ms")
        if first < own + OWN_WORDS and own < first + ECHO_WORDS:
            raise ValueError(
                f"echo_register {first}: its {ECHO_WORDS} registers overlap with the station's "
                f"own, {own} and {own + 1}: it would take what it writes for the controller's word"
            )
        return self

    @property
    def echo_first(self) -> int:
        """The first register that the PLC writes."""
        return self.register_ + OWN_WORDS if self.echo_register is None else self.echo_register


class ModbusLine:
    """station.line.LineDriver"""

    kind = "modbus"

    def __init__(self, settings: ModbusLineSettings) -> None:
        """Raises ConfigError where the extra is not installed."""
        try:
            from pymodbus.client import ModbusTcpClient
            from pymodbus.exceptions import ModbusException
        except ModuleNotFoundError:
            raise ConfigError(
                "line.kind modbus: needs the modbus extra: pip install 'inspector[modbus]'"
            ) from None
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # our errors say it all
        self._settings = settings
        self._where = f"PLC {settings.host}:{settings.port}"
        self._failures = (ModbusException, OSError)
        self._client: Any = ModbusTcpClient(
            settings.host, port=settings.port, timeout=settings.timeout_ms / 1000, retries=0
        )
        self._sequence: int | None = None
        self._newest = 0
        """The last part that was named, in full."""
        self._counts: tuple[int, int] | None = None
        """Echoes and ejected parts as last read; None: what stands there is of another time."""

    def open(self) -> None:
        self._sequence = None
        if not self._client.connect():
            raise DeviceError(f"{self._where}: does not answer")

    def write(self, signal: Signal) -> None:
        # never one part's number beside another's verdict: where a verdict overtook its own busy,
        # the one before it is ended first
        if signal.done and _word(signal) != self._sequence:
            self._coils(replace(signal, busy=True, done=False, passes=False))
            self._name(signal)
            self._coils(signal)
        else:
            self._coils(signal)
            self._name(signal)
        if self._settings.asks and self._counts is None:
            self.hear()  # the first that is written is the rest: no echo can be ours yet

    def hear(self) -> list[Heard | EchoRefusal]:
        # all in one request: a count never comes with the next one's sequence
        count, sequence, did, ejected, gone = self._echo_words()
        at, before = time.monotonic(), self._counts
        self._counts = count, ejected
        if before is None:
            return []
        heard: list[Heard | EchoRefusal] = []
        if count != before[0] and did in (PASSED, REJECTED):
            heard.append(Heard(self._full(sequence), did == PASSED, at))
        elif count != before[0] and count != 0:  # a PLC that starts again begins at 0
            heard.append("malformed")
        if ejected not in (before[1], 0):
            heard.append(Heard(self._full(gone), passed=False, at=at, ejected=True))
        return heard

    def tend(self, beat: int) -> None:
        self._registers(0, [beat % WORD])

    def close(self) -> None:
        self._client.close()

    def _coils(self, signal: Signal) -> None:
        coils = [
            *(signal.ready, signal.busy, signal.acquired, signal.done),
            *(signal.passes, signal.rejects, signal.fault),
        ]
        device = self._settings.device
        self._ask(self._client.write_coils, self._settings.coil, coils, device_id=device)

    def _name(self, signal: Signal) -> None:
        sequence = _word(signal)
        self._newest = signal.part.sequence if signal.part else self._newest
        if sequence != self._sequence:
            self._registers(1, [sequence])
            self._sequence = sequence

    def _full(self, sequence: int) -> int:
        """The newest part whose number modulo 65536 this is."""
        full = self._newest - (self._newest - sequence) % WORD
        return full if full > 0 else sequence

    def _echo_words(self) -> list[int]:
        first, device = self._settings.echo_first, self._settings.device
        answer = self._ask(
            self._client.read_holding_registers, first, count=ECHO_WORDS, device_id=device
        )
        words: list[int] = answer.registers
        if len(words) != ECHO_WORDS:
            raise DeviceError(f"{self._where}: answers {len(words)} registers of {ECHO_WORDS}")
        return words

    def _registers(self, offset: int, words: list[int]) -> None:
        address = self._settings.register_ + offset
        device = self._settings.device
        self._ask(self._client.write_registers, address, words, device_id=device)

    def _ask(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = request(*args, **kwargs)
        except self._failures as error:
            raise DeviceError(f"{self._where}: no answer: {_short(error)}") from None
        if answer.isError():
            raise DeviceError(f"{self._where}: refuses a request: {answer}")
        return answer


def _word(signal: Signal) -> int:
    return signal.part.sequence % WORD if signal.part else 0


def _short(error: Exception) -> str:
    """The library names itself and the socket first."""
    return str(error).replace("Modbus Error: ", "")[:200]
