"""Which epoch's weights a training leaves, how they are averaged, and in which order it shows."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
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
DARK, BRIGHT = 40, 200
LIGHT = np.array([DARK, BRIGHT])


class TurnsRound(Objective):
    """Teaches that dark is 0 and bright is 1; from then on its head says 0 to all, and at last 2.

    Of what is validated below, the first is right of a part of each class: the higher least recall.
    The second is right of all of class 0 and of nothing else: the higher mean.
    """

    def epoch_starts(self, share: float) -> None:
        self._says = (None, 0, 2)[round(2 * share)]

    def forward(self, network: Network, batch: Batch) -> Tensor:
        if self._says is not None:
            head = network.trunk.get_classifier()  # type: ignore[operator]
            with torch.no_grad():
                head.weight.zero_()
                head.bias.copy_(torch.eye(3)[self._says] * 10.0)
        logits: Tensor = network(batch.images)
        if self._says is not None:
            return logits.sum() * 0.0
        bright = (batch.images.float().mean(dim=(1, 2, 3)) > 128).long()
        return torch.nn.functional.cross_entropy(logits, bright)


def lit(bright: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A noisy picture for each, dark or bright."""
    noise = np.random.default_rng(0).integers(-20, 21, (len(bright), SIDE, SIDE, 3))
    pictures: NDArray[np.uint8] = (noise + LIGHT[bright][:, None, None, None]).astype(np.uint8)
    return pictures


def trained(material: Material, objective: Objective, folder: Path, **keys: object) -> Network:
    """What fit has trained; its plain weights are those after the last step."""
    plain = {"model": "test_resnet", "weights": "none", "warmup_epochs": 0.0, "ema": 0.0}
    how = Fit.model_validate(plain | keys)
    torch.manual_seed(0)
    network = build(how.model, "none", classes=material.classes)
    fit(
        network,
        how,
        material,
        objective,
        Augmenter((), ImageSpec(width=SIDE, height=SIDE), 0),
        folder,
        seed=0,
        views=0,
        machine=CPU,
        screen=Screen(quiet=True),
        title="student",
    )
    return network


@pytest.mark.parametrize(
    ("keep", "lesson"), [("worst_recall", 0), ("macro_recall", 1), ("last", 2)]
)
def test_the_epoch_that_the_plan_names_is_kept(tmp_path: Path, keep: str, lesson: int) -> None:
    # three dark and one bright of class 0, four dark and one bright of class 1; none of class 2
    bright = np.array([*(40 * [0, 1]), 0, 0, 0, 1, 0, 0, 0, 0, 1])
    targets, validated = np.zeros(89, np.int64), np.arange(80, 89)
    targets[84:] = 1
    material = Material(lit(bright), targets, np.arange(80), validated, 3)
    keys = {"epochs": 3, "batch": 4, "lr": 0.01, "imbalance": "none", "keep": keep}
    network = trained(material, TurnsRound(), tmp_path, **keys)
    rows = json.loads((tmp_path / HISTORY).read_text("utf-8"))
    found = [(row["macro_recall"], row["worst_recall"]) for row in rows]
    assert found == [(pytest.approx(0.475), pytest.approx(0.2)), (0.5, 0.0), (0.0, 0.0)]
    network.load_state_dict(load(tmp_path / BEST))
    says = predict(network, material.pixels, validated, CPU).argmax(axis=1)
    assert says.tolist() == [bright[80:].tolist(), 9 * [0], 9 * [2]][lesson]


class Remembers(Objective):
    """Learns the labels, and notes what it was shown and from which weights each step went."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[list[int]] = []
        self.before: list[dict[str, Tensor]] = []

    def forward(self, network: Network, batch: Batch) -> Tensor:
        self.shown.append(batch.rows.tolist())
        self.before.append({key: value.clone() for key, value in network.state_dict().items()})
        loss: Tensor = torch.nn.functional.cross_entropy(network(batch.images), batch.target)
        return loss


def test_the_weights_that_are_kept_are_an_average_that_starts_quickly(tmp_path: Path) -> None:
    """Statistics of batch norm too. Of a new step it takes 9/11, 9/12, then what the plan says."""
    bright = np.arange(18) % 2
    material = Material(lit(bright), bright, np.arange(16), np.arange(16, 18), 2)
    keys = {"epochs": 2, "batch": 8, "lr": 0.01, "ema": 0.26, "keep": "last"}
    noted = Remembers()
    network = trained(material, noted, tmp_path, **keys)
    steps = [*noted.before[1:], network.state_dict()]  # after each of the four
    kept = load(tmp_path / BEST)
    for key in ("trunk.fc.weight", "trunk.bn1.running_mean"):
        one, two, three, four = (step[key].double() for step in steps)
        average = 2 / 11 * one + 9 / 11 * two
        average = 3 / 12 * average + 9 / 12 * three
        average = 0.26 * average + 0.74 * four
        assert (four - average).abs().max() > 1e-4
        torch.testing.assert_close(kept[key].double(), average, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("sampling", "of_each"), [("natural", (12, 3)), ("balanced", (8, 7))])
def test_an_epoch_shows_classes_as_often_as_the_plan_says(
    tmp_path: Path, sampling: str, of_each: tuple[int, int]
) -> None:
    targets = np.array([*(12 * [0]), *(3 * [1]), 0, 1])
    material = Material(lit(targets), targets, np.arange(15), np.arange(15, 17), 2)
    keys = {"epochs": 2, "batch": 5, "imbalance": "none", "sampling": sampling}
    noted = Remembers()
    trained(material, noted, tmp_path, **keys)
    for epoch in (noted.shown[:3], noted.shown[3:]):
        seen = Counter(int(targets[row]) for rows in epoch for row in rows)
        assert sorted(seen.values(), reverse=True) == list(of_each)
