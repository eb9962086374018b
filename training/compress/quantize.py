"""Static INT8 of the ONNX graph (QDQ), calibrated on real images with defects among them.

U8S8 per channel, as onnxruntime runs quickest on x86 with VNNI. The head stays float: it costs
nothing and decides everything.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from training.export import INPUT

QUANTIZED = ("Conv", "Add", "Clip", "Relu", "MaxPool", "Concat")


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds one image at a time: no batch of activations is ever held."""

    def __init__(self, pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self._images: Iterator[NDArray[np.uint8]] = (pixels[row : row + 1] for row in rows)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT: image}


def quantize(fp32: Path, int8: Path, pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
    """Write the INT8 form of a graph, calibrated on the given rows of the pixel file."""
    with TemporaryDirectory(dir=int8.parent) as folder:
        prepared, draft = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(str(fp32), str(prepared))
        level = logging.root.level
        logging.root.setLevel(logging.ERROR)  # it warns of what was just done
        try:
            quantize_static(
                str(prepared),
                str(draft),
                _Reader(pixels, rows),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                calibrate_method=CalibrationMethod.MinMax,
                op_types_to_quantize=list(QUANTIZED),
                nodes_to_exclude=_head_nodes(prepared),
            )
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


def _head_nodes(path: Path) -> list[str]:
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
