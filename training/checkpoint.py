"""What a training leaves after each epoch, to go on from."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from inspector.contract.strict import Strict
from training.run import Stage

LAST = "last.pt"
BEST = "best.pt"
HISTORY = "history.json"


class EpochRow(Strict):
    epoch: int
    loss: float
    validation_loss: float
    macro_recall: float
    worst_recall: float
    lr: float
    seconds: float


def history_of(trained: Stage) -> tuple[EpochRow, ...]:
    """The epochs of a finished training."""
    return tuple(_rows_in(trained.folder))


def _rows_in(folder: Path) -> list[EpochRow]:
    rows = json.loads((folder / HISTORY).read_text(encoding="utf-8"))
    return [EpochRow.model_validate(row) for row in rows]


def mean_row(rows: Sequence[EpochRow]) -> EpochRow:
    """The same epoch of several networks: their mean, and the seconds of all."""
    means = {
        key: sum(getattr(row, key) for row in rows) / len(rows)
        for key in ("loss", "validation_loss", "macro_recall", "worst_recall")
    }
    return rows[0].model_copy(update={**means, "seconds": sum(row.seconds for row in rows)})


@dataclass(slots=True)
class Progress:
    """How far a training came."""

    epoch: int
    best: tuple[float, float]
    history: list[EpochRow]


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors so that the file is whole or absent."""
    draft = path.with_name(path.name + ".part")
    with draft.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def load(path: Path) -> Any:
    """Read tensors; nothing in the file is run."""
    return torch.load(path, map_location="cpu", weights_only=True)


def checkpoint(
    folder: Path,
    trained: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    state: Progress,
) -> None:
    """Keep everything the next epoch needs."""
    everything = {
        "trained": trained.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": state.epoch,
        "best": list(state.best),
        "history": [row.model_dump() for row in state.history],
    }
    save(folder / LAST, everything)


def resume(
    folder: Path, trained: nn.Module, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> Progress:
    """Take up the last checkpoint, or the beginning where there is none.

    Where the training was over when the job was killed, its epochs are all there is.
    """
    if not (folder / LAST).exists():
        if (folder / HISTORY).exists() and (folder / BEST).exists():  # the first is written last
            rows = _rows_in(folder)
            return Progress(len(rows), (-1.0, 0.0), rows)
        return Progress(0, (-1.0, 0.0), [])
    saved = load(folder / LAST)
    trained.load_state_dict(saved["trained"])
    average.load_state_dict(saved["average"])
    optimizer.load_state_dict(saved["optimizer"])
    history = [EpochRow.model_validate(row) for row in saved["history"]]
    return Progress(saved["epoch"], (saved["best"][0], saved["best"][1]), history)
