"""Finished work kept under the hash of its inputs: a killed job resumes, a repeated one rests.

A stage is a folder `NAME-HASH`. It is finished when it holds `done.json`, which is written last;
until then what is in it is the stage's own (checkpoints), to go on from.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from inspector.contract.alone import HeldError, alone
from inspector.contract.errors import ConfigError
from inspector.contract.whole import write_whole
from training.plan import fingerprint

DONE = "done.json"
KEY_DIGITS = 12


class Stage:
    """A finished stage: its folder, and a key that names its content for the stages after it."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key


class Run:
    """One job at a time in one work folder."""

    def __init__(self, work: Path, say: Callable[[str], None]) -> None:
        """Take the folder. Raises ConfigError where another job has it."""
        work.mkdir(parents=True, exist_ok=True)
        self.work = work
        self.say = say
        try:
            self._lock: IO[bytes] = os.fdopen(alone(work / "lock"), "rb")
        except HeldError as owner:
            raise ConfigError(f"{work}: another job (process {owner}) is using it") from None

    def stage(self, name: str, make: Callable[[Path], None], *inputs: Any) -> Stage:
        """The stage's folder, made now or kept from an earlier run with the same inputs."""
        key = fingerprint(name, *[i.key if isinstance(i, Stage) else i for i in inputs])
        folder = self.work / f"{name}-{key[:KEY_DIGITS]}"
        if (folder / DONE).exists():
            self.say(f"{name}: kept from an earlier run")
            return Stage(folder, key)
        if folder.is_symlink():  # lent by a process whose work folder is gone (alongside.py)
            folder.unlink()
        self.say(f"{name}: {'goes on where it was' if folder.exists() else 'starts'}")
        folder.mkdir(exist_ok=True)
        started = time.monotonic()
        make(folder)
        seconds = round(time.monotonic() - started, 1)
        write_whole(folder / DONE, json.dumps({"key": key, "seconds": seconds}).encode())
        self.say(f"{name}: done in {seconds:.0f} s")
        return Stage(folder, key)

    @property
    def lock_file(self) -> int:
        """The descriptor whose holders alone work in the folder."""
        return self._lock.fileno()

    def forget(self, stage: Stage) -> None:
        """Make it again at the next call: what it made elsewhere is gone."""
        (stage.folder / DONE).unlink(missing_ok=True)

    def close(self) -> None:
        self._lock.close()
