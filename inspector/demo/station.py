"""The demo's station and pages: real child processes, as a plant would start them."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

# Longer than the station takes for its last part and the drain of its journal
STOP_S = 25.0
TAIL_LINES = 25
INTRODUCED_S = 20.0
LISTENS = "startup complete"

# A demo that is killed cannot stop its station: the kernel asks it to end (PR_SET_PDEATHSIG), as
# systemd would. Set by the child itself, since what runs between fork and exec must be little.
_RUN = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(0)
from inspector.cli import main
sys.exit(main(sys.argv[2:]))
"""


class Program:
    """`inspector WORD SETTINGS`. A context: running inside, ended after, whatever happens."""

    def __init__(self, word: str, settings: Path, log: str) -> None:
        self.log = settings.parent / log
        with self.log.open("wb") as file:
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-c", _RUN, str(os.getpid()), word, str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                # Ctrl-C is for the demo, which then lets the station finish in order
                process_group=0,
            )

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """Ask it to drain and end; the exit code, negative where it had to be killed."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.exit_code() is None:
            self._process.kill()
            self._process.wait()


class StationProcess(Program):
    def __init__(self, settings: Path) -> None:
        super().__init__("run", settings, "station.log")


class PagesProcess(Program):
    """The operator's pages of the demo's station."""

    def __init__(self, settings: Path) -> None:
        super().__init__("hmi", settings, "pages.log")

    def introduction(self) -> str:
        """What it says first: its address, and the link to come in; nothing where it ended."""
        end = time.monotonic() + INTRODUCED_S
        while self.exit_code() is None and time.monotonic() < end:
            said = self.log.read_text(encoding="utf-8", errors="replace")
            if LISTENS in said:
                return "\n".join(line for line in said.splitlines() if "http://" in line)
            time.sleep(0.05)
        return ""
