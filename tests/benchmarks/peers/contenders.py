"""Who is compared: a process each, asked for a turn at a time."""

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from uuid import uuid4

from inspector.contract.bundle import Bundle
from inspector.contract.command import Command
from inspector.contract.status import Spread, StateMessage
from inspector.contract.strict import parse
from inspector.settings import read_settings, state_folder
from inspector.supervise.door import ask
from tests.brokers import Listener
from tests.support import start_station, until, write_station

HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
WARM_UP = 5
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Turns:
    """Of one contender, all turns together."""

    ms: list[float] = field(default_factory=list)
    """From one part's end to the next: what a part costs, with all there is to it."""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Of the whole process, all threads."""

    def add(self, ms: Sequence[float], wall_s: float, cpu_s: float) -> None:
        self.ms += ms
        self.wall_s += wall_s
        self.cpu_s += cpu_s


class Contender(Protocol):
    name: str
    turns: Turns
    about: dict[str, Any]
    """`what`: in words."""

    def take(self, seconds: float) -> None:
        """Parts one after another for so long."""

    def end(self) -> None: ...


class Script:
    """A file of this folder, run by one Python or another (loop.py)."""

    def __init__(
        self, name: str, python: Path, file: str, arguments: Sequence[Path | str], folder: Path
    ) -> None:
        """folder: where it runs, and where what it says goes."""
        self.name, self.turns, self._log = name, Turns(), folder / f"{file}.log"
        self._process = start_script(python, file, arguments, folder, ONE_THREAD)
        self.about = self._heard()

    def take(self, seconds: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"seconds": seconds}) + "\n")
        self._process.stdin.flush()
        turn = self._heard()
        self.turns.add(turn["ms"], turn["wall_s"], turn["cpu_s"])

    def end(self) -> None:
        with self._process:  # its pipes are closed behind it
            self._process.kill()

    def _heard(self) -> dict[str, Any]:
        return heard(self._process, self._log)


def start_script(
    python: Path,
    file: str,
    arguments: Sequence[Path | str],
    folder: Path,
    more: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[str]:
    """Its settings, caches and what it says stay below `folder`; it asks no network."""
    own = {
        "YOLO_CONFIG_DIR": str(folder / "ultralytics"),
        "YOLO_AUTOINSTALL": "false",
        "YOLO_OFFLINE": "true",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    environment = {name: each for name, each in os.environ.items() if name != "PYTHONPATH"}
    with (folder / f"{file}.log").open("ab") as log:
        return subprocess.Popen(
            [str(python), str(HERE / file), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder,
            env={**environment, **own, **more},
        )  # fmt: skip


def heard(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    """Its next line. Raises RuntimeError with the end of its log where there is none."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
        raise RuntimeError(f"{log.stem} ended with {process.wait()}:\n" + "\n".join(said))
    found: dict[str, Any] = json.loads(line)
    return found


class Arrivals(Listener):
    """When each result came."""

    def __init__(self, port: int, name: str) -> None:
        self.at: list[float] = []
        self.states: list[bytes] = []
        super().__init__(port, f"peers/{name}/#", name=f"listens-{name}")

    def took(self, message: Any) -> None:
        if message.topic.endswith("/result"):
            self.at.append(time.perf_counter())
        elif message.topic.endswith("/state"):
            self.states.append(bytes(message.payload))


class Station:
    """`inspector run` on the pictures, attesting, committing and publishing every part to a broker;
    between its turns it is stopped by a command, as a person stops it.
    """

    def __init__(
        self, name: str, topic: str, bundle: Bundle, pictures: Path, port: int, folder: Path
    ) -> None:
        self.name, self.turns, self.about = name, Turns(), {"what": f"bundle {bundle.id}"}
        folder.mkdir(parents=True)
        path = write_station(
            folder,
            bundle,
            station=topic,
            topic_root="peers",
            autostart=False,
            camera={"folder": str(pictures), "loop": True},
            mqtt={"port": port},
            archive={"keep": "none"},  # peers keep no pictures
        )
        self._folder = state_folder(read_settings(path))
        self._arrivals = Arrivals(port, topic)
        self._process = start_station(path, env={**os.environ, **ONE_THREAD})
        if not until(lambda: bool(self._arrivals.states), 60.0):
            raise RuntimeError((folder / "station.log").read_text(encoding="utf-8"))
        self._ask("select")
        if not until(lambda: self.state().model is not None, 60.0):
            raise RuntimeError(f"{name}: {self.state().cause}")
        running = self.state().model
        self.about["what"] += f", {running.variant if running else ''}"

    def take(self, seconds: float) -> None:
        at = self._arrivals.at
        first = len(at)
        self._ask("start")
        if not until(lambda: len(at) > first + WARM_UP, 60.0):
            raise RuntimeError(f"{self.name}: no result came")
        cpu = self._cpu_s()
        start = len(at)
        time.sleep(seconds)
        end = len(at)
        cpu = self._cpu_s() - cpu
        self._ask("stop")
        between = [1e3 * (b - a) for a, b in zip(at[start - 1 : end], at[start:end], strict=False)]
        self.turns.add(between, at[end - 1] - at[start - 1], cpu)

    def state(self) -> StateMessage:
        """As it was told last."""
        return StateMessage.model_validate_json(self._arrivals.states[-1])

    def verdict_ms(self) -> Spread | None:
        """From trigger to durable, of its last thousand parts, by its own watch."""
        return self.state().tally.trigger_to_verdict_ms

    def end(self) -> None:
        with self._arrivals, self._process:
            self._process.terminate()
            try:
                self._process.wait(30.0)
            finally:
                self._process.kill()

    def _ask(self, action: str) -> None:
        words = {"schema": 2, "id": f"peers-{uuid4()}", "action": action}
        reply = ask(self._folder, parse(Command, words, "command"))
        if reply.outcome != "done":
            raise RuntimeError(f"{self.name}: {action}: {reply.outcome}: {reply.reason}")

    def _cpu_s(self) -> float:
        text = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / TICKS_PER_S
