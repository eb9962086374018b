"""Whom a process trains with: nobody, or other processes that each take a share of every batch.

The one door to Hugging Face accelerate. What is learned is the plan's, however many there are: the
same batches and steps, gradients of the whole batch, batch norm statistics of the whole batch
(norms.py), each up to rounding. Dropout draws other masks. What relates a batch's images to each
other sees the share alone: `method = "dist"`, and the scale of hints.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inspector.contract.errors import ConfigError
from training.norms import SharedNorms

Item = TypeVar("Item")
PATIENCE = timedelta(days=30)
"""One may work alone for hours while the others wait; that one is dead, the job notices."""


class Team:
    """Nobody else: every method leaves things as they are. `Joined` is many."""

    rank = 0
    """0: the first, which speaks, keeps checkpoints and decides."""
    size = 1

    def learner(self, both: nn.Module) -> nn.Module:
        """The module to be called in training: its gradients are those of the whole batch."""
        return both

    def backward(self, loss: Tensor) -> None:
        torch.autograd.backward(loss)

    def norms(self) -> AbstractContextManager[object]:
        """While it is open, batch norm takes the whole batch's statistics."""
        return nullcontext()

    @contextmanager
    def first(self) -> Iterator[None]:
        """The first goes through it, then the others: they find what it left on disk."""
        yield

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's images of a batch. Raises ConfigError where there are too few for all."""
        return rows

    def weight(self, mine: int, whole: int) -> float:
        """Of the share's mean loss, so that the mean over processes is that of the whole batch."""
        return mine * self.size / whole

    def evened(self, loss: Tensor, _counted: Tensor, _images: int) -> Tensor:
        """A mean over some of the share's images, as a part of that over the whole batch's."""
        return loss

    def mean(self, values: Sequence[float]) -> list[float]:
        """Of each value, over processes."""
        return list(values)

    def gathered(self, items: list[Item]) -> list[Item]:
        """Those of all processes."""
        return items


class Joined(Team):
    """One of several processes on this machine, which meet at a file: gloo on CPU, nccl on GPUs."""

    def __init__(self, rank: int, size: int, meeting: Path, *, cuda: bool) -> None:
        """Waits until all have come."""
        # Nothing of a training leaves the machine.
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(name, "lo")
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size))
        os.environ.update(LOCAL_WORLD_SIZE=str(size), OMP_NUM_THREADS=str(torch.get_num_threads()))
        if cuda:
            torch.cuda.set_device(rank)
        # Not as file://: in a URL, # and ? end the path.
        store = torch.distributed.FileStore(str(meeting), size)  # type: ignore[attr-defined]
        store.set_timeout(PATIENCE)
        torch.distributed.init_process_group(
            "nccl" if cuda else "gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE
        )
        from accelerate import Accelerator

        self._accelerator: Any = Accelerator(cpu=not cuda)
        self.rank = rank
        self.size = size

    @property
    def device(self) -> torch.device:
        return torch.device(self._accelerator.device)

    def learner(self, both: nn.Module) -> nn.Module:
        prepared: nn.Module = self._accelerator.prepare_model(both)
        return prepared

    def backward(self, loss: Tensor) -> None:
        self._accelerator.backward(loss)

    def norms(self) -> AbstractContextManager[object]:
        return SharedNorms(self._sum)

    @contextmanager
    def first(self) -> Iterator[None]:
        with self._accelerator.main_process_first():
            yield

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(rows) < self.size:
            raise ConfigError(
                f"--processes {self.size}: {len(rows)} training images are too few to share"
            )
        return np.array_split(rows, self.size)[self.rank]

    def evened(self, loss: Tensor, counted: Tensor, images: int) -> Tensor:
        both = torch.stack([counted, torch.full_like(counted, images)]).double()
        all_counted, all_images = self._sum(both.clone())
        share = counted / images * (all_images / all_counted.clamp_min(1.0))
        even: Tensor = loss * share.to(loss.dtype)
        return even

    def mean(self, values: Sequence[float]) -> list[float]:
        total = self._sum(torch.tensor(values, dtype=torch.float64, device=self.device))
        return [float(value) for value in total / self.size]

    def gathered(self, items: list[Item]) -> list[Item]:
        from accelerate.utils import gather_object

        found: list[Item] = gather_object(items)
        return found

    def leave(self) -> None:
        """Nothing is sent any more."""
        torch.distributed.destroy_process_group()

    def _sum(self, values: Tensor) -> Tensor:
        """In place, over processes."""
        torch.distributed.all_reduce(values)
        return values


ALONE = Team()
