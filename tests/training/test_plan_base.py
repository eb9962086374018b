"""A plan that is another one with differences, and what is said where the two do not agree."""

from pathlib import Path

import pytest

from inspector.contract.errors import ConfigError
from tests.training.plates import PLAN, write_class_folders
from tests.training.releases import run, short
from training.plan import fingerprint, read_plan


def written(folder: Path, **texts: str) -> Path:
    """Plans by their names; the last one's path."""
    for name, text in texts.items():
        path = folder / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
    return path


def test_a_plan_is_its_base_but_for_what_it_says_itself(tmp_path: Path) -> None:
    over = 'base = "line.toml"\nname = "other"\n[student]\nmethod = "dist"\n[split]\ngolden = 0.3\n'
    found = read_plan(written(tmp_path, line=PLAN, other=over))
    line = read_plan(tmp_path / "line.toml")
    assert (found.name, found.student.method, found.split.golden) == ("other", "dist", 0.3)
    assert found.base is None
    assert found.split.calibration == line.split.calibration
    student = line.student.model_copy(update={"method": "dist"})
    split = line.split.model_copy(update={"golden": 0.3})
    same = line.model_copy(update={"name": "other", "student": student, "split": split})
    assert fingerprint(found) == fingerprint(same)


def test_a_base_may_have_a_base_and_the_nearest_word_counts(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        plant=PLAN,
        line='base = "plant.toml"\nseed = 3\n[student]\nviews = 5\nalpha = 0.5\n',
        product='base = "line.toml"\n[student]\nviews = 7\n',
    )
    plan = read_plan(path)
    assert (plan.seed, plan.student.views, plan.student.alpha) == (3, 7, 0.5)


def test_lists_are_replaced_and_false_takes_away_what_the_base_has(tmp_path: Path) -> None:
    base = PLAN.replace("[student]", "[student]\ntemperature_end = 1.0\nmix = { share = 0.5 }")
    over = (
        'base = "line.toml"\naugment = false\n[student]\ntemperature_end = false\n'
        'mix = { kind = "cutmix" }\n[quality]\nallow_uncertified = false\n'
    )
    plan = read_plan(written(tmp_path, line=base, other=over))
    assert plan.augment == ()
    assert plan.student.temperature_end is None
    assert (plan.student.mix.kind, plan.student.mix.share) == ("cutmix", 0.5)
    assert plan.quality.allow_uncertified is False
    flips = 'base = "line.toml"\n[[augment]]\nname = "HorizontalFlip"\n'
    other = read_plan(written(tmp_path, flips=flips))
    assert [step.name for step in other.augment] == ["HorizontalFlip"]


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("nowhere.toml", r"other\.toml: base 'nowhere\.toml': there is no such file beside it"),
        ("../line.toml", r"base '\.\./line\.toml': must be the name of a plan in the same folder"),
        ("other.toml", r"base 'other\.toml': is based on this plan itself"),
        ("turn.toml", r"turn\.toml: base 'other\.toml': is based on this plan itself"),
        ("line.toml", r"other\.toml \(based on .*line\.toml\): student\.vews: is not a key here"),
    ],
)
def test_a_base_that_cannot_be_is_said_with_the_files_that_name_it(
    tmp_path: Path, base: str, words: str
) -> None:
    path = written(
        tmp_path,
        line=PLAN,
        turn='base = "other.toml"\n',
        other=f'base = "{base}"\n[student]\nvews = 3\n',
    )
    with pytest.raises(ConfigError, match=words):
        read_plan(path)


def test_what_a_plan_shares_with_its_base_is_not_trained_again(tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "data")
    run(tmp_path, short(), data, "line")
    (tmp_path / "again").symlink_to(tmp_path / "line")
    run(tmp_path, 'base = "line.toml"\n[student]\nalpha = 0.5\n', data, "again")
    stages = [path.name.rpartition("-")[0] for path in (tmp_path / "line" / "work").glob("*-*")]
    assert (stages.count("teacher"), stages.count("student")) == (1, 2)
