"""How fast a plan trains is said in one run, and kept answers are quicker than asking again."""

import re
from pathlib import Path

import pytest

from tests.training.plates import PLAN, write_class_folders
from training.cli import main


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
