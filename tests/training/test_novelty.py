"""How far a part is from everything in training: the score, its limit, and its graph."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from inspector.contract.errors import TrainingError
from inspector.contract.image import ImageSpec
from inspector.contract.verdict import Limits
from tests.training.plates import PLAN
from training import novelty, unseen
from training.cli import main
from training.compress import quantize
from training.compress.ranges import ranges_of
from training.dataset import Sample, SplitName
from training.evaluate import Rate
from training.export import export_onnx, open_session, require_parity, run_model
from training.exported import Exported
from training.job import Data, without_class
from training.models import build
from training.novelty import Novelty, choose_novelty_at, learn
from training.scan import Images, ScanReport
from training.standing import farthest

SPEC = ImageSpec(width=64, height=64)


def far(learned: Novelty, *features: list[float]) -> list[float]:
    with torch.no_grad():
        return [float(v) for v in learned(torch.tensor(features))]


def test_the_distance_is_mahalanobis_of_what_has_length_one() -> None:
    # one class at (1, 0), variance 0.25 along the second axis, 0.04 off it: by hand
    learned = Novelty([[1.0, 0.0]], [[0.0], [1.0]], [1 / 0.25 - 1 / 0.04], 1 / 0.04)
    at_mean, beside = far(learned, [7.0, 0.0], [3.0, 4.0])
    assert at_mean == pytest.approx(0.0, abs=1e-6)
    # (0.6, 0.8) less (1, 0) is (-0.4, 0.8): 0.16 / 0.04 + 0.64 / 0.25 = 6.56
    assert beside == pytest.approx(6.56**0.5, rel=1e-5)


def test_one_picture_of_each_class_tells_nothing_of_what_differs_within_one() -> None:
    with pytest.raises(TrainingError, match="no class has two pictures to train on"):
        learn(np.eye(3, 8, dtype=np.float32), np.arange(3))


def test_the_nearest_class_counts() -> None:
    learned = Novelty([[1.0, 0.0], [0.0, 1.0]], [[1.0], [0.0]], [0.0], 1.0)
    # (0.6, 0.8) is (-0.4, 0.8) from the first and (0.6, -0.2) from the second
    assert far(learned, [0.6, 0.8]) == pytest.approx([0.4**0.5], rel=1e-5)


def clouds(seed: int, n: int = 60, d: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of features that vary within a plane, which is always the same, and beside it."""
    frame = np.random.default_rng(0).normal(size=(4, d))
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % 2
    spread = 0.3 * rng.normal(size=(n, 2)) @ frame[2:] + 0.05 * rng.normal(size=(n, d))
    return (frame[targets] + spread).astype(np.float32), targets


def test_a_usual_part_has_about_one_and_a_strange_one_far_more() -> None:
    features, targets = clouds(seed=1)
    learned = learn(features, targets)
    with torch.no_grad():
        seen = learned(torch.from_numpy(features)).numpy()
        others = learned(torch.from_numpy(clouds(seed=2)[0])).numpy()
        strange = learned(torch.from_numpy(clouds(seed=3)[0][:, ::-1].copy())).numpy()
    assert np.sqrt(np.square(seen).mean()) == pytest.approx(1.0, rel=1e-5)
    assert 1.0 < np.median(others) < 2.0  # 60 pictures of 200 features: nearer to its own
    assert strange.min() > 2.0 * others.max()


def test_few_axes_and_one_variance_for_the_rest_are_the_whole_matrix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, targets = clouds(seed=1)
    asked = torch.from_numpy(clouds(seed=2)[0])
    with torch.no_grad():
        few = learn(features, targets)(asked)
        monkeypatch.setattr(novelty, "AXES", features.shape[1])
        whole = learn(features, targets)(asked)
    # 60 pictures span 58 axes: what the shrunk matrix has beside them is one variance anyway
    assert torch.allclose(few, whole, rtol=1e-3)


@pytest.mark.parametrize("nonsense", [np.nan, np.inf, -np.inf])
def test_nonsense_in_one_feature_is_never_a_distance(nonsense: float, tmp_path: Path) -> None:
    features, targets = clouds(seed=1)
    learned = learn(features, targets)
    features[3, 5] = nonsense
    path = tmp_path / "novelty.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter
        torch.onnx.export(
            learned,
            (torch.zeros(2, features.shape[1]),),
            str(path),
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
            dynamo=False,
        )
    (answers,) = open_session(path).run(None, {"x": features})
    assert np.isnan(answers[3])
    assert np.isfinite(np.delete(answers, 3)).all()


def test_a_picture_without_any_feature_still_has_a_distance() -> None:
    features, targets = clouds(seed=1)
    (value,) = far(learn(features, targets), [0.0] * features.shape[1])
    assert 0.0 < value < np.inf


def test_features_that_teach_nothing_are_refused() -> None:
    features, targets = clouds(seed=1)
    with pytest.raises(TrainingError, match="no difference between training pictures"):
        learn(np.ones_like(features), targets)
    features[0, 0] = np.nan
    with pytest.raises(TrainingError, match="NaN or infinity"):
        learn(features, targets)


def test_what_was_learned_is_read_back_as_it_was(tmp_path: Path) -> None:
    features, targets = clouds(seed=1)
    learned = learn(features, targets)
    novelty.save(learned, tmp_path / "novelty.npz")
    again = novelty.load(tmp_path / "novelty.npz")
    asked = torch.from_numpy(features)
    with torch.no_grad():
        assert torch.equal(again(asked), learned(asked))


def test_the_limit_spares_as_many_as_a_further_part_may_cost() -> None:
    values = np.arange(1.0, 100.0)  # 99 parts: the limit may stop k + 1 <= 0.02 * 100 of a hundred
    chosen = choose_novelty_at(values, 0.02, 0.5)
    assert chosen.novelty_at == pytest.approx(98.5)
    assert (chosen.stopped, chosen.good, chosen.enough) == (1, 99, True)
    few = choose_novelty_at(values[:48], 0.02, 0.5)
    assert few.novelty_at == pytest.approx(48.5)
    assert (few.stopped, few.enough) == (0, False)
    assert "is above all 48 good parts asked; holding 2 % takes 49" in few.sentence


def test_further_good_parts_are_stopped_as_rarely_as_allowed() -> None:
    rng = np.random.default_rng(4)
    stopped = []
    for _ in range(2_000):
        values = rng.gamma(3.0, size=121)
        stopped.append(values[120] >= choose_novelty_at(values[:120], 0.05, 0.0).novelty_at)
    # 6 of 121 at most: three standard deviations of 2,000 draws above 4.96 %
    assert np.mean(stopped) < 0.05 + 3 * (0.05 * 0.95 / 2_000) ** 0.5


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exported, Path, np.ndarray]:
    torch.manual_seed(2)
    images = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    network = build("mobilenetv2_035", "none", classes=3).eval()
    with torch.no_grad():
        _, features = network.with_features(torch.from_numpy(images))
    learned = learn(features.numpy(), np.arange(12) % 3)
    model = Exported(network, [0], 3, novelty=learned).eval()
    model.learn_map([torch.from_numpy(images)], [torch.from_numpy(images)])
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_onnx(model, SPEC, path)
    return model, path, images


def test_the_graph_gives_torchs_novelty(exported: tuple[Exported, Path, np.ndarray]) -> None:
    model, path, images = exported
    assert require_parity(model, path, images) < 1e-3
    answers = run_model(path, images, np.arange(12))
    with torch.no_grad():
        ours = model(torch.from_numpy(images))[2].numpy()
    assert answers.novelty == pytest.approx(ours, abs=1e-3)
    assert np.sqrt(np.square(ours).mean()) == pytest.approx(1.0, abs=1e-3)


def test_int8_leaves_the_novelty_itself_in_float(
    exported: tuple[Exported, Path, np.ndarray], tmp_path: Path
) -> None:
    _, path, images = exported
    prepared = tmp_path / "prepared.onnx"
    quantize.prepare(path, prepared)
    rows = np.arange(12)
    (ranges,) = ranges_of(prepared, images, rows, quantize.QUANTIZED, ("minmax",), ()).values()
    form = quantize.FORMS["int8-vnni"]
    quantize.build(prepared, tmp_path / "int8.onnx", ranges, form, per_channel=True)
    nodes = onnx.load(str(tmp_path / "int8.onnx")).graph.node
    fed = {name: node for node in nodes for name in node.output}
    waiting, seen = [fed["novelty"]], []
    while waiting:  # back from the output as far as the novelty's own nodes go
        node = waiting.pop()
        seen.append(node)
        waiting += [fed[i] for i in node.input if i in fed and "/novelty/" in fed[i].name]
    assert len(seen) > 10
    assert not {node.op_type for node in seen} & {"QuantizeLinear", "DequantizeLinear"}
    answers = run_model(tmp_path / "int8.onnx", images, np.arange(12))
    assert answers.novelty is not None
    assert np.isfinite(answers.novelty).all()


def test_a_class_left_out_is_in_no_set_and_has_no_number(tmp_path: Path) -> None:
    samples = tuple(
        Sample(tmp_path / name, name, label, name)
        for name, label in (("a", "crack"), ("b", "free"), ("c", "pit"), ("d", "crack"))
    )
    report = ScanReport(
        layout="", images=4, kept=("a", "b", "c", "d"), classes={}, parts={}, twins=(), findings=()
    )
    images = Images(samples, np.zeros((4, 8, 8, 3), np.uint8), report)
    sets: dict[SplitName, list[int]] = {
        "train": [0, 1],
        "validation": [2],
        "calibration": [],
        "golden": [3],
    }
    rows = {name: np.array(mine, np.int64) for name, mine in sets.items()}
    data = Data(images, rows, np.array([0, 1, 2, 0]), ("crack", "free", "pit"))
    kept = without_class(data, "crack")
    assert kept.labels == ("free", "pit")
    assert kept.targets.tolist() == [-1, 0, 1, -1]
    assert {name: mine.tolist() for name, mine in kept.rows.items()} == {
        "train": [1],
        "validation": [2],
        "calibration": [],
        "golden": [],
    }
    assert kept.part_targets(np.arange(4)).tolist() == [-1, 0, 1, -1]


def test_one_strange_tile_makes_its_picture_strange() -> None:
    pictures = np.array([7, 7, 3, 3, 5])
    novelty = np.array([1.0, 2.0, 4.0, 3.0, np.nan], np.float32)
    highest = farthest(novelty, pictures)
    assert highest[:2].tolist() == [2.0, 4.0]
    assert np.isnan(highest[2])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--class", "dent"], "--class 'dent': must be one of scratch, spot"),
        (["--class", "good"], "--class 'good': must be one of scratch, spot"),
    ],
)
def test_a_class_that_cannot_be_left_out_is_explained_before_any_training(
    class_folders: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    says: str,
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN, encoding="utf-8")
    given = ["novelty", str(plan), "--data", str(class_folders), "--out", str(tmp_path / "o")]
    assert main([*given, *words]) == 65
    assert says in capsys.readouterr().err
    assert not list((tmp_path / "o" / "work").glob("teacher-*"))


def test_a_class_is_no_formula_in_the_table_of_those_left_out(tmp_path: Path) -> None:
    rate = Rate.of(0, 5, 0.95)
    found = unseen.LeftOut(
        label="=1+1",
        model="student",
        limits=Limits(review_at=0.2, reject_at=0.5, novelty_at=1.5),
        passed=rate,
        passed_without_novelty=rate,
        passed_by_goals_alone=rate,
        by_score=1,
        by_review=1,
        by_novelty=1,
        extra_overkill=rate,
        overkill=rate,
        auroc_score=0.9,
        auroc_novelty=0.9,
    )
    unseen._write([found], tmp_path)
    _, row = (tmp_path / "novelty.csv").read_text(encoding="utf-8").splitlines()
    assert row.startswith("'=1+1,5,0,")
    assert row.count(",") == len(unseen.COLUMNS) - 1
