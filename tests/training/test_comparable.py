"""Plans are compared on the same golden parts, whatever their splits, or are told why not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inspector.contract.errors import ConfigError
from tests.training.plates import PLAN, written_plan
from training.comparable import require_comparable
from training.dataset import Dataset, Sample
from training.folds import Fold, split_by_fold
from training.plan import Plan
from training.scan import Images, ScanReport
from training.split import split_by_part

KEYS = (("golden", 0.2), ("calibration", 0.2), ("validation", 0.1))


def samples() -> tuple[Sample, ...]:
    return tuple(Sample(Path(f"{i}.png"), f"{i}.png", "ab"[i % 2], f"p{i}") for i in range(120))


def two(folder: Path, key: str, value: float) -> tuple[Plan, Plan]:
    """Plans whose splits differ in one share."""
    plan = written_plan(folder, PLAN)
    rule = plan.split.model_copy(update={key: value})
    return plan, plan.model_copy(update={"name": "other", "split": rule})


def golden(plan: Plan, some: tuple[Sample, ...], folds: int) -> set[int]:
    if folds == 1:
        split = split_by_part(some, (), plan.split, 0)
    else:
        kept = tuple(sample.name for sample in some)
        report = ScanReport(
            layout="", images=len(kept), kept=kept, classes={}, parts={}, twins=(), findings=()
        )
        images = Images(some, np.zeros((len(kept), 1, 1, 3), np.uint8), report)
        split = split_by_fold(images, plan.split, Fold(0, folds), 0)
    return {i for i, name in enumerate(split) if name == "golden"}


@pytest.mark.parametrize(("key", "value"), KEYS)
@pytest.mark.parametrize(("folds", "named"), [(1, 0), (1, 30), (5, 0)])
def test_what_may_be_compared_has_the_same_golden_parts(
    tmp_path: Path, key: str, value: float, folds: int, named: int
) -> None:
    plans = two(tmp_path, key, value)
    some = tuple(
        replace(sample, split="golden") if i < named else sample
        for i, sample in enumerate(samples())
    )
    first, second = (golden(plan, some, folds) for plan in plans)
    dataset = Dataset(some, "a manifest")
    assert (first == second) is (folds > 1 or named > 0)
    if first == second:
        require_comparable(plans, dataset, folds)
        return
    with pytest.raises(ConfigError, match=rf"split\.{key} is .* the same with --folds 1, or they"):
        require_comparable(plans, dataset, folds)
