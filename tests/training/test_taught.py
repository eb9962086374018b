"""What a student's loss is made of beside labels and answers, each term worked out in numpy."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor

from inspector.contract.image import ImageSpec
from tests.training.plates import draw
from tests.training.test_views import CPU, SIDE, student, teachers_of, views_of
from tests.training.untrained import opinionated
from training.distill import Remembered, Taught
from training.features import Hints, tapped
from training.fit import predict
from training.material import Material
from training.models import Network
from training.plan_networks import Hint, Mix
from training.views import Batch

COUNTS = (6, 3, 1)
"""Training pictures of each class: of a prior that is far from even."""


@pytest.fixture(scope="module")
def material() -> Material:
    pixels = np.random.default_rng(3).integers(0, 256, (12, SIDE, SIDE, 3), np.uint8)
    targets = np.array([*np.repeat(np.arange(3), COUNTS), 0, 1])
    return Material(pixels, targets, np.arange(10), np.arange(10, 12), 3)


@pytest.fixture(scope="module")
def network() -> Network:
    return opinionated("mobilenetv2_035", seed=1)


@pytest.fixture(scope="module")
def other() -> Network:
    return opinionated("resnet18", seed=2)


def batch_of(material: Material) -> Batch:
    return views_of(material, Mix()).batch(material.train[2:9], 0)


def said(network: Network, batch: Batch) -> NDArray[np.float64]:
    """Its logits, batch x classes."""
    with torch.no_grad():
        logits: Tensor = network(batch.images)
    return logits.double().numpy()


def far(teacher: NDArray[np.float64], pupil: NDArray[np.float64], temperature: float) -> float:
    """T^2 * KL(teacher || pupil) of logits, mean over the batch."""
    q, p = (softmax(each / temperature, axis=1) for each in (teacher, pupil))
    return temperature**2 * float(entropy(q, p, axis=1).mean())


def loss_of(taught: Taught, network: Network, batch: Batch) -> float:
    with torch.no_grad():
        return float(taught(network, batch))


def test_the_loss_to_what_the_running_student_knew_is_of_the_classes_it_knew(
    material: Material, network: Network, other: Network, tmp_path: Path
) -> None:
    """Softened by the plan's temperature; and the class that it never met has no share in it."""
    how, batch = student(alpha=0.0, temperature=3.0, views=1), batch_of(material)
    knew = Remembered(teachers_of(other, how, material, tmp_path), known=[0, 2], weight=0.4)
    plain = loss_of(Taught(how, material, None, network, CPU), network, batch)
    both = loss_of(Taught(how, material, None, network, CPU, remembered=knew), network, batch)
    theirs, ours = (said(each, batch)[:, [0, 2]] for each in (other, network))
    expected = 0.4 * far(theirs, ours, 3.0)
    assert expected > 0.1
    assert both - plain == pytest.approx(expected, rel=1e-2)  # answers are kept in half precision


def test_a_class_that_the_running_student_knew_is_kept_better_the_more_it_teaches(
    tmp_path: Path,
) -> None:
    """There is no scratch among what is shown later on: nothing else speaks of them."""
    rng = np.random.default_rng(0)
    targets = np.arange(36) % 3
    pixels = np.stack([draw(rng, ("good", "scratch", "spot")[c], SIDE) for c in targets])
    plates = Material(pixels, targets, np.arange(24), np.arange(24, 36), 3)
    how = student(model="test_resnet", alpha=0.0, temperature=2.0, views=1, imbalance="none")
    knows = opinionated(how.model)
    follow(Taught(how, plates, None, knows, CPU), knows, plates, plates.train, lr=3e-3)
    assert found(knows, plates) > 0.8
    others, kept = plates.train[targets[plates.train] != 1], []
    for weight in (0.0, 2.0):
        now = copy.deepcopy(knows)
        old = Remembered(teachers_of(knows, how, plates, tmp_path), [0, 1, 2], weight)
        follow(Taught(how, plates, None, now, CPU, remembered=old), now, plates, others, lr=1e-3)
        kept.append(found(now, plates))
    assert kept[0] < 0.2
    assert kept[1] > 0.6


def follow(
    taught: Taught, network: Network, material: Material, rows: NDArray[np.int64], *, lr: float
) -> None:
    """A dozen steps on these rows."""
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    batch = views_of(material, Mix()).batch(rows, 0)
    for _ in range(12):
        loss = taught(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def found(network: Network, material: Material) -> float:
    """Mean probability of a scratch, of those validated, where there is one."""
    rows = material.validation[material.targets[material.validation] == 1]
    says = softmax(predict(network, material.pixels, rows, CPU), axis=1)
    return float(says[:, 1].mean())


def test_a_hint_weighs_what_the_plan_says(
    material: Material, network: Network, other: Network, tmp_path: Path
) -> None:
    hint, batch = Hint(student="blocks.2", teacher="layer2"), batch_of(material)
    hints = Hints([hint], network, other, ImageSpec(width=SIDE, height=SIDE))
    losses = []
    for weight in (0.0, 0.25):
        how = student(hints=[hint], hint_weight=weight, views=1)
        asked = teachers_of(other, how, material, tmp_path)
        taught = Taught(how, material, asked, network, CPU, hints=hints)
        losses.append(loss_of(taught, network, batch))
    with torch.no_grad():
        with tapped(network, [hint.student], "student") as ours:
            network(batch.images)
        with tapped(other, [hint.teacher], "teacher") as theirs:
            other(batch.images)
    own, shown = ours[hint.student].numpy(), theirs[hint.teacher].numpy()
    assert own.shape[2:] == shown.shape[2:], "so nothing is pooled"
    weights, bias = (each.detach().numpy() for each in hints.parameters())
    projected = np.einsum("oc,bcyx->boyx", weights[:, :, 0, 0], own) + bias[:, None, None]
    error = np.square(projected - shown).mean() / np.square(shown).mean()
    assert losses[1] - losses[0] == pytest.approx(0.25 * error, rel=1e-4)


def test_peers_learn_the_labels_too_and_each_from_the_others_as_the_plan_weighs_it(
    material: Material, network: Network, other: Network
) -> None:
    batch = batch_of(material)
    three = (network, other, opinionated("resnet10t", seed=3))
    labels, losses = 0.0, []
    for each in three:
        alone = student(alpha=0.0)
        labels += loss_of(Taught(alone, material, None, each, CPU), each, batch)
    for weight in (0.0, 0.7):
        how = student(alpha=0.0, mutual_weight=weight)
        taught = Taught(how, material, None, network, CPU, peers=three[1:])
        losses.append(loss_of(taught, network, batch))
    assert losses[0] == pytest.approx(labels, rel=1e-5)
    answers = [said(each, batch) for each in three]
    expected = sum(
        np.mean([far(answers[j], answers[i], 1.0) for j in range(3) if j != i]) for i in range(3)
    )
    assert losses[1] - losses[0] == pytest.approx(0.7 * expected, rel=1e-4)


@pytest.mark.parametrize("tau", [0.0, 1.5])
def test_the_prior_of_training_is_taken_off_the_teachers_answers_as_often_as_the_plan_says(
    material: Material, network: Network, other: Network, tmp_path: Path, tau: float
) -> None:
    how, batch = student(alpha=1.0, temperature=2.0, rebalance=tau, views=1), batch_of(material)
    asked = teachers_of(other, how, material, tmp_path)
    loss = loss_of(Taught(how, material, asked, network, CPU), network, batch)
    without = said(other, batch) - tau * np.log(np.array(COUNTS) / sum(COUNTS))
    assert loss == pytest.approx(far(without, said(network, batch), 2.0), rel=1e-2)
    if tau:
        assert loss != pytest.approx(far(said(other, batch), said(network, batch), 2.0), rel=0.1)
