"""The graph that the station runs: what it says of a picture, and where on it the defect is."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from inspector.contract.errors import ConfigError, TrainingError
from inspector.contract.image import ImageSpec
from training.export import (
    DEFECT_MAP,
    INPUT,
    NOVELTY,
    PROBABILITIES,
    export_onnx,
    has_map,
    open_session,
    require_parity,
)
from training.exported import Exported
from training.models import build
from training.novelty import learn
from training.plan import read_plan
from training.reparam import reparameterised
from training.workable import require_workable

SPEC = ImageSpec(width=64, height=64)
LINEAR_HEADS = ["mobilenetv2_035", "resnet18", "tf_efficientnet_lite0"]
HIDDEN_HEADS = ["tf_mobilenetv3_small_075", "mobilenetv4_conv_small_050", "lcnet_050"]
"""Their heads have a hidden layer behind the mean."""


def pictures(n: int) -> torch.Tensor:
    made = np.random.default_rng(0).integers(0, 256, (n, 64, 64, 3), np.uint8)
    return torch.from_numpy(made)


def exported(model: str, good: list[int], classes: int) -> Exported:
    """Untrained, but for a map."""
    torch.manual_seed(2)
    made = Exported(reparameterised(build(model, "none", classes)), good, classes).eval()
    with torch.no_grad():  # a fresh head has no opinion, and so no map
        made.network.trunk.get_classifier().weight.normal_()  # type: ignore[operator]
    made.learn_map([pictures(8)], [pictures(12)[8:]])
    return made


@pytest.mark.parametrize("model", ["mobilenetv2_035", "resnet18", *HIDDEN_HEADS[:2]])
def test_the_exported_graph_answers_like_torch(tmp_path: Path, model: str) -> None:
    made, path = exported(model, [0], 3), tmp_path / "model.onnx"
    export_onnx(made, SPEC, path)
    session = open_session(path)
    for batch in (1, 3):
        images = pictures(batch)
        found = session.run([PROBABILITIES, DEFECT_MAP], {INPUT: images.numpy()})
        with torch.no_grad():
            ours, our_maps = made(images)
        assert found[0].shape == (batch, 3)
        assert np.allclose(found[0], ours.numpy(), atol=1e-4)
        assert np.allclose(found[1], our_maps.numpy(), atol=1e-3)
        assert np.allclose(found[0].sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("model", LINEAR_HEADS)
def test_behind_a_linear_head_the_cells_are_the_pictures_own_logits_by_their_place(
    model: str,
) -> None:
    made = exported(model, [0], 2)
    with torch.no_grad():
        features = made.network.last_map(pictures(4))
        logits, _ = made.network.answer(features)
        # with one good class and one defect the log-odds are their difference: nothing is bent
        margins = made._margins(features)
    expected = logits[:, 1] - logits[:, 0]
    assert margins.mean(dim=(1, 2)).numpy() == pytest.approx(expected.numpy(), abs=1e-4)


@pytest.mark.parametrize("model", HIDDEN_HEADS)
def test_behind_a_hidden_layer_the_cells_follow_the_pictures_logits(model: str) -> None:
    made = exported(model, [0], 2)
    seen = torch.cat([pictures(24), pictures(24) // 4, 255 - pictures(24) // 6])
    with torch.no_grad():
        features = made.network.last_map(seen)
        logits, _ = made.network.answer(features)
        margins = made._margins(features).mean(dim=(1, 2))
    assert np.corrcoef(margins.numpy(), (logits[:, 1] - logits[:, 0]).numpy())[0, 1] > 0.9


def test_a_map_leaves_probabilities_and_novelty_as_they_are_to_the_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, images = build("tf_mobilenetv3_small_075", "none", 3).eval(), pictures(6)
    with torch.no_grad():
        _, features = network.with_features(images)
    novelty = learn(features.numpy(), np.arange(6) % 3)
    answers = []
    for name in ("without", "with"):
        made = Exported(network, [0], 3, 1.5, novelty).eval()
        if name == "with":
            made.learn_map([images], [images])
        export_onnx(made, SPEC, tmp_path / f"{name}.onnx")
        assert has_map(tmp_path / f"{name}.onnx") is (name == "with")
        session = open_session(tmp_path / f"{name}.onnx")
        answers.append(session.run([PROBABILITIES, NOVELTY], {INPUT: images.numpy()}))
    for without, with_it in zip(*answers, strict=True):
        assert without.tobytes() == with_it.tobytes()


def test_a_map_costs_next_to_nothing(tmp_path: Path) -> None:
    """The head itself on each cell took 3.4 times as long as the network."""
    torch.manual_seed(0)
    network = build("mobilenetv4_conv_small", "none", 6).eval()
    sessions = []
    for name in ("without", "with"):
        made = Exported(network, [0], 6).eval()
        if name == "with":
            made.learn_map([pictures(4)], [pictures(4)])
        export_onnx(made, SPEC, tmp_path / f"{name}.onnx")
        sessions.append(open_session(tmp_path / f"{name}.onnx"))
    least = [1e9, 1e9]
    image = pictures(1).numpy()
    for _ in range(60):
        for i, session in enumerate(sessions):
            began = time.thread_time()
            session.run(None, {INPUT: image})
            least[i] = min(least[i], time.thread_time() - began)
    assert least[1] < 1.3 * least[0]


def test_a_cell_that_is_as_usual_is_dark_wherever_it_lies() -> None:
    network = build("resnet18", "none", classes=2).eval()
    made, good = Exported(network, [0], classes=2).eval(), pictures(40)
    made.learn_map([good[:8]], [good[:20], good[20:]])
    with torch.no_grad():
        _, maps = made(good)
        usual = torch.sigmoid(torch.tensor(-3.0))
        # log-odds are three spreads below the middle on average, in every cell alike
        assert torch.allclose(torch.logit(maps).mean(dim=0), torch.logit(usual), atol=1e-3)
        assert (maps > 0.5).float().mean() < 0.02


def test_a_network_without_cells_is_exported_without_a_map(tmp_path: Path) -> None:
    network = build("vit_tiny_patch16_224", "none", classes=2).eval()
    made = Exported(network, [0], classes=2).eval()
    images = torch.zeros(1, 224, 224, 3, dtype=torch.uint8)
    made.learn_map([images], [images])
    export_onnx(made, ImageSpec(width=224, height=224), tmp_path / "model.onnx")
    assert not has_map(tmp_path / "model.onnx")
    assert require_parity(made, tmp_path / "model.onnx", images.numpy()) < 1e-3


def test_a_model_that_onnx_has_no_words_for_is_refused_in_ours(tmp_path: Path) -> None:
    network = build("test_vit", "none", classes=2)  # fits its positions to the picture, bicubic
    words = "cannot be written as ONNX, .* at 64x64: .*bicubic.*; take another model"
    with pytest.raises(TrainingError, match=words):
        export_onnx(Exported(network, [0], 2), SPEC, tmp_path / "model.onnx")


def test_a_model_that_onnx_has_no_words_for_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    for key in ("teacher", "student"):
        plan = tmp_path / f"{key}.toml"
        lines = ['name = "p"', 'good = ["good"]', "[image]", "width = 64", "height = 64"]
        for section in ("teacher", "student"):
            model = "test_vit" if section == key else "resnet10t"
            lines += [f"[{section}]", f'model = "{model}"', 'weights = "none"', "epochs = 1"]
        plan.write_text("\n".join(lines))
        with pytest.raises(ConfigError, match=f"plan: .*{key}.* at 64x64: .*bicubic"):
            require_workable(read_plan(plan))
