"""A layer as a product of smaller ones, where that saves multiplications.

Linear layers and 1 x 1 convolutions by truncated SVD: the nearest matrix of that rank (Eckart and
Young 1936). Other convolutions by Tucker-2 (Kim et al., ICLR 2016): 1 x 1, the kernel between fewer
channels, 1 x 1, from the truncated SVD of the two unfoldings along the channels (HOSVD, De
Lathauwer et al. 2000), whose error is at most sqrt(2) times the least. Grouped convolutions have
nothing to gain; the head, whose rank is its number of classes, neither.

No CP: a kernel may have no best approximation of a given CP rank (de Silva and Lim 2008), its
factors then grow without bound and cancel, and fine-tuning diverges: Lebedev et al. (ICLR 2015)
could tune one layer only, and Phan et al. (ECCV 2020) need a special solver against it. HOSVD
always has its answer, to be computed once.
"""

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.heads import head_names
from training.models import Network, macs
from training.plan_compress import LowRank

PLAIN = ("Conv2d", "Conv2dSame")
"""Convolutions whose weights are what they multiply by; timm's others standardise or pad them."""
HALVINGS = 24
"""Of the interval of energies: to 1 in 10^7, finer than any rank."""


class Spectrum(NamedTuple):
    """What is needed to choose a layer's ranks."""

    layer: nn.Module
    values: tuple[Tensor, ...]
    """Singular values: of the matrix, or of the unfoldings along inputs and outputs."""
    before: int
    """MACs of one picture."""
    cells: tuple[int, int]
    """Cells of its input and of its output; 1 for a vector."""


def lower(
    network: Network, rule: LowRank, spec: ImageSpec
) -> tuple[Network, dict[str, tuple[int, ...]]]:
    """A copy with products for layers, and their ranks. Raises ConfigError where too few MACs go.

    A layer stays as it is where its product would take as many MACs.
    """
    spectra, whole = _spectra(network, spec), macs(network, spec)

    def chosen(energy: float) -> dict[str, tuple[int, ...]]:
        found = {name: _ranks(each, energy, rule.multiple) for name, each in spectra.items()}
        return {
            name: r for name, r in found.items() if cost(spectra[name], r) < spectra[name].before
        }

    def left(ranks: dict[str, tuple[int, ...]]) -> float:
        saved = sum(spectra[name].before - cost(spectra[name], r) for name, r in ranks.items())
        return 1.0 - saved / whole

    if rule.energy is not None:
        ranks = chosen(rule.energy)
    else:
        ranks = chosen(_energy_for(rule.macs or 0.0, lambda energy: left(chosen(energy))))
    if not ranks:
        raise ConfigError(
            "plan: compress.low_rank: no layer's product would save MACs; leave it out"
        )
    small = copy.deepcopy(network)
    for name, each in ranks.items():
        small.trunk.set_submodule(name, product(small.trunk.get_submodule(name), each))
    small.lay_out(channels_last=network.channels_last)
    return small, ranks


def _energy_for(share: float, left: Callable[[float], float]) -> float:
    """The highest energy that leaves at most this share of the MACs."""
    low, high = 0.0, 1.0
    least = left(low)
    if least > share:
        raise ConfigError(
            f"plan: compress.low_rank.macs {share:g}: with ranks of compress.low_rank.multiple "
            f"at least {least:.3f} are left"
        )
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if left(middle) <= share else (low, middle)
    return low


@torch.no_grad()
def _spectra(network: Network, spec: ImageSpec) -> dict[str, Spectrum]:
    """Of every layer that may become a product."""
    head = head_names(network.trunk)
    layers = {
        name: layer
        for name, layer in network.trunk.named_modules()
        if name not in head and _is_plain(layer)
    }
    cells: dict[str, tuple[int, int]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            channels = 2 if isinstance(layer, nn.Conv2d) else 0
            sizes = (math.prod(x.shape[channels:]) if channels else 1 for x in (inputs[0], output))
            a, b = sizes
            cells[name] = (a, b)

        return hook

    hooks = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    network.eval()
    network(torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return {
        name: Spectrum(layer, _values(layer), layer.weight.numel() * cells[name][1], cells[name])
        for name, layer in layers.items()
        if name in cells
    }


def _is_plain(layer: nn.Module) -> bool:
    if type(layer) is nn.Linear:
        return True
    return isinstance(layer, nn.Conv2d) and type(layer).__name__ in PLAIN and layer.groups == 1


def _is_matrix(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or getattr(layer, "kernel_size", None) == (1, 1)


def _unfolded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Along inputs and along outputs: channels x all else."""
    return weight.transpose(0, 1).flatten(1), weight.flatten(1)


def _basis(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values and left singular vectors of a wide matrix, the largest first.

    By its Gram matrix, which is a hundred times quicker for a kernel and loses half the digits of a
    double: still as many as the weights have.
    """
    squares, vectors = torch.linalg.eigh(matrix @ matrix.T)
    most = min(matrix.shape)
    return squares.flip(0).clamp_min(0.0).sqrt()[:most], vectors.flip(1)[:, :most]


def _values(layer: nn.Module) -> tuple[Tensor, ...]:
    weight: Tensor = layer.weight.detach().double()  # type: ignore[operator]
    if _is_matrix(layer):
        return (torch.linalg.svdvals(weight.flatten(1)),)
    return tuple(_basis(each)[0] for each in _unfolded(weight))


def _ranks(each: Spectrum, energy: float, multiple: int) -> tuple[int, ...]:
    """The least that keep the energy, rounded up to the multiple, or all."""
    found = []
    for values, full in zip(each.values, _full(each.layer), strict=True):
        needed = rank_for(values, energy)
        found.append(min(math.ceil(needed / multiple) * multiple, full))
    return tuple(found)


def rank_for(values: Tensor, energy: float) -> int:
    """How many of the largest singular values hold this share of the sum of their squares."""
    shares = values.square().cumsum(0) / values.square().sum().clamp_min(1e-30)
    return min(int((shares < energy - 1e-12).sum()) + 1, len(values))


def _full(layer: nn.Module) -> tuple[int, ...]:
    """The ranks at which nothing is lost; two for Tucker-2: of inputs and of outputs."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    if _is_matrix(layer):
        return (min(weight.shape[:2]),)
    return tuple(min(each.shape) for each in _unfolded(weight))


def cost(each: Spectrum, ranks: tuple[int, ...]) -> int:
    """MACs of the product, one picture."""
    weight: Tensor = each.layer.weight  # type: ignore[assignment]
    outputs, inputs = weight.shape[:2]
    before, after = each.cells
    if len(ranks) == 1:  # the stride is in the first factor
        return ranks[0] * (inputs + outputs) * after
    core = ranks[0] * ranks[1] * math.prod(weight.shape[2:])
    return inputs * ranks[0] * before + (core + ranks[1] * outputs) * after


def can_be_product(layer: nn.Module, ranks: tuple[int, ...]) -> bool:
    """Whether the layer is of a kind, and large enough, for such ranks."""
    if not _is_plain(layer):
        return False
    full = _full(layer)
    return len(ranks) == len(full) and all(
        1 <= r <= most for r, most in zip(ranks, full, strict=True)
    )


def as_product(layer: nn.Module, ranks: tuple[int, ...]) -> nn.Sequential:
    """The layers of the product, their weights still to be loaded."""
    if isinstance(layer, nn.Linear):
        has_bias = layer.bias is not None
        return nn.Sequential(
            nn.Linear(layer.in_features, ranks[0], bias=False),
            nn.Linear(ranks[0], layer.out_features, bias=has_bias),
        )
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"{layer} is no linear layer and no convolution")
    last = nn.Conv2d(ranks[-1], layer.out_channels, 1, bias=layer.bias is not None)
    if len(ranks) == 1:
        stride = (layer.stride[0], layer.stride[1])
        return nn.Sequential(nn.Conv2d(layer.in_channels, ranks[0], 1, stride, bias=False), last)
    core = copy.deepcopy(layer)  # its own kind, stride and padding
    core.in_channels, core.out_channels, core.bias = ranks[0], ranks[1], None
    core.weight = nn.Parameter(layer.weight.new_zeros(ranks[1], ranks[0], *layer.kernel_size))
    return nn.Sequential(nn.Conv2d(layer.in_channels, ranks[0], 1, bias=False), core, last)


@torch.no_grad()
def product(layer: nn.Module, ranks: tuple[int, ...]) -> nn.Sequential:
    """The layer as a product of the given ranks: one for SVD, two (in, out) for Tucker-2."""
    made = as_product(layer, ranks)
    weight: Tensor = layer.weight.detach().double()  # type: ignore[operator]
    if len(ranks) == 1:
        u, s, vh = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        root = s[: ranks[0]].sqrt()  # half of it to each side: neither learns faster
        factors = [root[:, None] * vh[: ranks[0]], u[:, : ranks[0]] * root]
    else:
        bases = [_basis(each)[1] for each in _unfolded(weight)]
        inner, outer = (basis[:, :r] for basis, r in zip(bases, ranks, strict=True))
        core = torch.einsum("oihw,ia,ob->bahw", weight, inner, outer)
        factors = [inner.T, core, outer]
    for part, factor in zip(made, factors, strict=True):
        part.weight.copy_(factor.reshape(part.weight.shape))  # type: ignore[operator]
    if layer.bias is not None:
        made[-1].bias.copy_(layer.bias)  # type: ignore[operator, arg-type]
    return made
