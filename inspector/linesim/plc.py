"""A PLC's Modbus TCP server, and what its program sees in it and writes there."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from inspector.contract.errors import ConfigError, DeviceError
from inspector.devices.line_modbus import ECHO_WORDS, PASSED, REJECTED, WORD, ModbusLineSettings
from inspector.linesim.gate import Shown

COILS = 7
STILL_S = 0.5
"""A heartbeat that has not changed for so long is that of a dead station."""
START_S = 10.0
NEWS_MAX = 1_000
_WRITE_COILS = (5, 15)
_WRITE_WORDS = (6, 16)
_READ_WORDS = 3


class PlcServer:
    """Coils and holding registers that clients read and write, on a thread of its own.

    The PLC's own program, in this process, is told of every write and writes words itself.
    """

    def __init__(self, host: str, port: int, *, device: int = 1, size: int = 64) -> None:
        """size: how many coils and how many registers there are. Raises ConfigError."""
        try:
            from pymodbus import server
            from pymodbus import simulator as memory
        except ModuleNotFoundError:
            raise ConfigError(
                "line-sim: needs the modbus extra: pip install 'inspector[modbus]'"
            ) from None
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        self._server_kind: Any = server.ModbusTcpServer
        bits = [memory.SimData(0, count=size, values=False, datatype=memory.DataType.BITS)]
        words = [memory.SimData(0, count=size, values=0, datatype=memory.DataType.REGISTERS)]
        self._memory = memory.SimDevice(
            id=device, simdata=(bits, bits, words, words), action=self._access
        )
        self._address = host, port
        self._thread = threading.Thread(target=self._run, name="plc", daemon=True)
        self._serves = threading.Event()
        self._failed: str | None = None
        self._loop: Any = None
        self._server: Any = None
        self._lock = threading.Lock()
        self._own: dict[int, int] = {}
        """Words the program has written and no client has read yet."""

    def start(self) -> None:
        """Raises DeviceError where it cannot serve there."""
        self._thread.start()
        if not self._serves.wait(START_S) or self._failed is not None:
            host, port = self._address
            raise DeviceError(f"PLC {host}:{port}: cannot serve there: {self._failed}")

    def serve(self) -> None:
        """Until stopped or killed, on this thread."""
        self._thread.start()
        self._thread.join()

    def stop(self) -> None:
        if self._server is not None and self._failed is None:
            asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(START_S)
            self._thread.join(START_S)

    def set_words(self, address: int, words: Sequence[int]) -> None:
        """As the program does in its cycle: seen by the next request, all of them at once."""
        with self._lock:
            self._own |= {address + i: word % WORD for i, word in enumerate(words)}

    def wrote_coils(self, address: int, bits: Sequence[bool]) -> None:
        """A client writes; on the server's thread."""

    def wrote_words(self, address: int, words: Sequence[int]) -> None:
        """A client writes; on the server's thread."""

    async def _access(
        self,
        code: int,
        first: int,
        address: int,
        count: int,  # noqa: ARG002 - the library's
        registers: list[int],
        values: Any,
    ) -> None:
        """pymodbus asks once a register of the request, before it reads or writes."""
        if code in _WRITE_COILS and values is not None:
            self.wrote_coils(address, values)
        elif code in _WRITE_WORDS and values is not None:
            self.wrote_words(address, values)
        elif code == _READ_WORDS:
            with self._lock:
                own, self._own = self._own, {}
            for at, word in own.items():
                registers[at - first] = word

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (OSError, RuntimeError) as error:
            self._failed = str(error)
        self._serves.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = self._server_kind(self._memory, address=self._address)
        await self._server.serve_forever(background=True)
        self._serves.set()
        await self._server.serving


class ModbusView(PlcServer):
    """linesim.run.View: the PLC's program beside its server."""

    names_parts = False

    def __init__(self, settings: ModbusLineSettings, host: str) -> None:
        """host: where to listen. Raises ConfigError."""
        self._coil, self._register = settings.coil, settings.register_
        self._echo = settings.echo_first
        top = max(self._coil + COILS, self._register + 2, self._echo + ECHO_WORDS)
        super().__init__(host, settings.port, device=settings.device, size=top)
        self.news: deque[Shown] = deque(maxlen=NEWS_MAX)
        self._changed = threading.Lock()
        self._bits = [False] * COILS
        self._words = [0, 0]
        self._beat_at = float("-inf")
        self._echoes = self._ejected = 0

    def wrote_coils(self, address: int, bits: Sequence[bool]) -> None:
        with self._changed:
            for i, bit in enumerate(bits):
                if 0 <= address + i - self._coil < COILS:
                    self._bits[address + i - self._coil] = bool(bit)
            self.news.append(self._shown())

    def wrote_words(self, address: int, words: Sequence[int]) -> None:
        with self._changed:
            for i, word in enumerate(words):
                at = address + i - self._register
                if at == 0 and word != self._words[0]:
                    self._beat_at = time.monotonic()
                if 0 <= at < len(self._words):
                    self._words[at] = word
            if address != self._register or len(words) > 1:
                self.news.append(self._shown())

    def look(self) -> Shown:
        with self._changed:
            return self._shown()

    def echo(self, shown: Shown, *, passed: bool, ejected: bool) -> None:
        """Sequence and verdict before their count; a request sees them together."""
        if ejected:
            self._ejected = _next(self._ejected)
            self.set_words(self._echo + 3, [self._ejected, shown.sequence])
        else:
            self._echoes = _next(self._echoes)
            did = PASSED if passed else REJECTED
            self.set_words(self._echo, [self._echoes, shown.sequence, did])

    def _shown(self) -> Shown:
        now = time.monotonic()
        ready, busy, _, done, passes, rejects, fault = self._bits
        return Shown(
            at=now,
            alive=now - self._beat_at < STILL_S,
            ready=ready,
            busy=busy,
            done=done,
            passes=passes,
            rejects=rejects,
            fault=fault,
            sequence=self._words[1],
        )


def _next(count: int) -> int:
    """0 stands for a PLC that has begun anew: it is left out."""
    return count % (WORD - 1) + 1
