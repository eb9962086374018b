"""The training loop, one for teacher and student, read from top to bottom.

An epoch is determined by the seed and its number alone (order, views, dropout), and each leaves a
checkpoint: a job killed anywhere goes on from its last epoch and ends as if undisturbed.
"""

import copy
import json
import math
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from inspector.contract.whole import write_whole
from training.augment import Augmenter
from training.checkpoint import BEST, HISTORY, LAST, EpochRow, Progress, checkpoint, resume, save
from training.losses import require_finite
from training.material import Brought, Material, Pixels
from training.models import Network
from training.norms import reestimate
from training.plan_networks import Fit
from training.screen import Screen, clock_text
from training.team import ALONE, Team
from training.views import Batch, Views, chunks

Tensors = list[Tensor] | tuple[Tensor, ...]

EVALUATION_BATCH = 64
CLIP_NORM = 5.0
"""Gradients longer than this are shortened: a rare hard batch must not undo an epoch."""


class Objective(nn.Module):
    """What a network learns; weights of its own (a projector) are trained along and thrown away."""

    @abstractmethod
    def forward(self, network: Network, batch: Batch) -> Tensor:
        """The loss to minimise."""

    def epoch_starts(self, share: float) -> None:
        """Told before each epoch how much of the training is done, 0 to 1."""


class Machine(NamedTuple):
    """Where it is computed."""

    device: torch.device
    threads: int
    """Of each process."""
    processes: int = 1
    """How many a training is given; each takes a share of every batch."""
    team: Team = ALONE
    """Whom this process trains with."""


def fit(
    network: Network,
    how: Fit,
    material: Material,
    objective: Objective,
    augmenter: Augmenter,
    folder: Path,
    *,
    seed: int,
    views: int,
    machine: Machine,
    screen: Screen,
    title: str,
) -> None:
    """Train and leave `best.pt` (the weights best by `how.keep`) and `history.json`.

    views: how many different views an image has over the epochs; 0 for a new one each epoch. Where
    several processes train together, each calls it alike, and the first leaves the files.
    Raises TrainingError where the loss is not finite.
    """
    network.to(machine.device)
    team, both = machine.team, _Both(network, objective)
    optimizer = torch.optim.AdamW(_groups(both, how.weight_decay), lr=how.lr)
    average = _average(network, how.ema)
    state = resume(folder, both, average, optimizer)
    learner = team.learner(both)
    shown = Views(material, augmenter, how.mix, seed)
    steps = math.ceil(material.shown() / how.batch)
    for epoch in range(state.epoch, how.epochs):
        started = time.monotonic()
        view = epoch % views if views else epoch
        torch.manual_seed(_seed(seed, epoch, team.rank))
        order = material.order(seed, epoch, how.sampling)
        learner.train()
        objective.epoch_starts(epoch / max(how.epochs - 1, 1))
        losses, rate = [], 0.0
        drawn = shown.batches(order, view, how.batch, machine.threads, team)
        name = f"{title} epoch {epoch + 1}/{how.epochs}"
        for step, batch in enumerate(screen.bar(drawn, steps, name)):
            rate = learning_rate(epoch + step / steps, how)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with team.norms():
                loss = learner(batch.to(machine.device))
            losses.append(require_finite(loss, f"{title}, epoch {epoch + 1}"))
            optimizer.zero_grad(set_to_none=True)
            team.backward(loss)
            nn.utils.clip_grad_norm_(both.parameters(), CLIP_NORM)
            optimizer.step()
            average.update_parameters(network)
        kept = average.module if how.ema else network
        if how.bn_batches:
            kept = copy.deepcopy(kept)
            some = shown.batches(order[: how.bn_batches * how.batch], view, how.batch, 1)
            reestimate(kept, (batch.images.to(machine.device) for batch in some))
        logits = predict(kept, material.pixels, material.validation, machine)
        row = _row(epoch, team.mean(losses), logits, material, rate, time.monotonic() - started)
        state.history.append(row)
        merit = _merit(row, how)
        if merit > state.best:
            state.best = merit
            if team.rank == 0:
                save(folder / BEST, kept.state_dict())
        state.epoch = epoch + 1
        if team.rank == 0:
            checkpoint(folder, both, average, optimizer, state)
        left = clock_text((how.epochs - epoch - 1) * row.seconds)
        screen.say(f"{name}: {_words(row)}, {clock_text(row.seconds)}, {left} left")
    if team.rank == 0:
        _finish(folder, state)


def _finish(folder: Path, state: Progress) -> None:
    rows_json = [row.model_dump() for row in state.history]
    write_whole(folder / HISTORY, json.dumps(rows_json, indent=1).encode())
    (folder / LAST).unlink(missing_ok=True)


def _seed(seed: int, epoch: int, rank: int) -> int:
    """Of what is drawn for the share of an epoch: dropout differs from process to process."""
    of = [seed, epoch, rank] if rank else [seed, epoch]
    return int(np.random.SeedSequence(of).generate_state(1)[0])


def learning_rate(epoch: float, how: Fit) -> float:
    """Linear warm-up, then half a cosine to zero; epoch may be a fraction."""
    if epoch < how.warmup_epochs:
        return how.lr * (epoch + 0.01) / (how.warmup_epochs + 0.01)
    share = (epoch - how.warmup_epochs) / max(how.epochs - how.warmup_epochs, 1e-9)
    return how.lr * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def autocast(machine: Machine, precision: str) -> torch.autocast:
    """bfloat16 where the plan asks for it."""
    return torch.autocast(machine.device.type, torch.bfloat16, enabled=precision == "bf16")


@torch.no_grad()
def predict(
    network: nn.Module, pixels: Pixels | Brought, rows: NDArray[np.int64], machine: Machine
) -> NDArray[np.float32]:
    """Logits of the images as they are, rows x classes; a team shares the work."""
    network.eval()
    team, pieces = machine.team, chunks(rows, EVALUATION_BATCH)
    out = []
    for place in range(team.rank, len(pieces), team.size):
        images = torch.from_numpy(pixels[pieces[place]])
        out.append((place, network(images.to(machine.device)).float().cpu().numpy()))
    found = sorted(team.gathered(out), key=lambda each: each[0])
    return np.concatenate([logits for _, logits in found])


def recalls(logits: NDArray[np.float32], targets: NDArray[np.int64], classes: int) -> list[float]:
    """Recall of each class; NaN for one without images."""
    right = logits.argmax(axis=1) == targets
    return [
        float(right[targets == c].mean()) if (targets == c).any() else math.nan
        for c in range(classes)
    ]


class _Both(nn.Module):
    """The network and what only its training needs, for optimizer and checkpoint."""

    def __init__(self, network: Network, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.objective = objective

    def forward(self, batch: Batch) -> Tensor:
        """The loss of a batch, or of a process's share as it counts in the mean over processes."""
        loss: Tensor = self.objective(self.network, batch)
        return loss if batch.weight == 1.0 else loss * batch.weight


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Norms and biases are not decayed (He et al. 2019, bag of tricks)."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def _average(network: Network, decay: float) -> AveragedModel:
    """An exponential average that starts quickly, batch norm statistics included."""

    def blend(kept: Tensors, new: Tensors, count: Tensor | int) -> None:
        """All tensors of a kind at once: one by one, a GPU waits longer for each than it works."""
        n = int(count)
        now = min(decay, (1.0 + n) / (10.0 + n))
        get_ema_multi_avg_fn(now)(kept, new, count)  # type: ignore[no-untyped-call]

    return AveragedModel(network, multi_avg_fn=blend, use_buffers=True)


def _merit(row: EpochRow, how: Fit) -> tuple[float, float]:
    """The greater, the better; of equals the one whose validation loss is less."""
    value = float(row.epoch) if how.keep == "last" else getattr(row, how.keep)
    return value, -row.validation_loss


def _row(
    epoch: int,
    losses: list[float],
    logits: NDArray[np.float32],
    material: Material,
    rate: float,
    seconds: float,
) -> EpochRow:
    targets = material.targets[material.validation]
    each = recalls(logits, targets, material.classes)
    loss = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets))
    return EpochRow(
        epoch=epoch + 1,
        loss=float(np.mean(losses)),
        validation_loss=require_finite(loss, f"validation after epoch {epoch + 1}"),
        macro_recall=float(np.nanmean(each)),
        worst_recall=float(np.nanmin(each)),
        lr=rate,
        seconds=seconds,
    )


def _words(row: EpochRow) -> str:
    return (
        f"loss {row.loss:.4f}, validation loss {row.validation_loss:.4f}, "
        f"macro recall {row.macro_recall:.3f}, worst class {row.worst_recall:.3f}"
    )
