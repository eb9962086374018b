"""Who may teach whom: several teachers, generations, peers, no labels, and the old student."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import softmax
from scipy.stats import entropy

from tests.training.plates import draw, write_class_folders, written_plan
from tests.training.releases import Release, run, short
from training.checkpoint import BEST, load
from training.cli import main
from training.dataset import read_dataset
from training.distill import mutual
from training.fit import Machine
from training.job import Job
from training.material import Joined, Material
from training.plan import Plan, read_plan
from training.precision import SPEED, precision_of
from training.release import read_sights
from training.run import Run, Stage
from training.screen import Screen
from training.speed import Choice
from training.teaching import fit_teachers


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Release:
    root = tmp_path_factory.mktemp("first")
    return run(root, short(), write_class_folders(root / "data"), "plain")


def test_mutual_learning_is_each_ones_mean_divergence_from_the_others() -> None:
    three = [torch.tensor([[a, 0.0]], requires_grad=True) for a in (2.0, 0.5, -1.0)]
    said = [softmax(each.detach().numpy(), axis=1) for each in three]
    expected = sum(
        (entropy(said[j], said[i], axis=1) + entropy(said[k], said[i], axis=1)) / 2
        for i, j, k in ((0, 1, 2), (1, 0, 2), (2, 0, 1))
    )
    loss = mutual(three)
    assert float(loss.detach()) == pytest.approx(float(np.sum(expected)), rel=1e-5)
    assert float(mutual(three[:1])) == 0.0
    # Each is drawn towards the others, and none is drawn along to meet it.
    torch.autograd.backward(loss)
    for i, j, k in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        gradient = three[i].grad
        assert gradient is not None
        assert gradient.numpy() == pytest.approx(said[i] - (said[j] + said[k]) / 2, rel=1e-5)


def test_labelled_and_unlabelled_pictures_are_one_row_of_pictures() -> None:
    a, b = (np.full((n, 2, 2, 3), n, np.uint8) for n in (3, 5))
    both = Joined(a, b)
    assert len(both) == 8
    assert both[2].tolist() == a[0].tolist()
    assert both[np.array([7, 0])].tolist() == [b[0].tolist(), a[0].tolist()]


def test_an_epoch_shows_every_labelled_picture_and_its_share_of_the_others() -> None:
    pixels = np.zeros((6, 2, 2, 3), np.uint8)
    targets = np.array([0, 1, 0, 1, 0, 1])
    plain = Material(pixels, targets, np.arange(4), np.arange(4, 6), 2)
    joined = plain.joined(np.zeros((10, 2, 2, 3), np.uint8), np.array([1, 4, 9]), shown=2)
    order = joined.order(0, 5)
    assert sorted(row for row in order if row < 6) == [0, 1, 2, 3]
    assert len(order) == 6
    assert {row for row in order if row >= 6} <= {7, 10, 15}
    assert order.tolist() == joined.order(0, 5).tolist() != joined.order(0, 6).tolist()


def test_an_ensemble_generations_and_peers_teach_in_one_plan(
    first: Release, tmp_path: Path
) -> None:
    plan = short().replace(
        "[student]",
        '[[ensemble]]\nmodel = "resnet10t"\nweights = "none"\nepochs = 1\nbatch = 8\n[student]\n'
        'generations = 2\npeers = [{ model = "resnet10t", weights = "none" }]',
    )
    release = run(tmp_path, plan, first.data, "many")
    names = [path.name.rsplit("-", 1)[0] for path in sorted(release.out.glob("work/*-*"))]
    assert {"teacher", "teacher-2", "student", "student-2"} <= set(names)
    one, two = release.best("teacher"), release.best("teacher-2")
    assert not torch.equal(one["trunk.conv1.0.weight"], two["trunk.conv1.0.weight"])
    # Peers are thrown away: what is kept is the student alone.
    assert set(release.best("student-2")) == set(first.best("student"))


def test_a_further_teacher_is_trained_as_the_first_would_be_from_the_next_seed(
    first: Release, tmp_path: Path
) -> None:
    """On the same parts; from one seed all but their heads would be alike."""
    names = sorted(path.relative_to(first.data) for path in first.data.rglob("*.png"))
    sets = ("train", "train", "validation", "calibration", "golden")
    rows = [f"{first.data / n},{n.parent},{sets[i % 5]}" for i, n in enumerate(names)]
    data = tmp_path / "data.csv"
    data.write_text("\n".join(["file,label,split", *rows]), encoding="utf-8")
    section = '[teacher]\nmodel = "resnet10t"\nweights = "none"\nepochs = 1\nbatch = 8\n'
    head, _, rest = short().partition("[teacher]")
    rest = rest.partition("[student]")[2]
    several = f"{head}{section}{section.replace('[teacher]', '[[ensemble]]')}[student]{rest}"
    alone = f"seed = 1\n{head}{section}[student]{rest}"
    _, second = taught(written_plan(tmp_path, several), data, tmp_path / "several")
    (other,) = taught(written_plan(tmp_path, alone), data, tmp_path / "alone")
    assert second.keys() == other.keys()
    assert all(torch.equal(second[key], other[key]) for key in second)


def taught(plan: Plan, data: Path, out: Path) -> list[dict[str, torch.Tensor]]:
    """The weights of a plan's teachers."""
    dataset, work = read_dataset(data), Run(out / "work", lambda _: None)
    try:
        job = Job(plan, work, Machine(torch.device("cpu"), 1), Screen(quiet=True))
        stages = fit_teachers(read_sights(job, dataset, dataset.fingerprint()))
        return [load(stage.folder / BEST) for stage in stages]
    finally:
        work.close()


def test_hints_balance_precision_and_fresh_statistics_have_their_key(
    first: Release, tmp_path: Path
) -> None:
    plan = short().replace(
        "views = 2",
        "views = 2\nbn_batches = 1\nhint_weight = 0.5\n"
        'hints = [{ student = "blocks.2", teacher = "layer2" }]',
    )
    plan = plan.replace(
        "[teacher]", '[teacher]\nsampling = "balanced"\nimbalance = "none"\nprecision = "auto"'
    )
    release = run(tmp_path, plan, first.data, "keys")
    measured = json.loads(next(release.out.glob("work/teacher-*/speed.json")).read_text("utf-8"))
    assert measured["way"]["precision"] in ("fp32", "bf16")
    assert {t["way"]["precision"] for t in measured["timings"]} == {"fp32", "bf16"}
    ours, plain = release.best("student"), first.best("student")
    assert set(ours) == set(plain)  # the hints' projectors are thrown away
    assert int(ours["trunk.bn1.num_batches_tracked"]) == 1


def test_a_student_without_a_teacher_learns_from_labels_alone(
    first: Release, tmp_path: Path
) -> None:
    plan = short().replace("views = 2", "views = 2\nalpha = 0.0")
    release = run(tmp_path, plan, first.data, "alone")
    kept = "work/views-*/answers.npy"
    assert not list(release.out.glob(kept))
    assert list(first.out.glob(kept))


def test_an_archive_teaches_without_labels_but_never_shows_what_is_held_back(
    first: Release, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    rng = np.random.default_rng(99)
    for i in range(6):
        cv2.imwrite(str(archive / f"new{i}.png"), draw(rng, "spot" if i % 2 else "good"))
    (archive / "broken.png").write_bytes(b"not a picture")
    scan = json.loads(next(first.out.glob("work/scan-*/scan.json")).read_text("utf-8"))
    split = json.loads(next(first.out.glob("work/split-*/split.json")).read_text("utf-8"))
    golden = first.data / scan["kept"][split["golden"][0]]
    shutil.copy(golden, archive / "golden.png")
    plan = short().replace(
        "views = 2", 'views = 2\nunlabelled = { folder = "archive", share = 0.5 }'
    )
    path = tmp_path / "plan.toml"
    path.write_text(plan, encoding="utf-8")
    arguments = ["release", str(path), "--data", str(first.data), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    said = capfd.readouterr().err
    assert "unlabelled: 6 of 8 images used" in said
    assert "left out, a picture seen twice or held back: 1" in said
    assert "left out, unreadable: 1" in said
    too_sure = plan.replace("share = 0.5", "share = 0.5, confidence_at_least = 1.0")
    path.write_text(too_sure, encoding="utf-8")
    assert main(arguments) == 78
    assert "the teacher is that sure of none of 6 pictures" in capfd.readouterr().err


def test_a_teacher_is_handed_on_as_it_is(first: Release, tmp_path: Path) -> None:
    whose = f'[teacher]\nprecision = "auto"\nhanded = "{first.networks}"'
    release = run(tmp_path, short().replace("[teacher]", whose), first.data, "handed")
    ours, theirs = release.best("teacher"), first.best("teacher")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    stage = Stage(release.folder("teacher"), "")
    choice = Choice.model_validate_json((stage.folder / SPEED).read_text(encoding="utf-8"))
    assert not choice.learning, "it is only asked"
    how = read_plan(tmp_path / "handed.toml").teacher
    assert how is not None
    assert precision_of(how, stage) == choice.way.precision
    plain = whose.replace('"auto"', '"bf16"')  # answers that were kept are not taken for its own
    run(tmp_path, short().replace("[teacher]", plain), first.data, "handed")
    assert len(list(release.out.glob("work/student-*"))) == 2


def test_who_paints_defects_is_told_that_a_handed_teacher_must_know_them(
    first: Release, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whose = f'[synthetic]\nshare = 0.5\n[teacher]\nhanded = "{first.networks}"'
    path = tmp_path / "plan.toml"
    path.write_text(short().replace("[teacher]", whose), encoding="utf-8")
    out = tmp_path / "out"
    assert main(["release", str(path), "--data", str(first.data), "--out", str(out)]) == 0
    assert "teacher.handed: a teacher that was not trained with [synthetic]" in (
        capfd.readouterr().err
    )
    painted = Release(out, first.data).best("student")
    plain = first.best("student")
    assert any(not torch.equal(painted[name], plain[name]) for name in plain)


def test_the_next_release_starts_from_the_running_student_with_a_class_more(
    first: Release, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(first.data, data)
    rng = np.random.default_rng(5)
    (data / "dent").mkdir()
    for i in range(12):
        image = draw(rng, "good")
        image[20:40, 20:40] //= 2
        cv2.imwrite(str(data / "dent" / f"{i:02d}.png"), image)
    plan = short().replace("views = 2", f'views = 2\nold = {{ networks = "{first.networks}" }}')
    plan = plan.replace("[student]", "[student]\nlr = 1e-9")
    release = run(tmp_path, plan, data, "next")
    old = load_file(first.networks / "student.safetensors")
    new = release.best("student")
    # Labels sort as dent, good, scratch, spot: the old rows moved down by one, and hardly learned.
    assert new["trunk.classifier.weight"].shape[0] == 4
    moved = new["trunk.classifier.weight"][1:]
    assert torch.allclose(moved, old["trunk.classifier.weight"], atol=1e-5)
    assert list(release.out.glob("work/student-*/old/answers.npy"))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('[teacher]\nhanded = "nowhere"', "teacher.handed"),
        ('[student]\nold = { networks = "nowhere" }', "student.old.networks"),
        ('[student]\nunlabelled = { folder = "nowhere" }', "student.unlabelled.folder"),
        ('[student]\nhints = [{ student = "blocks.2", teacher = "layer9" }]', "no layer 'layer9'"),
        (
            '[student]\ngenerations = 2\nhints = [{ student = "blocks.2", teacher = "layer3" }]',
            "the second generation's teacher is the student",
        ),
        ('[student]\nsampling = "balanced"', "corrects for rare classes twice"),
        ("[student]\nrebalance = 2.0", "are without the prior already"),
        ("[student]\nseverity_weight = 0.5", "no image of the data has a severity"),
    ],
)
def test_what_cannot_work_stops_the_job_before_anything_is_trained(
    first: Release, tmp_path: Path, capfd: pytest.CaptureFixture[str], keys: str, words: str
) -> None:
    section = keys.split("\n", maxsplit=1)[0]
    path = tmp_path / "plan.toml"
    path.write_text(short().replace(section, keys), encoding="utf-8")
    arguments = ["release", str(path), "--data", str(first.data), "--out", str(tmp_path / "out")]
    assert main(arguments) == 78
    said = capfd.readouterr().err
    assert words in said
    assert "nowhere" in said or "nowhere" not in keys
    assert not list(tmp_path.glob("out/work/teacher-*"))
