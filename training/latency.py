"""The operations of an ONNX graph, for `inspector.runtime.latency` to estimate what they take."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import shape_inference

from inspector.contract.errors import TrainingError
from inspector.runtime.latency import Operation, Precision

LINEAR = {"Gemm", "MatMul"}
FUSED = {"Relu", "Clip"}
"""With the convolution before them: they take nothing of their own."""
WIDE = {"HardSwish", "HardSigmoid", "Sigmoid", "Mul", "Add", "Sub", "Div", "MaxPool"}
WIDE |= {"AveragePool", "GlobalAveragePool", "ReduceMean", "Cast", "Transpose", "Gelu", "Concat"}
"""What reads and writes every value once: as long as their largest input or output is."""
CARRIES = {"DequantizeLinear", "QuantizeLinear"}


def operations_of(path: Path) -> list[Operation]:
    """Of one image. Raises TrainingError where shapes cannot be inferred."""
    model = onnx.load(str(path))
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = _Shapes(graph)
    return list(_operations(graph, shapes))


class _Shapes:
    def __init__(self, graph: Any) -> None:
        self._shapes = {each.name: tuple(each.dims) for each in graph.initializer}
        for value in (*graph.value_info, *graph.input, *graph.output):
            dims = value.type.tensor_type.shape.dim
            self._shapes[value.name] = tuple(each.dim_value or 1 for each in dims)
        self.maker = {name: node for node in graph.node for name in node.output}
        self.users: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def of(self, name: str) -> tuple[int, ...]:
        node = self.maker.get(name)
        if name not in self._shapes and node is not None and node.op_type in CARRIES:
            return self.of(node.input[0])
        if name not in self._shapes:
            raise TrainingError(f"the shape of {name} cannot be inferred")
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
