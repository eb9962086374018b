"""Several real stations on one page: one well, one with an alarm, one that is killed."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.brokers import Mosquitto
from tests.hmi.plant import Client, Pages
from tests.support import make_bundle, start_station, write_pictures, write_station

WELL, ILL, KILLED = "well", "ill", "killed"
GLARING = 254


@dataclass(slots=True)
class Line:
    """Looks like a Plant to a browser."""

    folder: Path
    broker: Mosquitto
    pages: Pages
    stations: dict[str, subprocess.Popen[bytes]]
    clients: dict[str, Client] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.pages.port}"

    def kill(self, name: str) -> None:
        self.stations[name].kill()
        self.stations[name].wait()

    def start(self, name: str) -> None:
        self.stations[name] = start_station(self.folder / name / "station.toml")

    def stop(self) -> None:
        self.pages.kill()
        for name in self.stations:
            self.kill(name)


def make_line(folder: Path, broker: Mosquitto) -> Line:
    """With an administrator and an operator; every station's own settings lie in its folder."""
    # what glares makes this model compute NaN: no verdict, and soon an alarm
    bundle = make_bundle(folder / "bundles", nan_above=0.96)
    files = {}
    for name in (WELL, ILL, KILLED):
        (folder / name).mkdir()
        if name == ILL:
            write_pictures(folder / name / "pictures", [GLARING] * 4)
        files[name] = write_station(
            folder / name,
            bundle,
            station=name,
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": 300},
            mqtt={"port": broker.port, "backoff_min_s": 0.1, "backoff_max_s": 0.5},
        )
    stations = {name: start_station(path) for name, path in files.items()}
    pages = Pages(folder, *({"settings": f"{name}/station.toml"} for name in files))
    line = Line(folder, broker, pages, stations)
    try:
        pages.start()
        line.clients["admin"] = Client(pages.port)
        assert line.clients["admin"].accept(pages.first_token(), "admin").status == 200
        words = {"name": "operator", "role": "operator"}
        link = line.clients["admin"].ask("POST", "/api/accounts", words).json()["link"]
        line.clients["operator"] = Client(pages.port)
        assert line.clients["operator"].accept(link.partition("#")[2]).status == 200
    except BaseException:
        line.stop()
        raise
    return line
