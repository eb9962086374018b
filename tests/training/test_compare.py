"""Two plans on the same folds, as a user compares them: what is shared is computed once."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import until
from tests.training.plates import PLAN, write_class_folders
from training.cli import main
from training.compare_html import write_html
from training.compare_plots import LEGEND_MAX
from training.comparison import Comparison

TINY = (
    PLAN.replace("resnet18", "resnet10t")
    .replace("epochs = 3", "epochs = 1")
    .replace("[export]", '[export]\nint8 = "never"')
    .replace("validation = 0.25", "validation = 0.3")
    .replace("[quality]", "[quality]\nnovelty_overkill_at_most = 0.0")
)
HALF = TINY.replace('"plate"', '"half"').replace("views = 2", "views = 2\nalpha = 0.5")
LABELS_ONLY = HALF.replace('"half"', '"labels"').replace("alpha = 0.5", "alpha = 0.0")


class Compared:
    """Three plans that differ only in what the student learns from; one seed, two folds."""

    def __init__(self, folder: Path) -> None:
        self.data = write_class_folders(folder / "data")
        self.out = folder / "out"
        self.plans = [folder / f"{name}.toml" for name in ("plate", "half", "labels")]
        for path, text in zip(self.plans, (TINY, HALF, LABELS_ONLY), strict=True):
            path.write_text(text, encoding="utf-8")
        assert self.again() == 0
        self.found: dict[str, Any] = json.loads((self.out / "compare.json").read_text("utf-8"))

    def again(self, *more: str, out: Path | None = None) -> int:
        plans = [str(path) for path in self.plans]
        where = ["--data", str(self.data), "--out", str(out or self.out)]
        return main(["compare", *plans, *where, "--folds", "2", *more])


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    return Compared(tmp_path_factory.mktemp("compare"))


def test_plans_that_share_a_teacher_train_it_once_for_each_fold(compared: Compared) -> None:
    work = compared.out / "work"
    for once in ("teacher", "answers-teacher"):
        assert len(list(work.glob(f"{once}-*/done.json"))) == 2
    assert len(list(work.glob("student-*/done.json"))) == 6
    names = [contender["name"] for contender in compared.found["contenders"]]
    assert names == ["plate teacher", "plate", "half", "labels"]


def test_a_plan_that_needs_no_teacher_trains_none_and_the_table_says_so(
    compared: Compared,
) -> None:
    taught_by = {c["name"]: c["teacher"] for c in compared.found["contenders"]}
    assert taught_by == {
        "plate teacher": None,
        "plate": "plate teacher",
        "half": "plate teacher",
        "labels": None,
    }
    page = (compared.out / "compare.html").read_text(encoding="utf-8")
    assert page.count("<td>no teacher</td>") == 1
    roles = {(row["plan"], row["role"]) for row in compared.found["rows"]}
    assert ("labels", "student") in roles
    assert ("labels", "teacher") not in roles


def test_every_part_is_judged_once_by_each_plan(compared: Compared) -> None:
    folds = [json.loads(p.read_text("utf-8")) for p in compared.out.glob("work/fold-*/split.json")]
    assert sorted(i for fold in folds for i in fold["golden"]) == list(range(36))
    with (compared.out / "compare.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10  # three plans, two folds, student of each and teacher of two
    assert all(row["golden"] == "18" for row in rows)


def test_means_and_scatter_are_those_of_the_runs(compared: Compared) -> None:
    rows = [r for r in compared.found["rows"] if (r["plan"], r["role"]) == ("labels", "student")]
    contender = next(c for c in compared.found["contenders"] if c["name"] == "labels")
    values = [row["figures"]["macro_recall"] for row in rows]
    assert contender["mean"]["macro_recall"] == pytest.approx(sum(values) / 2)
    assert contender["sd"]["macro_recall"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)


def test_students_are_held_against_each_other_and_against_their_teacher(
    compared: Compared,
) -> None:
    pairs = [(pair["first"], pair["second"]) for pair in compared.found["pairs"]]
    assert pairs == [
        ("plate", "half"),
        ("plate", "labels"),
        ("half", "labels"),
        ("plate teacher", "plate"),
        ("plate teacher", "half"),
    ]
    of = {c["name"]: c["mean"]["accuracy"] for c in compared.found["contenders"]}
    first = compared.found["pairs"][1]
    gain = of["labels"] - of["plate"]
    assert first["differences"]["accuracy"]["mean"] == pytest.approx(gain)
    won = first["parts"]["second_better"] - first["parts"]["first_better"]
    assert won / 36 == pytest.approx(gain)  # each part is a picture here, and golden once
    assert first["parts"]["parts"] == 36


def test_the_page_shows_table_tests_and_plots_and_fetches_nothing(compared: Compared) -> None:
    page = (compared.out / "compare.html").read_text(encoding="utf-8")
    for words in (
        "Comparison of plate, half, labels",
        "macro recall",
        "Is it luck?",
        "So few find only",
    ):
        assert words in page
    assert page.count("data:image/png;base64,") == 5
    assert "http" not in page


def test_a_page_of_many_plans_has_a_line_for_each_in_place_of_a_cloud(
    compared: Compared, tmp_path: Path
) -> None:
    found = Comparison.model_validate(compared.found)
    (labels,) = (each for each in found.contenders if each.plan == "labels")
    mine = [row for row in found.rows if row.plan == "labels"]
    more = [f"again-{i}" for i in range(LEGEND_MAX)]
    rows = (*found.rows, *(row.model_copy(update={"plan": p}) for p in more for row in mine))
    many = (labels.model_copy(update={"plan": name, "name": name}) for name in more)
    contenders = (*found.contenders, *many)
    update = {"rows": rows, "contenders": contenders, "wanted": 6 + 2 * LEGEND_MAX}
    write_html(found.model_copy(update=update), tmp_path / "compare.html")
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert f"Comparison of {3 + LEGEND_MAX} plans" in page
    assert page.count("data:image/png;base64,") == 3
    assert 'alt="macro recall of each plan"' in page


def test_labels_that_students_and_teacher_contradict_stand_on_a_page_of_their_own(
    compared: Compared,
) -> None:
    with (compared.out / "second_look.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    doubts = compared.found["doubts"]
    assert [row["picture"] for row in listed] == [doubt["picture"] for doubt in doubts]
    # three students, and the teacher that two plans share once
    assert {doubt["of"] for doubt in doubts} == {4}
    assert all(doubt["label"] != doubt["looks_like"] for doubt in doubts)
    assert compared.found["judged"] == 36
    page = (compared.out / "second_look.html").read_text(encoding="utf-8")
    assert f"{len(doubts)} of 36 pictures look like another class" in page
    assert page.count("data:image/jpeg;base64,") == len(doubts)


def test_a_repeated_comparison_trains_nothing_and_finds_the_same(
    compared: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared.again() == 0
    said = capsys.readouterr()
    assert re.findall(r".* starts.*", said.err)[::5] == [
        "run 1/6 starts: plate, seed 0, fold 1/2",
        "run 6/6 starts: labels, seed 0, fold 2/2",
    ]
    assert not re.search(r"^\w+: starts", said.err, re.MULTILINE)
    assert said.err.count("36 images, 36 used") == 1  # all runs find the same
    assert "run 6/6: labels, seed 0, fold 2/2: accuracy" in said.err
    assert said.out.strip() == str(compared.out / "compare.html")
    assert json.loads((compared.out / "compare.json").read_text("utf-8")) == compared.found


def test_many_plans_are_held_against_one_of_them_so_that_fewer_questions_are_asked(
    compared: Compared, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(compared.out / "work", out / "work")
    assert compared.again("--against", "half", out=out) == 0
    found = json.loads((out / "compare.json").read_text("utf-8"))
    pairs = {(pair["first"], pair["second"]): pair for pair in found["pairs"]}
    taught = [("plate teacher", "plate"), ("plate teacher", "half")]
    assert list(pairs) == [("half", "plate"), ("half", "labels"), *taught]
    before = {(p["first"], p["second"]): p for p in compared.found["pairs"]}
    turned, was = pairs["half", "plate"], before["plate", "half"]
    gain = turned["differences"]["accuracy"]["mean"]
    assert gain == pytest.approx(-was["differences"]["accuracy"]["mean"])
    assert pairs["half", "labels"]["parts"] == before["half", "labels"]["parts"]


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        (("", ""), [], "two plans are called 'plate'"),
        (('good = ["good"]', 'good = ["spot"]\n#'), [], "good is ['good'] in plan 'plate' and"),
        (("near_duplicate_at = 1.0", "near_duplicate_at = 0.9"), [], "split.near_duplicate_at is"),
        (
            ("validation = 0.3", "validation = 0.2"),
            ["--folds", "1"],
            "and 0.2 in 'other': it must be the same with --folds 1, or they are judged on",
        ),
        (("", ""), ["--seeds", "0,x"], "--seeds '0,x': must be different numbers, as in 0,1,2"),
        (("", ""), ["--folds", "0"], "--folds 0: must be at least 1"),
        (
            ("scratch", "scratch"),
            ["--against", "z"],
            "--against 'z': no plan is called that, but plate, other",
        ),
        (None, ["--folds", "13"], "class 'good' has 12 part(s) that differ; 13 folds need"),
    ],
)
def test_what_cannot_be_compared_is_explained(
    compared: Compared,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str] | None,
    more: list[str],
    words: str,
) -> None:
    plans = [str(compared.plans[0])]
    if change is not None:
        other = tmp_path / "other.toml"
        name = "plate" if change == ("", "") else "other"
        text = TINY.replace(*change) if change[0] else TINY
        other.write_text(text.replace('"plate"', f'"{name}"'), encoding="utf-8")
        plans.append(str(other))
    where = ["--data", str(compared.data), "--out", str(tmp_path / "out")]
    assert main(["compare", *plans, *where, *more]) in (65, 78)
    assert words in capsys.readouterr().err


def test_folds_trained_side_by_side_end_in_the_same_table(
    compared: Compared, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And what one that was killed had finished is not trained again."""
    tables: list[Any] = []
    plan = tmp_path / "plan.toml"
    plan.write_text(LABELS_ONLY, encoding="utf-8")
    for name, more in (("one", []), ("two", ["--jobs", "2"]), ("two", ["--jobs", "2"])):
        out = tmp_path / name
        where = ["--data", str(compared.data), "--out", str(out), "--folds", "2"]
        if tables[1:]:
            shutil.rmtree(out / "work")  # as if killed while both were at work
            before = trained_at(out)
        assert main(["compare", str(plan), *where, *more]) == 0
        found = json.loads((out / "compare.json").read_text("utf-8"))
        tables.append([(row["fold"], row["trained"], row["figures"]) for row in found["rows"]])
    assert tables[0] == tables[1] == tables[2]
    said = capfd.readouterr().err
    assert "[1] run 1/1 starts: labels, seed 0, fold 1/2" in said  # whose line it is
    assert "[2] run 1/1 starts: labels, seed 0, fold 2/2" in said
    assert trained_at(out) == before
    assert len(before) == 2


def test_what_more_processes_had_finished_is_not_trained_again_by_fewer(
    compared: Compared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(compared.out / "work", out / "work-4")  # as four that were killed left it
    assert compared.again(out=out) == 0
    assert not re.search(r"^(teacher|student): starts", capsys.readouterr().err, re.MULTILINE)


def test_what_is_done_so_far_is_on_the_page_while_several_are_at_work(
    compared: Compared, tmp_path: Path
) -> None:
    """Three rounds for two: when the first is told, one is yet to be begun."""
    plan, out = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text(LABELS_ONLY, encoding="utf-8")
    words = ["compare", str(plan), "--data", str(compared.data), "--out", str(out)]
    command = [sys.executable, "-m", "training.cli", *words, "--folds", "3", "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        assert until((out / "compare.html").exists, 120.0)
        process.send_signal(signal.SIGINT)
    found = json.loads((out / "compare.json").read_text("utf-8"))
    assert 0 < len(found["rows"]) < found["wanted"] == 3
    assert "of 3 runs so far" in (out / "compare.html").read_text("utf-8")


def trained_at(out: Path) -> dict[str, int]:
    """When each was; links are others' work."""
    done = [p for p in out.glob("work-*/student-*/done.json") if not p.parent.is_symlink()]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in done}


def test_jobs_and_processes_are_not_asked_for_at_once(
    compared: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data", str(compared.data), "--out", str(compared.out)]
    more = ["--jobs", "2", "--processes", "2"]
    assert main(["compare", str(compared.plans[0]), *where, *more]) == 78
    assert "--jobs 2: must be at least 1, and 1 with --processes" in capsys.readouterr().err
