"""How often each class comes is given back at export, to networks that were taught without it."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from tests.training.plates import ALONE, draw, write_class_folders, written_plan
from tests.training.releases import Release, run, short
from training import teaching
from training.cli import main
from training.export import INPUT, PROBABILITIES, open_session
from training.exported import Exported
from training.handover import Networks, write_networks
from training.job import Work
from training.learning import learn_as_student
from training.models import build
from training.prior import require_restorable, student_leaves_prior_out

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


SAME = "could not be given back; write the same for both"


@pytest.mark.parametrize(
    ("teacher", "student", "words"),
    [
        ("", "", None),
        ('imbalance = "none"', "", f"learns from labels, and is in .* from teacher .*{SAME}"),
        ("", 'imbalance = "none"', f"learns from teacher, and is in .* from labels .*{SAME}"),
        ("", 'imbalance = "none"\nalpha = 0.0', None),  # there is no teacher then
        ('imbalance = "none"', 'imbalance = "none"', None),
        ('imbalance = "none"\nsampling = "balanced"', "", None),
        ('imbalance = "none"', "rebalance = 1.0", None),  # taken off whole
        ('imbalance = "none"', "rebalance = 4.0", "rebalance 0 or 1: what 4 does"),
        ('imbalance = "class_weights"', "", "teacher.imbalance 'logit_adjustment' or 'none'"),
    ],
)
def test_what_a_student_learns_of_teacher_and_labels_must_both_be_with_the_prior_or_without(
    tmp_path: Path, teacher: str, student: str, words: str | None
) -> None:
    text = short().replace("[export]", '[export]\nprior = "training"')
    text = text.replace("[teacher]", f"[teacher]\n{teacher}")
    plan = written_plan(tmp_path, text.replace("[student]", f"[student]\n{student}"))
    if words is None:
        require_restorable(plan)
        return
    with pytest.raises(ConfigError, match=words):
        require_restorable(plan)


def test_a_further_teacher_is_held_to_the_same_prior(tmp_path: Path) -> None:
    text = short().replace("[export]", '[export]\nprior = "training"')
    other = '[[ensemble]]\nmodel = "resnet10t"\nweights = "none"\nepochs = 1\nimbalance = "none"\n'
    plan = written_plan(tmp_path, text.replace("[student]", f"{other}[student]"))
    with pytest.raises(ConfigError, match="is in what it learns from ensemble"):
        require_restorable(plan)


def test_of_a_handed_teacher_its_release_says_whether_the_prior_is_in_its_answers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_class_folders(tmp_path / "data")
    plain = short().replace("[teacher]", '[teacher]\nimbalance = "none"')
    before = run(tmp_path, plain, data, "before")
    handed = short().replace("[teacher]", f'[teacher]\nhanded = "{before.networks}"')
    restored = handed.replace("[export]", '[export]\nprior = "training"')
    arguments = ["release", str(tmp_path / "plan.toml"), "--data", str(data)]
    arguments += ["--out", str(tmp_path / "out")]
    written_plan(tmp_path, restored)
    assert main(arguments) == 78
    assert "is in what it learns from teacher" in capfd.readouterr().err
    rebalanced = handed.replace("[student]", "[student]\nrebalance = 1.0")
    written_plan(tmp_path, rebalanced.replace("[export]", '[export]\nprior = "training"'))
    assert main(arguments) == 0
    next_one = Release(tmp_path / "out", data)
    facts = json.loads((next_one.networks / "networks.json").read_text(encoding="utf-8"))
    assert facts["teacher_imbalance"] == "none"  # and so it is handed on
    assert facts["student_leaves_prior_out"] is True
    facts["teacher_imbalance"] = "logit_adjustment"
    (next_one.networks / "networks.json").write_text(json.dumps(facts), encoding="utf-8")
    written_plan(tmp_path, rebalanced.replace(str(before.networks), str(next_one.networks)))
    assert main(arguments) == 78
    assert "are without the prior already" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("running", "next_one", "words"),
    [
        (True, "", None),
        (False, 'imbalance = "none"', None),
        (False, "", f"learns from labels, and is in .* from student.old .*{SAME}"),
        (True, 'imbalance = "none"', f"learns from student.old, and is in .* from labels .*{SAME}"),
        (None, "", "student.old .*: its release does not say"),
    ],
)
def test_a_running_student_that_teaches_along_is_held_to_the_same_prior(
    tmp_path: Path, *, running: bool | None, next_one: str, words: str | None
) -> None:
    facts = Networks(
        labels=("good", "spot"),
        image=ImageSpec(width=64, height=64),
        teacher=None,
        student="mobilenetv2_035",
        student_leaves_prior_out=running,
    )
    write_networks(tmp_path / "OLD", facts, {})
    old = f'[student]\n{next_one}\nold = {{ networks = "OLD" }}'
    plan = written_plan(tmp_path, RESTORED.replace("[student]", old))
    started = RESTORED.replace("[student]", old.replace(" }", ", weight = 0.0 }"))
    if words is None:
        require_restorable(plan)
    else:
        with pytest.raises(ConfigError, match=words):
            require_restorable(plan)
    require_restorable(written_plan(tmp_path, started))  # a start, and no teacher


@pytest.mark.parametrize(
    ("teacher", "student", "without"),
    [
        ("", "", True),
        ('imbalance = "none"', 'imbalance = "none"', False),
        ('imbalance = "none"', 'imbalance = "none"\nsampling = "balanced"\nalpha = 0.0', True),
        ('imbalance = "none"', "", None),
        ('imbalance = "none"', "rebalance = 4.0", None),
        ("", 'imbalance = "class_weights"\nalpha = 0.0', None),
    ],
)
def test_whether_a_student_answers_without_the_prior_is_known_where_it_learned_one_kind_of_answer(
    tmp_path: Path, *, teacher: str, student: str, without: bool | None
) -> None:
    text = short().replace("[teacher]", f"[teacher]\n{teacher}")
    plan = written_plan(tmp_path, text.replace("[student]", f"[student]\n{student}"))
    assert student_leaves_prior_out(plan) is without


def test_a_prior_is_taken_off_a_teachers_answers_and_not_off_those_of_its_students(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_off: list[float] = []

    def watched(work: Work, folder: Path, **more: Any) -> None:
        taken_off.append(work.plan.student.rebalance)
        learn_as_student(work, folder, **more)

    monkeypatch.setattr(teaching, "learn_as_student", watched)
    text = short().replace("[teacher]", '[teacher]\nimbalance = "none"')
    text = text.replace("[student]", "[student]\ngenerations = 3\nrebalance = 1.0")
    run(tmp_path, text, write_class_folders(tmp_path / "data"), "out")
    assert taken_off == [1.0, 0.0, 0.0]
