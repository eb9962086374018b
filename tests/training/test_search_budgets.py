"""What a search promises of its winner holds for what ships, and for whole pictures."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from inspector.contract.bundle import read_bundle
from tests.training.plates import ALONE, PLAN, profile_of, write_class_folders
from tests.training.test_release_tiles import TILES, write_marked_plates
from training.cli import main
from training.dataset import read_dataset
from training.plan import Plan, fingerprint, read_plan
from training.search import Goals, Study
from training.search_found import Found, Tried
from training.search_space import Entrant, Stopwatch, space_of

UNSAFE = 'methods = ["minmax"], weights = "per_tensor", sensitivity = "never", loss_at_most = 0.0'
INT8 = ALONE.replace('methods = ["minmax", "percentile"], percentiles = [99.9]', UNSAFE)
SPACE = '[search]\nmodels = ["mobilenetv2_035"]\nprecisions = ["int8"]\nweights = "none"\n'
TAUGHT = PLAN.replace("resnet18", "test_resnet").replace("epochs = 3", "epochs = 1")
FP32 = '[search]\nmodels = ["test_resnet"]\nprecisions = ["fp32"]\nweights = "none"\n'
SMALL = Entrant("mobilenetv2_035", 64, "int8")


class Factory:
    def __init__(
        self, folder: Path, plan: str, pictures: Callable[[Path], Path] = write_class_folders
    ) -> None:
        self.data = pictures(folder / "data")
        self.out = folder / "out"
        self.file = folder / "plan.toml"
        self.file.write_text(plan, encoding="utf-8")

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
    """Its student calls other parts strange in INT8 than in FP32, so FP32 ships."""
    return Factory(tmp_path_factory.mktemp("budgets"), INT8 + SPACE)


def test_a_student_in_int8_that_would_not_ship_is_not_counted_and_says_why(
    factory: Factory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert factory.search(1000) == 3
    assert "none of 0 students judged holds 1000 ms" in capsys.readouterr().err
    (tried,) = factory.found.tried
    assert tried.outcome == "unfit"
    assert "INT8: none of 1 ways to take ranges is as safe as FP32" in tried.why
    page = (factory.out / "search.html").read_text(encoding="utf-8")
    assert "would not ship: INT8: none of 1 ways" in page


def test_one_that_would_not_ship_is_one_of_the_students_trained_at_most(tmp_path: Path) -> None:
    plan = Plan.model_validate(
        {
            "name": "p",
            "good": ["good"],
            "image": {"width": 64, "height": 64},
            "student": {"model": "a", "weights": "none", "epochs": 1, "alpha": 0.0},
            "search": {"models": ["a", "b", "c", "d"], "precisions": ["int8"], "weights": "none"},
        }
    )
    study = Study(tmp_path, plan, Goals(5.0, 0.01, 0.2), "data", space_of(plan))
    for outcome in ("unfit", "failed", "unfit"):
        taken = study.next(at_most=2)
        assert taken is not None
        facts = {"outcome": outcome, "latency_ms": 1.0, "why": "it is not as safe"}
        study.tell(taken[0], Tried.model_validate({**asdict(taken[1]), **facts}))

    assert study.next(at_most=2) is None


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


def test_what_a_release_would_refuse_at_once_a_search_does_not_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unlike = TAUGHT.replace("[teacher]", '[teacher]\nimbalance = "none"')
    plan = unlike.replace("[export]", '[export]\nprior = "training"')
    factory = Factory(tmp_path, plan + FP32)
    assert factory.search(1000, "--no-release") == 78
    assert "plan: export.prior 'training'" in capsys.readouterr().err
    assert not list((factory.out / "work").glob("teacher-*"))


def test_a_student_that_a_release_would_refuse_fails_alone_and_untrained(tmp_path: Path) -> None:
    hints = 'views = 2\nhints = [{ student = "blocks.1", teacher = "layer2" }]'
    models = FP32.replace('"test_resnet"', '"test_efficientnet", "test_resnet"')
    factory = Factory(tmp_path, TAUGHT.replace("views = 2", hints) + models)
    assert factory.search(1000, "--no-release") == 0
    hinted, other = sorted(factory.found.tried, key=lambda tried: tried.model)
    assert (hinted.outcome, other.outcome) == ("judged", "failed")
    assert "'blocks.1'" in other.why
    assert len(list((factory.out / "work").glob("student-*"))) == 1


def test_a_student_too_slow_for_all_tiles_of_a_picture_is_not_trained(tmp_path: Path) -> None:
    tiles = ALONE.replace("width = 64\nheight = 64\n", f"width = 32\nheight = 32\n{TILES}")
    factory = Factory(tmp_path, tiles + FP32, write_marked_plates)
    file = tmp_path / "station.json"
    profile = profile_of(fp32=1e-6, int8=1e-6)
    file.write_text(profile.model_dump_json(by_alias=True), encoding="utf-8")
    watch = Stopwatch(tmp_path, factory.plan, profile)
    (tile_ms,) = watch.time_all(space_of(factory.plan), lambda some, _: some).values()
    assert factory.search(3 * tile_ms, "--profile", str(file)) == 3
    (tried,) = factory.found.tried
    assert tried.outcome == "too slow"
    assert tried.latency_ms >= 4 * tile_ms  # two by two in the smallest picture
    assert not list((factory.out / "work").glob("student-*"))
