"""Every part is golden once, with its twins, and every class is everywhere."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from inspector.contract.errors import ConfigError, DataError
from training.dataset import Sample
from training.folds import Fold, folds_by_part, split_by_fold
from training.plan import SplitRule
from training.scan import Images, ScanReport


def samples_of(count: int, pictures: int = 1) -> tuple[Sample, ...]:
    """Two parts in three good, one in three not; so many pictures of each part."""
    return tuple(
        Sample(Path(f"{i}.png"), f"{i}.png", "nok" if part % 3 == 0 else "ok", f"p{part}")
        for i, part in ((i, i // pictures) for i in range(count))
    )


def images_of(samples: tuple[Sample, ...], twins: tuple[tuple[int, int], ...] = ()) -> Images:
    kept = tuple(sample.name for sample in samples)
    report = ScanReport(
        layout="", images=len(kept), kept=kept, classes={}, parts={}, twins=twins, findings=()
    )
    return Images(samples, np.zeros((len(kept), 1, 1, 3), np.uint8), report)


def test_each_picture_is_golden_once_and_parts_and_twins_stay_together() -> None:
    samples = samples_of(300, pictures=4)
    twins = ((3, 12), (13, 24), (100, 290))
    splits = [
        split_by_fold(images_of(samples, twins), SplitRule(), Fold(k, 5), 0) for k in range(5)
    ]
    for i in range(300):
        assert [split[i] for split in splits].count("golden") == 1
    for split in splits:
        assert all(len(set(split[i : i + 4])) == 1 for i in range(0, 300, 4))
        assert all(split[i] == split[j] for i, j in twins)


def test_a_fold_holds_an_even_share_of_every_class() -> None:
    samples = samples_of(103)
    folds = folds_by_part(samples, np.arange(103), 5, 3)
    for label, n in Counter(s.label for s in samples).items():
        counts = Counter(int(f) for f, s in zip(folds, samples, strict=True) if s.label == label)
        assert set(counts.values()) <= {n // 5, n // 5 + 1}


def test_what_is_not_golden_is_shared_out_by_the_plans_rule() -> None:
    samples = samples_of(600)
    rule = SplitRule(golden=0.5, calibration=0.2, validation=0.1)  # golden does not count here
    split = Counter(split_by_fold(images_of(samples), rule, Fold(1, 5), 0))
    assert split["golden"] == 120
    assert split["calibration"] == pytest.approx(0.2 * 480, abs=3)
    assert split["validation"] == pytest.approx(0.1 * 480, abs=3)


def test_folds_are_the_same_every_time_and_others_with_another_seed() -> None:
    samples, parts = samples_of(60), np.arange(60)
    once = folds_by_part(samples, parts, 3, 1)
    assert np.array_equal(once, folds_by_part(samples, parts, 3, 1))
    assert not np.array_equal(once, folds_by_part(samples, parts, 3, 2))


def test_more_folds_than_a_class_has_parts_are_refused_in_words() -> None:
    samples = samples_of(9, pictures=3)
    with pytest.raises(DataError, match=r"class 'nok' has 1 part\(s\) that differ; 2 folds need"):
        folds_by_part(samples, np.arange(9) // 3, 2, 0)
    with pytest.raises(ConfigError, match="folds 1: must be at least 2"):
        folds_by_part(samples, np.arange(9), 1, 0)
