"""The operations of an ONNX graph, for `inspector.runtime.latency` to estimate what they take."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from inspector.runtime.latency import Operation, Precision
from training.export import shapes_of

LINEAR = {"Gemm", "MatMul"}
FUSED = {"Relu", "Clip"}
"""With the convolution before them: they take nothing of their own."""
WIDE = {"HardSwish", "HardSigmoid", "Sigmoid", "Mul", "Add", "Sub", "Div", "MaxPool"}
WIDE |= {"AveragePool", "GlobalAveragePool", "ReduceMean", "Cast", "Transpose", "Gelu", "Concat"}
"""What reads and writes every value once: as long as their largest input or output is."""


def operations_of(path: Path) -> list[Operation]:
    """Of one image. Raises TrainingError where the graph does not run."""
    model = onnx.load(str(path))
    graph = model.graph
    shapes = _Shapes(graph, shapes_of(model))
    return list(_operations(graph, shapes))


class _Shapes:
    def __init__(self, graph: Any, run: dict[str, tuple[int, ...]]) -> None:
        self._shapes = {each.name: tuple(each.dims) for each in graph.initializer} | run
        self.maker = {name: node for node in graph.node for name in node.output}
        self.users: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def of(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def size(self, name: str) -> int:
        return int(np.prod(self.of(name), dtype=np.int64))

    def precision(self, name: str) -> Precision:
        """Of an operation, by what makes its first input."""
        node = self.maker.get(name)
        return "int8" if node is not None and node.op_type == "DequantizeLinear" else "fp32"


def _operations(graph: Any, shapes: _Shapes) -> Iterator[Operation]:
    for node in graph.node:
        if node.op_type == "Conv":
            yield _convolution(node, shapes)
        elif node.op_type in LINEAR:
            columns = shapes.of(node.input[1])
            yield Operation(
                kind="linear",
                precision=shapes.precision(node.input[0]),
                macs=shapes.size(node.output[0]) * shapes.of(node.input[0])[-1],
                moved=shapes.size(node.input[0]) + shapes.size(node.output[0]),
                weights=int(np.prod(columns, dtype=np.int64)),
            )
        elif node.op_type in WIDE and not _in_convolution(node, shapes):
            largest = max(map(shapes.size, (node.input[0], node.output[0])))
            yield Operation(
                kind="elementwise",
                precision=shapes.precision(node.input[0]),
                macs=0,
                moved=2 * largest,
                weights=0,
            )


def _in_convolution(node: Any, shapes: _Shapes) -> bool:
    """onnxruntime adds a shortcut within the convolution before it, in fp32."""
    makers = (shapes.maker.get(name) for name in node.input)
    return node.op_type == "Add" and any(each and each.op_type == "Conv" for each in makers)


def _convolution(node: Any, shapes: _Shapes) -> Operation:
    weights = shapes.of(node.input[1])
    outputs, shared, *kernel = weights
    area = int(np.prod(kernel))
    kind: Literal["conv", "depthwise", "pointwise"] = "conv"
    if shared == 1 and outputs > 1:
        kind = "depthwise"
    elif area == 1:
        kind = "pointwise"
    return Operation(
        kind=kind,
        precision=shapes.precision(node.input[0]),
        macs=shapes.size(node.output[0]) * shared * area,
        moved=shapes.size(node.input[0]) + shapes.size(node.output[0]),
        weights=int(np.prod(weights)),
    )
