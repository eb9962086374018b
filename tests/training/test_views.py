"""Views are numbers, and a teacher is asked once about each."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from tests.training.plates import draw
from training.augment import Augmenter
from training.distill import LabelLoss, Taught
from training.fit import Machine
from training.material import Material
from training.models import Network, build
from training.plan import Step, read_plan
from training.plan_networks import Mix, Student
from training.teachers import Teachers
from training.views import Kept, Views, cutmix, mixup, principal

SIDE = 32
PLANS = Path(__file__).parents[2] / "training" / "plans"
CPU = Machine(torch.device("cpu"), 1)
STEPS = (Step(name="D4"), Step(name="RandomBrightnessContrast"))


@pytest.fixture(scope="module")
def material() -> Material:
    rng = np.random.default_rng(2)
    pixels = np.stack([draw(rng, label, SIDE) for label in ("good", "spot") for _ in range(8)])
    targets = np.repeat(np.arange(2), 8)
    rows = np.arange(16)
    return Material(pixels, targets, rows[::2], rows[1::2], 2)


def views_of(material: Material, mix: Mix, seed: int = 0) -> Views:
    augmenter = Augmenter(STEPS, ImageSpec(width=SIDE, height=SIDE), seed)
    return Views(material, augmenter, mix, seed)


def student(**keys: object) -> Student:
    return Student.model_validate({"model": "mobilenetv2_035", "epochs": 1, **keys})


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_view_is_the_same_whatever_was_drawn_before(material: Material, kind: str) -> None:
    mix = Mix.model_validate({"kind": kind, "share": 0.5})
    views = views_of(material, mix)
    first = views.batch(material.train, 3)
    views.batch(material.train[::-1], 4)
    again = next(views_of(material, mix).batches(material.train, 3, 8, threads=2))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.images, views.batch(material.train, 4).images)


def test_a_step_that_speaks_of_red_is_shown_red(material: Material) -> None:
    shift = {"r_shift_limit": (40, 40), "g_shift_limit": (0, 0), "b_shift_limit": (0, 0)}
    step = Step(name="RGBShift", options=shift)
    grey = np.full((SIDE, SIDE, 3), 100, np.uint8)
    view = Augmenter([step], ImageSpec(width=SIDE, height=SIDE), 0).view(grey, image=0, view=0)
    assert view[0, 0].tolist() == [100, 100, 140]  # BGR


def test_an_option_that_a_step_does_not_know_is_refused_and_not_left_out() -> None:
    step = Step(name="GaussNoise", options={"var_limit": (10, 50)})  # as it was once called
    words = r"plan: augment.0 'GaussNoise': Argument\(s\) 'var_limit' are not valid"
    with pytest.raises(ConfigError, match=words):
        Augmenter([step], ImageSpec(width=SIDE, height=SIDE), 0)


def test_only_what_steps_of_colour_teach_is_learned_anew() -> None:
    plan = read_plan(PLANS / "elpv_tiny.toml")
    assert plan.drawn_by == (plan.augment,)
    coloured = plan.model_copy(update={"augment": (*plan.augment, Step(name="HueSaturationValue"))})
    assert coloured.drawn_by == (coloured.augment, "rgb")


def test_the_shares_of_a_mixed_view_are_those_of_its_two_pictures(material: Material) -> None:
    batch = views_of(material, Mix(share=1.0)).batch(material.train, 0)
    assert batch.target.shape == (8, 2)
    assert torch.allclose(batch.target.sum(dim=1), torch.ones(8))
    assert ((batch.target > 0.0) & (batch.target < 1.0)).any()
    only = views_of(material, Mix(share=0.0)).batch(material.train, 0)
    assert only.target.tolist() == material.targets[material.train].tolist()


def test_mixup_weighs_two_pictures() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 200, np.uint8)
    assert (mixup(black, white, 0.25) == 150).all()


def test_cutmix_says_the_true_share_of_the_first_picture() -> None:
    black, white = np.zeros((40, 60, 3), np.uint8), np.full((40, 60, 3), 255, np.uint8)
    for seed in range(20):
        mixed, share = cutmix(black, white, 0.6, np.random.default_rng(seed))
        assert share == pytest.approx(float((mixed[..., 0] == 0).mean()))
        assert share >= 0.6 - 0.05  # a rectangle over the border is cut off there


def test_an_answer_is_kept_as_it_was_read(tmp_path: Path) -> None:
    rows = np.array([2, 5, 9])
    kept = Kept(tmp_path / "answers.npy", rows, views=2, width=3)
    assert kept.read(np.array([5]), 1) is None
    values = np.array([[0.1, -2.0, 3.3], [1.0, 2.0, 3.0]], np.float32)
    read = kept.write(np.array([9, 2]), 1, values)
    assert read == pytest.approx(values, rel=1e-3)
    again = Kept(tmp_path / "answers.npy", rows, views=2, width=3)
    found = again.read(np.array([9, 2]), 1)
    assert found is not None
    assert np.array_equal(found, read)
    assert again.read(np.array([9, 5]), 1) is None
    assert again.read(np.array([9]), 0) is None


def test_principal_directions_are_orthonormal_and_ordered_by_spread() -> None:
    rng = np.random.default_rng(0)
    features = (rng.normal(0, 1, (200, 6)) * [5, 1, 3, 0.1, 2, 0.5]).astype(np.float32)
    centre, basis = principal(features, 3)
    assert basis.T @ basis == pytest.approx(np.eye(3), abs=1e-5)
    assert np.abs(basis).argmax(axis=0).tolist() == [0, 2, 4]
    assert basis[[0, 2, 4], [0, 1, 2]].min() > 0.9
    assert centre == pytest.approx(features.mean(axis=0))


def teachers_of(network: Network, how: Student, material: Material, folder: Path) -> Teachers:
    dims = how.feature_dims if how.feature_weight else 0
    return Teachers([network], material, folder, ["fp32"], CPU, views=how.views, dims=dims)


def test_a_teacher_is_asked_once_about_a_view(material: Material, tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = build("resnet18", "none", 2)
    how = student(views=2, feature_weight=1.0, feature_dims=4)
    batch = views_of(material, Mix(share=0.5)).batch(material.train[:4], 1)
    first = teachers_of(teacher, how, material, tmp_path).of(batch)
    assert first.features is not None
    assert first.features.shape == (4, 4)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.zero_()  # it could not say the same again
    again = teachers_of(teacher, how, material, tmp_path).of(batch)
    assert again.features is not None
    assert torch.equal(first.logits, again.logits)
    assert torch.equal(first.features, again.features)
    live = teachers_of(teacher, student(views=0), material, tmp_path).of(batch)
    assert torch.equal(live.logits, torch.zeros(4, 2))


def test_several_teachers_answer_with_their_mean(material: Material, tmp_path: Path) -> None:
    torch.manual_seed(0)
    both = [build("resnet18", "none", 2).eval() for _ in range(2)]
    batch = views_of(material, Mix()).batch(material.train[:4], 0)
    teachers = Teachers(both, material, tmp_path, 2 * ["fp32"], CPU, views=0, dims=0)
    with torch.no_grad():
        mean = (both[0](batch.images) + both[1](batch.images)) / 2
    assert torch.allclose(teachers.of(batch).logits, mean, atol=1e-6)


def test_what_a_teacher_has_said_stays_said(tmp_path: Path) -> None:
    """Asked in another batch, of a balanced epoch or after a kill, its last digits may differ."""
    kept = Kept(tmp_path / "answers.npy", np.array([3, 5, 8]), 2, 1)
    first = kept.write(np.array([5, 3, 5]), 1, np.array([[1.0], [2.0], [1.5]], np.float32))
    assert first[0] == first[2]  # one answer to one view, whoever was first
    assert kept.read(np.array([8]), 1) is None
    later = kept.write(np.array([8, 5]), 1, np.array([[4.0], [9.0]], np.float32))
    assert later.tolist() == [[4.0], first[0].tolist()]
    assert kept.read(np.array([5]), 0) is None  # another view


def test_each_teacher_is_asked_in_a_precision_of_its_own(
    material: Material, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    both = [build("resnet18", "none", 2).eval() for _ in range(2)]
    batch = views_of(material, Mix()).batch(material.train[:4], 0)
    ways = {}
    for precisions in (["fp32", "fp32"], ["fp32", "bf16"], ["bf16", "bf16"]):
        asked = Teachers(both, material, tmp_path, precisions, CPU, views=0, dims=0)
        ways["".join(precisions)] = asked.of(batch).logits
    exact, mixed, coarse = ways.values()
    assert not torch.equal(exact, mixed)
    assert not torch.equal(mixed, coarse)


def test_labels_answers_and_features_are_weighed_as_the_plan_says(
    material: Material, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    how = student(alpha=0.75, temperature=2.0, feature_weight=0.5, feature_dims=4, views=1)
    network = build("mobilenetv2_035", "none", 2).eval()
    teachers = teachers_of(build("resnet18", "none", 2), how, material, tmp_path)
    batch = views_of(material, Mix()).batch(material.train[:4], 0)
    taught = Taught(how, material, teachers, network, CPU)
    with torch.no_grad():
        loss = float(taught(network, batch))
        logits, features = network.with_features(batch.images)
        answer = teachers.of(batch)
        hard = torch.nn.functional.cross_entropy(
            logits + torch.tensor([0.5, 0.5]).log(), batch.target
        )
        p, q = (torch.softmax(v / 2.0, 1) for v in (logits, answer.logits))
        soft = 4.0 * (q * (q / p).log()).sum() / 4
        assert answer.features is not None
        ours = torch.nn.functional.normalize(taught.projectors[0](features), dim=1)
        theirs = torch.nn.functional.normalize(answer.features, dim=1)
        apart = 1.0 - (ours * theirs).sum(dim=1).mean()
    assert loss == pytest.approx(float(0.25 * hard + 0.75 * soft + 0.5 * apart), rel=1e-4)


def test_the_temperature_glides_where_the_plan_gives_an_end(
    material: Material, tmp_path: Path
) -> None:
    how = student(temperature=10.0, temperature_end=1.0, views=1)
    network = build("mobilenetv2_035", "none", 2)
    teachers = teachers_of(build("resnet18", "none", 2), how, material, tmp_path)
    taught = Taught(how, material, teachers, network, CPU)
    seen = []
    for share in (0.0, 0.5, 1.0):
        taught.epoch_starts(share)
        seen.append(taught.soft.temperature)
    assert seen == pytest.approx([10.0, 5.5, 1.0])


@pytest.mark.parametrize("method", ["kl", "soft_labels", "mse", "standardised", "dist"])
def test_every_method_of_a_plan_teaches(material: Material, tmp_path: Path, method: str) -> None:
    torch.manual_seed(0)
    three = replace(material, classes=3, targets=np.arange(16) % 3, train=np.arange(12))
    network = build("mobilenetv2_035", "none", 3)
    teacher = build("resnet18", "none", 3)
    how = student(method=method, alpha=1.0, views=1, rebalance=0.5)
    asked = teachers_of(teacher, how, three, tmp_path)
    taught = Taught(how, three, asked, network, CPU)
    batch = views_of(three, Mix()).batch(three.train, 0)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-4)
    losses = []
    for _ in range(25):
        loss = taught(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < losses[0]


def test_severities_are_learned_beside_classes_and_mixed_like_pictures(material: Material) -> None:
    severity = np.where(material.targets == 1, 2 / 3, np.nan).astype(np.float32)
    rated = replace(material, severity=severity, good=(0,))
    batch = views_of(rated, Mix()).batch(rated.train, 0)
    assert batch.severity is not None
    assert batch.severity.isnan().tolist() == (rated.targets[rated.train] == 0).tolist()
    how = student(imbalance="none", severity_weight=0.5)
    logits = torch.randn(len(rated.train), 2, generator=torch.Generator().manual_seed(1))
    hard = torch.nn.functional.cross_entropy(logits, batch.target)
    bad = logits[batch.target == 1]
    p = torch.softmax(bad, dim=1)[:, 1]
    severe = -(2 / 3 * p.log() + 1 / 3 * (1 - p).log()).mean()
    loss = LabelLoss(how, rated)(logits, batch)
    assert float(loss) == pytest.approx(float(hard + 0.5 * severe), rel=1e-5)
    everywhere = replace(rated, severity=np.linspace(0, 1, 16).astype(np.float32))
    mixed = views_of(everywhere, Mix(share=1.0)).batch(rated.train, 0)
    assert mixed.severity is not None
    assert bool(((mixed.severity >= 0) & (mixed.severity <= 1)).all())
    with pytest.raises(ConfigError, match="no image of the data has a severity"):
        LabelLoss(how, material)


def test_pictures_without_a_label_do_not_thin_out_what_labels_say(material: Material) -> None:
    joined = material.joined(np.asarray(material.pixels[np.arange(4)]), np.arange(4), shown=4)
    rows = np.concatenate([material.train[:4], np.arange(16, 20)])
    batch = views_of(joined, Mix()).batch(rows, 0)
    assert batch.target[4:].abs().sum() == 0
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    ours = LabelLoss(student(imbalance="none"), joined)(logits, batch)
    theirs = torch.nn.functional.cross_entropy(logits[:4], batch.target[:4])
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
