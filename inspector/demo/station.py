"""The demo's station: `inspector run`, a real child process as a plant would start it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

# Longer than the station takes for its last part and the drain of its journal
STOP_S = 25.0
TAIL_LINES = 25

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


class StationProcess:
    """A context: running inside, ended after, whatever happens."""

    def __init__(self, settings: Path) -> None:
        self.log = settings.parent / "station.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-c", _RUN, str(os.getpid()), "run", str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
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
