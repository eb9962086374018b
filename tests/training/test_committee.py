"""Several networks of one kind that judge together ship as one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from inspector.contract.bundle import read_bundle
from tests.training.plates import ALONE, write_class_folders
from tests.training.releases import Release, kill_in, require_same_files, run
from tests.training.untrained import SPEC, opinionated, pictures
from training.cli import main
from training.committee import joined, seed_of
from training.export import (
    INPUT,
    PROBABILITIES,
    export_onnx,
    open_session,
    require_parity,
)
from training.exported import Exported
from training.models import (
    Network,
    alike,
    classifier_keys,
    macs,
    member_of,
    settle_padding,
)
from training.novelty import learn
from training.reparam import reparameterised

MEMBERS = ALONE.replace("[student]", "[student]\nmembers = 2")


def committee(model: str, size: int) -> tuple[Network, list[Network]]:
    """The members too, each with opinions of its own."""
    members = [opinionated(model, seed) for seed in range(size)]
    whole = alike(model, size, 3).eval()
    whole.load_state_dict(joined([member.state_dict() for member in members]))
    return whole, members


@pytest.mark.parametrize(
    "model",
    ["resnet18", "tf_mobilenetv3_small_075", "mobileone_s0", "swin_tiny_patch4_window7_224"],
)
def test_a_committee_answers_with_the_mean_of_its_members_probabilities(model: str) -> None:
    side = 224 if "224" in model else 64
    whole, members = committee(model, 3)
    shown = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    )
    prior = torch.tensor([0.9, 0.08, 0.02]).log()
    with torch.no_grad():
        each = torch.stack([member(shown) for member in members])
        features = [member.with_features(shown)[1] for member in members]
        answer, seen = whole.with_features(shown)
        plain = whole.logits(seen)
        whole.prior = prior
        folded = reparameterised(whole)(shown)
    assert each.std(dim=0).max() > 1e-3
    mean, shifted = (some.softmax(dim=2).mean(dim=0) for some in (each, each + prior))
    torch.testing.assert_close(answer.exp(), mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(folded.exp(), shifted, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(plain, each.mean(dim=0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen, torch.cat(features, dim=1), rtol=1e-4, atol=1e-4)
    assert whole.features_count() == seen.shape[1]


def test_a_committee_counts_as_all_of_its_members() -> None:
    whole, members = committee("tf_mobilenetv3_small_075", 2)
    assert whole.parameters_count() == sum(each.parameters_count() for each in members)
    assert macs(whole, SPEC) == sum(macs(each, SPEC) for each in members)
    assert len(classifier_keys(whole)) == 4
    again = member_of(whole, 3)
    with torch.no_grad():
        torch.testing.assert_close(again(pictures(2)), members[1](pictures(2)))


def test_the_graph_of_a_committee_has_map_novelty_and_several_looks(tmp_path: Path) -> None:
    whole, _ = committee("tf_mobilenetv3_small_075", 2)
    settle_padding(whole, SPEC)
    whole.tta, whole.prior = "flips", torch.tensor([0.0, -2.0, -3.0])
    with torch.no_grad():
        features = whole.with_features(pictures(8))[1].numpy()
    novelty = learn(features, np.array([0, 1] * 4))
    made = Exported(whole, [0], 3, novelty=novelty).eval()
    made.learn_map([pictures(8)], [pictures(8)])
    assert made.has_map
    path = tmp_path / "model.onnx"
    export_onnx(made, SPEC, path)
    require_parity(made, path, pictures(3).numpy())


@pytest.mark.parametrize(
    ("classes", "broken"), [(1, float("nan")), (1, float("inf")), (3, -float("inf"))]
)
def test_no_member_outvotes_one_that_computes_no_number(
    tmp_path: Path, classes: int, broken: float
) -> None:
    """The station must see NaN, which is never OK."""
    whole, _ = committee("resnet18", 2)
    with torch.no_grad():
        dict(whole.named_parameters())["trunk.members.1.fc.bias"][:classes] = broken
    path = tmp_path / "model.onnx"
    export_onnx(Exported(whole, [0], 3).eval(), SPEC, path)
    found = open_session(path).run([PROBABILITIES], {INPUT: pictures(2).numpy()})[0]
    assert np.isnan(found).all()


def test_every_member_has_a_seed_that_no_other_training_has() -> None:
    assert seed_of(7, 0) == 7
    seeds = {seed_of(seed, member) for seed in range(50) for member in range(8)}
    assert len(seeds) == 400


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """With one network, and then with two and INT8, in the same folder."""
    root = tmp_path_factory.mktemp("first")
    data = write_class_folders(root / "data")
    run(root, ALONE, data, "plain")
    plan = MEMBERS.replace('int8 = "never"', 'int8 = "if_safe"')
    plan = plan.replace('methods = ["minmax", "percentile"]', 'methods = ["minmax"]')
    return run(root, plan, data, "plain")


def test_a_network_more_is_trained_beside_the_one_there_is(first: Release) -> None:
    assert len(list(first.out.glob("work/student-*/best.pt"))) == 2
    one, two = first.best("student"), first.best("student-member-2")
    assert all(not torch.equal(one[key], two[key]) for key in one if key.endswith("conv.weight"))
    both = first.best("committee")
    assert all(
        torch.equal(both[f"trunk.members.0{key[5:]}"], one[key]) for key in one if "trunk" in key
    )
    assert all(
        torch.equal(both[f"trunk.members.1{key[5:]}"], two[key]) for key in two if "trunk" in key
    )
    histories = [
        json.loads((first.folder(stage) / "history.json").read_text(encoding="utf-8"))
        for stage in ("student", "student-member-2", "committee")
    ]
    losses = [rows[0]["validation_loss"] for rows in histories]
    assert losses[2] == pytest.approx((losses[0] + losses[1]) / 2)


def test_the_bundle_of_a_committee_says_what_it_is(first: Release) -> None:
    found = [read_bundle(folder) for folder in first.out.glob("bundles/*")]
    names = sorted((bundle.manifest.model.architecture for bundle in found), key=len)
    assert names == ["mobilenetv2_035", "2 x mobilenetv2_035"]
    report = json.loads((first.out / "report/report.json").read_text(encoding="utf-8"))
    rows = {row["role"]: row for row in report["models"]}
    assert rows["student"]["architecture"] == rows["student-int8"]["architecture"] == names[1]
    assert "2 x mobilenetv2_035" in (first.out / "report/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("members", [1, 3])
def test_the_next_release_starts_from_each_network_of_the_running_committee(
    first: Release, tmp_path: Path, members: int
) -> None:
    networks = next(path for path in first.out.glob("networks/*") if _members(path) == 2)
    old = load_file(networks / "student.safetensors")
    plan = ALONE.replace(
        "[student]",
        f'[student]\nmembers = {members}\nlr = 1e-9\nold = {{ networks = "{networks}" }}',
    )
    release = run(tmp_path, plan, first.data, "next")
    for i in range(members):
        now = release.best("student" if i == 0 else f"student-member-{i + 1}")
        key = "classifier.weight"
        assert torch.allclose(now[f"trunk.{key}"], old[f"trunk.members.{i % 2}.{key}"], atol=1e-5)
    assert _members(release.networks) == members


def _members(networks: Path) -> int:
    facts = json.loads((networks / "networks.json").read_text(encoding="utf-8"))
    return int(facts.get("members", 1))


def test_a_job_killed_in_a_later_member_ends_with_the_same_bundle(
    first: Release, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(MEMBERS.replace("epochs = 1", "epochs = 2"), encoding="utf-8")
    bundles = []
    for name in ("killed", "whole"):
        out = tmp_path / name
        words = ["release", str(plan), "--data", str(first.data), "--out", str(out)]
        if name == "killed":
            kill_in("student-member-2", "last.pt", tuple(words), out)
        assert main([*words, "--quiet"]) == 0
        (folder,) = out.glob("bundles/*")
        bundles.append(read_bundle(folder))
    require_same_files(*bundles)


def test_a_committee_teaches_the_next_generation(first: Release, tmp_path: Path) -> None:
    plan = MEMBERS.replace("alpha = 0.0", "alpha = 0.5\ngenerations = 2")
    plan = plan.replace(
        "[student]",
        '[teacher]\nmodel = "resnet10t"\nweights = "none"\nepochs = 1\nbatch = 8\n[student]',
    )
    release = run(tmp_path, plan, first.data, "born")
    names = {path.name.rsplit("-", 1)[0] for path in release.out.glob("work/*-*")}
    assert {"student", "student-member-2", "student-2", "student-2-member-2", "committee"} <= names


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("[compress.prune]\nmacs = 0.5", "student.members 2: [compress] cuts a student of one"),
        ('[search]\nmodels = ["resnet10t"]\nprune = [0.5]', "student.members 2: search.prune cuts"),
    ],
)
def test_what_does_not_go_with_a_committee_is_said_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: str, words: str
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(f"{MEMBERS}\n{keys}\n", encoding="utf-8")
    assert main(["release", str(path), "--data", str(tmp_path), "--out", str(tmp_path / "o")]) == 78
    assert words in capsys.readouterr().err
