"""Layers become products where that saves work, and say the same where nothing is lost."""

import pytest
import torch
from torch import nn

from inspector.contract.errors import ConfigError
from tests.training.test_prune import SPEC, pictures, small_net
from training.compress.lowrank import Spectrum, cost, lower, product, rank_for
from training.compress.shape import load_shaped, shape_of
from training.models import build, macs
from training.plan_compress import LowRank


def same_convolution() -> nn.Module:
    """TensorFlow's padding, which depends on the picture."""
    return build("tf_efficientnet_lite0", "none", 2).trunk.get_submodule("conv_stem")


@pytest.mark.parametrize(
    ("layer", "shape", "full"),
    [
        (nn.Linear(6, 9), (4, 6), (6,)),
        (nn.Linear(9, 6, bias=False), (4, 9), (6,)),
        (nn.Conv2d(6, 9, 1, stride=2), (2, 6, 7, 7), (6,)),
        (nn.Conv2d(6, 9, 3, stride=2, padding=1, dilation=2), (2, 6, 11, 9), (6, 9)),
        (nn.Conv2d(4, 40, 3, bias=False), (2, 4, 8, 8), (4, 36)),
        (same_convolution(), (2, 3, 9, 9), (3, 27)),
    ],
)
def test_at_full_rank_a_product_says_what_the_layer_said(
    layer: nn.Module, shape: tuple[int, ...], full: tuple[int, ...]
) -> None:
    torch.manual_seed(2)
    x = torch.randn(shape)
    torch.testing.assert_close(product(layer, full)(x), layer(x), rtol=1e-4, atol=1e-5)


def test_a_matrix_of_rank_one_is_cut_to_its_largest_part() -> None:
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    first, last = product(layer, (1,))
    found = last.weight @ first.weight  # type: ignore[operator]
    torch.testing.assert_close(found, torch.tensor([[3.0, 0.0], [0.0, 0.0]]))


def test_a_kernel_that_is_a_product_is_found_again_at_its_rank() -> None:
    # outer (2, 1) x kernel (1, 2, 3) in one row x inner (1, -1): worked by hand
    layer = nn.Conv2d(2, 2, (1, 3), bias=False)
    kernel = torch.tensor([1.0, 2.0, 3.0])
    with torch.no_grad():
        for o, outer in enumerate((2.0, 1.0)):
            for i, inner in enumerate((1.0, -1.0)):
                layer.weight[o, i, 0] = outer * inner * kernel
    small = product(layer, (1, 1))
    x = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]]])  # 1 * 1 - 1 * 3 = -2, twice and once
    torch.testing.assert_close(small(x).flatten(), torch.tensor([-4.0, -2.0]))


def test_energy_is_the_share_of_squared_singular_values() -> None:
    values = torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64)  # squares 9, 1, 0: 0.9 in the first
    assert [rank_for(values, energy) for energy in (0.5, 0.9, 0.91, 1.0)] == [1, 1, 2, 2]


def test_a_product_costs_what_its_layers_cost() -> None:
    conv = nn.Conv2d(16, 32, 3, stride=2, padding=1)
    spectrum = Spectrum(conv, (), before=16 * 32 * 9 * 25, cells=(100, 25))
    # 1 x 1 before the stride, the kernel and the last 1 x 1 behind it
    assert cost(spectrum, (4, 8)) == 16 * 4 * 100 + (4 * 8 * 9 + 8 * 32) * 25
    matrix = Spectrum(nn.Linear(16, 32), (), before=512, cells=(1, 1))
    assert cost(matrix, (8,)) == 8 * 48


def test_a_budget_is_held_and_the_rest_is_left_alone() -> None:
    network = small_net("test_resnet")
    whole = macs(network, SPEC)
    small, ranks = lower(network, LowRank(macs=0.6), SPEC)
    assert 0.5 * whole < macs(small, SPEC) <= 0.6 * whole
    assert all(rank % 8 == 0 or rank == 3 for each in ranks.values() for rank in each)
    assert "fc" not in ranks
    shape = shape_of(small, "test_resnet", ranks)
    assert set(shape.ranks) == set(ranks)
    assert not shape.widths
    again = load_shaped(shape, small.state_dict(), 3, "shape").eval()
    assert torch.equal(again(pictures()), small.eval()(pictures()))


def test_a_network_that_a_product_would_not_save_anything_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="no layer's product would save MACs"):
        lower(small_net(), LowRank(energy=0.9999, multiple=64), SPEC)
    with pytest.raises(ConfigError, match=r"low_rank.macs 0.01: .* at least 0"):
        lower(small_net(), LowRank(macs=0.01), SPEC)
