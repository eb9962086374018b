"""Hints of layers by name: what is tapped, how shapes meet, what a wrong name is told."""

import copy

import pytest
import torch
from torch import Tensor

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.features import PENULTIMATE, Hints, tapped
from training.models import Network, build
from training.plan_networks import Hint

SPEC = ImageSpec(width=64, height=64)


@pytest.fixture(scope="module")
def student() -> Network:
    torch.manual_seed(0)
    return build("mobilenetv2_035", "none", classes=3).eval()


@pytest.fixture(scope="module")
def teacher() -> Network:
    torch.manual_seed(1)
    return build("resnet18", "none", classes=3).eval()


def pictures(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (n, 64, 64, 3), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def test_what_is_tapped_is_what_the_layer_put_out(student: Network) -> None:
    images = pictures(2)
    with tapped(student, ["blocks.2", PENULTIMATE], "student") as seen:
        logits, features = student.with_features(images)
        assert torch.equal(seen[PENULTIMATE][:, :, 0, 0], features)
        again = student(images)
    rest = student.prepare(images)
    for name in ("conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2"):
        rest = student.trunk.get_submodule(name)(rest)
    assert torch.allclose(seen["blocks.2"], rest, atol=1e-5)
    assert torch.allclose(logits, again, atol=1e-6)


def test_nothing_is_left_on_the_network_afterwards(student: Network) -> None:
    with tapped(student, ["blocks.2"], "student") as seen, torch.no_grad():
        student(pictures(1))
        before = seen["blocks.2"]
    with torch.no_grad():
        student(pictures(2))
    assert seen["blocks.2"] is before
    assert not any(layer._forward_hooks for layer in copy.deepcopy(student).modules())


def test_shapes_meet_by_themselves(student: Network, teacher: Network) -> None:
    hints = Hints(
        [
            Hint(student="blocks.2", teacher="layer3"),
            Hint(student=PENULTIMATE, teacher=PENULTIMATE),
        ],
        student,
        teacher,
        SPEC,
    )
    shapes = [tuple(p.shape) for p in hints.parameters() if p.ndim == 4]
    assert shapes == [(256, 16, 1, 1), (512, 1280, 1, 1)]
    loss = hints(*seen_by_both(hints, student, teacher))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.any() for p in hints.parameters())


def seen_by_both(
    hints: Hints, student: Network, teacher: Network
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    with tapped(student, [h.student for h in hints.hints], "student") as ours:
        student(pictures(2))
    with tapped(teacher, [h.teacher for h in hints.hints], "teacher") as theirs:
        teacher(pictures(2))
    return ours, theirs


def test_a_hint_is_worked_out_by_hand(student: Network, teacher: Network) -> None:
    hints = Hints([Hint(student="blocks.2", teacher="layer3")], student, teacher, SPEC)
    weight, bias = hints.parameters()
    with torch.no_grad():
        weight.zero_()
        weight[0, 0] = 2.0
        bias.zero_()
    ours, theirs = torch.zeros(1, 16, 2, 2), torch.zeros(1, 256, 1, 1)
    ours[0, 0] = torch.tensor([[0.0, 1.0], [2.0, 3.0]])  # the mean, 1.5, doubled is 3
    theirs[0, 0], theirs[0, 1] = 4.0, 2.0
    # errors 1 and 2 against 4 and 2: (1 + 4) / (16 + 4)
    value = hints({"blocks.2": ours}, {"layer3": theirs})
    assert float(value.detach()) == pytest.approx(5 / 20)


def test_a_student_that_says_nothing_costs_one_at_any_scale(
    student: Network, teacher: Network
) -> None:
    hints = Hints([Hint(student="blocks.2", teacher="layer3")], student, teacher, SPEC)
    with torch.no_grad():
        for parameter in hints.parameters():
            parameter.zero_()
        ours, theirs = seen_by_both(hints, student, teacher)
        assert float(hints(ours, theirs)) == pytest.approx(1.0)
        assert float(hints(ours, {"layer3": 1e3 * theirs["layer3"]})) == pytest.approx(1.0)
        assert float(hints(ours, {"layer3": 0.0 * theirs["layer3"]})) == 0.0


def test_the_teacher_gets_no_gradient(student: Network, teacher: Network) -> None:
    hints = Hints([Hint(student="blocks.2", teacher="layer3")], student, teacher, SPEC)
    ours, theirs = seen_by_both(hints, student, teacher)
    hints(ours, theirs).backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert any(p.grad is not None for p in student.parameters())
    student.zero_grad(set_to_none=True)


def test_asking_for_shapes_leaves_the_networks_as_they_were(teacher: Network) -> None:
    student = build("mobilenetv2_035", "none", classes=3).train()
    before = copy.deepcopy(student.state_dict())
    Hints([Hint(student="blocks.2", teacher="layer3")], student, teacher, SPEC)
    assert student.training
    assert not teacher.training
    assert all(torch.equal(before[k], v) for k, v in student.state_dict().items())


@pytest.mark.parametrize(
    ("name", "near"),
    [("layer9", "layer1"), ("blocks.2", "conv1, bn1"), ("layer3.0.convs1", r"layer3\.0\.conv1")],
)
def test_a_wrong_name_is_told_the_names_near_it(
    student: Network, teacher: Network, name: str, near: str
) -> None:
    with pytest.raises(ConfigError, match=f"the teacher has no layer {name!r}; near: .*{near}"):
        Hints([Hint(student="blocks.2", teacher=name)], student, teacher, SPEC)


@pytest.mark.parametrize("model", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_token_model_has_no_map_to_give(model: str, student: Network) -> None:
    tokens = build(model, "none", classes=2)
    spec = ImageSpec(width=224, height=224)
    layer = "blocks.2" if model.startswith("vit") else "layers.1"
    with pytest.raises(ConfigError, match="a hint needs a convolution's map"):
        Hints([Hint(student="blocks.2", teacher=layer)], student, tokens, spec)


def test_a_layer_that_never_runs_is_refused(teacher: Network, student: Network) -> None:
    student = copy.deepcopy(student)
    student.trunk.add_module("idle", torch.nn.Conv2d(3, 3, 1))
    with pytest.raises(ConfigError, match="the student's layer 'idle' never runs"):
        Hints([Hint(student="idle", teacher="layer3")], student, teacher, SPEC)
