"""Releases of the plates of plates.py, run as a user runs them: in a process of their own.

Importing torch and what else a release needs takes longer than most of them do. Where a test starts
many, they are forked from a process that has imported it once.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from inspector.contract.bundle import Bundle, read_bundle
from tests.training.plates import PLAN, write_class_folders
from training.checkpoint import BEST, load
from training.cli import main
from training.dataset import read_dataset
from training.fit import Machine
from training.job import Job
from training.plan import read_plan
from training.release import read_sights
from training.run import Run
from training.screen import Screen
from training.teaching import fit_student

PATIENCE_S = 600
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["training.release"])
SEVERITY = """
[quality.severity.critical]
classes = ["spot"]
escape_rate_at_most = 0.02
cost = 100.0
"""


def command(plan: Path, data: Path, out: Path, *more: str) -> list[str]:
    words = ["release", plan, "--data", data, "--out", out, *more]
    return [sys.executable, "-m", "training.cli", *map(str, words)]


class Forked:
    """One command of inspector-train in a process of its own."""

    def __init__(self, *words: object) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forked-")
        self._said = Path(self._folder.name)
        arguments = [str(word) for word in words]
        self._process = _FORKS.Process(target=_run_command, args=(arguments, self._said))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def alive(self) -> bool:
        return self._process.is_alive()

    def end(self) -> "subprocess.CompletedProcess[str]":
        """Wait for it; how it ended, and what it said. Call it once."""
        self._process.join(PATIENCE_S)
        assert self._process.exitcode is not None
        out, err = ((self._said / name).read_text("utf-8") for name in ("out", "err"))
        self._folder.cleanup()
        return subprocess.CompletedProcess((), self._process.exitcode, out, err)


def _run_command(words: list[str], said: Path) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(said / name, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.exit(main(words))


def kill_in(stage: str, sign: str, words: tuple[object, ...], out: Path) -> None:
    """Start the job and kill it at the sight of a file in an unfinished stage."""
    job = Forked(*words)
    until = time.monotonic() + PATIENCE_S
    while not list(out.glob(f"work/{stage}-*/{sign}")) and time.monotonic() < until:
        assert job.alive()
        time.sleep(0.005)
    os.kill(job.pid, signal.SIGKILL)
    assert job.end().returncode == -signal.SIGKILL
    assert list(out.glob(f"work/{stage}-*/{sign}"))
    assert not list(out.glob(f"work/{stage}-*/done.json"))


def require_same_files(bundle: Bundle, other: Bundle) -> None:
    """Byte for byte, every file of the first."""
    for ours in sorted(path for path in bundle.folder.rglob("*") if path.is_file()):
        name = ours.relative_to(bundle.folder)
        assert ours.read_bytes() == (other.folder / name).read_bytes(), name


def learned(plan: Path, data: Path, out: Path, *, processes: int) -> list[str]:
    """A release without a teacher as far as its student, started here; what it said."""
    said: list[str] = []
    training, dataset = read_plan(plan), read_dataset(data)
    work = Run(out / "work", said.append)
    try:
        machine = Machine(torch.device("cpu"), 1, processes)
        job = Job(training, work, machine, Screen(quiet=True))
        fit_student(read_sights(job, dataset, dataset.fingerprint()), ())
    finally:
        work.close()
    return said


class Released:
    """One undisturbed release that several tests look at."""

    def __init__(self, folder: Path) -> None:
        self.plan = folder / "plan.toml"
        # not "auto": which of the two is quicker must not decide which bundle a test finds
        plan = PLAN.replace("[export]", '[export]\nint8 = "if_safe"')
        self.plan.write_text(plan + SEVERITY, encoding="utf-8")
        self.data = write_class_folders(folder / "data")
        self.out = folder / "out"
        words = command(self.plan, self.data, self.out)
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        self.bundle: Bundle = read_bundle(Path(done.stdout.strip()))
        self.said = done.stderr


@dataclass
class Release:
    out: Path
    data: Path

    def best(self, stage: str) -> dict[str, torch.Tensor]:
        """The weights that a stage kept."""
        state: dict[str, torch.Tensor] = load(self.folder(stage) / BEST)
        return state

    def folder(self, stage: str) -> Path:
        (folder,) = self.out.glob(f"work/{stage}-{12 * '[0-9a-f]'}")  # not that of teacher-2
        return folder

    @property
    def networks(self) -> Path:
        return next(self.out.glob("networks/*"))


def run(root: Path, plan: str, data: Path, name: str) -> Release:
    """A release of a plan, as a person would call it."""
    path = root / f"{name}.toml"
    path.write_text(plan, encoding="utf-8")
    out = root / name
    assert main(["release", str(path), "--data", str(data), "--out", str(out), "--quiet"]) == 0
    return Release(out, data)


def short(plan: str = PLAN) -> str:
    """No more than teaching needs: novelty and INT8 have tests of their own."""
    plan = plan.replace("epochs = 3", "epochs = 1").replace("resnet18", "resnet10t")
    plan = plan.replace("[quality]", "[quality]\nnovelty_overkill_at_most = 0.0")
    return plan.replace("[export]", '[export]\nint8 = "never"')
