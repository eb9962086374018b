"""How long the line takes to have a verdict, by medium, on loopback, and what it costs a pass that
its row is first made to last (one sync, on the disk of FOLDER):

python -m tests.line_latency [PARTS] [--disk FOLDER]
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from inspector.clock import SystemClock
from inspector.delivery.broker import MqttSettings
from inspector.delivery.journal import Journal, JournalSettings
from inspector.delivery.line_mqtt import MqttLine, MqttLineSettings
from inspector.devices.line_modbus import ModbusLine, ModbusLineSettings
from inspector.station.line import LineOutput
from inspector.station.ports import Part
from inspector.station.signal import LineDriver
from tests.brokers import Mosquitto
from tests.delivery.results import result
from tests.plc import Plc
from tests.support import until


def measure(name: str, driver: LineDriver, parts: int) -> None:
    line = LineOutput(driver, pulse_ms=10, clock=SystemClock())
    line.start()
    assert until(lambda: line.trouble is None)
    line.rest(ready=True, fault=False)
    took_ms = []
    for sequence in range(1, parts + 1):
        part = Part(sequence, None, time.monotonic())
        line.moved()
        line.busy(part)
        line.acquired()
        time.sleep(0.01)  # the model
        start = time.monotonic()
        line.show(part, passes=bool(sequence % 2), by=start + 5.0)
        took_ms.append(1_000 * (time.monotonic() - start))
    line.stop()
    say(name, took_ms)


def say(name: str, took_ms: list[float]) -> None:
    cuts = statistics.quantiles(took_ms, n=100)
    figures = f"p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f}, most {max(took_ms):.2f}"
    sys.stdout.write(f"{name}: n = {len(took_ms)}, {figures}\n")


def measure_release(parts: int, disk: Path) -> None:
    """The commit of a row, and how long a release waits behind it: of every other one durably."""
    took_ms: dict[str, list[float]] = {"commit": [], "release": [], "release, durably": []}
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        journal = Journal(JournalSettings(path=Path(folder) / "journal.db"))
        for seq in range(1, 2 * parts + 1):
            times = [time.monotonic()]
            journal.put(result(seq))
            times.append(time.monotonic())
            journal.release(seq, durably=bool(seq % 2))
            times.append(time.monotonic())
            took_ms["commit"].append(1_000 * (times[1] - times[0]))
            took_ms["release, durably" if seq % 2 else "release"].append(
                1_000 * (times[2] - times[1])
            )
            time.sleep(0.01)  # the next part
        journal.close()
    for name, each in took_ms.items():
        say(name, each)


def main(parts: int, disk: Path) -> None:
    measure_release(parts, disk)
    with Plc() as plc:
        settings = ModbusLineSettings(host="127.0.0.1", port=plc.port)
        measure("modbus", ModbusLine(settings), parts)
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)).start() as broker:
        mqtt = MqttSettings(host="127.0.0.1", port=broker.port)
        driver = MqttLine(
            MqttLineSettings(),
            mqtt,
            topic="p/s/line",
            echo_topic="p/s/echo",
            client_id="line",
            station="s",
            boot="b",
        )
        measure("mqtt", driver, parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.line_latency", description=__doc__)
    parser.add_argument("parts", type=int, nargs="?", default=1_000)
    parser.add_argument("--disk", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    main(options.parts, options.disk)
