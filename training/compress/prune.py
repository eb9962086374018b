"""Channels that matter least go, with all that hangs on them: the one door to Torch-Pruning.

Which layers must lose the same channels is found by its dependency graph (Fang et al., CVPR 2023).
"""

import copy
import warnings
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.compress.costs import cost_of
from training.models import Network
from training.plan_compress import Prune

TRIES = 12
"""Halvings of the interval of shares to cut: to 1 in 4096, finer than a channel of most layers."""
NEAR = 0.995
"""Of the share: nearer is not looked for."""
CUT_MAX = 0.95
KEPT_MIN = 0.125
"""Of a layer's channels, in one cut: a layer whose channels all rank low must not become a neck."""


class Seen(NamedTuple):
    """What was learned about a network from training pictures, by the names of its trunk."""

    gradients: dict[str, Tensor]
    """Mean size of each weight's gradient over the batches; empty where it is not asked."""
    activations: dict[str, Tensor]
    """Mean size of what each channel brings into a layer; empty where it is not asked."""


def require_library() -> None:
    """Raises ConfigError where it is not installed."""
    if find_spec("torch_pruning") is None:
        raise ConfigError(
            "plan: compress.prune: needs torch-pruning: pip install 'inspector[training]'"
        )


def look(
    network: Network,
    by: str,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss_of: Callable[[Tensor, Tensor], Tensor],
) -> Seen:
    """What the way of ranking needs to know.

    batches: (pictures, classes), as the network takes them. loss_of: (logits, classes) -> the loss
    that is not to change.
    """
    match by:
        case "taylor":
            return Seen(_gradients(network, batches, loss_of), {})
        case "activation":
            return Seen({}, _activations(network, batches))
    return Seen({}, {})


def _gradients(
    network: Network,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss_of: Callable[[Tensor, Tensor], Tensor],
) -> dict[str, Tensor]:
    """Of a trained network the mean gradient is near zero: its size is taken batch by batch."""
    network.eval()
    total = {name: torch.zeros_like(p) for name, p in network.trunk.named_parameters()}
    count = 0
    for images, target in batches:
        network.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_of(network(images), target))
        for name, p in network.trunk.named_parameters():
            if p.grad is not None:
                total[name] += p.grad.abs()
        count += 1
    network.zero_grad(set_to_none=True)
    return {name: value / count for name, value in total.items()}


@torch.no_grad()
def _activations(network: Network, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """At the entrance of the next layer: behind norm, activation and gate."""
    network.eval()
    total: dict[str, Tensor] = {}
    images_count = 0

    def note(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor]) -> None:
            x = inputs[0].abs()
            axes = (2, 3) if isinstance(layer, nn.Conv2d) else tuple(range(1, x.ndim - 1))
            each = (x.mean(dim=axes) if axes else x).sum(dim=0)
            total[name] = total.get(name, torch.zeros_like(each)) + each

        return hook

    hooks = [
        layer.register_forward_pre_hook(note(name))
        for name, layer in network.trunk.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    for images, _ in batches:
        network(images)
        images_count += len(images)
    for hook in hooks:
        hook.remove()
    return {name: value / images_count for name, value in total.items()}


def prune(
    network: Network,
    rule: Prune,
    seen: Seen,
    spec: ImageSpec,
    left: Callable[[Network], float],
    share: float,
) -> tuple[Network, float]:
    """A narrower copy that costs at most the share, and what it costs.

    left: what a network costs, as a share of what it cost at first. The cut nearest to the share is
    found by halving. Raises ConfigError where none comes down to it.
    """
    found: tuple[Network, float] | None = None
    least = 1.0
    low, high = 0.0, CUT_MAX
    for number in range(TRIES):
        cut = CUT_MAX if number == 0 else (low + high) / 2.0  # first: can it be reached at all
        small = cut_channels(network, rule, seen, spec, cut)
        now = left(small)
        least = min(least, now)
        if now <= share:
            high = cut
            if found is None or now > found[1]:
                found = small, now
        else:
            low = cut
        if found is None or found[1] > NEAR * share:
            break
    if found is None:
        raise ConfigError(
            f"plan: compress.prune.{rule.target[0]} {rule.target[1]:g}: channels in multiples of "
            f"{rule.multiple} leave at least {least:.3f} (compress.prune.multiple)"
        )
    return found


def prune_blindly(network: Network, rule: Prune, spec: ImageSpec) -> Network:
    """All cuts at once by the weights alone, however they are: what is left hardly hangs on them.

    A target of time is taken for held. Raises ConfigError where it cannot be reached, or where the
    library cannot cut such a network.
    """
    plain = rule.model_copy(update={"by": "l1"})
    of, share = rule.target
    left = cost_of(of, network, spec, lambda _: share)
    try:
        return prune(network, plain, Seen({}, {}), spec, left, share)[0]
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - what the library meets shares no base class
        raise ConfigError(
            f"plan: compress.prune: this student.model cannot be cut by Torch-Pruning "
            f"({type(error).__name__}: {error}); compress another model, or leave "
            f"[compress.prune] out"
        ) from None


def cut_channels(
    network: Network, rule: Prune, seen: Seen, spec: ImageSpec, share: float
) -> Network:
    """A copy without that share of the channels, of each layer or of the whole network."""
    small = copy.deepcopy(network).eval()
    _remember(small, seen)
    example = torch.zeros(1, 3, spec.height, spec.width)
    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")  # what cannot be cut is found by shape_of, in words
        pruner = _pruner()(
            small.trunk,
            example,
            importance=_importance(rule.by),
            pruning_ratio=share,
            global_pruning=rule.across == "network",
            round_to=rule.multiple,
            ignored_layers=[small.trunk.get_classifier()],  # type: ignore[operator]
            in_channel_groups={},  # their default is one dict for all networks
            out_channel_groups={},
            num_heads={},
        )
        pruner.step()
    _forget(small)
    head = small.trunk.get_classifier()  # type: ignore[operator]
    small.trunk.head_hidden_size = head.weight.shape[1]
    return small


def _pruner() -> Any:
    """The library's, with another rounding: its own leaves a layer whole where it rounds to 0."""
    import torch_pruning as tp

    class Rounded(tp.pruner.BasePruner):  # type: ignore[misc]
        def _round_to(self, n_pruned: int, current_channels: int, round_to: int) -> int:
            kept = max(current_channels - n_pruned, KEPT_MIN * current_channels)
            kept = max(round(kept / round_to), 1) * round_to
            return max(current_channels - kept, 0)

    return Rounded


def _importance(by: str) -> Any:
    """A whole group's, as the library sums it over the layers that lose the channel."""
    import torch_pruning as tp

    match by:
        case "taylor":
            return tp.importance.GroupTaylorImportance(normalizer=_by_mean)
        case "activation":
            return tp.importance.ActivationImportance(normalizer=_by_mean)
        case "l1":
            return tp.importance.GroupMagnitudeImportance(p=1, normalizer=_by_mean)
    raise ValueError(f"{by=} is unknown")


def _by_mean(scores: Tensor) -> Tensor:
    """So that layers can be compared; one that says nothing at all is 0, and not 0 / 0."""
    return scores / scores.mean().clamp_min(torch.finfo(scores.dtype).tiny)


def _remember(network: Network, seen: Seen) -> None:
    """Leave what was seen where the library looks for it."""
    for name, p in network.trunk.named_parameters():
        if name in seen.gradients:
            p.grad = seen.gradients[name].clone()
    for name, layer in network.trunk.named_modules():
        if name in seen.activations:
            layer._importance = seen.activations[name]


def _forget(network: Network) -> None:
    network.zero_grad(set_to_none=True)
    for layer in network.trunk.modules():
        layer.__dict__.pop("_importance", None)
        layer._buffers.pop("_importance", None)
