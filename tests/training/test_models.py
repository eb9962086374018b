"""Networks, weights from a file, and the graph that the station runs."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.compress.quantize import calibration_rows
from training.models import build, macs, settle_padding
from training.workable import require_taken

SPEC = ImageSpec(width=64, height=64)


def pictures(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 64, 64, 3), np.uint8)


def test_weights_from_a_file_are_taken_but_for_the_head(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = build("mobilenetv2_035", "none", classes=1000)
    torch.save(first.trunk.state_dict(), tmp_path / "w.pth")
    second = build("mobilenetv2_035", str(tmp_path / "w.pth"), classes=3)
    ours, theirs = first.trunk.state_dict(), second.trunk.state_dict()
    differ = [k for k in theirs if theirs[k].shape != ours[k].shape]
    assert all(k.startswith("classifier") for k in differ)
    assert torch.equal(ours["conv_stem.weight"], theirs["conv_stem.weight"])


@pytest.mark.parametrize("model", ["mobilenetv2_035", "tf_mobilenetv3_small_075", "resnet18"])
@pytest.mark.parametrize("classes", [2, 6])
def test_a_fresh_head_begins_without_an_opinion(model: str, classes: int) -> None:
    torch.manual_seed(0)
    network = build(model, "none", classes).train()
    with torch.no_grad():
        logits = network(torch.from_numpy(pictures(8)))
    loss = -logits.log_softmax(dim=1).mean()  # whatever the labels are
    assert float(loss) < math.log(classes) + 0.1


def test_weights_of_another_model_are_refused_in_words(tmp_path: Path) -> None:
    other = build("resnet18", "none", classes=3)
    torch.save(other.trunk.state_dict(), tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="are of another model: "):
        build("mobilenetv2_035", str(tmp_path / "w.pth"), classes=3)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (b"", "is no file of weights, or is damaged"),
        (b"<!doctype html>", "is no file of weights, or is damaged"),
        ([1, 2], "is no file of weights, or is damaged"),
        (
            {"epoch": 3, "net": {}},
            "tensors by name, alone or under state_dict or model; 'epoch' is",
        ),
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_that_holds_no_weights_is_refused_in_words(
    tmp_path: Path, name: str, kept: object, words: str
) -> None:
    path = tmp_path / name
    if isinstance(kept, bytes):
        path.write_bytes(kept)
    else:
        torch.save(kept, path)
        words = words if name == "w.pth" else "is no file of weights, or is damaged"
    with pytest.raises(ConfigError, match=words):
        build("mobilenetv2_035", str(path), classes=3)


@pytest.mark.parametrize(
    "model", ["deit_tiny_distilled_patch16_224", "dla34", "efficientvit_m0", "shvit_s1"]
)
def test_a_model_of_which_nothing_could_ship_is_refused_before_it_is_trained(model: str) -> None:
    network = build(model, "none", classes=2)
    with pytest.raises(ConfigError, match=r"student\.model: its classes are not said by one head"):
        require_taken(network, ImageSpec(width=224, height=224), "student.model")


def test_a_model_that_no_network_of_ours_can_be_made_of_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=r"model 'lambda_resnet26t': required rank 4 .* another"):
        build("lambda_resnet26t", "none", classes=2)


@pytest.mark.parametrize(
    "model", ["mobilenetv2_035", "vit_tiny_patch16_224", "mobileone_s0", "repvit_m0_9"]
)
def test_a_model_with_one_head_is_taken(model: str) -> None:
    network = build(model, "none", classes=2)
    require_taken(network, ImageSpec(width=224, height=224), "student.model")


def test_scaling_and_channel_order_are_inside_the_network() -> None:
    network = build("mobilenetv2_035", "none", classes=2)
    image = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    image[..., 2] = 255  # red, as OpenCV orders channels
    seen: Tensor = network.prepare(image)[0, :, 0, 0]
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = [(v - m) / s for v, m, s in zip((1.0, 0.0, 0.0), mean, std, strict=True)]
    assert torch.allclose(seen, torch.tensor(expected), atol=1e-5)


def test_multiply_accumulates_are_counted_as_published() -> None:
    network = build("resnet18", "none", classes=1000)
    published = 1.82e9  # He et al. 2016 at 224 pixels
    assert macs(network, ImageSpec(width=224, height=224)) == pytest.approx(published, rel=0.01)


def test_calibration_takes_every_class_evenly() -> None:
    targets = np.array([0] * 90 + [1] * 10)
    rows = calibration_rows(np.arange(100), targets, wanted=20, seed=0)
    assert np.bincount(targets[rows]).tolist() == [10, 10]


@pytest.mark.parametrize("side", [64, 75])
def test_same_padding_is_settled_without_changing_what_is_computed(side: int) -> None:
    torch.manual_seed(0)
    network = build("tf_efficientnet_lite0", "none", 2).eval()
    images = torch.randint(0, 256, (2, side, side + 9, 3), dtype=torch.uint8)
    with torch.no_grad():
        before = network(images)
        assert settle_padding(network, ImageSpec(width=side + 9, height=side)) == 5
        after = network(images)
    assert torch.allclose(before, after, atol=1e-6)
    assert settle_padding(network, ImageSpec(width=side + 9, height=side)) == 0
