"""Batch norm statistics: of the weights that are kept, taken anew; of a batch that is shared."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn
from torch.overrides import TorchFunctionMode


def reestimate(network: nn.Module, batches: Iterable[Tensor]) -> int:
    """Replace running means and variances by their plain mean over the batches; returns how many.

    Averaged weights (an EMA, SWA: Izmailov et al., UAI 2018, section 3.2) were never run in
    training, and what was averaged along with them are statistics of other weights. Batches as in
    training: same size, same augmentation, all classes in their shares; a few dozen will do. The
    same batches give the same statistics. Without batch norm nothing is done, and 0 returned.

    batches: what the network takes, already on its device. Raises ValueError where there is none:
    statistics would be left at 0 and 1.
    """
    if not any(isinstance(layer, _BatchNorm) for layer in network.modules()):
        return 0
    rest = iter(batches)
    first = next(rest, None)
    if first is None:
        raise ValueError("batch norm statistics need at least one batch")
    counted = 0

    def counting() -> Iterable[Tensor]:
        nonlocal counted
        for batch in chain([first], rest):
            counted += 1
            yield batch

    update_bn(counting(), network)
    return counted


class SharedNorms(TorchFunctionMode):
    """While it is open, batch norm in training mode takes the statistics of all processes' images.

    So a batch shared by several processes is normalised as if it were whole, whatever each has of
    it: synchronised batch norm (Peng et al., MegDet, CVPR 2018). torch's own knows GPUs alone; this
    one works on both, in place of every `F.batch_norm`, so that networks stay as they are. Price:
    two small messages between the processes for each batch norm and step.
    """

    def __init__(self, add_up: Callable[[Tensor], Tensor]) -> None:
        """add_up: the sum over all processes, in place."""
        super().__init__()
        self._add_up = add_up

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.batch_norm:
            return self._normalise(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _normalise(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,  # noqa: FBT001, FBT002 - torch's own signature
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        normalise: Any = _Whole.apply
        y: Tensor
        y, mean, var, n = normalise(x, weight, bias, eps, self._add_up)
        with torch.no_grad():
            if running_mean is not None:
                running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            if running_var is not None:
                unbiased = var * (n / (n - 1.0).clamp_min(1.0))
                running_var.lerp_(unbiased.to(running_var.dtype), momentum)
        return y


class _Whole(torch.autograd.Function):
    """Batch norm of a share of a batch with the statistics of the whole."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        add_up: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x: images x channels x ...; returns what it is normalised to, mean, variance, count."""
        channels, each = x.shape[1], x.numel() // x.shape[1]
        mean, var = torch.ops.aten.batch_norm_update_stats(x, None, None, 0.0)
        # In double precision, since a variance is made of the difference of two sums.
        mean, var = mean.double(), var.double()
        sums = torch.cat([mean * each, (var + mean**2) * each, mean.new_tensor([each])])
        sums = add_up(sums)
        n = sums[-1]
        mean = sums[:channels] / n
        var = (sums[channels:-1] / n - mean**2).clamp_min(0.0)
        kind = torch.promote_types(x.dtype, torch.float32)  # as torch keeps them
        mean_x, var_x = mean.to(kind), var.to(kind)
        y = F.batch_norm(x, mean_x, var_x, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(x, weight, mean_x, var_x, n)
        ctx.eps, ctx.add_up = eps, add_up
        ctx.mark_non_differentiable(mean, var, n)
        return y, mean, var, n

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, n = ctx.saved_tensors
        dy = grads[0]
        if x.is_contiguous(memory_format=torch.channels_last):
            dy = dy.contiguous(memory_format=torch.channels_last)
        scale = (var + ctx.eps).rsqrt()
        _, along, plain = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, None, None, mean, scale, True, ctx.eps, [False, True, True]
        )
        # These two are of the share: gradients of parameters are averaged with all others later.
        sums = ctx.add_up(torch.cat([along, plain]).double()) / n
        along_mean, plain_mean = sums.to(var.dtype).chunk(2)
        steep = scale if weight is None else scale * weight
        dx = F.batch_norm(
            x, mean, var, -steep * along_mean, -steep * plain_mean, training=False, eps=ctx.eps
        )
        shape = (1, -1, *[1] * (x.ndim - 2))
        dx = dx.addcmul(dy, steep.view(shape).to(dy.dtype))
        return dx, None if weight is None else along, plain, None, None
