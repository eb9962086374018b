"""`inspector bench --profile OUT.json`: this machine's speed, for who chooses models elsewhere.

Standard operations in onnxruntime, as fp32 and as QDQ int8, each in a chain: what one of them takes
is what a long chain takes beyond a short one; of many rounds, in turns, the quickest counts. Then a
few whole graphs, by their median, to which the sum of their operations is scaled. With one thread
it is that thread's CPU time, with more the clock's, which needs a machine that does nothing else.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspector.runtime.graphs import Layer, graph_model, shape_of
from inspector.runtime.latency import Measured, MeasuredGraph, Operation, Profile, estimate_ms
from inspector.runtime.machine import this_machine
from inspector.runtime.onnx import open_graph

SHORT, LONG = 2, 8
ROUNDS = 25
LEAST_MS = 1e-5
LAYERS = (
    *(Layer("conv", c, side, 3) for c, side in ((16, 56), (32, 56), (64, 28), (64, 56))),
    *(Layer("conv", c, side, 3) for c, side in ((128, 14), (128, 28), (256, 14), (256, 7))),
    Layer("conv", 512, 7, 3),
    *(Layer("pointwise", c, side) for c, side in ((16, 112), (32, 56), (64, 28), (96, 56))),
    *(Layer("pointwise", c, side) for c, side in ((128, 14), (256, 14), (256, 7), (512, 7))),
    *(Layer("pointwise", c, 1) for c in (64, 256)),
    *(Layer("depthwise", c, side, 3) for c, side in ((32, 112), (64, 56), (96, 28), (128, 28))),
    *(Layer("depthwise", c, side, 3) for c, side in ((256, 14), (512, 14), (512, 7))),
    *(Layer("depthwise", c, side, 5) for c, side in ((96, 28), (128, 14), (256, 14), (256, 7))),
    *(Layer("linear", c) for c in (128, 512, 1024)),
    *(Layer("elementwise", c, side) for c, side in ((16, 112), (64, 56), (128, 28), (256, 14))),
    Layer("elementwise", 256, 1),
)


def _inverted(c: int, wide: int, out: int, side: int, kernel: int, stride: int) -> list[Layer]:
    """MobileNet's block without its activations, which take nothing of their own."""
    return [
        Layer("pointwise", c, side, out=wide),
        Layer("depthwise", wide, side, kernel, stride=stride),
        Layer("pointwise", wide, -(-side // stride), out=out),
    ]


_STEM = [Layer("conv", 3, 224, 3, out=32, stride=2)]
GRAPHS: dict[str, list[Layer]] = {
    "dense": [
        *_STEM,
        Layer("conv", 32, 112, 3, out=64, stride=2),
        *[Layer("conv", 64, 56, 3)] * 2,
        Layer("conv", 64, 56, 3, out=128, stride=2),
        *[Layer("conv", 128, 28, 3)] * 2,
        Layer("conv", 128, 28, 3, out=256, stride=2),
        *[Layer("conv", 256, 14, 3)] * 2,
    ],
    "inverted": [
        *_STEM,
        *_inverted(32, 96, 24, 112, 3, 2),
        *_inverted(24, 144, 24, 56, 3, 1),
        *_inverted(24, 144, 40, 56, 5, 2),
        *_inverted(40, 240, 40, 28, 5, 1),
        *_inverted(40, 240, 80, 28, 3, 2),
        *_inverted(80, 480, 80, 14, 3, 1) * 2,
        *_inverted(80, 480, 160, 14, 5, 2),
        *_inverted(160, 640, 160, 7, 3, 1),
    ],
    "thin": [
        Layer("conv", 3, 128, 3, out=16, stride=2),
        *_inverted(16, 48, 24, 64, 3, 2),
        *_inverted(24, 72, 40, 32, 5, 2),
        *_inverted(40, 120, 40, 16, 5, 1) * 2,
        *_inverted(40, 160, 64, 16, 3, 2),
        *_inverted(64, 256, 64, 8, 3, 1) * 3,
        *_inverted(64, 384, 96, 8, 5, 2),
    ],
}


def operation_of(layer: Layer, *, int8: bool) -> Operation:
    return Operation(
        kind=layer.what,
        precision="int8" if int8 else "fp32",
        macs=layer.macs,
        moved=layer.moved,
        weights=layer.weights,
    )


def measure_profile(threads: int, rounds: int = ROUNDS) -> Profile:
    """Takes about a minute."""
    timer = Timer(threads, rounds)
    operations, graphs = [], []
    for int8 in (False, True):
        for layer in LAYERS:
            short, long = timer.least_ms([layer] * SHORT, [layer] * LONG, int8=int8)
            ms = max(LEAST_MS, (long - short) / (LONG - SHORT))
            operations.append(Measured(operation=operation_of(layer, int8=int8), ms=ms))
        for name, layers in GRAPHS.items():
            ms = timer.median_ms(layers, int8=int8)
            parts = tuple(operation_of(layer, int8=int8) for layer in layers)
            graphs.append(MeasuredGraph(name=name, operations=parts, ms=ms))
    (run_ms,) = timer.least_ms([Layer("elementwise", 1)], int8=False)
    return Profile(
        machine=this_machine(),
        threads=threads,
        run_ms=run_ms,
        operations=tuple(operations),
        graphs=tuple(graphs),
    )


class Timer:
    """Runs graphs, and says how long they took."""

    def __init__(self, threads: int, rounds: int = ROUNDS) -> None:
        self._threads = threads
        self._rounds = range(rounds + 1)  # the first takes memory
        self._clock = time.thread_time if threads == 1 else time.perf_counter
        self._chance = np.random.default_rng(0)

    def least_ms(self, *several: list[Layer], int8: bool) -> list[float]:
        """Of one run of each, in turns."""
        image = self._chance.normal(0.0, 1.0, shape_of(several[0][0])).astype(np.float32)
        models = (graph_model(layers, int8=int8) for layers in several)
        graphs = [open_graph(model, self._threads) for model in models]
        rounds = [[self._once_ms(graph, image) for graph in graphs] for _ in self._rounds]
        return [min(column) for column in zip(*rounds, strict=True)]

    def median_ms(self, layers: list[Layer], *, int8: bool) -> float:
        """Of one run: a whole graph is to be what a station would see."""
        image = self._chance.normal(0.0, 1.0, shape_of(layers[0])).astype(np.float32)
        graph = open_graph(graph_model(layers, int8=int8), self._threads)
        return statistics.median([self._once_ms(graph, image) for _ in self._rounds][1:])

    def _once_ms(self, graph: Callable[[Any], object], image: NDArray[np.float32]) -> float:
        start = self._clock()
        graph(image)
        return 1_000 * (self._clock() - start)


def lines_of(profile: Profile) -> Iterator[str]:
    """The table a person reads."""
    machine = profile.machine
    yield f"{machine.cpu}, {', '.join(machine.flags) or 'no flags known'}"
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    yield f"{versions}, threads: {profile.threads}; an empty run {profile.run_ms:.4f} ms"
    form = "{:<12} {:<5} {:>10} {:>10} {:>9} {:>9}"
    yield form.format("", "", "MACs", "weights", "ms", "GMAC/s")
    for each in profile.operations:
        op = each.operation
        rate = f"{op.macs / each.ms / 1e6:.1f}" if op.macs else "-"
        figures = (op.macs, op.weights, f"{each.ms:.4f}", rate)
        yield form.format(op.kind, op.precision, *figures)
    for graph in profile.graphs:
        alone = estimate_ms(graph.operations, profile.model_copy(update={"graphs": ()}))
        yield f"{graph.name}: {graph.ms:.2f} ms, the sum of its operations {alone:.2f}"
