"""How a network computes quickest on this machine: measured in seconds, decided once."""

import copy
import statistics
import time
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from pydantic import Field
from torch import Tensor

from inspector.contract.strict import Strict
from training.models import Network

WORTH = 0.95
"""A later way must take at most this share of an earlier one's time: noise decides nothing."""
ROUNDS_MIN = 3


class Way(Strict):
    """One way to compute the same."""

    precision: Literal["fp32", "bf16"]
    channels_last: bool


WAYS = tuple(
    Way(precision=precision, channels_last=last)
    for precision in ("fp32", "bf16")
    for last in (True, False)
)


class Timing(Strict):
    way: Way
    ms: Annotated[float, Field(gt=0.0)]
    """Median of the rounds, one batch."""


class Choice(Strict):
    """The quickest way, and what was measured. Kept by the job: going on, it must not change."""

    way: Way
    batch: int
    learning: bool
    rounds: int
    timings: tuple[Timing, ...]

    def words(self) -> str:
        """For the log: the ways, quickest first."""
        ranked = sorted(self.timings, key=lambda timing: timing.ms)
        return ", ".join(
            f"{t.way.precision}{' channels_last' if t.way.channels_last else ''} {t.ms:.0f} ms"
            for t in ranked
        )


def fastest(
    network: Network,
    images: Tensor,
    ways: Sequence[Way] = WAYS,
    *,
    learning: bool,
    budget_s: float = 4.0,
) -> Choice:
    """Measure the ways on one batch, in turns so that a busy neighbour slows all alike.

    The first is taken than which none is at least 5 % quicker: put the safe ones first. learning:
    forward and backward in training mode; else a forward alone, as a teacher is asked. The network
    stays as it was. Which one wins depends on the machine: bf16 doubled a ResNet's images/s on a
    CPU with AVX512-BF16 and slowed small depthwise networks by a quarter.

    images: uint8, batch x height x width x 3, where the network is. Takes at least 3 rounds,
    however long they are.
    """
    if not ways:
        raise ValueError("ways: none given")
    with torch.random.fork_rng():  # dropout draws: the training after this must not notice
        measured = copy.deepcopy(network).train(learning)
        for way in ways:  # the first pass chooses kernels and takes memory
            _one(measured, images, way, learning=learning)
        spent: list[list[float]] = [[] for _ in ways]
        started = time.perf_counter()
        while len(spent[0]) < ROUNDS_MIN or time.perf_counter() - started < budget_s:
            for way, ms in zip(ways, spent, strict=True):
                ms.append(_one(measured, images, way, learning=learning))
    timings = [
        Timing(way=way, ms=statistics.median(ms)) for way, ms in zip(ways, spent, strict=True)
    ]
    return Choice(
        way=choose(timings),
        batch=len(images),
        learning=learning,
        rounds=len(spent[0]),
        timings=tuple(timings),
    )


def choose(timings: Sequence[Timing]) -> Way:
    """The first than which none is clearly quicker."""
    best_ms = min(timing.ms for timing in timings)
    return next(timing.way for timing in timings if best_ms > WORTH * timing.ms)


def _one(network: Network, images: Tensor, way: Way, *, learning: bool) -> float:
    """Milliseconds of one batch."""
    network.lay_out(channels_last=way.channels_last)
    kind = images.device.type
    target = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    _wait(images)
    started = time.perf_counter()
    half = torch.autocast(kind, torch.bfloat16, enabled=way.precision == "bf16")
    with half, torch.set_grad_enabled(learning):
        logits = network(images)
    if learning:
        loss = F.cross_entropy(logits.float(), target)
        torch.autograd.backward(loss)
        network.zero_grad(set_to_none=True)
    _wait(images)
    return (time.perf_counter() - started) * 1e3


def _wait(images: Tensor) -> None:
    """A GPU answers before it is done."""
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
