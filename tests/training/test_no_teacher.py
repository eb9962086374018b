"""A plan that learns nothing from a teacher trains none, and says so wherever one would stand."""

import json
from pathlib import Path

import pytest

from tests.training.plates import ALONE, PLAN, TEACHER, write_class_folders
from tests.training.releases import learned
from training.cli import main
from training.plan import read_plan
from training.plan_smoke import smoke

PEERS = 'peers = [{ model = "resnet10t", weights = "none" }]'


def released(folder: Path, text: str, data: Path) -> int:
    plan = folder / "plan.toml"
    plan.write_text(text, encoding="utf-8")
    return main(["release", str(plan), "--data", str(data), "--out", str(folder / "out")])


def test_a_release_without_a_teacher_leaves_a_bundle_and_the_students_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_class_folders(tmp_path / "data"), tmp_path / "out"
    assert released(tmp_path, ALONE, data) == 0
    said = capsys.readouterr()
    bundle = Path(said.out.strip())
    assert "no teacher: the student learned without one" in said.err
    assert not list(out.glob("work/*teacher*"))
    report = json.loads((bundle / "report.json").read_text(encoding="utf-8"))
    assert [row["role"] for row in report["models"]] == ["student"]
    assert "The student (no teacher)" in (bundle / "report.html").read_text(encoding="utf-8")
    networks = out / "networks" / bundle.name
    assert sorted(path.name for path in networks.iterdir()) == [
        "learned.csv",
        "looks.npz",
        "networks.json",
        "split.csv",
        "student.safetensors",
    ]
    (tmp_path / "next").mkdir()
    handed = PLAN.replace("[teacher]", f'[teacher]\nhanded = "{networks}"')
    assert released(tmp_path / "next", handed, data) == 78
    assert "holds no teacher: its student learned without one" in capsys.readouterr().err


def test_a_teacher_in_a_plan_that_needs_none_changes_nothing(tmp_path: Path) -> None:
    plans = []
    for name, teacher in (("a", ""), ("b", TEACHER)):
        plan = tmp_path / f"{name}.toml"
        plan.write_text(ALONE.replace("[student]", f"{teacher}[student]"), encoding="utf-8")
        plans.append(read_plan(plan))
    assert plans[0] == plans[1]
    assert smoke(plans[0]).teachers == ()


def test_peers_learn_from_each_other_without_a_teacher(class_folders: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(ALONE.replace("[quality]", f"{PEERS}\n[quality]"), encoding="utf-8")
    said = learned(plan, class_folders, tmp_path / "out", processes=1)
    assert said[-1].startswith("student: done in")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ALONE.replace("alpha = 0.0", ""), "teacher: is missing; a student without one has alpha"),
        (ALONE.replace("alpha = 0.0", "alpha = 0.0\nfeature_weight = 1.0"), "teacher: is missing"),
        (
            ALONE.replace("alpha = 0.0", "alpha = 0.0\ngenerations = 2"),
            "generations 2: with alpha 0 nothing is learned from the one before",
        ),
    ],
)
def test_a_plan_that_needs_a_teacher_and_has_none_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    assert released(tmp_path, text, tmp_path) == 78
    assert words in capsys.readouterr().err


def test_bench_of_a_plan_without_a_teacher_is_refused(
    class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(ALONE, encoding="utf-8")
    assert main(["bench", str(plan), "--data", str(class_folders)]) == 78
    assert "plan 'plate': has no teacher" in capsys.readouterr().err
