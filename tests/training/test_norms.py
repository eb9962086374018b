"""Batch norm statistics taken anew or of a shared batch, against their definition."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.training.threads import Member, each_of
from training.models import build
from training.norms import SharedNorms, reestimate


def batches(n: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [3.0 + 2.0 * torch.randn(16, 4, 5, 5, generator=generator) for _ in range(n)]


def test_statistics_are_the_plain_mean_over_the_batches() -> None:
    network = nn.Sequential(nn.BatchNorm2d(4))
    network[0].running_mean.fill_(99.0)  # type: ignore[operator]
    seen = batches(3)
    assert reestimate(network, seen) == 3
    mean = torch.stack([b.mean(dim=(0, 2, 3)) for b in seen]).mean(dim=0)
    variance = torch.stack([b.var(dim=(0, 2, 3)) for b in seen]).mean(dim=0)
    assert torch.allclose(network[0].running_mean, mean, atol=1e-5)  # type: ignore[arg-type]
    assert torch.allclose(network[0].running_var, variance, atol=1e-5)  # type: ignore[arg-type]


def test_only_statistics_change_and_the_same_batches_give_the_same() -> None:
    torch.manual_seed(0)
    network = build("mobilenetv2_035", "none", classes=2).eval()
    images = [torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8) for _ in range(2)]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert reestimate(network, images) == 2
    first = {name: value.clone() for name, value in network.state_dict().items()}
    changed = {
        name.rsplit(".", 1)[1] for name in first if not torch.equal(first[name], before[name])
    }
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}
    reestimate(network, iter(images))
    assert all(torch.equal(first[name], value) for name, value in network.state_dict().items())
    assert not network.training


def test_statistics_follow_the_weights_that_are_kept() -> None:
    torch.manual_seed(0)
    network = build("mobilenetv2_035", "none", classes=2).eval()
    images = torch.randint(0, 256, (32, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        network.trunk.conv_stem.weight.mul_(3.0)  # type: ignore[union-attr, operator]
        seen = network.trunk.conv_stem(network.prepare(images))  # type: ignore[operator]
    reestimate(network, [images])
    found: Tensor = network.trunk.bn1.running_var  # type: ignore[union-attr, assignment]
    assert torch.allclose(found, seen.var(dim=(0, 2, 3)), rtol=1e-3)


def test_without_a_batch_statistics_are_kept_and_the_caller_told() -> None:
    network = nn.Sequential(nn.BatchNorm2d(4))
    network[0].running_mean.fill_(7.0)  # type: ignore[operator]
    with pytest.raises(ValueError, match="at least one batch"):
        reestimate(network, [])
    assert network[0].running_mean.tolist() == [7.0] * 4  # type: ignore[operator]


def test_a_network_without_batch_norm_is_left_alone() -> None:
    assert reestimate(nn.Linear(2, 2), []) == 0


def test_a_batch_shared_by_three_is_normalised_as_if_it_were_whole() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
    ).double()
    pictures = torch.randn(7, 3, 6, 6).double()
    network(pictures)  # LazyLinear learns its size
    plain = copy.deepcopy(network).train()
    loss = plain(pictures).square().mean()
    loss.backward()

    def mine(member: Member) -> tuple[nn.Module, Tensor]:
        own = copy.deepcopy(network).train()
        some = pictures[torch.from_numpy(member.share(np.arange(7)))]
        with SharedNorms(member._sum):
            loss = own(some).square().mean() * member.weight(len(some), 7)
        loss.backward()
        return own, loss.detach()

    found = each_of(3, mine)
    assert torch.stack([loss for _, loss in found]).mean().item() == pytest.approx(
        float(loss.detach())
    )
    for name, theirs in plain.named_parameters():
        grads = [dict(own.named_parameters())[name].grad for own, _ in found]
        ours = torch.stack([grad for grad in grads if grad is not None]).mean(dim=0)
        assert theirs.grad is not None
        assert torch.allclose(ours, theirs.grad, rtol=1e-9, atol=1e-12), name
    for name, buffer in plain.named_buffers():
        for own, _ in found:
            assert torch.allclose(dict(own.named_buffers())[name], buffer, rtol=1e-6), name
