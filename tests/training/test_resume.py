"""A job killed anywhere and started again ends with the bundle of a job that nothing disturbed."""

import json
import os
import platform
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.contract.bundle import read_bundle
from inspector.contract.errors import ConfigError
from tests.training.plates import ALONE, PLAN, draw, write_class_folders, written_plan
from tests.training.releases import Forked, Released, kill_in, learned, require_same_files
from training.cli import main
from training.origin import dated, plan_sha256, without_path
from training.plan import read_plan
from training.plan_export import Export
from training.report import Report
from training.ship import choice_warning, choose_model


def test_a_job_killed_in_teacher_distillation_and_export_ends_with_the_same_bundle(
    released: Released, tmp_path: Path
) -> None:
    data, plan, out = tmp_path / "elsewhere", tmp_path / "the-plan.toml", tmp_path / "out"
    shutil.copytree(released.data, data)
    shutil.copy2(released.plan, plan)
    words = ("release", plan, "--data", data, "--out", out)
    for stage, sign in (
        ("teacher", "last.pt"),
        ("student", "last.pt"),
        ("export-student", "."),
        ("quantise", "."),
    ):
        kill_in(stage, sign, words, out)
    resumed = Forked(*words).end()
    assert resumed.returncode == 0, resumed.stderr
    assert "quantise: goes on where it was" in resumed.stderr
    bundle = read_bundle(Path(resumed.stdout.strip()))
    require_same_files(bundle, released.bundle)
    assert bundle.id == released.bundle.id


def test_a_job_killed_as_its_training_is_over_does_not_train_again(
    class_folders: Path, tmp_path: Path
) -> None:
    written_plan(tmp_path, ALONE)
    learned(tmp_path / "plan.toml", class_folders, tmp_path, processes=1)
    (student,) = tmp_path.glob("work/student-*")
    (student / "done.json").unlink()  # as if the kill had come before it was written
    left = {path.name: path.read_bytes() for path in student.iterdir()}
    assert set(left) == {"best.pt", "history.json"}
    said = learned(tmp_path / "plan.toml", class_folders, tmp_path, processes=1)
    assert "student: goes on where it was" in said
    (student / "done.json").unlink()
    # how long each epoch took is in it
    assert {path.name: path.read_bytes() for path in student.iterdir()} == left


def test_what_was_measured_in_time_is_in_the_report_beside_the_bundle(released: Released) -> None:
    beside = json.loads((released.out / "report" / "report.json").read_text(encoding="utf-8"))
    sealed = json.loads((released.bundle.folder / "report.json").read_text(encoding="utf-8"))
    for row in beside["models"]:
        assert row.pop("latency_ms") > 0
    for history in ("teacher_history", "student_history"):
        assert all(row.pop("seconds") > 0 for row in beside[history])
    assert beside.pop("int8_ratio") > 0
    assert sealed == beside
    page = "report.html"
    assert "<th>ms</th>" in (released.out / "report" / page).read_text(encoding="utf-8")
    assert "<th>ms</th>" not in (released.bundle.folder / page).read_text(encoding="utf-8")


def test_a_job_that_goes_on_elsewhere_says_no_other_machines_times(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_plan(tmp_path, ALONE.replace("mobilenetv2_035", "test_resnet"))
    words = ["release", str(tmp_path / "plan.toml"), "--data", str(class_folders), "--quiet"]
    words += ["--out", str(tmp_path / "out")]

    def said() -> dict[str, Any]:
        assert main(words) == 0
        text = (tmp_path / "out" / "report" / "report.json").read_text(encoding="utf-8")
        return dict(json.loads(text))

    def took(report: dict[str, Any]) -> list[float]:
        return [row["latency_ms"] for row in report["models"]]

    first = said()
    assert took(said()) == took(first), "a repeated job does nothing"
    monkeypatch.setattr(platform, "python_version", lambda: "3.14 of another machine")
    moved = said()
    assert "another machine" in moved["machine"]
    assert took(moved) != took(first), "its times are those of the first"


def test_no_path_of_this_machine_is_in_a_bundle(released: Released) -> None:
    for path in released.bundle.folder.rglob("*.*"):
        assert str(released.data.parent).encode() not in path.read_bytes(), path


def test_a_bundle_is_dated_by_the_day_of_its_newest_input(
    released: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old.png", tmp_path / "new.png"
    for path, day in ((old, 2), (new, 3)):
        path.touch()
        seconds = datetime(2026, 5, day, 14, 30, tzinfo=UTC).timestamp()
        os.utime(path, (seconds, seconds))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert dated([old, new, tmp_path / "missing.csv"]) == datetime(2026, 5, 3, tzinfo=UTC)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert dated([old]) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH 'yesterday': must be whole seconds"):
        dated([old])
    made = released.bundle.manifest.created_at
    assert made.date() == datetime.fromtimestamp(released.plan.stat().st_mtime, UTC).date()


def test_a_plan_is_named_by_what_its_weights_hold_wherever_they_lie(tmp_path: Path) -> None:
    hashes = []
    for folder, content in (("a", b"same"), ("b", b"same"), ("c", b"other")):
        plan = tmp_path / folder / "plan.toml"
        plan.parent.mkdir()
        plan.write_text(PLAN.replace('"none"', '"w.pth"'), encoding="utf-8")
        (plan.parent / "w.pth").write_bytes(content)
        hashes.append(plan_sha256(read_plan(plan)))
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_layout_is_told_without_the_folder() -> None:
    assert without_path("/mnt: old/data: a folder per class") == "a folder per class"


def test_int8_ships_where_it_is_clearly_quicker_or_where_the_plan_does_not_ask(
    released: Released,
) -> None:
    text = (released.out / "report" / "report.json").read_text(encoding="utf-8")
    report = Report.model_validate_json(text)
    plain = report.row("student")
    same = plain.model_copy(update={"role": "student-int8"})
    worse = plain.validation.model_copy(
        update={"macro_recall": plain.validation.macro_recall - 0.1}
    )
    poor = same.model_copy(update={"validation": worse})
    assert choose_model((plain, same), "", 0.89, Export(int8="auto"))[0] == "student-int8"
    assert choose_model((plain, same), "", 0.91, Export(int8="auto"))[0] == "student"
    assert choose_model((plain, same), "", 1.5, Export(int8="if_safe"))[0] == "student-int8"
    assert choose_model((plain, poor), "", 0.5, Export(int8="if_safe"))[0] == "student"
    for correlation, ships in ((0.91, "student-int8"), (0.68, "student")):
        other = same.model_copy(update={"novelty_ranks": correlation})
        shipped, because = choose_model((plain, other), "", 0.5, Export(int8="if_safe"))
        assert shipped == ships
    assert "rank correlation of novelty 0.68 on validation parts, at least 0.9" in because
    assert choose_model((plain,), "", None, Export(int8="never"))[0] == "student"
    assert (
        choose_model((plain,), "no scores", 0.5, Export(int8="auto"))[1]
        == "INT8 is unfit: no scores"
    )


def test_a_choice_that_hangs_on_the_machines_mood_is_said_aloud(released: Released) -> None:
    plan = read_plan(released.plan)
    plan = plan.model_copy(update={"export": Export()})
    assert "near the line of 0.9" in str(choice_warning(plan, 0.93))
    assert choice_warning(plan, 0.7) is None
    settled = plan.model_copy(update={"export": plan.export.model_copy(update={"int8": "if_safe"})})
    assert choice_warning(settled, 0.93) is None


def test_a_bundle_that_fails_its_self_test_is_not_left_among_the_bundles(tmp_path: Path) -> None:
    data, out = write_class_folders(tmp_path / "data"), tmp_path / "out"
    plan = tmp_path / "plan.toml"
    plan.write_text(ALONE, encoding="utf-8")
    job = Forked("release", plan, "--data", data, "--out", out)
    while not list(out.glob("work/scan-*/done.json")):
        assert job.alive()
        time.sleep(0.005)
    for path in (data / "good").iterdir():  # somebody saves other pictures under the same names
        cv2.imwrite(str(path), draw(np.random.default_rng(99), "spot"))
    refused = job.end()
    assert refused.returncode == 4
    assert "cannot be packed" in refused.stderr
    assert "where a picture was changed since the job began" in refused.stderr
    assert list((out / "bundles").iterdir()) == []
