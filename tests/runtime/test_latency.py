"""A profile of this machine, and what it foretells of graphs that were never run on it."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from inspector.bench_profile import GRAPHS, LAYERS, Timer, lines_of, measure_profile, operation_of
from inspector.contract.errors import ConfigError
from inspector.runtime.graphs import Layer, graph_model
from inspector.runtime.latency import (
    Measured,
    MeasuredGraph,
    Operation,
    Profile,
    estimate_ms,
)
from inspector.runtime.machine import this_machine
from inspector.runtime.onnx import open_graph
from training.latency import operations_of


@pytest.mark.parametrize("int8", [False, True], ids=["fp32", "int8"])
def test_what_is_written_without_the_onnx_package_is_onnx(*, int8: bool) -> None:
    for layers in (*([layer] * 2 for layer in LAYERS[::6]), *GRAPHS.values()):
        model = onnx.load_from_string(graph_model(layers, int8=int8))
        onnx.checker.check_model(model, full_check=True)


def test_quantised_convolutions_come_near_what_they_are_in_float() -> None:
    """Of the same numbers; that the two are one graph in two precisions is what is compared."""
    layer = Layer("pointwise", 8, 4)
    x = np.random.default_rng(1).normal(0.0, 1.0, (1, 8, 4, 4)).astype(np.float32)
    data = graph_model([layer], int8=True)
    model = onnx.load_from_string(data)
    weights = next(each for each in model.graph.initializer if list(each.dims) == [8, 8, 1, 1])
    matrix = onnx.numpy_helper.to_array(weights)[:, :, 0, 0] * np.float32(0.001)
    (found,) = open_graph(data, 1)(x)
    expected = np.einsum("oc,bchw->bohw", matrix, np.clip(x, -2.56, 2.54))
    assert np.abs(found - expected).max() < 0.05


def test_the_operations_of_a_file_are_those_it_was_made_of(tmp_path: Path) -> None:
    for int8 in (False, True):
        for name, layers in GRAPHS.items():
            path = tmp_path / f"{name}.onnx"
            path.write_bytes(graph_model(layers, int8=int8))
            made = [operation_of(layer, int8=int8) for layer in layers]
            assert operations_of(path) == made


def known(ms_per_mac: float, ms_each: float, whole: float) -> Profile:
    """Of a machine on which everything takes just that."""

    def took(operation: Operation) -> float:
        return ms_each + ms_per_mac * operation.macs

    operations = [
        operation_of(layer, int8=False) for layer in LAYERS if layer.what != "elementwise"
    ]
    graphs = {
        name: [operation_of(layer, int8=False) for layer in layers]
        for name, layers in GRAPHS.items()
    }
    return Profile(
        machine=this_machine(),
        threads=1,
        run_ms=0.5,
        operations=tuple(Measured(operation=each, ms=took(each)) for each in operations),
        graphs=tuple(
            MeasuredGraph(name=name, operations=tuple(parts), ms=whole * sum(map(took, parts)))
            for name, parts in graphs.items()
        ),
    )


def test_an_estimate_finds_what_an_operation_costs_and_what_a_whole_graph_adds() -> None:
    never_measured = Operation(kind="pointwise", macs=10_000_000, moved=300_000, weights=40_000)
    for whole in (1.0, 1.7):
        profile = known(1e-8, 0.01, whole)
        one = estimate_ms([never_measured], profile) - 0.5
        assert one == pytest.approx(whole * 0.11, rel=0.02)
        assert estimate_ms([never_measured] * 3, profile) - 0.5 == pytest.approx(3 * one)


def test_an_estimate_is_the_same_in_any_unit_of_time() -> None:
    """Linear operations were measured with as many weights as products: either explains them."""
    of_cells = Operation(kind="linear", macs=16 * 640, moved=16 * 66, weights=640)
    draws = np.random.default_rng(0)
    for _ in range(20):
        profile = known(1e-8, 0.01, 1.0)
        noisy = tuple(
            each.model_copy(update={"ms": each.ms * float(np.exp(draws.normal()))})
            for each in profile.operations
        )
        profile = profile.model_copy(update={"operations": noisy})
        thousands = profile.model_copy(
            update={
                name: tuple(each.model_copy(update={"ms": 1000 * each.ms}) for each in some)
                for name, some in (("operations", noisy), ("graphs", profile.graphs))
            }
        )
        found, other = (estimate_ms([of_cells], each) - 0.5 for each in (profile, thousands))
        assert other == pytest.approx(1000 * found, rel=1e-9)


def test_an_estimate_of_what_was_never_measured_is_refused() -> None:
    operation = Operation(kind="pointwise", precision="int8", macs=1, moved=1, weights=1)
    with pytest.raises(ConfigError, match="no pointwise in int8"):
        estimate_ms([operation], known(1e-8, 0.01, 1.0))


def test_the_timer_tells_a_large_graph_from_a_small_one() -> None:
    """Sixteen times the work; what a busy machine does to one measurement does not turn that."""
    small, large = [Layer("conv", 32, 14, 3)] * 4, [Layer("conv", 64, 28, 3)] * 4
    timer = Timer(1)
    small_ms, large_ms = timer.median_ms(small, int8=False), timer.median_ms(large, int8=False)
    assert large_ms > 3.0 * small_ms


def test_a_profile_of_this_machine_outlives_its_file_and_ranks_its_own_graphs() -> None:
    profile = measure_profile(1, rounds=2)
    read = Profile.model_validate_json(profile.model_dump_json(by_alias=True))
    assert read == profile
    assert any("GMAC/s" in line for line in lines_of(read))
    dense, inverted, thin = (estimate_ms(graph.operations, read) for graph in read.graphs[:3])
    assert dense > inverted > thin
