"""Implementations of other makes, installed once into a cache outside of the repository."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support import until

HERE = Path(__file__).parent
NPM = ("sparkplug-payload@1.0.3", "mqtt@5.14.1")
PYPI = ("pysparkplug==0.6.1", "paho-mqtt==1.6.1", "grpcio-tools==1.74.0")
INSTALL_S = 240.0


def cached(kind: str, packages: tuple[str, ...], *commands: list[str]) -> Path:
    """The folder into which these commands (FOLDER stands for it) have installed the packages."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inspector-tests"
    name = hashlib.sha256(" ".join((*packages, sys.version)).encode()).hexdigest()[:12]
    folder = base / f"{kind}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    with (base / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two sessions beside one another
        if not (folder / "whole").exists():
            for command in commands:
                words = [word.replace("FOLDER", str(folder)) for word in command]
                done = subprocess.run(
                    words, capture_output=True, text=True, timeout=INSTALL_S, check=False
                )
                if done.returncode:
                    said = (done.stderr or done.stdout).strip().splitlines()
                    pytest.skip(f"{words[0]} cannot install {packages}: {said[-1:]}")
            (folder / "whole").touch()
    return folder


def node_modules(kind: str = "node", packages: tuple[str, ...] = NPM) -> Path:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("needs node and npm")
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-save"]
    install = ["npm", "install", "--prefix", "FOLDER", *quiet, *packages]
    return cached(kind, packages, install) / "node_modules"


def other_python() -> Path:
    """A Python that has pysparkplug, which wants another paho than the station's."""
    make = [sys.executable, "-m", "venv", "FOLDER"]
    folder = cached("pysparkplug", PYPI, make, ["FOLDER/bin/pip", "install", "-q", *PYPI])
    return folder / "bin" / "python"


def by_pysparkplug(*words: str, lines: str = "") -> list[Any]:
    done = subprocess.run(
        [str(other_python()), str(HERE / "agree.py"), *words],
        input=lines,
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


class Host:
    """The host program; what it decoded comes as it comes."""

    def __init__(self, port: int, *, group: str, node: str, device: str, host: str) -> None:
        environment = {**os.environ, "NODE_PATH": str(node_modules())}
        words = ["node", str(HERE / "host.js"), str(port), group, node, device, host]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.heard: list[dict[str, Any]] = []
        self.events: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert until(lambda: "online" in self.events)

    def do(self, what: str, **more: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self._process.stdin.flush()

    def write(self, name: str, type_: str, value: object, **more: object) -> None:
        metric: dict[str, object] = {"type": type_, "value": value}
        metric["name" if isinstance(name, str) else "alias"] = name
        self.do("write", metrics=[metric], **more)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in list(self.heard) if each["kind"] == kind]

    def value(self, name: str) -> Any:
        """A tag's current value: history does not change it."""
        for message in reversed(list(self.heard)):
            for metric in reversed(message["metrics"]):
                if metric["name"] == name and not metric["historical"]:
                    return metric["value"]
        return None

    def parts(self) -> dict[int, list[dict[str, Any]]]:
        """Every receipt of a part, by its number in the journal."""
        found: dict[int, list[dict[str, Any]]] = {}
        for message in self.of("DDATA"):
            metrics = {each["name"]: each for each in message["metrics"]}
            if "Part/Journal Seq" in metrics:
                found.setdefault(metrics["Part/Journal Seq"]["value"], []).append(metrics)
        return found

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "event" in message:
                self.events.append(message["event"])
            else:
                self.heard.append(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._thread.join(5.0)
        with self._process:
            """Waits, and closes its pipes."""
