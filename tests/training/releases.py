"""Releases of the plates of plates.py, run as a user runs them: in a process of their own."""

import subprocess
import sys
from pathlib import Path

import torch

from inspector.contract.bundle import Bundle, read_bundle
from tests.training.plates import PLAN, write_class_folders
from training.dataset import read_dataset
from training.fit import Machine
from training.job import Job
from training.plan import read_plan
from training.release import read_data
from training.run import Run
from training.screen import Screen
from training.teaching import fit_student

PATIENCE_S = 600
SEVERITY = """
[quality.severity.critical]
classes = ["spot"]
escape_rate_at_most = 0.02
cost = 100.0
"""


def command(plan: Path, data: Path, out: Path, *more: str) -> list[str]:
    words = ["release", plan, "--data", data, "--out", out, *more]
    return [sys.executable, "-m", "training.cli", *map(str, words)]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "training.cli", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def learned(plan: Path, data: Path, out: Path, *, processes: int) -> list[str]:
    """A release without a teacher as far as its student, started here; what it said."""
    said: list[str] = []
    training, dataset = read_plan(plan), read_dataset(data)
    work = Run(out / "work", said.append)
    try:
        machine = Machine(torch.device("cpu"), 1, processes)
        job = Job(training, work, machine, Screen(quiet=True))
        read, split = read_data(job, dataset, dataset.fingerprint())
        fit_student(job, read, split, ())
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
        done = run("release", self.plan, "--data", self.data, "--out", self.out)
        assert done.returncode == 0, done.stderr
        self.bundle: Bundle = read_bundle(Path(done.stdout.strip()))
        self.said = done.stderr
