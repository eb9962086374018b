"""Node-RED as a plant runs it, with the flow of deploy/node-red: from npm, in a process."""

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Self

import pytest

from tests.sparkplug.oracles import node_modules
from tests.support import free_port, until

ROOT = Path(__file__).parent.parent.parent
FLOW = ROOT / "deploy" / "node-red" / "flow.json"
NPM = ("node-red@4.1.15", "sparkplug-payload@1.0.3")
START_S = 60.0
SETTINGS = """module.exports = {
    uiHost: "127.0.0.1", uiPort: %d, flowFile: "flow.json", credentialSecret: false,
    telemetry: { enabled: false }, logging: { console: { level: "info" } },
};
"""


class NodeRed:
    """A context: running inside. The flow has the changes a user makes in the editor."""

    def __init__(self, folder: Path, broker_port: int, **env: str) -> None:
        """env: of the tabs, by name."""
        self._modules = node_modules("node-red", NPM)
        self._folder = folder / "node-red"
        self.port = free_port()
        (self._folder / "node_modules").mkdir(parents=True)
        nodes = json.loads(FLOW.read_bytes())
        for node in nodes:
            if node["type"] == "mqtt-broker":
                node["port"] = str(broker_port)
            for each in node.get("env", ()):
                each["value"] = env.get(each["name"], each["value"])
        (self._folder / "flow.json").write_text(json.dumps(nodes), encoding="utf-8")
        (self._folder / "settings.js").write_text(SETTINGS % self.port, encoding="utf-8")
        # as if Node-RED had installed it at the flow's first deploy
        package = {"name": "test", "dependencies": {"sparkplug-payload": "1.0.3"}}
        (self._folder / "package.json").write_text(json.dumps(package), encoding="utf-8")
        library = self._folder / "node_modules" / "sparkplug-payload"
        library.symlink_to(self._modules / "sparkplug-payload")
        self._process: subprocess.Popen[bytes] | None = None

    def log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8")

    def data(self, page: str = "inspector") -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/{page}/data"
        with urllib.request.urlopen(url, timeout=10.0) as answer:
            return json.load(answer)  # type: ignore[no-any-return]

    def station(self, name: str) -> dict[str, Any]:
        """What the page says of it; nothing where it says nothing."""
        found = [each for each in self.data()["stations"] if each["station"] == name]
        return found[0] if found else {}

    def __enter__(self) -> Self:
        command = ["node", str(self._modules / "node-red" / "red.js")]
        command += ["--userDir", str(self._folder), "--settings", str(self._folder / "settings.js")]
        with (self._folder / "log").open("wb") as log:
            environment = {**os.environ, "NODE_ENV": "production"}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        assert until(lambda: "Connected to broker" in self.log(), START_S), self.log()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def browser(url: str, folder: Path) -> tuple[str, Path]:
    """What a browser makes of a page: its text as HTML, and a picture."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs the Debian package chromium")
    picture = folder / "page.png"
    words = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/c"]
    words += ["--window-size=1200,1000", "--timeout=4000", "--virtual-time-budget=4000"]
    for what in (f"--screenshot={picture}", "--dump-dom"):
        done = subprocess.run(
            [*words, what, url], capture_output=True, text=True, timeout=60.0, check=True
        )
    return done.stdout, picture
