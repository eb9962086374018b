"""Batch norm statistics of the weights that are kept, taken anew."""

from collections.abc import Iterable
from itertools import chain

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn


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
