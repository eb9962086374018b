"""A team of threads: the sums of training/team.py without starting processes."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from training.team import Joined

Found = TypeVar("Found")


class Member(Joined):
    """One of several threads that add up what each brings."""

    def __init__(self, rank: int, size: int, brought: list[Tensor], met: threading.Barrier) -> None:
        self.rank = rank
        self.size = size
        self._brought = brought
        self._met = met

    def _sum(self, values: Tensor) -> Tensor:
        self._brought[self.rank] = values.clone()
        self._met.wait()
        values.copy_(torch.stack(self._brought).sum(dim=0))
        self._met.wait()
        return values


def each_of(size: int, do: Callable[[Member], Found]) -> list[Found]:
    """What the members find, side by side."""
    brought, met = [torch.empty(0)] * size, threading.Barrier(size, timeout=60)
    members = [Member(rank, size, brought, met) for rank in range(size)]
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(do, members))
