"""A picture looked at several times ships as one graph that knows no left and right."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from inspector.contract.bundle import read_bundle
from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from tests.training import plates
from tests.training.plates import write_class_folders, written_plan
from tests.training.untrained import SPEC, opinionated, pictures
from training.cli import main
from training.compress.quantize import head_nodes
from training.export import DEFECT_MAP, INPUT, PROBABILITIES, export_onnx, open_session
from training.exported import Exported
from training.latency import operations_of
from training.looks import LOOKS, averaged, never_shown, seen
from training.models import macs, settle_padding
from training.plan import read_plan
from training.plan_export import Tta
from training.workable import require_workable

SEVERAL: list[Tta] = ["left_right", "flips", "turns"]
ALONE = plates.ALONE.replace('"D4"', '"HorizontalFlip"')


@pytest.mark.parametrize("tta", SEVERAL)
def test_looks_are_undone_where_the_picture_lies(tta: Tta) -> None:
    maps = pictures(3).permute(0, 3, 1, 2).double()
    shown = seen(pictures(3), tta).permute(0, 3, 1, 2).double()
    assert len(shown) == 3 * len(LOOKS[tta])
    assert len({each.numpy().tobytes() for each in shown}) == len(shown)
    assert torch.equal(averaged(shown, tta), maps)


@pytest.mark.parametrize("tta", SEVERAL)
def test_with_a_linear_head_the_answer_is_the_mean_of_the_looks_logits(tta: Tta) -> None:
    network, images = opinionated("resnet18"), pictures(2)
    with torch.no_grad():
        each = network(seen(images, tta)).reshape(len(LOOKS[tta]), 2, 3)
        network.tta = tta
        together = network(images)
    assert each.std(dim=0).max() > 1e-3
    torch.testing.assert_close(together, each.mean(dim=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["resnet18", "tf_mobilenetv3_small_075"])
@pytest.mark.parametrize("tta", SEVERAL)
def test_the_graph_says_the_same_of_a_mirrored_part_and_mirrors_its_map(
    tmp_path: Path, model: str, tta: Tta
) -> None:
    network = opinionated(model)
    settle_padding(network, SPEC)
    once = macs(network, SPEC)
    network.tta = tta
    made = Exported(network, [0], 3).eval()
    assert macs(network, SPEC) == pytest.approx(len(LOOKS[tta]) * once, rel=0.12)  # but one head
    made.learn_map([pictures(8)], [pictures(8)])
    # what is usual in each cell is learned; of few pictures it is no more symmetric than they are
    made.centre, made.scale = made.centre.mean() + 0 * made.centre, 1 + 0 * made.scale
    path = tmp_path / "model.onnx"
    export_onnx(made, SPEC, path)
    session, images = open_session(path), pictures(5).numpy()
    asked = [PROBABILITIES, DEFECT_MAP]
    for batch in (1, 5):
        upright = session.run(asked, {INPUT: images[:batch]})
        mirrored = session.run(asked, {INPUT: np.ascontiguousarray(images[:batch, :, ::-1])})
        np.testing.assert_allclose(upright[0], mirrored[0], atol=1e-4)
        np.testing.assert_allclose(upright[1], mirrored[1][:, :, ::-1], atol=1e-4)
        with torch.no_grad():
            ours = made(torch.from_numpy(images[:batch]))
        np.testing.assert_allclose(upright[0], ours[0].numpy(), atol=1e-4)


def test_a_profile_and_the_search_for_int8_know_the_graph_of_several_looks(tmp_path: Path) -> None:
    found = {}
    for tta in ("off", "flips"):
        network = opinionated("tf_mobilenetv3_small_075")
        settle_padding(network, SPEC)
        network.tta = tta
        made = Exported(network, [0], 3).eval()
        made.learn_map([pictures(4)], [pictures(4)])
        path = tmp_path / f"{tta}.onnx"
        export_onnx(made, SPEC, path)
        convolutions = sum(op.macs for op in operations_of(path) if op.kind != "linear")
        found[tta] = convolutions, [name for name in head_nodes(path) if "Gemm" in name]
    # the hidden layer of the head is a convolution, and computed once
    assert 3.5 < found["flips"][0] / found["off"][0] <= 4.0
    assert found["flips"][1] == found["off"][1] != []


def test_a_release_with_several_looks_trains_nothing_anew_and_says_so_in_the_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_class_folders(tmp_path / "data")
    plan = tmp_path / "plan.toml"
    order = ["release", str(plan), "--data", str(data), "--out", str(tmp_path / "out")]
    plan.write_text(ALONE, encoding="utf-8")
    assert main(order) == 0
    before = set(tmp_path.glob("out/work/*"))
    plan.write_text(ALONE.replace("[export]", '[export]\ntta = "flips"'), encoding="utf-8")
    assert main(order) == 0
    made = {path.name.rpartition("-")[0] for path in set(tmp_path.glob("out/work/*")) - before}
    assert {"calibrate-student", "novelty", "export-student", "answers-student"} <= made
    assert "student" not in made
    bundles = {
        bundle.manifest.model.architecture: bundle
        for folder in tmp_path.glob("out/bundles/*")
        if (bundle := read_bundle(folder))
    }
    once, several = sorted(bundles, key=len)
    assert several == f"{once} + tta flips"
    session = open_session(bundles[several].folder / "model.onnx")
    image = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)
    answers = [session.run(None, {INPUT: np.ascontiguousarray(image[:, ::k])}) for k in (1, -1)]
    np.testing.assert_allclose(answers[0][0], answers[1][0], atol=1e-4)
    report = json.loads((tmp_path / "out/report/report.json").read_text(encoding="utf-8"))
    assert report["models"][-1]["architecture"] == several
    never = never_shown("flips", [each.name for each in read_plan(plan).augment])
    assert never == "up and down"
    assert f"as [[augment]] never draws them ({never})" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tta", "drawn", "missing"),
    [
        ("off", [], ""),
        ("flips", ["HorizontalFlip"], "up and down"),
        ("flips", ["HorizontalFlip", "VerticalFlip"], ""),
        ("turns", ["HorizontalFlip", "VerticalFlip"], "turned"),
        ("turns", ["D4"], ""),
    ],
)
def test_looks_that_training_never_draws_are_named(
    tta: Tta, drawn: list[str], missing: str
) -> None:
    assert never_shown(tta, drawn) == missing


def test_quarter_turns_of_oblong_pictures_and_networks_without_a_map_are_refused(
    tmp_path: Path,
) -> None:
    oblong = ALONE.replace("height = 64", "height = 32")
    assert oblong != ALONE
    with pytest.raises(ConfigError, match=r"export\.tta 'turns': quarter turns need square"):
        written_plan(tmp_path, oblong.replace("[export]", '[export]\ntta = "turns"'))
    plan = written_plan(tmp_path, ALONE.replace("[export]", '[export]\ntta = "flips"'))
    require_workable(plan)
    student = plan.student.model_copy(update={"model": "vit_tiny_patch16_224", "weights": "none"})
    image = ImageSpec(width=224, height=224)
    blind = plan.model_copy(update={"student": student, "image": image})
    with pytest.raises(ConfigError, match=r"export\.tta 'flips': .*vit_tiny.* no last feature map"):
        require_workable(blind)
    with pytest.raises(ConfigError, match=r"student\.model 'vit_tiny.* pictures of 64x64"):
        require_workable(blind.model_copy(update={"image": plan.image}))
