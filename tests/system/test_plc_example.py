"""deploy/plc/inspector_gate.st, run as a PLC runs it, against a real station."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from inspector.contract.bundle import Bundle
from inspector.linesim.plc import PlcServer
from tests.brokers import Listener, Mosquitto
from tests.structured_text import load
from tests.support import free_port, make_bundle, until, write_station
from tests.system.test_line import Hall

EXAMPLE = Path(__file__).parent.parent.parent / "deploy" / "plc" / "inspector_gate.st"
CYCLE_S = 0.01
BELT_S = 0.15
"""From the gate to the sensor behind the ejector."""


class StructuredPlc(PlcServer):
    """The example's program in cycles, beside the server whose words it reads and writes."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self._words, self._coils = [0, 0], [False] * 7
        self._input = threading.Lock()
        self.program = load(EXAMPLE, "PRG_InspectorLine")
        self.gate = self.program.variables["fbGate"].variables
        self.opened = 0
        self.sensor_sees = True
        self._present_until = 0.0
        self._leaves: list[float] = []
        self._ended = threading.Event()
        self._cycles = threading.Thread(target=self._run_cycles)

    def wrote_coils(self, address: int, bits: Sequence[bool]) -> None:
        with self._input:
            self._coils[address : address + len(bits)] = map(bool, bits)

    def wrote_words(self, address: int, words: Sequence[int]) -> None:
        with self._input:
            self._words[address : address + len(words)] = words

    def bring(self) -> None:
        self._present_until = time.monotonic() + 0.05

    def __enter__(self) -> "StructuredPlc":
        self.start()
        self._cycles.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._cycles.join()
        self.stop()

    def _run_cycles(self) -> None:
        words, coils = self.program.variables["auiWord"], self.program.variables["axCoil"]
        gone = 0
        while not self._ended.wait(CYCLE_S):
            now = time.monotonic()
            with self._input:
                words[:2], coils[:] = self._words, self._coils
            was_open = self.program.variables["qxGate"]
            sees = any(at <= now < at + 3 * CYCLE_S for at in self._leaves)
            self.program.variables["ixPartPresent"] = now < self._present_until
            self.program.variables["ixEjectSensor"] = sees and self.sensor_sees
            self.program()
            self.opened += self.program.variables["qxGate"] and not was_open
            rejected = self.gate["udiRejected"] + self.gate["udiByItself"]
            if rejected > gone:
                self._leaves.append(now + BELT_S)
                gone = rejected
            self.set_words(2, words[2:])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def at(tmp_path: Path, bundle: Bundle) -> Iterator[tuple[Hall, StructuredPlc]]:
    with (
        StructuredPlc(free_port()) as plc,
        Mosquitto(tmp_path).start() as broker,
        Listener(broker.port) as listener,
    ):
        line = {"kind": "modbus", "host": "127.0.0.1", "port": plc._address[1]}
        path = write_station(
            tmp_path,
            bundle,
            camera={"loop": True},
            trigger={"kind": "mqtt", "wait_max_ms": 5_000},
            line={**line, "pulse_ms": 300, "echo_max_ms": 5_000, "eject_max_ms": 5_000},
            mqtt={"port": broker.port},
        )
        plc.gate["tOwn"] = 5.0
        hall: Any = Hall(tmp_path, broker, None, listener, path, 0)  # type: ignore[arg-type]
        hall.run()
        assert until(lambda: hall.state()["withheld"] is None, 60.0), hall.log()
        assert until(lambda: plc.gate["xAlive"]), "the heartbeat moves"
        yield hall, plc
        hall.kill()


def bring(hall: Hall, plc: StructuredPlc, part: str) -> bool:
    """One part from its trigger to the PLC's decision; whether the gate opened."""
    opened = plc.opened
    plc.bring()
    assert until(lambda: bool(plc.gate["xWaiting"]))
    hall.announce(part, part_id=part)
    assert until(lambda: not plc.gate["xWaiting"])
    time.sleep(3 * CYCLE_S)
    return plc.opened > opened


def test_the_gate_opens_for_what_the_rows_pass_and_every_verdict_is_echoed(
    at: tuple[Hall, StructuredPlc],
) -> None:
    hall, plc = at
    opened = {part: bring(hall, plc, part) for part in (f"P{i}" for i in range(8))}
    assert until(lambda: len(hall.rows()) == 8)
    assert {row["part"]["id"]: row["pass"] for row in hall.rows()} == opened
    assert set(opened.values()) == {True, False}
    rejected = len(opened) - sum(opened.values())
    assert until(lambda: hall.state()["line"]["echo"]["ejected"] == rejected), hall.state()
    echo = hall.state()["line"]["echo"]
    assert (echo["echoes"], echo["mismatches"], echo["missing"]) == (8, 0, 0)
    assert hall.state()["state"] == "CONTINUOUS_EXECUTION"
    # no trigger reaches the station: the part is rejected by itself, and that is no fault
    plc.gate["tOwn"] = 0.2
    plc.bring()
    assert until(lambda: bool(plc.gate["udiByItself"] == 1))
    # a station that is killed in the middle of a pass leaves its coils: the heartbeat stands
    hall.kill()
    assert until(lambda: not plc.gate["xAlive"])
    plc.wrote_coils(0, [True, False, True, True, True, False, False])
    before = plc.opened
    plc.bring()
    time.sleep(0.1)
    plc.wrote_words(1, [4_711])
    assert until(lambda: bool(plc.gate["udiByItself"] == 2))
    assert plc.opened == before
