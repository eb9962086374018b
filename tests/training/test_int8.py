"""The search for INT8, on a real network and real pictures: what is tried, kept, given back."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from pydantic import ValidationError

from inspector.contract.image import ImageSpec
from tests.training.plates import draw
from training.compress.found import Quantised, Rule
from training.compress.half import halve
from training.compress.int8 import TRIED, Pictures, Search, compare
from training.compress.quantize import FORMS, QUANTIZED, head_nodes, layers_of, prepare
from training.compress.quantize import build as build_form
from training.compress.ranges import ranges_of
from training.export import Answers, export_onnx, require_parity, run_model
from training.exported import Exported
from training.models import build
from training.plan_export import Method, Quantise
from training.reparam import reparameterised

LABELS = ("good", "scratch", "spot")
SPEC = ImageSpec(width=64, height=64)
ALL = np.arange(24)


class Bench:
    """An untrained network as a graph, and pictures of plates."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(3)
        self.targets = np.arange(24) % 3
        self.pixels = np.stack([draw(rng, LABELS[k]) for k in self.targets])
        torch.manual_seed(0)
        network = build("test_resnet", "none", 3).eval()  # timm's smallest
        self.model = folder / "fp32.onnx"
        model = Exported(network, [0], 3).eval()
        model.learn_map([torch.from_numpy(self.pixels)], [torch.from_numpy(self.pixels)])
        export_onnx(model, SPEC, self.model)

    def search(self, folder: Path, rule: Rule, **how: object) -> Search:
        folder.mkdir(exist_ok=True)
        pictures = Pictures(self.pixels, ALL, ALL, self.targets, LABELS)
        plan = Quantise.model_validate({"methods": ["minmax"], "weights": "per_channel", **how})
        return Search(folder, self.model, pictures, plan, rule)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("int8"))


def quiet(text: str) -> None:
    """Nobody listens."""


def test_a_network_of_attention_over_windows_has_int8_forms(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    network = build("tiny_vit_5m_224", "none", 3).eval()
    model, prepared, small = (tmp_path / f"{name}.onnx" for name in ("model", "prepared", "small"))
    export_onnx(Exported(network, [0], 3).eval(), SPEC, model)
    prepare(model, prepared)
    assert layers_of(prepared)
    ranges = ranges_of(prepared, bench.pixels, ALL[:4], QUANTIZED, ("minmax",), ())["minmax"]
    build_form(prepared, small, ranges, FORMS["int8-vnni"], per_channel=True)
    plain, less = (run_model(path, bench.pixels, ALL[:4]) for path in (model, small))
    assert np.abs(plain.probabilities - less.probabilities).max() < 0.1
    assert not list(Path().iterdir()), "nothing is left where the job was started"


def test_ranges_taken_a_few_images_at_a_time_are_those_of_all_of_them(
    bench: Bench, tmp_path: Path
) -> None:
    prepared = tmp_path / "prepared.onnx"
    prepare(bench.model, prepared)
    methods: tuple[Method, ...] = ("minmax", "percentile")
    found = ranges_of(prepared, bench.pixels, ALL, QUANTIZED, methods, (99.0, 99.9))
    graph = ranges_of(prepared, bench.pixels, ALL, QUANTIZED, ("minmax",), ())["minmax"]
    assert list(found) == ["minmax", "percentile 99", "percentile 99.9"]
    assert found["minmax"].keys() == graph.keys()
    for name, (low, high) in graph.items():
        assert found["minmax"][name] == pytest.approx((low, high), rel=1e-5, abs=1e-6)
        inner, outer = found["percentile 99"][name], found["percentile 99.9"][name]
        assert low - 1e-6 <= outer[0] <= inner[0] <= inner[1] <= outer[1] <= high + 1e-6
    narrower = [found["percentile 99"][name] < graph[name] for name in graph]
    assert any(narrower)


def test_each_form_has_the_types_its_cpu_multiplies_quickest(bench: Bench, tmp_path: Path) -> None:
    search = bench.search(tmp_path / "work", Rule(1.0, -1.0))
    chosen = search.run(quiet).chosen
    types, reach = {}, {}
    for name in FORMS:
        search.write(chosen, name, tmp_path / f"{name}.onnx")
        graph = onnx.load(str(tmp_path / f"{name}.onnx")).graph
        tensors = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        zeros = [tensors[n.input[2]] for n in graph.node if n.op_type == "QuantizeLinear"]
        fed = {output: node for node in graph.node for output in node.output}
        convs = [n for n in graph.node if n.op_type == "Conv" and n.input[1] in fed]
        weights = [tensors[fed[n.input[1]].input[0]] for n in convs]
        types[name] = ({z.dtype.name for z in zeros}, {w.dtype.name for w in weights})
        reach[name] = max(int(np.abs(w.astype(int)).max()) for w in weights)
    assert types["int8-vnni"] == types["int8-avx2"] == ({"uint8"}, {"int8"})
    assert types["int8-arm"] == ({"int8"}, {"int8"})
    assert reach["int8-vnni"] == 127
    assert reach["int8-avx2"] <= 64


def test_layers_go_back_to_float_until_nothing_is_lost_and_a_killed_search_goes_on(
    bench: Bench, tmp_path: Path
) -> None:
    none_may_move = Rule(-1.0, -1.0)  # cannot be met: every step is taken
    search = bench.search(tmp_path / "a", none_may_move, float_layers_at_most=0.3)
    found = search.run(quiet)
    count = len(search.layers)
    assert len(found.sensitivity) == count
    assert [len(each.float_layers) for each in found.fallback] == list(
        range(1, int(0.3 * count) + 1)
    )
    assert not found.held
    assert "none of 1 ways to take ranges and" in found.because
    search.write(found.fallback[-1], "int8-vnni", tmp_path / "some.onnx")
    graph = onnx.load(str(tmp_path / "some.onnx")).graph
    fed = {name: node for node in graph.node for name in node.output}
    for name in found.fallback[-1].float_layers:
        node = next(each for each in graph.node if each.name == name)
        assert fed.get(node.input[1]) is None, "its weights are not quantised"
    kept = tmp_path / "a" / TRIED
    text = kept.read_text()
    told = json.loads(text)
    kept.write_text(json.dumps(dict(list(told.items())[:-3])))  # killed before the last three
    again = bench.search(tmp_path / "a", none_may_move, float_layers_at_most=0.3)
    assert again.run(quiet) == found
    assert kept.read_text() == text


def test_what_holds_needs_no_layer_measured(bench: Bench, tmp_path: Path) -> None:
    found = bench.search(tmp_path / "work", Rule(1.0, -1.0)).run(quiet)
    assert found.held
    assert found.sensitivity == ()
    assert found.fallback == ()
    assert Quantised.model_validate_json(found.model_dump_json()) == found


def test_the_worst_class_is_the_one_that_loses_most_and_nonsense_is_wrong() -> None:
    targets = np.array([0, 0, 1, 1, 2, 2])
    right = np.eye(3, dtype=np.float32)[targets]
    other = right.copy()
    other[2] = [1.0, 0.0, 0.0]
    other[4:] = np.nan
    scored = compare(Answers(right, None), Answers(other, None), targets, LABELS)
    assert (scored.worst_class, scored.worst_lost) == ("spot", 1.0)
    assert scored.macro_lost == pytest.approx((0.0 + 0.5 + 1.0) / 3)
    assert scored.shift > 0.3


def test_fp16_says_what_fp32_says_and_leaves_the_head_alone(bench: Bench, tmp_path: Path) -> None:
    halve(bench.model, tmp_path / "fp16.onnx")
    plain = run_model(bench.model, bench.pixels, ALL).probabilities
    small = run_model(tmp_path / "fp16.onnx", bench.pixels, ALL).probabilities
    assert small == pytest.approx(plain, abs=2e-3)
    assert (tmp_path / "fp16.onnx").stat().st_size < 0.6 * bench.model.stat().st_size
    graph = onnx.load(str(tmp_path / "fp16.onnx")).graph
    assert {each.type.tensor_type.elem_type for each in graph.output} == {onnx.TensorProto.FLOAT}
    assert set(head_nodes(bench.model)) <= {node.name for node in graph.node}


def test_branches_are_folded_before_the_export(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("repvgg_a0", "none", 3).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        before = network(images)
        folded = reparameterised(network)
        assert folded(images).numpy() == pytest.approx(before.numpy(), abs=1e-4)
    model = Exported(folded, [0], 3).eval()
    model.learn_map([images], [images])
    export_onnx(model, SPEC, tmp_path / "folded.onnx")
    require_parity(model, tmp_path / "folded.onnx", images.numpy())
    nodes = onnx.load(str(tmp_path / "folded.onnx")).graph.node
    kinds = [node.op_type for node in nodes]
    assert "BatchNormalization" not in kinds
    assert kinds.count("Conv") == 22
    assert len(layers_of(tmp_path / "folded.onnx")) == 22


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"methods": ["mean"]}, "methods"),
        ({"methods": []}, "methods"),
        ({"percentiles": [100.0]}, "percentiles"),
        ({"weights": "both ways"}, "weights"),
        ({"loss_at_most": -0.1}, "loss_at_most"),
        ({"sensitivities": "auto"}, "sensitivities"),
    ],
)
def test_a_key_of_the_search_that_cannot_work_is_named(
    written: dict[str, object], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        Quantise.model_validate(written)
