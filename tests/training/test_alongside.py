"""Several processes at once on one job: what one of them meets is everybody's end, in words."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.contract.errors import TrainingError
from tests.support import until
from tests.training.plates import PLAN, write_class_folders
from training.alongside import lend, work_together
from training.run import Run


@pytest.fixture
def endless(tmp_path: Path) -> list[str]:
    """Arguments of a comparison that takes minutes."""
    data, plan = write_class_folders(tmp_path / "data"), tmp_path / "plan.toml"
    plan.write_text(PLAN.replace("epochs = 3", "epochs = 300"), encoding="utf-8")
    return ["compare", str(plan), "--data", str(data), "--out", str(tmp_path / "out")]


def test_one_that_fails_ends_the_others(
    capfd: pytest.CaptureFixture[str], endless: list[str], tmp_path: Path
) -> None:
    missing = ["release", str(tmp_path / "no.toml"), "--data", str(tmp_path), "--out", "out"]
    with pytest.raises(TrainingError, match=r"search: the processes ended with \[78, 0\]"):
        work_together("search", [missing, endless])
    assert "no.toml" in capfd.readouterr().err
    lock = tmp_path / "out" / "work" / "lock"
    pid = lock.read_text(encoding="utf-8") if lock.exists() else ""
    assert not pid or not Path("/proc", pid).exists()


def test_only_what_is_finished_is_lent_and_nothing_is_written_into_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "work", lambda _: None)
    made = run.stage("one", lambda folder: (folder / "x").touch())
    (tmp_path / "work" / "two-unfinished").mkdir()
    lend(tmp_path / "work", tmp_path / "own")
    lend(tmp_path / "work", tmp_path / "own")
    assert [path.name for path in (tmp_path / "own").iterdir()] == [made.folder.name]
    own = Run(tmp_path / "own", lambda _: None)
    kept = own.stage("one", lambda _: pytest.fail("made again"))
    assert kept.folder.resolve() == made.folder.resolve()
    shutil.rmtree(made.folder)  # somebody clears a work folder: what it had lent is made again
    again = own.stage("one", lambda folder: (folder / "x").touch())
    assert not again.folder.is_symlink()
    assert (again.folder / "x").exists()
    shutil.rmtree(again.folder)
    again.folder.symlink_to(tmp_path / "gone")
    run.stage("one", lambda folder: (folder / "x").touch())
    lend(tmp_path / "work", tmp_path / "own")
    assert again.folder.resolve() == made.folder.resolve()
    own.close()
    run.close()
    lend(tmp_path / "nowhere", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_ctrl_c_leaves_no_process_behind(endless: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "training.cli", *endless, "--folds", "2", "--jobs", "2"]
    with (tmp_path / "log").open("wb") as log:
        job = subprocess.Popen(command, stderr=log, start_new_session=True)
    try:
        assert until(lambda: len(list(out.glob("work-*/teacher-*/last.pt"))) == 2, 120.0)
        workers = [int((out / f"work-{k}" / "lock").read_text()) for k in (1, 2)]
        job.send_signal(signal.SIGINT)
        assert job.wait(60.0) == 130
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
    assert "the same command goes on" in (tmp_path / "log").read_text(encoding="utf-8")
