"""A station that the kernel refuses memory or files for a moment, and how it goes on: prlimit."""

import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import free_port, make_bundle, until, write_station
from tests.system.test_supervision import command, log, rows, running, says

MOMENT_S = 1.5
INTERVAL = {"kind": "interval", "period_ms": 100}


def station(folder: Path, port: int, **more: Any) -> Path:
    return write_station(
        folder,
        make_bundle(folder / "bundles"),
        camera={"loop": True},
        trigger=INTERVAL,
        metrics={"port": port},
        **more,
    )


def live(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5.0) as page:
            return bool(page.read() == b"ok\n")
    except OSError:
        return False


@contextmanager
def refused(pid: int, kind: int, soft: int) -> Iterator[None]:
    """While it lasts this process gets no more than that."""
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


def memory_of(pid: int) -> int:
    """Bytes of its address space."""
    return int(Path(f"/proc/{pid}/statm").read_bytes().split()[0]) * resource.getpagesize()


def cpu_s(pid: int) -> float:
    times = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / 100


def asked(path: Path) -> subprocess.Popen[bytes]:
    """A person who asks for its state, and waits."""
    return subprocess.Popen(
        [sys.executable, "-m", "inspector.cli", "command", str(path), "status"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_a_station_that_was_refused_memory_for_a_moment_is_commanded_and_asked_afterwards(
    tmp_path: Path,
) -> None:
    """Its door and its health page waited for ever for a thread that had not begun."""
    port = free_port()
    path = station(tmp_path, port, autostart=False)
    with running(path) as process:
        assert until(lambda: live(port)), log(path)
        for _ in range(3):
            with refused(process.pid, resource.RLIMIT_AS, memory_of(process.pid) - 2**20):
                live(port)
                with asked(path) as person:
                    time.sleep(MOMENT_S)
                    person.kill()
        assert process.poll() is None, log(path)
        assert until(lambda: live(port)), log(path)
        for action in ("select", "start"):
            assert "0 done" in command(path, action)
        assert until(lambda: rows(path) > 5), log(path)


def test_a_station_that_was_refused_files_for_a_moment_goes_on_and_does_not_spin(
    tmp_path: Path,
) -> None:
    """Its door died of it, and the station ended with it; its health page asked without a pause."""
    port = free_port()
    path = station(tmp_path, port)
    with running(path) as process:
        assert until(lambda: rows(path) > 5 and live(port)), log(path)
        with refused(process.pid, resource.RLIMIT_NOFILE, 3):
            before = cpu_s(process.pid)
            assert not live(port)
            assert cpu_s(process.pid) - before < 2.5
            with asked(path) as person:
                assert says(path, "command door: Too many open files: it is tried again")
                person.kill()
        assert until(lambda: live(port)), log(path)
        assert "0 done" in command(path, "status")
        assert process.poll() is None, log(path)
        assert log(path).count("command door: Too many") == 1
