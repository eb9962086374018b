"""A classification graph of another project as a bundle of ours: what both run is the same graph.

In front of it comes what a camera's pixels need (uint8 BGR rows to float RGB planes of 0..1; the
channels' order and the scale go into the first convolution's weights), behind it a defect map of
one cell, which the contract asks for. Both cost the station time, and count against it.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from inspector.contract.bundle import (
    Bundle,
    DataInfo,
    Golden,
    Manifest,
    ModelInfo,
    file_sha256,
    write_bundle,
)
from inspector.contract.image import ImageSpec, fit
from inspector.contract.verdict import Limits

Interpolation = Literal["halving", "linear"]
LABELS = ("bad", "good")
SHA_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def wrap(
    graph: Path, size: int, pictures: list[Path], folder: Path, interpolation: Interpolation
) -> Bundle:
    """A bundle below `folder`. graph: float planes of 0..1 in, two probabilities (bad, good) out.

    pictures: its golden pictures, with what onnxruntime makes of them.
    """
    draft = folder / ".draft"
    (draft / "golden").mkdir(parents=True)
    path = draft / "model.onnx"
    onnx.save(_wrapped(onnx.load(graph), size), path)
    spec = ImageSpec(width=size, height=size, interpolation=interpolation)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    golden = []
    for i, picture in enumerate(pictures):
        image = cv2.imread(str(picture))
        if image is None:
            raise ValueError(f"{picture}: is not a picture")
        file = f"golden/{i}.png"
        cv2.imwrite(str(draft / file), image)
        (row,) = session.run(["probabilities"], {"image": fit(image.astype(np.uint8), spec)[None]})[
            0
        ]
        expected = tuple(min(1.0, float(p)) for p in row)
        golden.append(Golden(file=file, label=LABELS[int(row.argmax())], probabilities=expected))
    (draft / "report.json").write_text("{}\n", encoding="utf-8")
    manifest = Manifest(
        name="same-graph",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        labels=LABELS,
        good=("good",),
        image=spec,
        limits=Limits(review_at=0.3, reject_at=0.7),
        certificate="none: another project's graph, to compare times",
        model=ModelInfo(
            sha256=file_sha256(path), precision="fp32", architecture=graph.stem, parameters=1
        ),
        golden=tuple(golden),
        tolerance=0.01,
        data=DataInfo(
            fingerprint=SHA_OF_NOTHING,
            golden_sha256=SHA_OF_NOTHING,
            parts={"golden": len(golden)},
            licence="AGPL-3.0: made by another project's exporter, to compare times",
            notice="another project's graph, to compare times",
        ),
        code="tests",
        plan_sha256=SHA_OF_NOTHING,
    )
    return write_bundle(draft, manifest, folder)


def _wrapped(model: Any, size: int) -> Any:
    graph = model.graph
    planes, probabilities = graph.input[0].name, graph.output[0].name
    _take_bgr(graph, planes)
    front = [
        helper.make_node("Transpose", ["image"], ["planes_uint8"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes_uint8"], [planes], to=TensorProto.FLOAT),
    ]
    behind = [
        helper.make_node("Identity", [probabilities], ["probabilities"]),
        helper.make_node("Slice", ["probabilities", "_0", "_1", "_1"], ["_bad"]),
        helper.make_node("Unsqueeze", ["_bad", "_1"], ["defect_map"]),
    ]
    nodes = [*front, *graph.node, *behind]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    for name, value in (("_0", 0), ("_1", 1)):
        graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
    declared = helper.make_tensor_value_info
    graph.input.append(declared("image", TensorProto.UINT8, ["batch", size, size, 3]))
    graph.output.append(declared("probabilities", TensorProto.FLOAT, ["batch", 2]))
    graph.output.append(declared("defect_map", TensorProto.FLOAT, ["batch", 1, 1]))
    del model.metadata_props[:]
    onnx.checker.check_model(model)
    return model


def _take_bgr(graph: Any, planes: str) -> None:
    """Have the first convolution take blue, green, red of 0..255 in place of 0..1 RGB."""
    users = [node for node in graph.node if planes in node.input]
    if [node.op_type for node in users] != ["Conv"]:
        raise ValueError(f"{planes} goes to {[node.op_type for node in users]}, expected one Conv")
    (weights,) = (each for each in graph.initializer if each.name == users[0].input[1])
    changed = numpy_helper.to_array(weights)[:, ::-1] / np.float32(255)
    weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(changed), weights.name))
