"""The comparison with other projects, as far as it goes without them: no time is asserted."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from inspector.contract.bundle import read_bundle
from inspector.contract.image import fit
from inspector.runtime.loader import open_runtime
from tests.benchmarks.peers import table
from tests.benchmarks.peers.__main__ import main
from tests.benchmarks.peers.wrapped import wrap
from tests.support import GREY, make_bundle, write_pictures

SIZE = 32


def write_graph(path: Path) -> None:
    """A classifier as other projects export them: float planes of 0..1 RGB, two probabilities."""
    draw = np.random.default_rng(0).normal(0.0, 1.0, (2, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["images", "weights"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["output0"], axis=1),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "classifier",
        [value("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [value("output0", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(draw, "weights")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def test_a_wrapped_graph_answers_as_the_graph_itself(tmp_path: Path) -> None:
    graph = tmp_path / "classifier.onnx"
    write_graph(graph)
    pictures = write_pictures(tmp_path / "pictures", [GREY, 40, 200])
    runtime = open_runtime(read_bundle(wrap(graph, SIZE, pictures, tmp_path, "linear").folder))
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    for _ in range(5):  # colours, since red and blue must not be taken for each other
        image = fit(rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8), runtime.spec)
        planes = image[None, ..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
        (expected,) = session.run(None, {"images": np.ascontiguousarray(planes)})
        np.testing.assert_allclose(runtime.outputs([image]).probabilities, expected, atol=1e-5)


def test_a_graph_that_begins_otherwise_is_refused(tmp_path: Path) -> None:
    graph = tmp_path / "classifier.onnx"
    write_graph(graph)
    model = onnx.load(graph)
    model.graph.node[0].input[0] = "scaled"
    model.graph.node.insert(0, helper.make_node("Neg", ["images"], ["scaled"]))
    onnx.save(model, graph)
    pictures = write_pictures(tmp_path / "pictures", [GREY])
    with pytest.raises(ValueError, match="goes to \\['Neg'\\], expected one Conv"):
        wrap(graph, SIZE, pictures, tmp_path, "linear")


def test_the_command_measures_a_station_and_its_bare_model_in_turns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = make_bundle(tmp_path / "bundles"), tmp_path / "out"
    words = ["--ours", "--out", str(out), "--bundle", str(bundle.folder)]
    main([*words, "--rounds", "1", "--turn-s", "0.2", "--least", "30"])
    report = json.loads((out / "table.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in report["rows"]}
    assert rows.keys() == {table.OURS_RAW, table.OURS}
    for row in rows.values():
        assert row["n"] >= 30
        assert 0.0 < row["p50"] <= row["p99"]
    assert report["verdict_ms"][table.OURS]["n"] >= 30
    assert capsys.readouterr().out == (out / "table.md").read_text(encoding="utf-8")
    assert [each.name for each in out.iterdir() if each.is_dir()] == []  # no pictures left behind


def row(name: str, p50: float, p99: float, per_s: float) -> table.Row:
    return table.Row(name, "", 300, p50, p99, per_s, p50)


def test_the_bars_are_what_was_asked() -> None:
    rows = [
        row(table.RAW, 3.0, 4.0, 320.0),
        row(table.SCRIPT, 3.5, 4.5, 280.0),
        row(table.PREDICT, 5.0, 7.0, 200.0),
        row(table.SAME, 4.0, 5.0, 288.0),
        row(table.OURS, 1.0, 1.5, 800.0),
        row(table.PADIM, 30.0, 40.0, 33.0),
    ]
    found = list(table.bars({each.name: each for each in rows}, {table.SAME: 6.0}))
    assert [(round(bar.found, 3), bar.held) for bar in found] == [
        (0.5, True),  # (4 - 3) / (5 - 3)
        (1.25, True),
        (1.5, False),
        (0.9, True),
        (round(288 / 280, 3), True),
        (4.0, True),
        (round(800 / 33, 3), True),
    ]
    assert found[2].line().endswith("| <= 1.3 | 1.50 | NO |")
