"""What a search keeps serves the next start: after a kill, a full disk, or a change of what it is
kept of.
"""

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.training.plates import ALONE, profile_of, write_class_folders
from training.cli import main
from training.plan import Plan
from training.run import Run
from training.search import Goals, Study
from training.search_found import Tried
from training.search_space import Stopwatch, space_of

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


@pytest.mark.parametrize("file", ["weights", "old", "handed", "unlabelled"])
def test_another_file_under_the_same_name_is_another_search(tmp_path: Path, file: str) -> None:
    names = {
        "weights": "weights/model0.a.safetensors",
        "old": "networks/student.safetensors",
        "handed": "networks/teacher.safetensors",
        "unlabelled": "archive/part.png",
    }
    for name in names.values():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"as it was")
    networks = str(tmp_path / "networks")
    student = {
        "model": "model0",
        "weights": "none",
        "epochs": 1,
        "old": {"networks": networks},
        "unlabelled": {"folder": str(tmp_path / "archive")},
    }
    plan = Plan.model_validate(
        {
            **plan_with(1).model_dump(),
            "student": student,
            "teacher": {"model": "t", "weights": "none", "epochs": 1, "handed": networks},
            "search": {"models": ["model0"], "weights": str(tmp_path / "weights")},
        }
    )
    judge_one(opened(tmp_path, plan))
    (tmp_path / names[file]).write_bytes(b"another")
    assert not opened(tmp_path, plan).tried()
    (tmp_path / names[file]).write_bytes(b"as it was")
    assert len(opened(tmp_path, plan).tried()) == 1


def test_times_that_were_kept_are_those_of_as_many_members_and_as_high_a_picture(
    tmp_path: Path,
) -> None:
    """Foretold ones: those are the same whenever they are asked for."""
    one = read_of(height=64, members=1)
    profile = profile_of(fp32=1e-6, int8=1e-6)
    times: list[float] = []
    for plan in (one, read_of(height=64, members=3), read_of(height=256, members=1), one):
        watch = Stopwatch(tmp_path, plan, profile)
        times += watch.time_all(space_of(plan), lambda some, _: some).values()
    assert times[1] > 2 * times[0]
    assert times[2] > 2 * times[0]
    assert times[3] == times[0]


def test_times_of_another_machine_are_none_of_this_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = read_of(height=64, members=1)
    here = Stopwatch(tmp_path, plan)
    here.time_all(space_of(plan), lambda some, _: some)
    assert Stopwatch(tmp_path, plan).ms == here.ms
    monkeypatch.setattr(platform, "python_version", lambda: "3.14 of another machine")
    elsewhere = Stopwatch(tmp_path, plan)
    assert not elsewhere.ms
    assert elsewhere.by != here.by, "the search is another: what is too slow is so by its clock"


def read_of(height: int, members: int) -> Plan:
    student = {"model": "test_resnet", "weights": "none", "epochs": 1, "members": members}
    search = {"models": ["test_resnet"], "precisions": ["fp32"], "weights": "none"}
    image = {"width": 64, "height": height}
    plan = {"name": "p", "good": ["good"], "image": image, "search": search}
    return Plan.model_validate({**plan, "student": {**student, "alpha": 0.0}})
