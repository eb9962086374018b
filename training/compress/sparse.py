"""Single weights become zero, the smallest first (magnitude pruning, Han et al. 2015).

They are ranked over all layers together, and stay zero while the rest is trained. onnxruntime
multiplies by zeros as by all else: nothing is quicker. What shrinks is the file, once it is packed.
"""

import copy
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from training.heads import head_names
from training.models import Network


def thin(network: Network, sparsity: float) -> Network:
    """A copy in which that share of the weights is zero; biases, norms and head are left alone."""
    small = copy.deepcopy(network)
    weights = list(_weights(small))
    sizes = torch.cat([weight.detach().abs().flatten() for weight in weights])
    zeros = round(sparsity * len(sizes))
    if zeros:
        gone = torch.zeros(len(sizes), dtype=torch.bool)
        gone[sizes.argsort(stable=True)[:zeros]] = True  # just so many, where sizes are equal too
        start = 0
        for weight in weights:
            mask = gone[start : start + weight.numel()].view_as(weight)
            weight.detach()[mask] = 0.0
            start += weight.numel()
    return small


def hold_zeros(network: Network) -> None:
    """Keep what is zero so in training.

    Without a gradient AdamW moves a zero nowhere: its moments are zero, and so is its decay.
    """
    for weight in _weights(network):
        weight.register_hook(partial(_masked, weight.detach() != 0.0))  # type: ignore[no-untyped-call]


def _masked(mask: Tensor, gradient: Tensor) -> Tensor:
    return gradient * mask.to(gradient.device)


def nonzero(network: Network) -> int:
    """Parameters that are not zero."""
    return sum(int(torch.count_nonzero(p)) for p in network.trunk.parameters())


def _weights(network: Network) -> Iterator[Tensor]:
    head = head_names(network.trunk)
    for name, layer in network.trunk.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and name not in head:
            yield layer.weight
