"""An OK that somebody was told of stands after a kill; one that could not stand is not told."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inspector.bench import MemoryCamera, NoArchive, NoPublisher
from inspector.clock import SystemClock
from inspector.contract.bundle import Bundle, read_bundle
from inspector.delivery.journal import Journal, JournalSettings
from inspector.delivery.release import Released, read_final, released_path
from inspector.runtime.loader import open_runtime
from inspector.station.cycle import Gear, Inspected, Job, inspect_part
from inspector.station.line import NO_LINE, LineOutput
from inspector.station.ports import LineSignal, Part
from inspector.station.recipe import Recipe
from inspector.station.signal import Signal
from tests.faults.fsyncs import require_strace
from tests.support import DARK, GREY, make_bundle, picture, until

ROOT = Path(__file__).parents[2]
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


class Gate:
    """A station.signal.LineDriver: what the line was shown, and the end of the process with it."""

    kind = "gate"

    def __init__(self, dies_at: int = 0) -> None:
        self.verdicts: list[bool] = []
        self._dies_at = dies_at

    def open(self) -> None: ...

    def write(self, signal: Signal) -> None:
        if signal.done and signal.part is not None:
            self.verdicts.append(signal.passes)
            if signal.part.sequence == self._dies_at:
                os.kill(os.getpid(), 9)  # the line has it, the station has not yet heard that

    def hear(self) -> tuple[()]:
        return ()

    def tend(self, beat: int) -> None: ...

    def close(self) -> None: ...


@contextmanager
def showing(gate: Gate) -> Iterator[LineOutput]:
    line = LineOutput(gate, pulse_ms=10, clock=CLOCK)
    line.start()
    assert until(lambda: line.trouble is None)
    yield line
    line.stop()


def opened(folder: Path) -> Journal:
    return Journal(JournalSettings(path=folder / "journal.db", disk_free_min_mb=0))


def rows(journal: Journal) -> list[dict[str, Any]]:
    return [json.loads(payload) for _, payload in journal.after(0, 100)]


class Cell:
    """Parts, one after the other, without the pause in which a station tidies up."""

    def __init__(self, journal: Journal, bundle: Bundle, line: LineSignal = NO_LINE) -> None:
        camera = MemoryCamera([picture(GREY)])
        self._gear = Gear("s", "b", camera, journal, NoArchive(), NoPublisher(), CLOCK, line)
        recipe = Recipe(name="tiny", bundle=bundle.id, deadline_ms=5_000)
        self._job = Job(recipe, open_runtime(bundle))
        self._parts = 0

    def inspect(self, grey: int = GREY, *, asked: bool = False) -> Inspected:
        self._parts += 1
        self._gear.camera._images = [picture(grey)]  # type: ignore[attr-defined]
        part = Part(self._parts, None, CLOCK.monotonic(), asked=asked)
        return inspect_part(part, self._job, self._gear, None, 0.0)


def told_and_killed(folder: Path, bundle: Path, told: str) -> None:
    """The child's side: three parts, and it ends with the third."""
    if told == "the line":
        with showing(Gate(dies_at=3)) as line:
            cell = Cell(opened(folder), read_bundle(bundle), line)
            for _ in range(3):
                cell.inspect()
    else:
        cell = Cell(opened(folder), read_bundle(bundle))
        for _ in range(3):
            cell.inspect(asked=told == "who asked")
        os.kill(os.getpid(), 9)


@pytest.mark.parametrize(
    ("told", "stands"), [("the line", True), ("who asked", True), ("nobody", False)]
)
def test_after_a_kill_the_row_says_what_was_told(
    tmp_path: Path, bundle: Bundle, told: str, *, stands: bool
) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.station import test_lasting_ok as t;"
        "t.told_and_killed(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(bundle.folder), told]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -9
    journal = opened(tmp_path)
    assert [row["pass"] for row in rows(journal)] == [True, True, stands]
    assert rows(journal)[2]["cause"] == (None if stands else "withdrawn")
    journal.close()


@contextmanager
def read_only(journal: Journal) -> Iterator[None]:
    """The mark's file, as on a disk that has gone read-only under us; the journal's is as ever."""
    file = journal.released._file
    writable, refusing = os.dup(file), os.open(released_path(journal.path), os.O_RDONLY)
    os.dup2(refusing, file)
    yield
    os.dup2(writable, file)
    os.close(writable)
    os.close(refusing)


def test_an_ok_that_cannot_be_made_to_last_rejects_its_part_and_stops_nothing(
    tmp_path: Path, bundle: Bundle
) -> None:
    journal, gate = opened(tmp_path), Gate()
    with showing(gate) as line:
        cell = Cell(journal, bundle, line)
        assert cell.inspect().result.passed
        with read_only(journal):
            refused, bad = cell.inspect(), cell.inspect(DARK)
        after = cell.inspect()
    assert gate.verdicts == [True, False, False, True]
    assert (refused.fault, refused.late, refused.unshown) == (None, False, None)
    assert (refused.result.evaluation, refused.result.cause) == ("UNDEFINED", "journal")
    assert refused.result.reason.startswith("journal: its OK cannot be made to last: ")
    assert refused.result.reason.endswith("Bad file descriptor; judged OK: below review_at")
    assert bad.result.evaluation == "NOT_OK", "a reject has nothing that a kill could take back"
    assert after.result.passed
    told = [each.result.passed for each in (refused, bad, after)]
    journal.close()
    journal = opened(tmp_path)
    assert [row["pass"] for row in rows(journal)] == [True, *told]
    journal.close()


def test_what_was_made_to_last_is_not_overwritten_by_the_couriers_thread(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    released, ended = Released(path), threading.Event()

    def courier() -> None:
        while not ended.is_set():
            released.save()

    thread = threading.Thread(target=courier)
    thread.start()
    try:
        for seq in range(1, 101):
            released.release(seq, durably=True)
            assert read_final(path) == seq
    finally:
        ended.set()
        thread.join()
        released.close()


def test_a_mark_that_was_written_and_not_synced_is_none_after_a_kill(tmp_path: Path) -> None:
    require_strace()
    path = tmp_path / "journal.db"
    code = (
        "import os, sys; from pathlib import Path; from inspector.contract.errors import *;"
        "from inspector.delivery.release import Released\n"
        "released = Released(Path(sys.argv[1]))\n"
        "released.release(1, durably=True)\n"
        "try: released.release(2, durably=True)\n"
        "except RecordError: os._exit(7 if released.final == 1 else 8)\n"
    )
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-P", str(released_path(path))]
    inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=2"]
    command = [*strace, *inject, sys.executable, "-c", code, str(path)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 7
    assert read_final(path) == 1
