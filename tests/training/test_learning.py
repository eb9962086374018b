"""What a plan says of who teaches reaches the training: small networks, from plan to weights."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from inspector.contract.errors import ConfigError
from tests.training.plates import PLAN, draw, written_plan
from tests.training.untrained import SPEC, opinionated
from training.checkpoint import BEST, history_of, load, save
from training.dataset import Sample, SplitName
from training.fit import Machine
from training.handover import Networks, write_networks
from training.job import Data, Job, Work
from training.learning import learn_as_student, views_of
from training.likeness import Looks, look
from training.material import Larger
from training.models import Network
from training.plan import Plan
from training.plan_networks import Teacher
from training.run import Run, Stage
from training.scan import Images, ScanReport
from training.screen import Screen
from training.teachers import Answer, Teachers, kept_in
from training.unlabelled import load_unlabelled, read_unlabelled
from training.workable import require_workable

CPU = Machine(torch.device("cpu"), 1)
LABELS = ("good", "scratch", "spot")
TAUGHT_BY = Teacher(model="test_resnet", weights="none", epochs=1)
STRONG = 20.0
MEANS = ["mean_logits", "mean_probabilities"]


def plan_of(folder: Path, keys: str) -> Plan:
    """A plan of a small student with these keys."""
    head, _, student = PLAN.partition("[student]")
    student = student.replace("mobilenetv2_035", "test_resnet")
    for key in ("epochs = 3", "batch = 8", "views = 2"):
        student = student.replace(f"{key}\n", "")
    return written_plan(folder, f"{head}[student]\n{keys}\n{student}")


def data_of(sets: dict[SplitName, dict[str, int]], seed: int = 0) -> Data:
    """So many plates of each class in each set."""
    rng = np.random.default_rng(seed)
    said = [
        (name, label) for name, of in sets.items() for label in LABELS for _ in range(of[label])
    ]
    pixels = np.stack([draw(rng, label) for _, label in said])
    names = tuple(f"{row}.png" for row in range(len(said)))
    samples = tuple(
        Sample(Path(name), name, label, name) for name, (_, label) in zip(names, said, strict=True)
    )
    report = ScanReport(
        layout="", images=len(said), kept=names, classes={}, parts={}, twins=(), findings=()
    )
    rows: dict[SplitName, NDArray[np.int64]] = {
        "train": np.zeros(0, np.int64),
        "validation": np.zeros(0, np.int64),
        "calibration": np.zeros(0, np.int64),
        "golden": np.zeros(0, np.int64),
    }
    rows |= {name: np.flatnonzero([its == name for its, _ in said]) for name in sets}
    images = Images(samples, pixels, report, Looks.of([look(each) for each in pixels]))
    return Data(images, rows, np.array([LABELS.index(label) for _, label in said]), LABELS)


def learned(
    plan: Plan,
    data: Data,
    folder: Path,
    teachers: int = 0,
    unlabelled: Stage | None = None,
    name: str = "student",
) -> Path:
    """Where the plan's student was trained, taught by so many of `teacher`."""
    stages = []
    for seed in range(teachers):
        (folder / f"teacher-{seed}").mkdir(parents=True, exist_ok=True)
        save(folder / f"teacher-{seed}" / BEST, teacher(seed).state_dict())
        stages.append(Stage(folder / f"teacher-{seed}", ""))
    into = folder / name
    into.mkdir(parents=True)
    learn_as_student(
        Work(plan, CPU, Screen(quiet=True)),
        into,
        data=data,
        teachers=tuple(stages),
        teacher_plans=(TAUGHT_BY,) * teachers,
        unlabelled=unlabelled,
        apart=None,
        name="student",
    )
    return into


def answers_beside(student: Path) -> NDArray[np.float64]:
    """What its teachers said: pictures x views x classes."""
    (kept,) = student.parent.glob("views-*/answers.npy")
    return np.asarray(np.load(kept), np.float64)


def teacher(seed: int) -> Network:
    """One of strong opinions."""
    network = opinionated("test_resnet", seed)
    with torch.no_grad():
        network.trunk.get_classifier().weight.mul_(STRONG)  # type: ignore[operator]
    return network


def combined(images: NDArray[np.uint8], how: str) -> NDArray[np.float64]:
    """What two teachers answer together, as logits."""
    with torch.no_grad():
        both = [teacher(seed)(torch.from_numpy(images)).double().numpy() for seed in range(2)]
    if how == "mean_logits":
        return np.asarray(np.mean(both, axis=0))
    return np.asarray(np.log(np.mean([softmax(each, axis=1) for each in both], axis=0)))


@pytest.mark.parametrize("how", MEANS)
def test_several_teachers_answers_become_one_as_the_plan_says(tmp_path: Path, how: str) -> None:
    data = data_of({"train": dict.fromkeys(LABELS, 3), "validation": dict.fromkeys(LABELS, 1)})
    plan = plan_of(tmp_path, f'epochs = 1\nviews = 1\ncombine = "{how}"')
    folder = learned(plan, data, tmp_path, teachers=2)
    rows = data.rows["train"]
    images = views_of(plan, data.material(plan)).batch(rows, 0).images.numpy()
    expected = [softmax(combined(images, mean), axis=1) for mean in MEANS]
    assert np.abs(expected[0] - expected[1]).max() > 0.05
    kept = answers_beside(folder)[:, 0]
    assert softmax(kept, axis=1) == pytest.approx(expected[MEANS.index(how)], abs=5e-3)


@pytest.mark.parametrize("how", MEANS)
def test_only_pictures_of_which_the_teachers_together_are_sure_enough_are_taught(
    tmp_path: Path, how: str
) -> None:
    data = data_of({"train": dict.fromkeys(LABELS, 3), "validation": dict.fromkeys(LABELS, 1)})
    archive = tmp_path / "archive"
    archive.mkdir()
    rng = np.random.default_rng(99)
    for i in range(8):
        cv2.imwrite(str(archive / f"{i}.png"), draw(rng, LABELS[i % 3]))
    keys = f'epochs = 1\nviews = 1\ncombine = "{how}"\nunlabelled = {{ folder = "archive"'
    asked = plan_of(tmp_path, f"{keys} }}")
    run = Run(tmp_path / "archived", lambda _: None)
    stage = read_unlabelled(Job(asked, run, CPU, Screen(quiet=True)), data, archive)
    run.close()
    pixels = np.array(load_unlabelled(stage).pixels)
    sure = [softmax(combined(pixels, mean), axis=1).max(axis=1) for mean in MEANS]
    least, more = np.sort(sure[MEANS.index(how)])[3:5]
    plan = plan_of(tmp_path, f"{keys}, confidence_at_least = {(least + more) / 2} }}")
    folder = learned(plan, data, tmp_path, teachers=2, unlabelled=stage)
    chosen = np.flatnonzero(sure[MEANS.index(how)] >= more)
    assert np.load(folder / "confident.npy").tolist() == chosen.tolist()
    assert len(answers_beside(folder)) == 9 + 4, "labelled ones, and these"


SEEN = "epochs = 2\nviews = 2\nbatch = 4\n"


def test_students_of_the_same_views_ask_once_and_each_ends_as_if_it_had_asked_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of({"train": dict.fromkeys(LABELS, 3), "validation": dict.fromkeys(LABELS, 1)})
    asked: list[int] = []
    ask = Teachers._ask

    def counted(self: Teachers, images: Tensor, drawn: Tensor | None) -> Answer:
        asked.append(len(images))
        return ask(self, images, drawn)

    monkeypatch.setattr(Teachers, "_ask", counted)
    first = plan_of(tmp_path, SEEN + 'method = "mse"')
    second = plan_of(tmp_path, SEEN + "temperature = 4.0\nfeature_weight = 1.0")
    third = plan_of(tmp_path, SEEN.replace("epochs = 2", "epochs = 3") + 'method = "dist"')
    plans = {"first": first, "second": second, "third": third}
    said = []
    for name, plan in plans.items():
        before = len(asked)
        learned(plan, data, tmp_path / "together", teachers=2, name=name)
        said.append(sum(asked[before:]))
    assert said == [18, 18, 0], "of nine pictures two views; then for features; both were kept"
    for name, plan in plans.items():
        alone = learned(plan, data, tmp_path / name, teachers=2)
        ours, its = load(tmp_path / "together" / name / BEST), load(alone / BEST)
        assert all(torch.equal(ours[key], its[key]) for key in its | ours)


@pytest.mark.parametrize(
    "other",
    [
        SEEN.replace("batch = 4", "batch = 3"),
        SEEN.replace("views = 2", "views = 1"),
        SEEN + 'sampling = "balanced"\nimbalance = "none"',
        SEEN + 'mix = { kind = "mixup", share = 0.5 }',
        SEEN + 'combine = "mean_probabilities"',
    ],
)
def test_students_of_other_views_ask_anew(tmp_path: Path, other: str) -> None:
    data = data_of({"train": dict.fromkeys(LABELS, 3), "validation": dict.fromkeys(LABELS, 1)})
    for name, keys in (("first", SEEN), ("second", other)):
        learned(plan_of(tmp_path, keys), data, tmp_path / "both", teachers=2, name=name)
    assert len(list(tmp_path.glob("both/views-*/answers.npy"))) == 2


def test_a_teacher_that_sees_more_is_asked_once_for_students_of_any_size(tmp_path: Path) -> None:
    data = data_of({"train": dict.fromkeys(LABELS, 3), "validation": dict.fromkeys(LABELS, 1)})
    plan, folders = plan_of(tmp_path, SEEN), set()
    for side, its in ((32, 64), (48, 64), (48, 48)):
        image, seen = (plan.image.model_copy(update={"width": n, "height": n}) for n in (side, its))
        larger = Larger(data.images.pixels, seen, image) if its > side else None
        smaller = plan.model_copy(update={"image": image})
        material = replace(data.material(smaller), larger=larger)
        by, sees = [Stage(tmp_path, "teacher")], [seen if larger else None]
        beside = tmp_path / f"student-{side}"
        folders.add(kept_in(beside, smaller, smaller.student, material, by, ["fp32"], sees))
    assert len(folders) == 2, "of a teacher that sees what its student sees, others"


HINT = 'hints = [{ student = "layer1", teacher = "layer2" }]'
# Both are fresh, and so agree almost: it takes a great weight to see that they do not quite.
PEER = 'peers = [{ model = "test_resnet", weights = "none" }]'


@pytest.mark.parametrize(
    ("key", "value", "beside"),
    [
        ("hint_weight", 5.0, HINT),
        ("mutual_weight", 1e5, f"{PEER}\nalpha = 0.0"),
        ("old.weight", 5.0, 'alpha = 0.0\nold.networks = "OLD"'),
    ],
    ids=["hints", "peers", "old"],
)
def test_a_weight_of_the_plan_changes_what_its_student_learns(
    tmp_path: Path, key: str, value: float, beside: str
) -> None:
    few = dict.fromkeys(LABELS, 1)
    data = data_of({"train": {"good": 8, "scratch": 4, "spot": 2}, "validation": few})
    facts = Networks(labels=LABELS, image=SPEC, teacher=None, student="test_resnet")
    write_networks(tmp_path / "OLD", facts, {"student": teacher(7).state_dict()})
    beside = beside.replace("OLD", str(tmp_path / "OLD"))
    losses = []
    for weight in (0.0, value):
        plan = plan_of(tmp_path, f"epochs = 1\nviews = 1\n{beside}\n{key} = {weight}")
        folder = learned(plan, data, tmp_path / f"{weight}", teachers=int(plan.student.alpha > 0))
        (row,) = history_of(Stage(folder, ""))
        losses.append(row.loss)
    assert abs(losses[1] - losses[0]) > 0.05


@pytest.mark.parametrize(
    ("holds", "file", "words"),
    [
        ("resnet10t", b"", "holds a resnet10t, the plan's is test_resnet"),
        ("test_resnet", b"half of a file", "student.safetensors is not there, or is damaged"),
        ("test_resnet", None, "student.safetensors is not there, or is damaged"),
    ],
)
def test_a_running_student_that_cannot_be_the_start_is_refused_before_anything_is_trained(
    tmp_path: Path, holds: str, file: bytes | None, words: str
) -> None:
    facts = Networks(labels=LABELS, image=SPEC, teacher=None, student=holds)
    write_networks(tmp_path / "OLD", facts, {})
    if file is not None:
        (tmp_path / "OLD" / "student.safetensors").write_bytes(file)
    plan = plan_of(tmp_path, f'epochs = 1\nold.networks = "{tmp_path / "OLD"}"')
    with pytest.raises(ConfigError, match=words):
        require_workable(plan)


def test_a_peer_that_could_not_learn_along_is_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    keys = 'epochs = 1\npeers = [{{ model = "{}", weights = "none" }}]'
    require_workable(plan_of(tmp_path, keys.format("test_resnet")))
    with pytest.raises(ConfigError, match="a peer's model 'vit_tiny_patch16_224' cannot be asked"):
        require_workable(plan_of(tmp_path, keys.format("vit_tiny_patch16_224")))
