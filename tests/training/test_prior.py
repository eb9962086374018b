"""How often each class comes is given back at export, to networks that were taught without it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inspector.contract.errors import ConfigError
from tests.training.plates import ALONE, draw, write_class_folders, written_plan
from training.cli import main
from training.export import INPUT, PROBABILITIES, open_session
from training.exported import Exported
from training.models import build
from training.prior import require_restorable

RESTORED = ALONE.replace("[export]", '[export]\nprior = "training"')


def test_answers_are_those_of_bayes_for_classes_that_come_so_often() -> None:
    torch.manual_seed(0)
    network, shares = build("resnet10t", "none", 3), np.array([0.9, 0.08, 0.02])
    images = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        alike = Exported(network, [0], 3).eval()(images)[0].numpy()
        network.prior = torch.from_numpy(np.log(shares)).float()
        found = Exported(network, [0], 3).eval()(images)[0].numpy()
        softer = Exported(network, [0], 3, 2.0).eval()(images)[0].numpy()
    by_hand = alike * shares / (alike * shares).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    root = np.sqrt(by_hand)  # the temperature comes after
    np.testing.assert_allclose(softer, root / root.sum(axis=1, keepdims=True), rtol=1e-5)


def test_a_release_restores_the_shares_of_its_training_set_and_trains_nothing_anew(
    tmp_path: Path,
) -> None:
    data = write_class_folders(tmp_path / "data")
    rng = np.random.default_rng(8)
    for i in range(36):  # good plates come four times as often
        cv2.imwrite(str(data / "good" / f"more{i}.png"), draw(rng, "good"))
    where = ["--data", str(data), "--out", str(tmp_path / "out")]
    answers = []
    for text in (ALONE, RESTORED):
        written_plan(tmp_path, text)
        before = set(tmp_path.glob("out/work/*"))
        assert main(["release", str(tmp_path / "plan.toml"), *where]) == 0
        made = {path.name.rpartition("-")[0] for path in set(tmp_path.glob("out/work/*")) - before}
        (model,) = (
            path / "model.onnx" for path in set(tmp_path.glob("out/work/export-student-*")) - before
        )
        pixels = np.full((1, 64, 64, 3), 128, np.uint8)
        session = open_session(model)
        answers.append(session.run([PROBABILITIES], {INPUT: pixels})[0][0])
    assert "student" not in made
    assert {"calibrate-student", "export-student", "answers-student"} <= made
    (found,) = (
        each
        for path in tmp_path.glob("out/work/calibrate-student-*/temperature.json")
        if (each := json.loads(path.read_text(encoding="utf-8")))["prior"]
    )
    (split,) = tmp_path.glob("out/work/split-*/split.json")
    (scan,) = tmp_path.glob("out/work/scan-*/scan.json")
    kept = json.loads(scan.read_text(encoding="utf-8"))["kept"]
    train = [kept[i].split("/")[0] for i in json.loads(split.read_text(encoding="utf-8"))["train"]]
    shares = [train.count(label) / len(train) for label in ("good", "scratch", "spot")]
    np.testing.assert_allclose(np.exp(found["prior"]), shares, rtol=1e-4)
    assert found["sentence"].endswith("the class shares of training are given back")
    assert shares[0] == pytest.approx(2 / 3, abs=0.05)
    assert answers[1][0] > answers[0][0]  # good comes most often


def test_networks_that_answer_for_the_mix_anyway_are_left_alone(tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "data")
    plan = RESTORED.replace("alpha = 0.0", 'alpha = 0.0\nimbalance = "none"')
    written_plan(tmp_path, plan)
    where = ["--data", str(data), "--out", str(tmp_path / "out")]
    assert main(["release", str(tmp_path / "plan.toml"), *where]) == 0
    (path,) = tmp_path.glob("out/work/calibrate-student-*/temperature.json")
    assert json.loads(path.read_text(encoding="utf-8"))["prior"] == []


@pytest.mark.parametrize("imbalance", ["class_weights", "effective_number"])
def test_what_weights_did_to_the_answers_cannot_be_taken_back(
    tmp_path: Path, imbalance: str
) -> None:
    plan = written_plan(
        tmp_path, RESTORED.replace("alpha = 0.0", f'alpha = 0.0\nimbalance = "{imbalance}"')
    )
    with pytest.raises(ConfigError, match=rf"export\.prior 'training' .*{imbalance}"):
        require_restorable(plan)
    require_restorable(
        plan.model_copy(update={"export": plan.export.model_copy(update={"prior": "uniform"})})
    )
