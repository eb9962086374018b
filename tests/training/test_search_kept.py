"""What a search keeps serves the next start: after a kill, a full disk, or a change of what it is
kept of.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.training.plates import ALONE, write_class_folders
from training.cli import main
from training.plan import Plan
from training.run import Run
from training.search import Goals, Study
from training.search_found import Tried
from training.search_space import space_of

SPACE = '[search]\nmodels = ["test_resnet"]\nprecisions = ["fp32"]\nweights = "none"\n'
GOALS = Goals(5.0, 0.01, 0.2)
JOURNAL = "search.journal"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A search that ends in a moment: no student is so quick. It goes on in `out` here."""
    folder = tmp_path_factory.mktemp("kept")
    data, plan = write_class_folders(folder / "data"), folder / "plan.toml"
    plan.write_text(ALONE + SPACE, encoding="utf-8")
    budgets = ["--latency-ms", "0.0001", "--escape", "90%", "--overkill", "99%"]
    return ["search", str(plan), "--data", str(data), "--out", "out", *budgets]


def plan_with(models: int) -> Plan:
    names = [f"model{i}" for i in range(models)]
    student = {"model": "resnet18", "weights": "none", "epochs": 1, "alpha": 0.0}
    search = {"models": names, "precisions": ["fp32"], "weights": "none"}
    image = {"width": 64, "height": 64}
    return Plan.model_validate(
        {"name": "p", "good": ["good"], "image": image, "student": student, "search": search}
    )


def opened(folder: Path, plan: Plan) -> Study:
    return Study(folder, plan, GOALS, "data", space_of(plan))


def judge_one(study: Study) -> None:
    taken = study.next(at_most=9)
    assert taken is not None
    facts = {"outcome": "judged", "latency_ms": 1.0, "overkill": 0.1, "parameters": 1}
    study.tell(taken[0], Tried.model_validate({**asdict(taken[1]), **facts}))


@contextmanager
def no_more_than(size_bytes: int) -> Iterator[None]:
    """As on a disk that is full: of what is written, so much is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_search_goes_on_after_a_full_disk_has_cut_its_journal_short(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    out, plan = Path("out"), plan_with(4)
    out.mkdir()
    judge_one(opened(out, plan))
    judge_one(opened(out, plan))
    journal = out / JOURNAL
    with no_more_than(journal.stat().st_size + 20), pytest.raises(OSError, match="File too large"):
        judge_one(opened(out, plan))
    assert not journal.read_bytes().endswith(b"\n")
    with pytest.raises(ValueError):  # noqa: PT011 - what another process then meets: two in one line
        judge_one(opened(out, plan))

    assert main(words) == 3
    assert "did not end with a whole line" in capsys.readouterr().err
    assert all(json.loads(line) for line in journal.read_bytes().splitlines())
    assert len(opened(out, plan).tried()) == 2
    assert main(words) == 3
    assert "did not end with a whole line" not in capsys.readouterr().err


def test_a_search_goes_on_where_one_was_killed_that_held_its_journals_lock(
    words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    held = (
        "import os; from optuna.storages.journal import JournalFileSymlinkLock;"
        f"JournalFileSymlinkLock('out/{JOURNAL}').acquire(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", held], check=False, cwd=tmp_path)
    assert (tmp_path / "out" / f"{JOURNAL}.lock").is_symlink()
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "training.cli", *words, "--quiet"]
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, timeout=120.0)
    assert done.returncode == 3
    assert not list((tmp_path / "out").glob(f"{JOURNAL}.lock*"))


def test_helpers_that_outlived_their_search_are_named_and_nothing_is_touched(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    helper = Run(Path("out/work-2"), lambda _: None)
    journal = Path("out", JOURNAL)
    journal.write_bytes(b'{"half a li')  # it is at it
    try:
        assert main(words) == 78
    finally:
        helper.close()
    said = capsys.readouterr().err
    assert f"out/work-2: another job (process {os.getpid()}) is using it" in said
    assert journal.read_bytes() == b'{"half a li'
