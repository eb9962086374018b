"""A PLC for the tests: the simulator's Modbus TCP server, in a process that can be killed.

python -m tests.plc PORT
"""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import pytest

from inspector.linesim.gate import Shown, verdict_of
from inspector.linesim.plc import STILL_S, PlcServer
from tests.support import free_port, until

ROOT = Path(__file__).parent.parent
COILS = ("ready", "busy", "acquired", "done", "pass", "reject", "fault")


class Plc:
    """The server, and what its program sees of it by a connection of its own."""

    def __init__(self) -> None:
        pytest.importorskip("pymodbus", reason="needs the extra modbus")
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None
        self._beat = (-1, 0.0)

    def start(self) -> Self:
        from pymodbus.client import ModbusTcpClient

        command = [sys.executable, "-m", "tests.plc", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT)
        self._client = ModbusTcpClient("127.0.0.1", port=self.port, timeout=10.0, retries=0)
        assert until(self._client.connect, 20.0)
        return self

    def coils(self) -> dict[str, bool]:
        bits = self._client.read_coils(0, count=len(COILS), device_id=1).bits
        return dict(zip(COILS, bits, strict=False))

    def registers(self) -> tuple[int, int]:
        """Heartbeat and the part's sequence."""
        beat, sequence = self._client.read_holding_registers(0, count=2, device_id=1).registers
        return beat, sequence

    def sees_pass(self, not_of: int | None = None) -> bool:
        """The rules of inspector/devices/line_modbus.py that a PLC's program must follow.

        To be asked often, as a PLC's cycle does. not_of: the sequence at its own trigger.
        """
        beat, sequence = self.registers()
        now = time.monotonic()
        if beat != self._beat[0]:
            self._beat = beat, now
        coils = self.coils()
        shown = Shown(
            at=now,
            alive=now - self._beat[1] < STILL_S,
            done=coils["done"],
            passes=coils["pass"],
            rejects=coils["reject"],
            sequence=sequence,
        )
        return verdict_of(shown, not_of=not_of) is True

    def set_pass(self) -> None:
        """As a station left it that was killed."""
        self._client.write_coils(0, [True, False, True, True, True, False, False], device_id=1)

    def echo(self, sequence: int, verdict: str, ejected: bool = False) -> None:  # noqa: FBT001, FBT002
        """As its program would: what it did first, its count last."""
        first = 5 if ejected else 2
        count = self._client.read_holding_registers(first, count=1, device_id=1).registers[0]
        did = [] if ejected else [{"pass": 1, "reject": 2}[verdict]]
        self._client.write_registers(first + 1, [sequence % 65_536, *did], device_id=1)
        self._client.write_registers(first, [count + 1], device_id=1)

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{self._process.pid}/stat")
        assert until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


if __name__ == "__main__":
    PlcServer("127.0.0.1", int(sys.argv[1])).serve()
