"""Who teaches whom, and with what: the teacher's answers to each view, asked for once."""

from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from training.fit import Batch, Machine, Objective, autocast
from training.losses import DistillationLoss, hard_loss
from training.models import Network
from training.plan import Fit, Student


class TeacherAnswers:
    """Logits of the teacher to every (image, view), kept on disk as float16.

    Teacher and student see the very same view, which is what makes long distillation work (Beyer
    et al. 2022, "a good teacher is patient and consistent"); since views repeat after a while,
    the teacher's cost is paid once (fast knowledge distillation, Shen and Xing 2022).
    """

    def __init__(
        self, teacher: Network, how: Fit, path: Path, shape: tuple[int, int, int], machine: Machine
    ) -> None:
        """shape: images x views x classes."""
        self._teacher = teacher.to(machine.device).eval()
        self._precision = how.precision
        self._machine = machine
        if path.exists():
            self._kept = np.load(path, mmap_mode="r+")
        else:
            self._kept = open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
            self._kept[:] = np.nan
            # On disk before an answer is: after a power cut what is missing must not read as 0.
            self._kept.flush()

    @torch.no_grad()
    def of(self, batch: Batch) -> Tensor:
        """The teacher's logits to a batch of views, batch x classes."""
        kept = self._kept[batch.rows, batch.view].astype(np.float32)
        if np.isnan(kept).any():
            with autocast(self._machine, self._precision):
                logits = self._teacher(batch.images)
            fresh = logits.float().cpu().numpy().astype(np.float16)
            self._kept[batch.rows, batch.view] = fresh
            # Rounded as they will be read next time, so that a resumed run ends the same.
            kept = fresh.astype(np.float32)
        return torch.from_numpy(kept).to(self._machine.device)


def label_objective(how: Fit, counts: Tensor, machine: Machine) -> Objective:
    """Learn from labels alone: the teacher, or a student without one."""
    loss = hard_loss(how.imbalance, counts).to(machine.device)

    def objective(logits: Tensor, batch: Batch) -> Tensor:
        value: Tensor = loss(logits, batch.target)
        return value

    return objective


def teacher_objective(
    how: Student, counts: Tensor, answers: TeacherAnswers, machine: Machine
) -> Objective:
    """Learn from labels and the teacher's answers to the same views."""
    hard = hard_loss(how.imbalance, counts)
    loss = DistillationLoss(temperature=how.temperature, alpha=how.alpha, hard=hard)
    loss.to(machine.device)

    def objective(logits: Tensor, batch: Batch) -> Tensor:
        value: Tensor = loss(logits, answers.of(batch), batch.target).total
        return value

    return objective
