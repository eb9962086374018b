"""`release --from-bundle`: the running student is the start, and what it knew is kept apart."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.contract.errors import ConfigError, DataError
from tests.support import make_bundle
from tests.training.plates import PLAN
from tests.training.releases import Released
from training.cli import main
from training.dataset import Dataset, Sample, read_dataset
from training.plan import Plan, read_plan
from training.running import Running, read_split, running_bundle, starting_from


@pytest.fixture
def running(released: Released) -> Running:
    return running_bundle(released.bundle.folder)


@pytest.fixture
def plan(released: Released) -> Plan:
    return read_plan(released.plan)


@pytest.fixture
def data(released: Released, running: Running) -> Dataset:
    """The data with the sets it had, as `collect` keeps them."""
    split = read_split(running)
    found = read_dataset(released.data)
    rows = (replace(s, split=split[s.name, s.label]) for s in found.samples)
    return Dataset(tuple(rows), found.layout)


def test_a_release_leaves_which_picture_was_in_which_set(running: Running) -> None:
    split = read_split(running)
    assert len(split) == 36
    assert Counter(split.values())["golden"] == 9


def test_the_running_student_is_the_start(running: Running, plan: Plan, data: Dataset) -> None:
    started = starting_from(plan, running, data)
    assert started.student.old is not None
    assert started.student.old.networks == str(running.networks)
    with pytest.raises(ConfigError, match="names a start already"):
        starting_from(started, running, data)


def test_another_product_a_lost_class_and_mixed_sets_are_refused(
    running: Running, plan: Plan, data: Dataset
) -> None:
    with pytest.raises(ConfigError, match="plan: name 'cup': bundle plate-"):
        starting_from(plan.model_copy(update={"name": "cup"}), running, data)
    with pytest.raises(ConfigError, match=r"plan: good \['fine'\]"):
        starting_from(plan.model_copy(update={"good": ("fine",)}), running, data)
    rest = tuple(sample for sample in data.samples if sample.label != "spot")
    with pytest.raises(DataError, match="has no class 'spot'"):
        starting_from(plan, running, Dataset(rest, data.layout))
    stray: tuple[Sample, ...] = (replace(data.samples[0], split=None), *data.samples[1:])
    with pytest.raises(DataError, match="does not name the set of every picture"):
        starting_from(plan, running, Dataset(stray, data.layout))


def test_what_no_station_would_take_for_want_of_novelty_is_not_trained(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace('name = "plate"', 'name = "tiny"'), encoding="utf-8")
    asked = read_plan(path)
    quality = asked.quality.model_copy(update={"novelty_overkill_at_most": 0.0})
    without = asked.model_copy(update={"quality": quality})
    running = Running(make_bundle(tmp_path, novelty_at=3.0), tmp_path)
    nothing = Dataset((), "data")
    words = "quality.novelty_overkill_at_most 0: tiny-.* measures novelty, and no station"
    with pytest.raises(ConfigError, match=words):
        starting_from(without, running, nothing)
    with pytest.raises(DataError, match="has no class"):  # what is asked next
        starting_from(asked, running, nothing)


def test_a_smoke_run_starts_from_nothing(
    released: Released, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    words = ["release", str(path), "--data", str(released.data), "--out", str(tmp_path / "out")]
    assert main([*words, "--smoke", "--from-bundle", str(released.bundle.folder)]) == 78
    assert "a smoke run starts from nothing" in capsys.readouterr().err
