"""A teacher that sees more pixels than its student: one view, drawn once, in two sizes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from inspector.contract.bundle import Bundle, read_bundle
from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec, fit
from tests.training.plates import PLAN, draw, write_class_folders
from tests.training.releases import Forked, kill_in, require_same_files
from training.augment import Augmenter
from training.fit import Machine
from training.handover import FACTS, read_networks
from training.material import Larger, Material
from training.models import build
from training.plan import Step, fingerprint, read_plan
from training.plan_networks import Mix, Teacher
from training.sights import resolved
from training.teachers import Teachers
from training.views import Views
from training.workable import require_workable

SMALL, LARGE = ImageSpec(width=32, height=32), ImageSpec(width=80, height=80)
CPU = Machine(torch.device("cpu"), 1)
TEACHER = '[teacher]\nmodel = "resnet18"\nweights = "none"\nepochs = 3'
QUICK_TEACHER = '[teacher]\nmodel = "mobilenetv2_035"\nweights = "none"\nepochs = 1'
SEES_96 = f"{QUICK_TEACHER}\nwidth = 96\nheight = 96"
EPOCHS = "epochs = 3\nbatch = 8\nviews = 2"
QUICK = (
    ("[export]", '[export]\nint8 = "never"'),
    ("[quality]", "[quality]\nnovelty_overkill_at_most = 0.0"),
)


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    text = PLAN
    for old, new in (*changes, *QUICK):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


class Seen:
    """A release whose teachers saw 96 x 96 and 48 x 48 pixels and its student 64 x 64."""

    def __init__(self, folder: Path) -> None:
        # all that teachers of other sizes meet on their way to the student
        more = (
            "epochs = 2\nbatch = 8\nviews = 2\nfeature_weight = 1.0\ngenerations = 2\n"
            'mix = { kind = "cutmix", share = 0.5 }\nunlabelled = { folder = "archive" }\n'
            'hints = [{ student = "blocks.3", teacher = "blocks.4" }]'
        )
        second = QUICK_TEACHER.replace("[teacher]", "[[ensemble]]")
        second = f"{second}\nbatch = 8\nwidth = 48\nheight = 48\n[student]"
        changes = (TEACHER, SEES_96), (EPOCHS, more), ("[student]", second)
        self.plan = written(folder, *changes)
        self.data = write_class_folders(folder / "data")
        write_class_folders(folder / "archive")
        self.out = folder / "out"
        self.words = "release", self.plan, "--data", self.data, "--out"
        done = Forked(*self.words, self.out).end()
        assert done.returncode == 0, done.stderr
        self.bundle: Bundle = read_bundle(Path(done.stdout.strip()))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(tmp_path_factory.mktemp("sizes"))


def side_of(model: Path) -> int:
    """Width of the pictures that a graph takes."""
    shape = onnx.load(model).graph.input[0].type.tensor_type.shape
    return int(shape.dim[2].dim_value)


def test_teacher_and_student_are_exported_and_reported_at_their_own_sizes(seen: Seen) -> None:
    (teacher,) = seen.out.glob("work/export-teacher-*/model.onnx")
    assert (side_of(teacher), side_of(seen.bundle.folder / "model.onnx")) == (96, 64)
    assert seen.bundle.manifest.image.width == 64
    report = json.loads((seen.out / "report" / "report.json").read_text(encoding="utf-8"))
    its, ours = report["models"]
    assert its["architecture"] == "mobilenetv2_035 at 96x96"
    assert ours["architecture"] == "mobilenetv2_035"
    assert its["macs"] > 2 * ours["macs"]  # the same network on 2.25 times the pixels


def test_a_job_killed_while_a_larger_teacher_speaks_ends_with_the_same_bundle(
    seen: Seen, tmp_path: Path
) -> None:
    kill_in("views", "answers.npy", (*seen.words, tmp_path / "out"), tmp_path / "out")
    assert not list(tmp_path.glob("out/work/student-*/done.json"))
    done = Forked(*seen.words, tmp_path / "out").end()
    assert done.returncode == 0, done.stderr
    require_same_files(seen.bundle, read_bundle(Path(done.stdout.strip())))


def test_a_handed_teacher_keeps_the_size_at_which_it_was_trained(
    seen: Seen, tmp_path: Path
) -> None:
    handed = seen.out / "networks" / seen.bundle.id
    smaller = ("width = 64\nheight = 64", "width = 32\nheight = 32")
    # as releases left it when teacher and student saw the same
    facts = json.loads((handed / FACTS).read_text(encoding="utf-8"))
    del facts["teacher_image"]
    before = tmp_path / "before"
    before.mkdir()
    (before / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    plan = written(tmp_path, (TEACHER, f'{QUICK_TEACHER}\nhanded = "{before}"'), smaller)
    assert resolved(read_plan(plan)).architecture("teacher") == "mobilenetv2_035 at 64x64"
    plan = written(tmp_path, (TEACHER, f'{QUICK_TEACHER}\nhanded = "{handed}"'), smaller)
    out = tmp_path / "out"
    done = Forked("release", plan, "--data", seen.data, "--out", out).end()
    assert done.returncode == 0, done.stderr
    (teacher,) = out.glob("work/export-teacher-*/model.onnx")
    bundle = read_bundle(Path(done.stdout.strip()))
    assert (side_of(teacher), bundle.manifest.image.width) == (96, 32)
    kept = read_networks(out / "networks" / bundle.id, "teacher", "")
    assert kept.teacher_image is not None
    assert kept.teacher_image.width == 96  # and is handed on with it


def material_of(side: int) -> Material:
    rng = np.random.default_rng(2)
    pixels = np.stack([draw(rng, label, side) for label in ("good", "spot") for _ in range(4)])
    rows = np.arange(8)
    return Material(pixels, np.repeat(np.arange(2), 4), rows[::2], rows[1::2], 2)


@pytest.fixture(scope="module")
def views() -> tuple[Views, Views, Material]:
    """Of a student that sees 32 pixels beside a teacher of 80, and of the teacher alone."""
    large = material_of(LARGE.width)
    pixels = np.asarray(large.pixels[np.arange(8)])
    small = np.stack([fit(picture, SMALL) for picture in pixels])
    both = replace(large, pixels=small, larger=Larger(pixels, LARGE, SMALL))
    augmenter = Augmenter((Step(name="D4"), Step(name="GaussNoise")), LARGE, 0)
    mix = Mix(kind="cutmix", share=0.5)
    return Views(both, augmenter, mix, 0), Views(large, augmenter, mix, 0), both


def test_a_view_is_what_the_teacher_sees_and_that_brought_to_the_student(
    views: tuple[Views, Views, Material],
) -> None:
    shared, alone, material = views
    batch, whole = shared.batch(material.train, 3), alone.batch(material.train, 3)
    assert batch.drawn is not None
    assert torch.equal(batch.drawn, whole.images)
    assert torch.equal(batch.target, whole.target)
    assert batch.images.shape == (4, 32, 32, 3)
    for ours, theirs in zip(batch.images.numpy(), batch.drawn.numpy(), strict=True):
        assert np.array_equal(ours, fit(theirs, SMALL))


def test_each_teacher_is_asked_at_its_own_size(
    views: tuple[Views, Views, Material], tmp_path: Path
) -> None:
    shared, _, material = views
    torch.manual_seed(0)
    networks = [build("mobilenetv2_035", "none", 2).eval() for _ in range(3)]
    middle = ImageSpec(width=48, height=48)
    sees = (LARGE, None, middle)
    asked = Teachers(networks, material, tmp_path, 3 * ["fp32"], CPU, views=0, dims=0, sees=sees)
    batch = shared.batch(material.train, 0)
    assert batch.drawn is not None
    between = torch.from_numpy(np.stack([fit(each, middle) for each in batch.drawn.numpy()]))
    with torch.no_grad():
        shown = batch.drawn, batch.images, between
        each = [network(pictures) for network, pictures in zip(networks, shown, strict=True)]
    assert torch.allclose(asked.of(batch).logits, torch.stack(each).mean(dim=0), atol=1e-6)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("width = 96", "teacher: width 96: needs height beside it"),
        ("width = 96\nheight = 48", "one view at two sizes needs the same proportions; 96x96 has"),
        ("width = 4\nheight = 4", "teacher.width 4: input should be greater than or equal to 8"),
    ],
)
def test_a_size_that_makes_no_sense_is_refused_in_words(
    keys: str, words: str, tmp_path: Path
) -> None:
    plan = written(tmp_path, (TEACHER, f"{TEACHER}\n{keys}"))
    with pytest.raises(ConfigError, match=words):
        read_plan(plan)


def test_a_teacher_that_takes_one_size_alone_is_refused_at_once(tmp_path: Path) -> None:
    vit = TEACHER.replace("resnet18", "vit_tiny_patch16_224") + "\nwidth = 96\nheight = 96"
    with pytest.raises(ConfigError, match="does not take pictures of 96x96"):
        require_workable(read_plan(written(tmp_path, (TEACHER, vit))))


def test_a_handed_teacher_of_another_shape_is_refused(seen: Seen, tmp_path: Path) -> None:
    its = f'{QUICK_TEACHER}\nhanded = "{seen.out / "networks" / seen.bundle.id}"'
    plan = written(tmp_path, (TEACHER, its), ("height = 64", "height = 32"))
    with pytest.raises(ConfigError, match="sees 96x96, the student 64x32"):
        require_workable(read_plan(plan))


def test_a_plan_without_the_keys_is_the_same_plan_as_before_there_were_any() -> None:
    plain = Teacher(model="resnet18", epochs=1)
    assert not {"width", "height"} & set(plain.model_dump())
    sized = plain.model_copy(update={"width": 96, "height": 96})
    assert fingerprint(plain) != fingerprint(sized)
