"""Which epoch's weights a training leaves."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from inspector.contract.image import ImageSpec
from training.augment import Augmenter
from training.checkpoint import BEST, HISTORY, load
from training.fit import Machine, Objective, fit, predict
from training.material import Material
from training.models import Network, build
from training.plan_networks import Fit
from training.screen import Screen
from training.views import Batch

CPU = Machine(torch.device("cpu"), 1)
SIDE = 32


class TurnsRound(Objective):
    """Teaches that everything is of class 0, and in the last epoch that it is of class 1."""

    def epoch_starts(self, share: float) -> None:
        self._class = int(share >= 1.0)

    def forward(self, network: Network, batch: Batch) -> Tensor:
        logits = network(batch.images)
        margin = logits[:, 1] - logits[:, 0]
        loss: Tensor = (margin - (2.0 * self._class - 1.0)).square().mean()
        return loss


@pytest.mark.parametrize(("keep", "epoch"), [("macro_recall", 0), ("last", 1)])
def test_the_epoch_that_the_plan_names_is_kept(tmp_path: Path, keep: str, epoch: int) -> None:
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (168, SIDE, SIDE, 3), np.uint8)
    validated = np.arange(160, 168)  # all of class 0: what is called so is right
    material = Material(pixels, np.zeros(168, np.int64), np.arange(160), validated, 2)
    keys = {"epochs": 2, "batch": 4, "lr": 0.01, "warmup_epochs": 0.0, "ema": 0.0, "keep": keep}
    how = Fit.model_validate({"model": "test_resnet", "weights": "none", **keys})
    network = build(how.model, "none", classes=2)
    augmenter = Augmenter((), ImageSpec(width=SIDE, height=SIDE), 0)
    fit(
        network,
        how,
        material,
        TurnsRound(),
        augmenter,
        tmp_path,
        seed=0,
        views=0,
        machine=CPU,
        screen=Screen(quiet=True),
        title="student",
    )
    network.load_state_dict(load(tmp_path / BEST))
    logits = predict(network, material.pixels, validated, CPU)
    found = [row["macro_recall"] for row in json.loads((tmp_path / HISTORY).read_text("utf-8"))]
    assert found[0] > found[1]
    assert float((logits.argmax(axis=1) == 0).mean()) == found[epoch]
