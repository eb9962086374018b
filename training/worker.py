"""One of the processes that train together: `python -m training.worker`, started by crew.py."""

import ctypes
import json
import os
import signal
import sys
import traceback
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main() -> int:
    """Do the task that standard input holds. 0 where it is done; else 1, and why in JSON."""
    rank, size, parent = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[4])
    _die_with(parent)
    # What libraries print is for the person; standard output is for the job.
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    packet = sys.stdin.buffer.read()
    from inspector.contract.errors import InspectorError

    try:
        _work(packet, rank, size, Path(sys.argv[3]))
    except InspectorError as error:
        json.dump({"kind": type(error).__name__, "text": str(error)}, report)
    except Exception:  # noqa: BLE001 - the job tells it, whatever it is
        json.dump({"kind": "", "text": traceback.format_exc()}, report)
    else:
        return 0
    report.flush()
    # At once: the others are waiting for this one, and it for them if it ended in order.
    os._exit(1)


def _work(packet: bytes, rank: int, size: int, meeting: Path) -> None:
    import torch

    from training.crew import unpacked
    from training.fit import Machine
    from training.job import Work
    from training.memory import keep_freed_memory
    from training.screen import Screen
    from training.team import Joined

    keep_freed_memory()
    payload = unpacked(packet)
    torch.set_num_threads(payload.threads)
    team = Joined(rank, size, meeting, cuda=payload.cuda)
    try:
        machine = Machine(team.device, payload.threads, team=team)
        screen = Screen(quiet=payload.quiet or rank > 0)
        payload.task(Work(payload.plan, machine, screen), payload.folder)
    finally:
        team.leave()


def _die_with(parent: int) -> None:
    """However the job ends, kill -9 included, this process ends with it.

    A signal to the whole group (Ctrl-C) is for the job, which ends its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
