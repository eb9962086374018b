"""A real PostgreSQL server for the tests, from Debian's package, on a socket in its own folder."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support import until

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class Postgres:
    """A context: serving inside. It may be killed and started again."""

    def __init__(self) -> None:
        if not _PROGRAMS:
            pytest.skip("needs the Debian package postgresql")
        self._programs = _PROGRAMS[-1]
        # it does not run as root, and its socket's path is short
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            try:
                owner = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("needs the user postgres of the Debian package postgresql")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self.conninfo = f"host={self.folder} user=inspector dbname=postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "-D", f"{self.folder}/data", "-U", "inspector", "-A", "trust", "--no-sync"
        )

    def write_conninfo(self, folder: Path) -> None:
        """As `conninfo`, for nobody else to read."""
        path = folder / "conninfo"
        path.touch(0o600)
        path.write_text(self.conninfo + "\n", encoding="utf-8")

    def start(self) -> Self:
        command = ["postgres", "-D", f"{self.folder}/data", "-k", str(self.folder), "-h", ""]
        command[0] = str(self._programs / command[0])
        self._process = subprocess.Popen(
            command, cwd=self.folder, stderr=subprocess.DEVNULL, **self._as
        )
        assert until(self._answers)
        return self

    def kill(self) -> None:
        """At once and without tidying up (it takes its children along), as after a power cut."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-h", str(self.folder), "-q"]
        return subprocess.run(command, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._as,
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)
