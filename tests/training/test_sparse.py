"""Single weights become zero and stay so in training; nothing else is promised of them."""

import torch
from torch.optim.swa_utils import AveragedModel

from tests.training.test_prune import pictures, small_net
from training.compress.sparse import hold_zeros, nonzero, thin
from training.models import Network


def zeros_of(network: Network) -> dict[str, torch.Tensor]:
    state = network.state_dict()
    return {k: v == 0 for k, v in state.items() if v.ndim > 1 and "classifier" not in k}


def share_of(zeros: dict[str, torch.Tensor]) -> float:
    total = sum(mask.numel() for mask in zeros.values())
    return sum(int(mask.sum()) for mask in zeros.values()) / total


def test_just_the_wanted_share_of_the_smallest_weights_is_zero() -> None:
    network = small_net()
    small = thin(network, 0.75)
    before, after = network.state_dict(), small.state_dict()
    weights = [k for k in zeros_of(small) if not k.endswith(("mean", "std"))]
    gone = torch.cat([before[k][after[k] == 0].abs() for k in weights])
    left = torch.cat([before[k][after[k] != 0].abs() for k in weights])
    assert abs(share_of(zeros_of(small)) - 0.75) < 1e-4
    assert gone.max() <= left.min()
    assert torch.equal(before["trunk.classifier.weight"], after["trunk.classifier.weight"])
    assert nonzero(small) < nonzero(network)


def test_zeros_stay_zero_in_training_and_in_its_average() -> None:
    small = thin(small_net(), 0.6).train()
    zeros = zeros_of(small)
    hold_zeros(small)
    average = AveragedModel(small, use_buffers=True)
    optimizer = torch.optim.AdamW(small.parameters(), lr=0.05, weight_decay=0.1)
    before = small.state_dict()["trunk.conv_head.weight"].clone()
    for _ in range(3):
        loss = torch.nn.functional.cross_entropy(small(pictures()), torch.tensor([0, 1, 2, 0]))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        average.update_parameters(small)
    assert not torch.equal(small.state_dict()["trunk.conv_head.weight"], before)
    for key, mask in zeros.items():
        assert (small.state_dict()[key][mask] == 0).all(), key
        assert (average.module.state_dict()[key][mask] == 0).all(), key
