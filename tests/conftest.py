"""What holds for every test.

`pytest` without arguments runs everything in three processes, file by file, since most tests wait
more than they compute; `pytest FILE` runs in one. A test that looks at all of the machine, or
compares times so closely that a neighbour would show, is marked `alone`: while it runs, no other
test does.
"""

import fcntl
import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

PROCESSES = 3
CORES = 2
"""With fewer, one process: tests that compute would starve those that watch a clock."""
TOGETHER = {
    # they have one camera between them: loopback holds no two
    "tests/seams/test_camera.py": "gige",
    "tests/seams/test_genicam.py": "gige",
    "tests/seams/test_genicam_unasked.py": "gige",
    "tests/system/test_gige.py": "gige",
    # they look at one release
    "tests/training/test_release.py": "released",
    "tests/training/test_resume.py": "released",
}
"""Files that one process takes, since they would wait for each other or make a thing twice."""

# Jobs in the background of a shell ignore SIGINT and hand that on: a test that interrupts a program
# it started would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What -n auto in pyproject.toml stands for; 0 is this process alone."""
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return PROCESSES if everything and len(os.sched_getaffinity(0)) >= CORES else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):  # type: ignore[misc] # has no types
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return TOGETHER.get(file, file)

    return Files(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each process where they take turns; in the one that started them."""
    config: pytest.Config = node.config
    if not hasattr(config, "turns"):
        folder = tempfile.TemporaryDirectory(prefix="turns-")
        config.add_cleanup(folder.cleanup)
        config.turns = folder.name  # type: ignore[attr-defined]
    node.workerinput["turns"] = config.turns  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    told = getattr(item.config, "workerinput", None)
    with ExitStack() as held:
        if told is not None:
            held.enter_context(_turn(Path(told["turns"]), alone="alone" in item.keywords))
        return (yield)


@contextmanager
def _turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """With its fixtures: among others, or alone.

    Who wants to be alone waits for the others behind a gate that it holds shut: they end, and no
    new one begins.
    """
    with (folder / "gate").open("w") as gate, (folder / "room").open("w") as room:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:  # closing is not enough where something a test started has the file too
            fcntl.flock(room, fcntl.LOCK_UN)
