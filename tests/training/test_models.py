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
from training.export import DEFECT_MAP, INPUT, PROBABILITIES, export_onnx, open_session
from training.models import Exported, build, macs, require_map, settle_padding

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


def test_scaling_and_channel_order_are_inside_the_network() -> None:
    network = build("mobilenetv2_035", "none", classes=2)
    image = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    image[..., 2] = 255  # red, as OpenCV orders channels
    seen: Tensor = network.prepare(image)[0, :, 0, 0]
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = [(v - m) / s for v, m, s in zip((1.0, 0.0, 0.0), mean, std, strict=True)]
    assert torch.allclose(seen, torch.tensor(expected), atol=1e-5)


@pytest.mark.parametrize("model", ["mobilenetv2_035", "mobilenetv4_conv_small_050", "resnet18"])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_exported_graph_answers_like_torch(tmp_path: Path, model: str, batch: int) -> None:
    torch.manual_seed(2)
    network = build(model, "none", classes=3).eval()
    path = tmp_path / "model.onnx"
    exported = Exported(network, [0], classes=3)
    exported.learn_usual([torch.from_numpy(pictures(5))])
    export_onnx(exported, SPEC, path)
    images = pictures(batch)
    probabilities, maps = open_session(path).run([PROBABILITIES, DEFECT_MAP], {INPUT: images})
    with torch.no_grad():
        ours, our_maps = exported(torch.from_numpy(images))
    assert probabilities.shape == (batch, 3)
    assert np.allclose(probabilities, ours.numpy(), atol=1e-4)
    assert np.allclose(maps, our_maps.numpy(), atol=1e-3)
    assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)


def test_the_map_of_a_single_cell_is_the_score_of_the_picture() -> None:
    network = build("mobilenetv2_035", "none", classes=3).eval()
    small = torch.from_numpy(pictures(2)[:, :32, :32])  # stride 32: one cell
    with torch.no_grad():
        probabilities, maps = Exported(network, [0, 2], classes=3)(small)
    assert maps.shape == (2, 1, 1)
    score = 1.0 - probabilities[:, [0, 2]].sum(dim=1)
    assert torch.allclose(maps[:, 0, 0], score, atol=1e-6)


def test_a_cell_that_is_as_usual_is_dark_wherever_it_lies() -> None:
    network = build("resnet18", "none", classes=2).eval()
    exported = Exported(network, [0], classes=2).eval()
    good = torch.from_numpy(pictures(40))
    exported.learn_usual([good[:20], good[20:]])
    with torch.no_grad():
        _, maps = exported(good)
        usual = torch.sigmoid(torch.tensor(-3.0))
        # log-odds are three spreads below the middle on average, in every cell alike
        assert torch.allclose(torch.logit(maps).mean(dim=0), torch.logit(usual), atol=1e-3)
        assert (maps > 0.5).float().mean() < 0.02


def test_a_student_without_a_feature_map_is_refused() -> None:
    network = build("vit_tiny_patch16_224", "none", classes=2)
    with pytest.raises(ConfigError, match="a student needs a convolutional feature map"):
        require_map(network, ImageSpec(width=224, height=224))


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
