"""What systemd hears over a real socket, and what it would say of our unit."""

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from inspector.supervise.systemd import Systemd

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = ["inspector@.service", "inspector-subscribe@.service", "inspector-hmi.service"]


def listen(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.settimeout(0.2)
    return listener


def heard(listener: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(listener.recv(4_096).decode())
        except TimeoutError:
            return messages


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_hears_of_the_start_the_state_and_the_end(tmp_path: Path, kind: str) -> None:
    name = f"{tmp_path.name}-notify"
    address = str(tmp_path / "notify") if kind == "path" else f"\0{name}"
    with listen(address) as listener:
        systemd = Systemd({"NOTIFY_SOCKET": address if kind == "path" else f"@{name}"})
        systemd.ready()
        systemd.status("READY: autostart")
        systemd.status("READY: autostart")
        systemd.status("ERROR: two\nlines")
        systemd.stopping()
        assert heard(listener) == [
            "READY=1",
            "STATUS=READY: autostart",
            "STATUS=ERROR: two lines",
            "STOPPING=1",
        ]


def test_the_watchdog_is_fed_only_when_the_pipeline_has_moved(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with listen(address) as listener:
        systemd = Systemd({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000"})
        for turns in (1, 1, 1, 2, 2):
            systemd.moved(turns)
            time.sleep(0.03)  # longer than a quarter of the limit
        assert heard(listener) == ["WATCHDOG=1"] * 2


def test_nobody_listening_is_no_trouble(tmp_path: Path) -> None:
    Systemd({}).ready()
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs the Debian package systemd")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path, name: str) -> None:
    """It only warns of what it does not know, and ends with 0: what it says is what counts."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    # the program need not be installed where the tests run
    (tmp_path / name).write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    done = analyze("verify", "--man=no", str(tmp_path / name.replace("@", "@test")))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_is_shut_in(name: str) -> None:
    done = analyze("security", "--offline=true", "--no-pager", str(DEPLOY / name))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found.group(1)) <= 1.5, done.stdout
