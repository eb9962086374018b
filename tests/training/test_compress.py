"""A student is cut, taught again by what it was, shipped, reported and handed on."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inspector.contract.bundle import Bundle, read_bundle
from inspector.contract.errors import ConfigError
from inspector.contract.image import decode, fit
from tests.training.plates import draw, write_class_folders
from tests.training.releases import Forked, kill_in, require_same_files, run, short
from tests.training.test_prune import small_net
from training.checkpoint import load
from training.comparison import METRICS, Outcome, Row, comparison_of
from training.compress.steps import cuts_of
from training.handover import FACTS, compressed_network
from training.learned_record import Memory, memory_of, shown_of_archive, write_memories
from training.plan import read_plan
from training.plan_compress import Compress
from training.plan_smoke import smoke
from training.report import Report
from training.second_look import Said
from training.workable import require_compressible

PLAN = """
name = "small-plate"
good = ["good"]
threads = 1
[image]
width = 64
height = 64
[split]
golden = 0.25
calibration = 0.0
validation = 0.25
near_duplicate_at = 1.0
[student]
model = "test_efficientnet"
weights = "none"
epochs = 1
batch = 8
views = 1
alpha = 0.0
[compress]
epochs = 1
step_epochs = 2
feature_weight = 0.5
[compress.prune]
by = "activation"
macs = 0.7
steps = 1
[compress.low_rank]
macs = 0.99
[compress.sparse]
sparsity = 0.5
steps = 1
[quality]
allow_uncertified = true
novelty_overkill_at_most = 0.0
[export]
int8 = "never"
golden_images = 3
"""


class Compressed:
    """One undisturbed release with a compression, run as a user runs it."""

    def __init__(self, folder: Path) -> None:
        self.plan = folder / "plan.toml"
        self.plan.write_text(PLAN, encoding="utf-8")
        self.data = write_class_folders(folder / "data")
        self.out = folder / "out"
        done = Forked("release", self.plan, "--data", self.data, "--out", self.out).end()
        assert done.returncode == 0, done.stderr
        self.bundle: Bundle = read_bundle(Path(done.stdout.strip()))
        self.networks = self.out / "networks" / self.bundle.id


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    return Compressed(tmp_path_factory.mktemp("compress"))


def test_a_job_killed_in_a_cut_and_its_teaching_ends_with_the_same_bundle(
    compressed: Compressed, tmp_path: Path
) -> None:
    words = ("release", compressed.plan, "--data", compressed.data, "--out", tmp_path)
    kill_in("prune", "last.pt", words, tmp_path)
    resumed = Forked(*words).end()
    assert resumed.returncode == 0, resumed.stderr
    assert "prune: goes on where it was" in resumed.stderr
    bundle = read_bundle(Path(resumed.stdout.strip()))
    require_same_files(bundle, compressed.bundle)


def test_the_report_has_every_step_with_what_it_cost_and_held(compressed: Compressed) -> None:
    folder = compressed.out / "report"
    report = Report.model_validate_json((folder / "report.json").read_text(encoding="utf-8"))
    first, pruned, product, sparse = report.compression
    assert [row.name for row in report.compression] == ["original", "prune", "low_rank", "sparse"]
    assert 0.6 * first.macs < pruned.macs <= 0.7 * first.macs
    assert product.macs <= 0.99 * pruned.macs
    assert sparse.parameters == product.parameters == report.row("student").parameters
    assert 0.4 < sparse.nonzero / product.nonzero < 0.6
    assert sparse.file_bytes == product.file_bytes
    assert sparse.packed_bytes < 0.8 * product.packed_bytes
    assert all(row.latency_ms > 0 for row in report.compression)
    assert first.cut is None
    assert all(row.cut for row in report.compression[1:])
    assert report.row("original").parameters == first.parameters
    assert report.row("student").architecture == "test_efficientnet + prune + low_rank + sparse"
    assert report.row("original").architecture == "test_efficientnet"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Made smaller, step by step" in page


def test_steps_cost_what_ships_where_the_plan_takes_to_several_looks(
    compressed: Compressed, tmp_path: Path
) -> None:
    shutil.copytree(compressed.out / "work", tmp_path / "work")
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.replace("[export]", '[export]\ntta = "left_right"'), encoding="utf-8")
    done = Forked("release", plan, "--data", compressed.data, "--out", tmp_path).end()
    assert done.returncode == 0, done.stderr
    for kept in ("student", "prune", "low_rank", "sparse"):
        assert f"{kept}: kept from an earlier run" in done.stderr
    before, now = (
        Report.model_validate_json((out / "report/report.json").read_text(encoding="utf-8"))
        for out in (compressed.out, tmp_path)
    )
    assert now.row("original").macs == now.compression[0].macs
    assert now.row("student").macs == now.compression[-1].macs
    for once, twice in zip(before.compression, now.compression, strict=True):
        assert 1.8 * once.macs < twice.macs <= 2 * once.macs
        assert twice.taught == once.taught


def test_zeros_are_still_zero_in_the_weights_that_ship(compressed: Compressed) -> None:
    best = next(compressed.out.glob("work/sparse-*/best.pt"))
    weights = [v for k, v in load(best).items() if v.ndim == 4 and not k.endswith(("mean", "std"))]
    zeros = sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
    assert abs(zeros - 0.5) < 1e-3


def test_the_compressed_network_is_built_again_from_what_was_handed_on(
    compressed: Compressed,
) -> None:
    network = compressed_network(compressed.networks)
    stated = compressed.bundle.manifest
    assert network.parameters_count() == stated.model.parameters
    golden = stated.golden[0]
    picture = decode((compressed.bundle.folder / golden.file).read_bytes())
    with torch.no_grad():
        logits = network(torch.from_numpy(fit(picture, stated.image))[None])
    likeliest = int(np.argmax(golden.probabilities))  # a temperature is in them
    assert int(logits.argmax()) == likeliest


def test_handed_on_weights_of_another_shape_are_refused_in_words(
    compressed: Compressed, tmp_path: Path
) -> None:
    facts = json.loads((compressed.networks / FACTS).read_text(encoding="utf-8"))
    facts["compressed"]["widths"]["conv_head"]["outputs"] -= 8
    (tmp_path / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    for path in compressed.networks.glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    with pytest.raises(ConfigError, match="compressed: is not the shape of these weights"):
        compressed_network(tmp_path)
    (tmp_path / "compressed.safetensors").unlink()
    with pytest.raises(ConfigError, match="holds no compressed student"):
        compressed_network(tmp_path)


def test_a_compressed_student_says_all_of_an_archive_that_it_was_shown(tmp_path: Path) -> None:
    data, archive = write_class_folders(tmp_path / "data"), tmp_path / "archive"
    archive.mkdir()
    rng = np.random.default_rng(99)
    names = {f"{i}.png" for i in range(4)}
    for name in sorted(names):
        cv2.imwrite(str(archive / name), draw(rng, "spot"))
    plan = short().replace("views = 2", 'views = 2\nunlabelled = { folder = "archive" }')
    plan += "[compress]\nepochs = 1\n[compress.sparse]\nsparsity = 0.5\nsteps = 1\n"

    def shown() -> set[str]:
        entries = memory_of(run(tmp_path, plan, data, "out").networks, "student").entries
        return {entry.image for entry in entries if entry.shown == "archive"}

    assert shown() == names
    # as if the teacher had been sure of two of them only, and the student of all
    (original,) = tmp_path.glob("out/work/student-*")
    few = shown_of_archive(original)
    write_memories(original, {"student": Memory(few.entries[:2], few.looks)})
    shutil.rmtree(tmp_path / "out/networks")
    assert shown() == names


def test_smoke_cuts_once_for_each_kind(compressed: Compressed) -> None:
    rule = smoke(read_plan(compressed.plan)).compress
    assert rule is not None
    assert [(cut.name, cut.epochs) for cut in cuts_of(rule)] == [
        ("prune", 1),
        ("low_rank", 1),
        ("sparse", 1),
    ]


def test_the_last_cut_is_taught_longest() -> None:
    rule = Compress.model_validate(
        {"prune": {"macs": 0.5, "steps": 2}, "sparse": {"sparsity": 0.5, "steps": 2}}
    )
    assert [(cut.name, cut.way, cut.epochs) for cut in cuts_of(rule)] == [
        ("prune-1", 0.5, 2),
        ("prune-2", 1.0, 2),
        ("sparse-1", 0.5, 2),
        ("sparse-2", 1.0, 12),
    ]


def test_a_network_whose_branches_are_folded_at_export_is_refused_before_any_training(
    compressed: Compressed,
) -> None:
    plan = read_plan(compressed.plan)
    student = plan.student.model_copy(update={"model": "mobileone_s0"})
    plan = plan.model_copy(update={"student": student})
    with pytest.raises(ConfigError, match="'mobileone_s0' folds branches into one layer"):
        require_compressible(plan, small_net("mobileone_s0"))


def outcome(plan: str, role: str, trained: str) -> Outcome:
    row = Row(
        plan=plan,
        role=role,
        seed=0,
        fold=0,
        trained=trained,
        architecture="any",
        parameters=1,
        latency_ms=1.0,
        golden=1,
        others=1,
        figures=dict.fromkeys(METRICS, 1.0),
    )
    return Outcome(row, {"part": True}, Said(("any",), {"part": (1.0,)}))


def test_a_comparison_names_an_original_once_and_as_the_teacher_of_what_came_of_it() -> None:
    runs = [
        outcome("half", "original", "same"),
        outcome("half", "student", "cut in half"),
        outcome("third", "original", "same"),
        outcome("third", "student", "cut to a third"),
    ]
    found = comparison_of(runs, {"part": "part"}, (), "", [0], 1, 2)
    taught = {contender.name: contender.teacher for contender in found.contenders}
    assert taught == {"half original": None, "half": "half original", "third": "half original"}
    assert ("half original", "third") in [(pair.first, pair.second) for pair in found.pairs]
