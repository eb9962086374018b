"""A training in several processes of this machine: started, watched and ended by the job.

Each is a `python -m training.worker` that gets the task on its standard input and reports on its
standard output. The job itself only waits: a process that dies ends all of them in words, and none
of them outlives the job, however that ends.
"""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from inspector.contract.errors import (
    ConfigError,
    DataError,
    InspectorError,
    TrainingError,
)
from training.job import Job, Work
from training.plan import Plan

POLL_S = 0.1
GRACE_S = 2.0
"""For the others to say what befell them, once one has ended."""
KINDS = {kind.__name__: kind for kind in (TrainingError, ConfigError, DataError, InspectorError)}

Task = Callable[[Work, Path], None]
"""What is done in a stage's folder; it is sent to other processes, so no local function."""


class Payload(NamedTuple):
    """What a worker is sent."""

    task: Task
    plan: Plan
    folder: Path
    threads: int
    cuda: bool
    quiet: bool


def together(job: Job, task: Task, folder: Path) -> None:
    """Do the task here, or in the processes that the machine is given.

    Raises what the task raises; InspectorError where a process was killed or failed.
    """
    machine = job.machine
    if machine.processes == 1:
        task(job.work, folder)
        return
    job.screen.say(
        f"  {machine.processes} processes, {machine.threads} thread(s) each: "
        f"waiting until each has loaded torch, which takes some seconds"
    )
    cuda = machine.device.type == "cuda"
    payload = Payload(task, job.plan, folder, machine.threads, cuda, job.screen.quiet)
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)  # of a job that was killed
    crew: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(machine.processes):
            crew.append(_start(rank, machine.processes, meeting, job.run.lock_file))
        _tell(crew, packed(payload))
        _watch(crew, folder.name)
    finally:
        for each in crew:
            each.kill()
        for each in crew:
            each.wait()
            if each.stdout:
                each.stdout.close()
        meeting.unlink(missing_ok=True)


def _start(rank: int, size: int, meeting: Path, lock: int) -> subprocess.Popen[bytes]:
    """lock: held by the workers too: no other job has the folder while one of them lives."""
    words = [sys.executable, "-m", "training.worker", str(rank), str(size), str(meeting)]
    return subprocess.Popen(  # noqa: S603 - our own program
        [*words, str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(lock,)
    )


def _tell(crew: list[subprocess.Popen[bytes]], packet: bytes) -> None:
    for each in crew:
        if each.stdin is None:
            raise ValueError("a worker has no standard input")
        try:
            each.stdin.write(packet)
            each.stdin.close()
        except BrokenPipeError:  # it is dead already, which _watch will say
            pass


def _watch(crew: list[subprocess.Popen[bytes]], stage: str) -> None:
    """Until all have ended well. Raises InspectorError as soon as one has not."""
    while any(each.poll() is None for each in crew):
        if any(each.returncode for each in crew):
            break
        time.sleep(POLL_S)
    if not any(each.returncode for each in crew):
        return
    until = time.monotonic() + GRACE_S
    while any(each.poll() is None for each in crew) and time.monotonic() < until:
        time.sleep(POLL_S)
    _explain(crew, stage)


def _explain(crew: list[subprocess.Popen[bytes]], stage: str) -> NoReturn:
    """What ended the training: a signal first, then what one said; the rest only follows."""
    ended = [(rank, each) for rank, each in enumerate(crew) if each.poll()]
    for rank, each in ended:
        if each.returncode < 0:
            name = signal.Signals(-each.returncode).name
            raise InspectorError(
                f"{stage}: process {rank + 1} of {len(crew)} was killed ({name}; SIGKILL is often "
                f"the system, short of memory); the same command goes on from the last epoch"
            )
    said = [_said(each) for _, each in ended]
    kind, text = min(said, key=lambda each: each[0] == "")
    if kind:
        raise KINDS.get(kind, InspectorError)(text)
    raise InspectorError(f"{stage}: process {ended[0][0] + 1} of {len(crew)} failed:\n{text}")


def _said(worker: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Kind and words of its error; no kind where it is none of ours."""
    report = worker.stdout.read() if worker.stdout else b""
    if not report:
        return "", f"it ended with code {worker.returncode} and without a word"
    told = json.loads(report)
    return told["kind"], told["text"]


def packed(payload: Payload) -> bytes:
    """As bytes; pixel files are named, not copied."""
    buffer = io.BytesIO()
    _Packer(buffer).dump(payload)
    return buffer.getvalue()


def unpacked(packet: bytes) -> Payload:
    """What `packed` made in the job that started this process."""
    payload: Payload = _Unpacker(io.BytesIO(packet)).load()
    return payload


class _Packer(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        """A whole memory-mapped file or its beginning by name; all else as it is."""
        if not isinstance(obj, np.memmap) or obj.filename is None:
            return None
        whole = obj
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        if not obj.flags.c_contiguous or obj.ctypes.data != whole.ctypes.data:
            return None
        return str(obj.filename), obj.dtype.str, whole.offset, obj.shape


class _Unpacker(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        filename, dtype, offset, shape = pid
        return np.memmap(filename, dtype, "r", offset, shape)
