"""How a network computes quickest: measured, and without leaving a trace."""

import copy
import time

import pytest
import torch
from torch import Tensor

from training.models import Network, build
from training.speed import WAYS, Choice, Timing, Way, choose, fastest

IMAGES = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
FP32 = Way(precision="fp32", channels_last=True)


class Dawdling(Network):
    """Sleeps where channels are first, or last: a difference that no noise hides."""

    slow_when_last = False

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(0.1 if self.channels_last is self.slow_when_last else 0.0)
        return super().forward(images)


def dawdling(*, slow_when_last: bool) -> Dawdling:
    network = build("mobilenetv2_035", "none", classes=2)
    network.__class__ = Dawdling
    assert isinstance(network, Dawdling)
    network.slow_when_last = slow_when_last
    return network


@pytest.mark.parametrize("slow_when_last", [True, False])
@pytest.mark.parametrize("learning", [True, False])
def test_the_quickest_way_is_taken(
    slow_when_last: bool,  # noqa: FBT001
    learning: bool,  # noqa: FBT001
) -> None:
    ways = [FP32, Way(precision="fp32", channels_last=False)]
    network = dawdling(slow_when_last=slow_when_last)
    choice = fastest(network, IMAGES, ways, learning=learning, budget_s=0.0)
    assert choice.way.channels_last is not slow_when_last
    assert choice.rounds >= 3
    assert max(t.ms for t in choice.timings) > 100.0
    assert Choice.model_validate_json(choice.model_dump_json()) == choice


@pytest.mark.parametrize(
    ("ms", "taken"),
    [
        ((100.0, 120.0, 96.0, 130.0), 0),
        ((100.0, 120.0, 94.0, 130.0), 2),
        ((100.0, 120.0, 79.0, 78.0), 2),
        ((100.0, 120.0, 79.0, 70.0), 3),
    ],
)
def test_a_later_way_must_be_clearly_quicker_than_every_earlier_one(
    ms: tuple[float, ...], taken: int
) -> None:
    timings = [Timing(way=way, ms=each) for way, each in zip(WAYS, ms, strict=True)]
    assert choose(timings) == WAYS[taken]


def test_what_was_measured_is_told_quickest_first() -> None:
    timings = (Timing(way=WAYS[0], ms=100.2), Timing(way=WAYS[3], ms=61.0))
    choice = Choice(way=WAYS[3], batch=4, learning=True, rounds=3, timings=timings)
    assert choice.words() == "bf16 61 ms, fp32 channels_last 100 ms"


def test_a_measurement_leaves_no_trace() -> None:
    network = build("mobilenetv2_035", "none", classes=2, drop_rate=0.5).train()
    before = copy.deepcopy(network.state_dict())
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    fastest(network, IMAGES, WAYS[1:3], learning=True, budget_s=0.0)
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert network.training
    assert network.channels_last


@torch.no_grad()
def test_maps_that_lie_otherwise_say_the_same() -> None:
    network = build("resnet18", "none", classes=2).eval()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    last = network(images)
    network.lay_out(channels_last=False)
    assert network.prepare(images).is_contiguous()
    assert torch.allclose(network(images), last, atol=1e-4)
