"""What a network has learned it is not judged by, however often it was handed on since."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
import torch

from inspector.contract.errors import ConfigError, DataError
from inspector.contract.image import ImageSpec, decode
from inspector.contract.review import Kept, Undo
from inspector.delivery.reviews import FILE, ReviewStore
from tests.training.plates import draw
from tests.training.releases import Release, run, short
from tests.training.said import Station, jpeg
from training.brief import sights_for_once
from training.cli import main
from training.dataset import SPLITS, SplitName, read_dataset
from training.fit import Machine
from training.handover import Role, read_networks
from training.job import Data, Job
from training.learned import require_unlearned
from training.learned_record import LEARNED, PIXELS, memory_of, write_learned
from training.models import build
from training.plan import read_plan
from training.run import Run
from training.scan import LOOKS, load_images, scan
from training.screen import Screen
from training.unlabelled import load_unlabelled, read_unlabelled
from training.versions import newest, read_facts

Rows = dict[str, str]
"""Of each picture the set that it is in."""
CPU = Machine(torch.device("cpu"), 1)
SETS = 6 * ["train"] + 2 * ["validation"] + 2 * ["calibration"] + 2 * ["golden"]
HANDED, OLD = "teacher.handed", "student.old.networks"
TWINS = ("near_duplicate_at = 1.0", "near_duplicate_at = 0.97")


def drawn(folder: Path, seed: int, *, twins: bool = True) -> Path:
    """Twelve plates of each class, and a manifest that names their sets. twins: spots 0 and 11, of
    which the one trains and the other is golden, are nearly the same picture.
    """
    rng = np.random.default_rng(seed)
    images: dict[str, np.ndarray] = {}
    for label in ("good", "scratch", "spot"):
        (folder / label).mkdir(parents=True)
        for i in range(12):
            images[f"{label}/{i:02d}.png"] = draw(rng, label)
    if twins:
        images["spot/11.png"] = nearly(images["spot/00.png"])
    for name, image in images.items():
        cv2.imwrite(str(folder / name), image)
    write(folder, {name: SETS[int(name[-6:-4])] for name in images})
    return folder


def nearly(image: np.ndarray) -> np.ndarray:
    """Another shot of the same part."""
    shot: np.ndarray = np.clip(image.astype(int) + 1, 0, 255).astype(np.uint8)
    shot[::2, ::3] += 2
    return shot


def write(folder: Path, rows: Rows) -> Path:
    """rows: of pictures in the folder, or anywhere, the class being their folder's name."""
    folder.mkdir(exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "split"])
        writer.writerows([name, Path(name).parent.name, split] for name, split in rows.items())
    return folder


def rows_of(data: Path) -> Rows:
    """By absolute path."""
    return {str(s.image): s.split or "" for s in read_dataset(data).samples}


def taking(networks: Path, key: str, plan: str = "") -> str:
    """A plan that takes networks over."""
    if key == HANDED:
        return (plan or short()).replace("[teacher]", f'[teacher]\nhanded = "{networks}"')
    old = f'views = 2\nold = {{ networks = "{networks}" }}'
    return (plan or short()).replace("views = 2", old)


Ask = Callable[[str, Path], tuple[str, ...]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """What a release asks before it trains; its answer where nothing is refused."""

    def asked(plan: str, data: Path) -> tuple[str, ...]:
        path = tmp_path / "asked.toml"
        path.write_text(plan, encoding="utf-8")
        with sights_for_once(path, data, lambda *_: CPU) as sights:
            return require_unlearned(sights.own.job.plan, sights.own.data, lambda _: None)

    return asked


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Release:
    root = tmp_path_factory.mktemp("first")
    return run(root, short(), drawn(root / "data", 7), "out")


@pytest.fixture(scope="module")
def second(first: Release, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Of other plates, with the first one's teacher, its student, and an archive."""
    root = tmp_path_factory.mktemp("second")
    rng = np.random.default_rng(99)
    for i in range(8):
        path = root / "archive" / ("good", "spot")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), draw(rng, path.parent.name))
    plan = taking(first.networks, OLD, taking(first.networks, HANDED)).replace(
        "views = 2", 'views = 2\nunlabelled = { folder = "archive" }'
    )
    return run(root, plan, drawn(root / "data", 8), "out")


@pytest.fixture
def third(tmp_path: Path) -> Path:
    """Data of plates that no network has seen."""
    return drawn(tmp_path / "third", 9, twins=False)


def golden(third: Path, picture: Path, split: str = "golden") -> Path:
    """The same data with a picture from elsewhere held back."""
    return write(third.parent / "with", {**rows_of(third), str(picture): split})


@pytest.mark.parametrize("key", [HANDED, OLD])
def test_a_network_is_not_judged_by_parts_that_it_learned_before(
    first: Release, tmp_path: Path, capfd: pytest.CaptureFixture[str], key: str
) -> None:
    learned = str(first.data / "good/00.png")
    data = write(tmp_path / "moved", {**rows_of(first.data), learned: "golden"})
    path, out = tmp_path / "plan.toml", tmp_path / "out"
    path.write_text(taking(first.networks, key), encoding="utf-8")
    assert main(["release", str(path), "--data", str(data), "--out", str(out), "--quiet"]) == 65
    said = capfd.readouterr().err
    assert f"plan: {key} {str(first.networks)!r}: has learned 1 of the 19 pictures" in said
    assert f"(the first: {learned}, learned as good/00.png)" in said
    assert not list(out.glob("work/student-*")), "found before the training"


@pytest.mark.parametrize("key", [HANDED, OLD])
def test_data_that_keeps_its_sets_is_taken(first: Release, ask: Ask, key: str) -> None:
    assert ask(taking(first.networks, key), first.data) == ()


@pytest.mark.parametrize("key", [HANDED, OLD])
def test_a_picture_saved_in_another_way_is_still_known(
    first: Release, third: Path, ask: Ask, key: str
) -> None:
    image = cv2.imread(str(first.data / "good/03.png"))
    assert image is not None
    (other := third.parent / "good").mkdir()
    cv2.imwrite(str(other / "same.bmp"), image)
    cv2.imwrite(str(other / "same.png"), image, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    for name in ("same.bmp", "same.png"):
        with pytest.raises(DataError, match=r"learned as good/03\.png"):
            ask(taking(first.networks, key), golden(third, other / name))


def test_another_shot_of_a_part_is_known_where_the_plan_knows_twins(
    first: Release, third: Path, ask: Ask
) -> None:
    # spot 11 was golden; spot 0, which it is nearly, was learned and is not in this data
    data, plan = golden(third, first.data / "spot/11.png"), taking(first.networks, OLD)
    with pytest.raises(DataError, match=r"spot/11\.png, learned as nearly spot/00\.png"):
        ask(plan.replace(*TWINS), data)
    assert ask(plan, data) == ()


def test_a_release_leaves_what_its_plan_calls_a_twin(first: Release) -> None:
    assert read_networks(first.networks, "student", OLD).near_duplicate_at == 1.0


def test_a_part_id_alone_says_nothing(first: Release, third: Path, ask: Ask) -> None:
    # plates of both have the names, and so the part ids, good/00 to spot/11
    assert ask(taking(first.networks, HANDED), third) == ()


@pytest.mark.parametrize(
    ("key", "learned"), [(HANDED, "first"), (OLD, "first"), (OLD, "second"), (OLD, "archive")]
)
def test_what_was_learned_releases_ago_or_without_a_label_is_not_forgotten(
    first: Release, second: Release, third: Path, ask: Ask, key: str, learned: str
) -> None:
    archive = second.data.parent / "archive"
    folder = {"first": first.data, "second": second.data, "archive": archive}[learned]
    picture = folder / ("good/00.png" if learned != "archive" else "spot/1.png")
    with pytest.raises(DataError, match="has learned 1 of the 19 pictures"):
        ask(taking(second.networks, key), golden(third, picture))


@pytest.mark.parametrize("key", [HANDED, OLD])
def test_a_student_has_learned_what_its_teacher_had_and_what_it_came_from(
    first: Release, third: Path, tmp_path: Path, key: str
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(taking(first.networks, key), encoding="utf-8")
    with sights_for_once(path, third, lambda *_: CPU) as sights:
        job, data, split = sights.own
        write_learned(job.plan, data, split.folder, tmp_path)
    before = set(memory_of(first.networks, "student").names(PIXELS))
    assert len(before) == 24
    teacher, student = (set(memory_of(tmp_path, role).names(PIXELS)) for role in get_args(Role))
    assert student > before
    assert teacher == (before if key == HANDED else student - before)


def test_a_teacher_that_is_only_asked_learns_nothing_by_it(
    second: Release, third: Path, ask: Ask
) -> None:
    assert ask(taking(second.networks, HANDED), golden(third, second.data / "good/00.png")) == ()


@pytest.mark.parametrize("key", [HANDED, OLD])
@pytest.mark.parametrize("sets", ["validation or golden", "validation, calibration or golden"])
def test_what_chooses_an_epoch_may_have_chosen_one_before_but_not_have_trained(
    first: Release, third: Path, ask: Ask, key: str, sets: str
) -> None:
    plan = taking(first.networks, key)
    if "calibration" not in sets:
        rows = {n: s if s != "calibration" else "train" for n, s in rows_of(third).items()}
        plan = plan.replace("calibration = 0.25", "calibration = 0.0")
        write(third, rows)
    with pytest.raises(DataError, match=f"that are {sets} here"):
        ask(plan, golden(third, first.data / "good/00.png", "validation"))
    assert ask(plan, golden(third, first.data / "good/06.png", "validation")) == ()
    with pytest.raises(DataError, match=f"that are {sets} here"):
        ask(plan, golden(third, first.data / "good/06.png"))


def test_what_is_not_known_of_an_older_programs_networks_stands_in_every_report(
    first: Release, third: Path, tmp_path: Path, ask: Ask
) -> None:
    networks = tmp_path / "plate-old"
    shutil.copytree(first.networks, networks)
    (networks / LEARNED).unlink()
    plan = taking(networks, HANDED)
    with pytest.raises(DataError, match=r"learned as good/00\.png"):  # its split.csv says as much
        ask(plan, golden(third, first.data / "good/00.png"))
    (networks / "split.csv").write_text("image,label,split\na,good,train\n", encoding="utf-8")
    release = run(tmp_path, plan, third, "out")  # with --quiet
    words = "teacher.handed: not all that plate-old learned is known"
    reports = [*release.out.glob("report/report.*"), *release.out.glob("bundles/*/report.*")]
    assert len(reports) == 4
    assert all(words in path.read_text(encoding="utf-8") for path in reports)
    assert (
        str(tmp_path)
        not in json.loads(
            next(release.out.glob("bundles/*/report.json")).read_text(encoding="utf-8")
        )["unknown"]
    )
    for key in (HANDED, OLD):
        (said,) = ask(taking(release.networks, key), third)
        assert "not all that plate-old learned is known" in said


def test_what_is_not_known_stands_once_on_the_pages_of_a_comparison_and_of_a_search(
    first: Release, third: Path, tmp_path: Path
) -> None:
    networks = shutil.copytree(first.networks, tmp_path / "plate-old")
    (networks / LEARNED).unlink()
    space = '[search]\nmodels = ["test_resnet"]\nwidths = [64]\nweights = "none"\n'
    plan = taking(networks, HANDED) + space + 'precisions = ["fp32"]\n'
    plans = [tmp_path / "one.toml", tmp_path / "other.toml"]
    for path in plans:
        named = plan.replace('"plate"', f'"{path.stem}"')
        path.write_text(named.replace("views = 2", "views = 1"), encoding="utf-8")
    out, data = str(tmp_path / "out"), ["--data", str(third), "--quiet"]
    assert main(["compare", *map(str, plans), "--out", out, "--folds", "1", *data]) == 0
    words = "teacher.handed: not all that plate-old learned is known"
    page = (tmp_path / "out/compare.html").read_text(encoding="utf-8")
    assert page.count(words) == page.count(f"one, other: {words}") == 1
    budgets = ["--latency-ms", "1000", "--escape", "90%", "--overkill", "99%", "--no-release"]
    assert main(["search", str(plans[0]), "--out", out, *budgets, *data]) == 0
    assert (tmp_path / "out/search.html").read_text(encoding="utf-8").count(words) == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "words", "no looks", "cut looks"])
def test_a_record_that_is_damaged_is_refused(
    first: Release, third: Path, tmp_path: Path, ask: Ask, damage: str
) -> None:
    networks = tmp_path / "networks"
    shutil.copytree(first.networks, networks)
    text = (networks / LEARNED).read_text(encoding="utf-8")
    heads = text.split("\n", maxsplit=1)[0]
    changed = {"cut": text[: len(heads) + 20], "empty": heads, "words": text.replace("train", "x")}
    (networks / LEARNED).write_text(changed.get(damage, text), encoding="utf-8")
    if damage == "no looks":
        (networks / LOOKS).unlink()
    if damage == "cut looks":
        (networks / LOOKS).write_bytes((networks / LOOKS).read_bytes()[:1_000])
    with pytest.raises(DataError, match=r"learned\.csv: .* remove it and repeat the release"):
        ask(taking(networks, HANDED), third)


def test_a_network_of_a_release_is_no_file_of_weights(first: Release) -> None:
    with pytest.raises(ConfigError, match=r"name its folder DIR/networks/BUNDLE as student\.old"):
        build("mobilenetv2_035", str(first.networks / "student.safetensors"), 3)


def test_an_archive_is_read_anew_where_other_pictures_are_held_back(
    second: Release, tmp_path: Path
) -> None:
    archive = second.data.parent / "archive"
    path = tmp_path / "plan.toml"
    path.write_text(short(), encoding="utf-8")
    work = Run(tmp_path / "work", lambda _: None)
    job = Job(read_plan(path), work, CPU, Screen(quiet=True))
    spec, names = ImageSpec(width=64, height=64), dict[str, set[str]]()
    for held in ("spot/1.png", "spot/3.png"):  # the same places in the data, of other pictures
        data = write(tmp_path / held[5], {str(archive / held): "golden"})
        dataset = read_dataset(data)
        folder = tmp_path / f"scan-{held[5]}"
        folder.mkdir()
        scan(dataset, spec, 1.0, folder, lambda samples, _: samples)
        rows: dict[SplitName, np.ndarray] = {name: np.array([], np.int64) for name in SPLITS}
        rows["golden"] = np.array([0])
        found = Data(load_images(dataset, folder), rows, np.zeros(1, np.int64), ("spot",))
        names[held] = set(load_unlabelled(read_unlabelled(job, found, archive)).names)
    work.close()
    every = {str(p.relative_to(archive)) for p in archive.rglob("*.png")}
    assert names == {held: every - {held} for held in names}


class Line:
    """The second release runs; `collect` makes its data's next versions."""

    def __init__(self, running: Release, folder: Path, ask: Ask) -> None:
        self.running = running
        self.into = folder / "line"
        self.plan = folder / "collect.toml"
        self.plan.write_text(short().replace(*TWINS), encoding="utf-8")
        self._ask = ask

    def collect(self, station: Station, *, names_bundle: bool = True, code: int = 0) -> None:
        words = ["collect", str(self.plan), str(station.folder), "--into", str(self.into)]
        if newest(self.into) is None:
            words += ["--data", str(self.running.data)]
        if names_bundle:
            words += ["--from-bundle", str(next(self.running.out.glob("bundles/*")))]
        assert main([*words, "--quiet"]) == code

    @property
    def version(self) -> Path:
        found = newest(self.into)
        assert found is not None
        return found

    def sets(self) -> Rows:
        return {s.name: s.split or "" for s in read_dataset(self.version).samples}

    def left_out(self) -> set[tuple[str, str, str]]:
        return {(each.why, each.part, each.what) for each in read_facts(self.version).left_out}

    def require_releasable(self) -> None:
        """`release --from-bundle` takes the version."""
        plan = taking(self.running.networks, OLD, self.plan.read_text(encoding="utf-8"))
        assert self._ask(plan, self.version) == ()


@pytest.fixture
def line(second: Release, tmp_path: Path, ask: Ask) -> Line:
    return Line(second, tmp_path, ask)


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def test_the_golden_twin_of_a_part_that_trains_goes_out_of_the_data(
    line: Line, station: Station
) -> None:
    twins = line.plan.read_text(encoding="utf-8")
    line.plan.write_text(short(), encoding="utf-8")  # as the release: it knew no twins
    station.say_all("good", 1)
    line.collect(station)
    assert line.sets()["base/spot/11.png"] == "golden"
    line.plan.write_text(twins, encoding="utf-8")
    line.collect(station)
    why = "held back, but a part that trains ties to it"
    assert (why, "base/spot/11.png", "golden beside base/spot/00.png") in line.left_out()
    assert line.sets()["base/spot/00.png"] == "train"
    assert "base/spot/11.png" not in line.sets()
    line.require_releasable()


def test_a_picture_of_the_archive_that_is_labelled_later_trains(
    line: Line, second: Release, station: Station
) -> None:
    archive = second.data.parent / "archive"
    for i in range(8):
        label = ("good", "spot")[i % 2]
        station.say(label, (archive / label / f"{i}.png").read_bytes())
    line.collect(station)
    mine = [split for name, split in line.sets().items() if "s1/" in name]
    assert mine == 8 * ["train"]
    line.require_releasable()


def test_what_was_held_back_before_anybody_named_the_bundle_goes_out(
    line: Line, second: Release, station: Station, capsys: pytest.CaptureFixture[str]
) -> None:
    station.say_all("good", 1)
    line.collect(station)
    shown = second.data.parent / "archive/spot/1.png"
    version = line.version
    with (version / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    spot = next(row for row in rows if row["label"] == "spot" and row["split"] == "golden")
    shutil.copy(shown, version / spot["image"])
    line.collect(station, names_bundle=False)
    assert line.version == version, "without the bundle nothing is known of its archive"
    with pytest.raises(DataError, match=r"learned as spot/1\.png"):
        line.require_releasable()
    why = "held back, but learned before"
    line.collect(station, code=65)  # it was the last golden spot
    assert f"{why}: 1 (the first: {spot['image']})" in capsys.readouterr().err
    station.say_all("spot", 3)
    line.collect(station)
    assert (why, spot["image"], "golden, as spot/1.png") in line.left_out()
    line.require_releasable()


def test_a_validation_picture_that_the_bundle_trained_on_goes_out(
    line: Line, second: Release, station: Station
) -> None:
    station.say_all("good", 1)
    line.collect(station)
    version = line.version
    with (version / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    spot = next(row for row in rows if row["label"] == "spot" and row["split"] == "validation")
    shutil.copy(second.data.parent / "archive/spot/1.png", version / spot["image"])
    with pytest.raises(DataError, match=r"learned as spot/1\.png"):
        line.require_releasable()
    line.collect(station)
    why = "held back, but learned before"
    assert (why, spot["image"], "validation, as spot/1.png") in line.left_out()
    line.require_releasable()


def test_the_shot_of_a_validation_part_stays_where_another_was_taken_back(
    line: Line, station: Station
) -> None:
    plan = line.plan.read_text(encoding="utf-8")
    line.plan.write_text(short(), encoding="utf-8")  # which knows no twins
    others = {}
    for i in range(12):
        shot = station.take("scratch")
        one = station.say("scratch", shot, part=f"P-{i}")[0]
        other = station.say("scratch", jpeg(nearly(decode(shot))), part=f"P-{i}")[0]
        others[f"s1/{one.review.result_id}.jpg"] = other
    line.collect(station, names_bundle=True)
    validation = [name for name in others if line.sets()[name] == "validation"]
    assert validation
    line.plan.write_text(plan, encoding="utf-8")
    with ReviewStore(station.folder / FILE) as store:
        for other in others.values():
            store.undo(Undo(review=other.id, by="anna", at=other.review.at))
    line.collect(station, names_bundle=False)
    assert all(line.sets().get(name) == "validation" for name in validation)


def test_a_part_that_was_taken_back_and_comes_again_trains_where_it_did(
    line: Line, station: Station
) -> None:
    pictures = [station.take("scratch") for _ in range(8)]
    said = [station.say("scratch", picture)[0] for picture in pictures]
    line.collect(station)
    trained = [i for i in range(8) if line.sets()[f"s1/b-{i + 1}.jpg"] == "train"]
    with ReviewStore(station.folder / FILE) as store:
        for each in said:
            store.undo(Undo(review=each.id, by="anna", at=each.review.at))
    line.collect(station, names_bundle=False)
    assert not any("s1/" in name for name in line.sets())
    with ReviewStore(station.folder / FILE) as store:
        for i in trained:  # alone: by their shares, some of them would be held back now
            store.put(said[i].review.model_copy(update={"by": "ben"}), pictures[i])
    line.collect(station, names_bundle=False)
    mine = [split for name, split in line.sets().items() if "s1/" in name]
    assert mine == len(trained) * ["train"] != []


def test_another_shot_of_a_part_that_trained_and_was_taken_back_trains(
    line: Line, station: Station
) -> None:
    def shot(i: int) -> Kept:
        return station.say("scratch", station.take("scratch"), part=f"P-{i}")[0]

    said = [shot(i) for i in range(8)]
    line.collect(station)
    trained = [i for i in range(8) if line.sets()[f"s1/b-{i + 1}.jpg"] == "train"]
    with ReviewStore(station.folder / FILE) as store:
        for each in said:
            store.undo(Undo(review=each.id, by="anna", at=each.review.at))
    for i in trained:  # alone: by their shares, some of them would be held back
        shot(i)
    line.collect(station, names_bundle=False)
    mine = [split for name, split in line.sets().items() if "s1/" in name]
    assert mine == len(trained) * ["train"] != []
