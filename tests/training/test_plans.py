"""The plans that come with the package are read, whole and as --smoke makes them."""

from pathlib import Path

import pytest

import training
from inspector.contract.errors import ConfigError
from training.plan import Plan, read_plan
from training.plan_networks import Fit, Peer
from training.plan_smoke import SIDE, TEACHER_SIDE, smoke

PLANS = sorted((Path(training.__file__).parent / "plans").rglob("*.toml"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_that_comes_with_the_package_is_read(path: Path) -> None:
    plan = read_plan(path)
    small = smoke(plan)
    assert Plan.model_validate(small.model_dump()) == small
    networks: tuple[Fit | Peer, ...] = (*small.teachers, small.student, *small.student.peers)
    assert {each.weights for each in networks} == {"none"}, "nothing is fetched"
    assert bool(small.student.views) == bool(plan.student.views)  # a new view each epoch stays so


def test_a_teacher_with_a_size_of_its_own_has_one_in_a_smoke_run_too() -> None:
    plan = read_plan(next(path for path in PLANS if path.stem == "elpv_tiny"))
    assert plan.architecture("teacher") == "resnet50 at 300x300"
    assert plan.teacher is not None
    small = smoke(plan)
    assert small.teacher is not None
    assert (small.image.width, small.seen_by(small.teacher).width) == (SIDE, TEACHER_SIDE)


def test_only_the_first_teacher_may_be_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    text = (
        'name = "cells"\ngood = ["fine"]\n[image]\nwidth = 32\nheight = 32\n'
        '[teacher]\nmodel = "resnet18"\nepochs = 1\n[student]\nmodel = "resnet10t"\nepochs = 1\n'
        '[[ensemble]]\nmodel = "resnet18"\nepochs = 1\n'
    )
    path.write_text(text, encoding="utf-8")
    assert len(read_plan(path).teachers) == 2
    path.write_text(text + 'handed = "next"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"ensemble\.handed: only \[teacher\]"):
        read_plan(path)


def test_a_handed_teacher_needs_no_epochs_and_another_does(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    text = (
        'name = "cells"\ngood = ["fine"]\n[image]\nwidth = 32\nheight = 32\n'
        '[student]\nmodel = "resnet10t"\nepochs = 1\n[teacher]\nmodel = "resnet18"\n'
    )
    path.write_text(text + 'handed = "before"\n', encoding="utf-8")
    assert read_plan(path).teacher is not None
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"teacher\.epochs: is missing"):
        read_plan(path)
