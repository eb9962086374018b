"""`inspector line-sim`: the line's controller, before the PLC is there."""

import argparse
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.arguments import part_count
from inspector.cli_delivery import Add
from inspector.contract.errors import ConfigError

if TYPE_CHECKING:
    from inspector.linesim.link import Link
    from inspector.linesim.plc import ModbusView
    from inspector.settings import LineSettings, Settings

CHANCES = {
    "late": "its trigger is held up for --late-ms",
    "duplicate": "its trigger is sent twice",
    "lost": "its trigger is never sent",
    "lose-echo": "its echo is never sent",
    "wrong-echo": "its echo tells of the other verdict",
    "lose-eject": "rejected, it is not seen to leave the belt",
}
NUMBERS = {
    "jitter-ms": "a part comes at most so much after its turn, 0",
    "deadline-ms": "as its trigger says, 500",
    "margin-ms": "how much longer than the deadline the line waits itself, 100",
    "late-ms": "how long a late trigger is on its way, 2000",
    "eject-ms": "from a reject to the sensor behind the ejector, 200",
    "seed": "of all chances, 0",
}


def add_commands(add: Add) -> None:
    sim = add("line-sim", _line_sim, "be the line's controller: triggers, verdicts, echoes, errors")
    sim.add_argument("settings", type=Path, metavar="STATION.TOML", help="the station's own")
    sim.add_argument("--parts", type=part_count, metavar="N", help="left out: until Ctrl-C")
    sim.add_argument("--rate", type=float, metavar="PER_S", help="parts a second, 2")
    for name, text in NUMBERS.items():
        sim.add_argument(f"--{name}", type=int, metavar="N", help=text)
    for name, text in CHANCES.items():
        sim.add_argument(f"--{name}", type=float, metavar="0..1", help=f"chance: {text}")
    sim.add_argument(
        "--listen", metavar="HOST", help="modbus: where the PLC is to be; left out: [line] host"
    )
    sim.add_argument(
        "--broker",
        type=Path,
        metavar="BROKER.TOML",
        help="the controller's own [mqtt] keys, where the broker tells it from the station",
    )
    sim.epilog += """
exit codes: 0 every trigger sent in time got one verdict, as recorded, 3 one got none, 4 another
verdict than was recorded, or two, 5 the station is in ERROR, or was not ready, 1 the broker is
gone, 78 settings
"""


def _line_sim(args: argparse.Namespace) -> int:
    from inspector.contract.strict import parse
    from inspector.linesim.plan import Plan
    from inspector.linesim.run import LineSim
    from inspector.settings import read_settings

    settings = read_settings(args.settings)
    given = {name: getattr(args, name) for name in Plan.model_fields}
    plan = parse(Plan, {k: v for k, v in given.items() if v is not None}, "line-sim")
    if settings.line is None or settings.line.kind == "gpio":
        raise ConfigError(
            f'{args.settings}: [line] kind must be "mqtt" or "modbus" to be simulated'
        )
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    link = _link(settings, args.broker)
    plc = _plc(settings.line, args.listen)
    sim = LineSim(
        plan,
        link,
        plc or link,
        triggers=settings.trigger.kind == "mqtt",
        linger_s=_linger_s(settings.line),
        say=lambda line: print(line, flush=True),
        stop=stopped.is_set,
    )
    try:
        if plc is not None:
            plc.start()
        link.open()
        sim.run()
    finally:
        if plc is not None:
            plc.stop()
        link.close()
        print()
        for line in sim.summary.lines():
            print(line)
    return sim.summary.code


def _link(settings: "Settings", broker: Path | None) -> "Link":
    from inspector.contract.strict import read_toml, resolved
    from inspector.contract.topics import Place
    from inspector.delivery.broker import MqttSettings
    from inspector.linesim.link import Link

    mqtt, place = settings.mqtt, Place.of(settings.topic_root, settings.station)
    client = f"inspector-line-sim-{settings.station}"
    if broker is not None:
        mqtt = resolved(read_toml(broker, MqttSettings), broker.resolve().parent)
        client = mqtt.client_id or client
    return Link(mqtt, place, client)


def _plc(line: "LineSettings", listen: str | None) -> "ModbusView | None":
    from inspector.devices.line_modbus import ModbusLineSettings
    from inspector.linesim.plc import ModbusView

    if isinstance(line, ModbusLineSettings):
        return ModbusView(line, listen or line.host)
    if listen is not None:
        raise ConfigError('--listen: only with [line] kind = "modbus"')
    return None


def _linger_s(line: "LineSettings") -> float:
    """After the last part: what it owes must have become a fault by then."""
    from inspector.station.echo import Asked

    if not isinstance(line, Asked):
        return 0.0
    return max(line.echo_max_ms or 0, line.eject_max_ms or 0) / 1000
