"""What a search promises of its winner holds for what ships, and for whole pictures."""

from dataclasses import asdict
from pathlib import Path

import pytest

from inspector.contract.bundle import read_bundle
from tests.training.plates import ALONE, profile_of, write_class_folders
from training.cli import main
from training.dataset import read_dataset
from training.plan import Plan, fingerprint, read_plan
from training.search import Goals, Study
from training.search_found import Found, Tried
from training.search_space import Entrant, Stopwatch, space_of

UNSAFE = 'methods = ["minmax"], weights = "per_tensor", sensitivity = "never", loss_at_most = 0.0'
INT8 = ALONE.replace('methods = ["minmax", "percentile"], percentiles = [99.9]', UNSAFE)
SPACE = '[search]\nmodels = ["mobilenetv2_035"]\nprecisions = ["int8"]\nweights = "none"\n'
SMALL = Entrant("mobilenetv2_035", 64, "int8")


class Factory:
    """A plan whose student in INT8 calls other parts strange than in FP32, so FP32 ships."""

    def __init__(self, folder: Path) -> None:
        self.data = write_class_folders(folder / "data")
        self.out = folder / "out"
        self.file = folder / "plan.toml"
        self.file.write_text(INT8 + SPACE, encoding="utf-8")

    @property
    def plan(self) -> Plan:
        return read_plan(self.file)

    def search(self, latency_ms: float, *more: str) -> int:
        where = ["--data", str(self.data), "--out", str(self.out), "--quiet"]
        budgets = ["--latency-ms", str(latency_ms), "--escape", "90%", "--overkill", "99%"]
        return main(["search", str(self.file), *where, *budgets, *more])

    @property
    def found(self) -> Found:
        return Found.model_validate_json((self.out / "search.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Factory:
    return Factory(tmp_path_factory.mktemp("budgets"))


def test_a_student_in_int8_that_would_not_ship_is_not_counted_and_says_why(
    factory: Factory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert factory.search(1000) == 3
    assert "none of 0 students judged holds 1000 ms" in capsys.readouterr().err
    (tried,) = factory.found.tried
    assert tried.outcome == "failed"
    assert "does not ship: INT8: none of 1 ways to take ranges is as safe as FP32" in tried.why


def test_a_winner_that_ships_in_fp32_is_held_to_the_budget_as_it_ships(
    factory: Factory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it was tried, INT8 was as safe as FP32; of the winner it is not."""
    profile, plan = profile_of(fp32=1e-5, int8=1e-8), factory.plan
    file = tmp_path / "station.json"
    file.write_text(profile.model_dump_json(by_alias=True), encoding="utf-8")
    watch = Stopwatch(tmp_path, plan, profile)
    fp32 = Entrant(SMALL.model, SMALL.width, "fp32")
    times = watch.time_all((SMALL, fp32), lambda some, _: some)
    goals = Goals(2 * times[SMALL], 0.9, 0.99, elsewhere=True)
    assert times[fp32] > goals.latency_ms
    data = read_dataset(factory.data).fingerprint()
    factory.out.mkdir(exist_ok=True)
    by = fingerprint(profile)[:12]
    study = Study(factory.out, plan, goals, data, space_of(plan), by)
    taken = study.next(at_most=1)
    assert taken is not None
    facts = {"outcome": "judged", "latency_ms": times[SMALL], "overkill": 0.0, "parameters": 1}
    study.tell(taken[0], Tried.model_validate({**asdict(SMALL), **facts}))

    assert factory.search(goals.latency_ms, "--profile", str(file)) == 3
    said = capsys.readouterr().err
    assert f"the winner ships as mobilenetv2_035 64 px fp32: {times[fp32]:.2f} ms" in said
    assert "does not hold both (INT8: none of 1 ways to take ranges is as safe as FP32" in said
    (bundle,) = (factory.out / "bundles").iterdir()
    assert read_bundle(bundle).manifest.model.precision == "fp32"
    assert str(bundle) in said
