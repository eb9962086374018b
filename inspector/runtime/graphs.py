"""Small ONNX graphs for measuring a machine, written as bytes: an edge has no `onnx` package.

The few messages that are needed, in protobuf's wire format, with the field numbers of onnx.proto
(IR version 8, opset 17).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FLOAT, UINT8, INT8, INT32 = 1, 2, 3, 6
TYPES = {"float32": FLOAT, "uint8": UINT8, "int8": INT8, "int32": INT32}
IR_VERSION, OPSET = 8, 17

What = Literal["conv", "depthwise", "pointwise", "linear", "elementwise"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation on channels x side x side values (linear: on one row of channels)."""

    what: What
    channels: int
    side: int = 1
    kernel: int = 1
    out: int = 0
    """Channels that come out; 0: as many as go in."""
    stride: int = 1

    @property
    def outputs(self) -> int:
        return self.out or self.channels

    @property
    def side_out(self) -> int:
        return -(-self.side // self.stride)

    @property
    def weights(self) -> int:
        if self.what == "elementwise":
            return 0
        shared = 1 if self.what == "depthwise" else self.channels
        return self.kernel**2 * shared * self.outputs

    @property
    def macs(self) -> int:
        return self.weights * self.side_out**2

    @property
    def moved(self) -> int:
        """Values read and written, without weights."""
        return self.channels * self.side**2 + self.outputs * self.side_out**2


def graph_model(layers: Sequence[Layer], *, int8: bool = False) -> bytes:
    """The ONNX file: input `x` and output `y`, both float32, of the first and last layer's shape.

    int8: as onnxruntime's quantisation writes it, QuantizeLinear and DequantizeLinear around each.
    """
    writer, name = _Writer(int8=int8), "x"
    if int8:
        name = writer.quantised(name)
    for layer in layers:
        name = writer.step(name, layer)
    if int8:
        name = writer.node("DequantizeLinear", [name, "scale", "zero"])
    writer.node("Identity", [name], output="y")
    return writer.model(shape_of(layers[0]), _shape_out(layers[-1]))


def shape_of(layer: Layer) -> tuple[int, ...]:
    """Of what goes in."""
    row, cube = (1, layer.channels), (1, layer.channels, layer.side, layer.side)
    return row if layer.what == "linear" else cube


def _shape_out(layer: Layer) -> tuple[int, ...]:
    row, cube = (1, layer.outputs), (1, layer.outputs, layer.side_out, layer.side_out)
    return row if layer.what == "linear" else cube


class _Writer:
    def __init__(self, *, int8: bool) -> None:
        self._int8 = int8
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []
        self._count = 0
        self._chance = np.random.default_rng(0)
        if int8:
            self.tensor("scale", np.array(0.02, np.float32))
            self.tensor("zero", np.array(128, np.uint8))
            self.tensor("weight_scale", np.array(0.001, np.float32))
            self.tensor("weight_zero", np.array(0, np.int8))
            self.tensor("bias_scale", np.array(0.02 * 0.001, np.float32))
            self.tensor("bias_zero", np.array(0, np.int32))

    def tensor(self, name: str, value: NDArray[np.generic]) -> str:
        body = b"".join(_int(1, each) for each in value.shape)
        body += _int(2, TYPES[value.dtype.name]) + _bytes(8, name.encode())
        self._tensors.append(body + _bytes(9, value.tobytes()))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str = "", **numbers: object) -> str:
        self._count += 1
        output = output or f"n{self._count}"
        body = b"".join(_bytes(1, each.encode()) for each in inputs)
        body += _bytes(2, output.encode()) + _bytes(4, kind.encode())
        body += b"".join(_bytes(5, _attribute(name, value)) for name, value in numbers.items())
        self._nodes.append(body)
        return output

    def quantised(self, name: str) -> str:
        return self.node("QuantizeLinear", [name, "scale", "zero"])

    def step(self, name: str, layer: Layer) -> str:
        if self._int8:
            name = self.node("DequantizeLinear", [name, "scale", "zero"])
        if layer.what == "elementwise":
            found = self.node("HardSwish", [name])
        elif layer.what == "linear":
            found = self.node("Gemm", [name, self._weights(layer), self._biases(layer)], transB=1)
        else:
            found = self.node(
                "Conv",
                [name, self._weights(layer), self._biases(layer)],
                kernel_shape=[layer.kernel] * 2,
                pads=[layer.kernel // 2] * 4,
                strides=[layer.stride] * 2,
                group=layer.channels if layer.what == "depthwise" else 1,
            )
        return self.quantised(found) if self._int8 else found

    def _weights(self, layer: Layer) -> str:
        name = f"w{self._count}"
        shared = 1 if layer.what == "depthwise" else layer.channels
        shape: tuple[int, ...] = (layer.outputs, shared, layer.kernel, layer.kernel)
        if layer.what == "linear":
            shape = (layer.outputs, layer.channels)
        if self._int8:
            self.tensor(name, self._chance.integers(-127, 128, shape, np.int8))
            return self.node("DequantizeLinear", [name, "weight_scale", "weight_zero"])
        spread = 1.0 / np.sqrt(shared * layer.kernel**2)  # so that values stay as large as they are
        return self.tensor(name, self._chance.normal(0.0, spread, shape).astype(np.float32))

    def _biases(self, layer: Layer) -> str:
        name = f"b{self._count}"
        if not self._int8:
            return self.tensor(name, np.zeros(layer.outputs, np.float32))
        self.tensor(name, np.zeros(layer.outputs, np.int32))
        return self.node("DequantizeLinear", [name, "bias_scale", "bias_zero"])

    def model(self, takes: tuple[int, ...], gives: tuple[int, ...]) -> bytes:
        graph = b"".join(_bytes(1, each) for each in self._nodes) + _bytes(2, b"layers")
        graph += b"".join(_bytes(5, each) for each in self._tensors)
        graph += _bytes(11, _value("x", takes)) + _bytes(12, _value("y", gives))
        return _int(1, IR_VERSION) + _bytes(7, graph) + _bytes(8, _int(2, OPSET))


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dimensions = b"".join(_bytes(1, _int(1, each)) for each in shape)
    tensor = _int(1, FLOAT) + _bytes(2, dimensions)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _attribute(name: str, value: object) -> bytes:
    head = _bytes(1, name.encode())
    if isinstance(value, list):
        return head + b"".join(_int(8, each) for each in value) + _int(20, 7)
    return head + _int(3, int(str(value))) + _int(20, 2)


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += struct.pack("B", value & 127 | 128)
        value >>= 7
    return out + struct.pack("B", value)


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
