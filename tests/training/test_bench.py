"""How fast a plan trains is said in one run, and kept answers are quicker than asking again."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.training.plates import PLAN, write_class_folders
from training import bench
from training.cli import main
from training.distill import Taught
from training.features import Hints


def test_kept_answers_train_faster_than_a_teacher_asked_every_time(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_class_folders(tmp_path / "data")
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.replace('"resnet18"', '"resnet50"'), encoding="utf-8")
    arguments = ["bench", str(plan), "--data", str(data), "--images", "16", "--rounds", "6"]
    assert main(arguments) == 0
    said = capfd.readouterr().out
    rates = [float(rate) for rate in re.findall(r"([\d.]+) images/s", said)]
    assert len(rates) == 3
    assert rates[1] / rates[2] > 1.0
    assert main([*arguments[:4], "--images", "1"]) == 78


def test_all_that_a_plan_has_teach_is_measured_in_the_precision_that_a_job_would_find(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, Sequence[str], bool]] = []

    class Watched(Taught):
        def __init__(self, *all_of_it: Any, hints: Hints | None, **more: Any) -> None:
            super().__init__(*all_of_it, hints=hints, **more)
            teachers = all_of_it[2]
            asked.append((len(teachers._networks), teachers._precisions, hints is not None))

    monkeypatch.setattr(bench, "Taught", Watched)
    plan = tmp_path / "plan.toml"
    text = PLAN.replace('"resnet18"', '"resnet10t"\nprecision = "auto"')
    several = '[[ensemble]]\nmodel = "resnet10t"\nweights = "none"\nepochs = 1\n[student]'
    text = text.replace("[student]", several)
    text = text.replace(
        "views = 2", 'views = 2\nhints = [{ student = "blocks.2", teacher = "layer2" }]'
    )
    plan.write_text(text, encoding="utf-8")
    data = write_class_folders(tmp_path / "data")
    arguments = ["bench", str(plan), "--data", str(data), "--images", "8", "--rounds", "2"]
    assert main(arguments) == 0
    assert len(re.findall(r"images/s", capfd.readouterr().out)) == 3
    for teachers, precisions, hinted in asked:
        assert (teachers, precisions[1], hinted) == (2, "fp32", True)
        assert precisions[0] in ("fp32", "bf16")
    assert len(asked) == 2
