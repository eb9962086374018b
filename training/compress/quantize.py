"""Static INT8 of the ONNX graph (QDQ), calibrated on real images with defects among them.

The head and the novelty stay float: they cost nothing and decide everything.
"""

import logging
from collections.abc import Collection
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
from onnxruntime.quantization.shape_inference import quant_pre_process

from inspector.contract.variant import VariantName
from training.compress.ranges import Ranges

QUANTIZED = ("Conv", "Add", "Clip", "Relu", "MaxPool", "Concat")
ACTIVATIONS = ("Clip", "Relu")
"""What a layer's convolution takes with it: quantised, they are only the end of its range."""


class Form(NamedTuple):
    """What a kind of CPU multiplies quickest, and without running over."""

    activations: QuantType
    weights: QuantType
    reduce_range: bool
    """Weights of 7 bits: without VNNI two products of 8 bits are summed in 16, and may saturate."""


FORMS: dict[VariantName, Form] = {
    "int8-vnni": Form(QuantType.QUInt8, QuantType.QInt8, reduce_range=False),
    "int8-avx2": Form(QuantType.QUInt8, QuantType.QInt8, reduce_range=True),
    "int8-arm": Form(QuantType.QInt8, QuantType.QInt8, reduce_range=False),
}


class Layer(NamedTuple):
    name: str
    """Of its convolution."""
    nodes: tuple[str, ...]
    """The convolution, and the activation that it alone feeds."""


def prepare(fp32: Path, prepared: Path) -> None:
    """Shapes inferred, constants folded: what the quantiser wants to find.

    Where onnxruntime's inference by symbols is lost, in attention over windows for one, ONNX's own.
    """
    model, into = str(fp32.resolve()), str(prepared.resolve())
    try:
        with TemporaryDirectory() as scratch, chdir(scratch):  # it leaves what it is lost in
            quant_pre_process(model, into)
    except Exception:  # noqa: BLE001 - it raises a bare one
        quant_pre_process(model, into, skip_symbolic_shape=True)


def layers_of(prepared: Path) -> tuple[Layer, ...]:
    """What may be quantised or left float by itself, in the order of the graph."""
    nodes = onnx.load(str(prepared)).graph.node
    head = set(head_nodes(prepared))
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    layers = []
    for node in nodes:
        if node.op_type == "Conv" and node.name not in head:
            fed = readers.get(node.output[0], [])
            after = [each.name for each in fed if len(fed) == 1 and each.op_type in ACTIVATIONS]
            layers.append(Layer(node.name, (node.name, *after)))
    return tuple(layers)


def build(
    prepared: Path,
    int8: Path,
    ranges: Ranges,
    form: Form,
    *,
    per_channel: bool,
    left_float: Collection[str] = (),
    alone: Collection[str] = (),
) -> None:
    """Write the INT8 form of a prepared graph.

    left_float: nodes beside the head that stay float; alone: quantise only these.
    """
    told = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    draft = int8.with_name(int8.name + ".part")
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it warns of activations that it drops on purpose
    try:
        quantizer = QDQQuantizer(
            load_model_with_shape_infer(prepared),
            per_channel,
            form.reduce_range,
            form.weights,
            form.activations,
            TensorsData(CalibrationMethod.MinMax, told),
            list(alone),
            [*head_nodes(prepared), *left_float],
            list(QUANTIZED),
            {},
        )
        quantizer.quantize_model()
        quantizer.model.save_model_to_file(str(draft), use_external_data_format=False)
    finally:
        logging.root.setLevel(level)
    draft.replace(int8)


def calibration_rows(
    rows: NDArray[np.int64], targets: NDArray[np.int64], wanted: int, seed: int
) -> NDArray[np.int64]:
    """As many training images of each class as there are, up to an even share of `wanted`."""
    drawn = np.random.default_rng(seed).permutation(rows)
    classes = np.unique(targets[rows])
    share = max(1, wanted // len(classes))
    picked = [drawn[targets[drawn] == c][:share] for c in classes]
    return np.concatenate(picked)


def head_nodes(path: Path) -> list[str]:
    """Nodes fed by the last feature map: what turns it into probabilities and the defect map.

    That map is what the exported model cuts into cells, by the graph's last NCHW -> NHWC turn.
    """
    nodes = onnx.load(str(path)).graph.node
    turns = [node for node in nodes if node.op_type == "Transpose" and _turn(node) == [0, 2, 3, 1]]
    if not turns:
        return []
    fed = {turns[-1].input[0]}
    head: list[str] = []
    for node in nodes:  # in topological order, as ONNX demands
        if fed.intersection(node.input):
            fed.update(node.output)
            head.append(node.name)
    return head


def _turn(node: onnx.NodeProto) -> list[int]:
    return next((list(each.ints) for each in node.attribute if each.name == "perm"), [])
