"""The plans that come with the package are read, whole and as --smoke makes them."""

from pathlib import Path

import pytest

import training
from training.plan import Plan, read_plan
from training.plan_smoke import SIDE, TEACHER_SIDE, smoke

PLANS = sorted((Path(training.__file__).parent / "plans").glob("*.toml"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_that_comes_with_the_package_is_read(path: Path) -> None:
    plan = read_plan(path)
    assert Plan.model_validate(smoke(plan).model_dump()) == smoke(plan)


def test_a_teacher_with_a_size_of_its_own_has_one_in_a_smoke_run_too() -> None:
    plan = read_plan(next(path for path in PLANS if path.stem == "elpv_tiny"))
    assert plan.architecture("teacher") == "resnet50 at 300x300"
    assert plan.teacher is not None
    small = smoke(plan)
    assert small.teacher is not None
    assert (small.image.width, small.seen_by(small.teacher).width) == (SIDE, TEACHER_SIDE)
