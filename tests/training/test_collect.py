"""Reviewed parts become a data set's next version, and what is held back stays held back."""

import csv
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
import torch

from inspector.contract.errors import DataError
from inspector.contract.image import decode
from inspector.contract.review import Undo
from inspector.delivery.reviews import FILE, PICTURES, ReviewStore
from tests.support import small_disk
from tests.training.plates import PLAN
from tests.training.releases import Released
from tests.training.said import Station, dent, jpeg
from training.cli import main
from training.dataset import SPLITS, Dataset, Sample, read_dataset
from training.fit import Machine
from training.job import Job, data_of
from training.known import reviewed_pictures
from training.plan import read_plan
from training.release import prepare
from training.reviewed import read_reviewed
from training.run import Run
from training.running import read_split, running_bundle
from training.screen import Screen
from training.versions import FACTS, Collected, newest, read_facts

LIKENESS = "near_duplicate_at = 0.97"


class Line:
    """A line with a released bundle, and the versions of its data."""

    def __init__(self, released: Released, folder: Path) -> None:
        self.released = released
        self.into = folder / "line"
        self.plan = folder / "plan.toml"
        self.plan.write_text(PLAN.replace("near_duplicate_at = 1.0", LIKENESS), encoding="utf-8")
        self.splits = read_split(running_bundle(released.bundle.folder))

    def collect(self, *sources: Path, first: bool | None = None, quiet: bool = True) -> int:
        words = ["collect", str(self.plan), *map(str, sources), "--into", str(self.into)]
        if first if first is not None else newest(self.into) is None:
            bundle = self.released.bundle.folder
            words += ["--data", str(self.released.data), "--from-bundle", str(bundle)]
        return main([*words, *["--quiet"] * quiet])

    @property
    def version(self) -> Path:
        found = newest(self.into)
        assert found is not None
        return found

    @property
    def facts(self) -> Collected:
        return read_facts(self.version)

    @property
    def data(self) -> Dataset:
        return read_dataset(self.version)

    def golden(self) -> list[tuple[str, str]]:
        return [key for key, split in self.splits.items() if split == "golden"]

    def why(self) -> Counter[str]:
        return Counter(each.why for each in self.facts.left_out)


@pytest.fixture
def line(released: Released, tmp_path: Path) -> Line:
    return Line(released, tmp_path)


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def dents(station: Station, count: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(count):
        station.say("dent", jpeg(dent(rng)), part=None)


def of_stations(data: Dataset) -> list[Sample]:
    return [sample for sample in data.samples if not sample.name.startswith("base/")]


def test_the_first_version_keeps_every_set_and_spreads_a_new_class_over_all(
    line: Line, station: Station, capsys: pytest.CaptureFixture[str]
) -> None:
    dents(station, 8)
    station.say_all("good", 3)
    assert line.collect(station.folder) == 0
    assert capsys.readouterr().out.strip() == str(line.version)
    base = {s.name.removeprefix("base/"): s.split for s in line.data.samples if "base/" in s.name}
    assert base == {name: split for (name, _), split in line.splits.items()}
    new = Counter((s.label, s.split) for s in of_stations(line.data))
    assert {split for label, split in new if label == "dent"} == set(SPLITS)
    assert sum(new.values()) == 11
    assert line.facts.new["dent"]["golden"] >= 1
    assert line.facts.stations == {"s1": 11}


def test_a_version_says_of_every_picture_which_part_who_and_what_judged_it(
    line: Line, station: Station
) -> None:
    station.say("good", picture := station.take("good"), "anna", "ben", part="P-7")
    line.collect(station.folder)
    with (line.version / "manifest.csv").open(encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["station"])
    said = {name: row[name] for name in ("station", "seq", "part_id", "bundle", "reviewers")}
    assert said == {
        "station": "s1",
        "seq": "1",
        "part_id": "P-7",
        "bundle": "plate-0",
        "reviewers": "anna;ben",
    }
    assert (line.version / row["image"]).read_bytes() == picture


def test_what_is_or_looks_like_a_golden_picture_never_trains(line: Line, station: Station) -> None:
    # not a good one: these are noise alone, of which a JPEG keeps little
    name, label = next(key for key in line.golden() if key[1] == "scratch")
    image = cv2.imread(str(line.released.data / name))
    assert image is not None
    png = cv2.imencode(".png", image)[1].tobytes()
    station.say(label, png)
    station.say(label, jpeg(image, 90))
    station.say("dent", jpeg((image * 0.97).astype(np.uint8), 90))  # whatever it is called
    station.say("good", station.take("good"), part=str(Path(name).with_suffix("")))
    line.collect(station.folder)
    assert not of_stations(line.data)
    assert line.why() == {
        "same picture as another": 1,
        "looks like a golden picture": 2,
        "a part of the golden set": 1,
    }


def test_a_picture_that_is_left_out_still_says_what_its_part_is(
    line: Line, station: Station
) -> None:
    def shots_of(split: str) -> list[np.ndarray]:
        names = [n for (n, label), s in line.splits.items() if (label, s) == ("scratch", split)]
        found = [cv2.imread(str(line.released.data / name)) for name in sorted(names)]
        return [image for image in found if image is not None]

    for i, image in enumerate(shots_of("golden")):
        station.say("scratch", jpeg(image, 90), part=f"golden-{i}")  # looks like it
        station.say("scratch", station.take("scratch"), part=f"golden-{i}")
    trained = shots_of("train")
    for i, image in enumerate(trained):
        same = cv2.imencode(".png", image)[1].tobytes()
        station.say("scratch", same if i % 2 else jpeg(image, 90), part=f"train-{i}")
        station.say("scratch", station.take("scratch"), part=f"train-{i}")
    # nor are two new ones apart that only a third ties together
    station.say("spot", once := station.take("spot"), part="one")
    station.say("spot", once, part="other")
    station.say("spot", station.take("spot"), part="other")
    line.collect(station.folder)
    sets = {sample.part: sample.split for sample in of_stations(line.data)}
    assert sets.pop("one") == sets.pop("other")
    assert sets == {f"train-{i}": "train" for i in range(len(trained))}
    assert line.why()["a part of the golden set"] == len(shots_of("golden"))


def test_a_picture_of_which_people_do_not_agree_still_says_what_its_part_is(
    line: Line, station: Station
) -> None:
    golden = sorted(name for name, label in line.golden() if label == "scratch")
    for i, name in enumerate(golden):
        image = cv2.imread(str(line.released.data / name))
        assert image is not None
        again = jpeg(image, 90)
        if i:
            station.say(None, again, part=f"P-{i}")
        else:
            (kept,) = station.say("scratch", again, part=f"P-{i}")
            station.say("spot", again, "ben", part=f"P-{i}", seq=kept.review.seq)
        station.say("scratch", station.take("scratch"), part=f"P-{i}")
    line.collect(station.folder)
    assert not of_stations(line.data)
    assert line.why() == {
        "a part of the golden set": len(golden),
        "reviewers do not agree": 1,
        "nobody could tell": len(golden) - 1,
    }


def test_pictures_that_add_nothing_and_people_who_do_not_agree_are_left_out_and_listed(
    line: Line, station: Station
) -> None:
    rng = np.random.default_rng(1)
    station.say("spot", spot := station.take("spot"))
    station.say("spot", spot)
    decoded = decode(spot)
    station.say("spot", jpeg(decoded, 80))
    station.say("good", odd := station.take("good"), "anna")
    station.say("scratch", odd, "ben", seq=4)
    station.say(None, station.take("good"))
    station.say("good", twice := station.take("good"))
    station.say("scratch", twice)
    station.say("dent", jpeg(dent(rng)))
    line.collect(station.folder)
    assert [sample.label for sample in of_stations(line.data)] == ["spot"]
    assert line.why() == {
        "same picture as another": 1,
        "nearly the same as another": 1,
        "reviewers do not agree": 1,
        "nobody could tell": 1,
        "same picture, two labels": 2,
        "too few of its class yet": 1,
    }
    conflict = next(e for e in line.facts.left_out if e.why == "reviewers do not agree")
    assert (conflict.part, conflict.what) == ("s1/b-4", "anna: good, ben: scratch")


def test_a_class_waits_where_its_parts_are_tied_to_those_that_train(
    line: Line, station: Station
) -> None:
    rng = np.random.default_rng(5)
    trained = [Path(n).with_suffix("") for (n, _), split in line.splits.items() if split == "train"]
    for i in range(6):  # two free ones, for three sets that train does not cover
        tied = str(trained[i]) if i < 4 else None
        station.say("dent", jpeg(dent(rng)), part=tied)
    station.say("good", station.take("good"))
    line.collect(station.folder)
    assert [sample.label for sample in of_stations(line.data)] == ["good"]
    assert line.why() == {"too few of its class yet": 6}
    dents(station, 1)
    line.collect(station.folder)
    assert Counter(s.split for s in of_stations(line.data) if s.label == "dent") == {
        "train": 4,
        "golden": 1,
        "calibration": 1,
        "validation": 1,
    }


def test_a_part_that_was_judged_region_by_region_does_not_train_whole(
    line: Line, station: Station
) -> None:
    picture = station.take("spot")
    review = station.review("spot", picture, "anna", None, 1)
    quarters = ((0, 0, 32, 32), (32, 0, 32, 32), (0, 32, 32, 32), (32, 32, 32, 32))
    apart = {"regions": 4, "region": None, "areas": quarters}
    with ReviewStore(station.folder / FILE) as store:
        store.put(review.model_copy(update=apart), picture)
        cut = review.model_copy(update={"region": (0, 0, 32, 64), "seq": 2, "result_id": "b-2"})
        store.put(cut, picture)
    line.collect(station.folder)
    assert line.why() == {"judged in several regions": 1}
    (sample,) = of_stations(line.data)
    assert decode(sample.image.read_bytes()).shape == (64, 32, 3)  # as the model saw it


def test_of_a_line_of_tiles_the_area_trains_that_its_recipe_names(
    line: Line, station: Station
) -> None:
    station.say_all("spot", 2)
    line.collect(station.folder)
    (line.version / FACTS).write_text(
        line.facts.model_copy(update={"tiles": True}).model_dump_json(), encoding="utf-8"
    )
    picture = station.take("spot")
    review = station.review("spot", picture, "anna", None, 9)
    left_half = {"regions": 2, "region": None, "areas": ((0, 0, 32, 32), (0, 32, 32, 32))}
    with ReviewStore(station.folder / FILE) as store:
        store.put(review.model_copy(update=left_half), picture)
    line.collect(station.folder)
    shapes = [decode(sample.image.read_bytes()).shape for sample in of_stations(line.data)]
    assert sorted(shapes) == [(64, 32, 3), (64, 64, 3), (64, 64, 3)]


def test_a_collected_picture_that_was_deleted_is_judged_again_from_the_version(
    line: Line, station: Station
) -> None:
    station.say_all("spot", 8)
    line.collect(station.folder)
    shutil.rmtree(station.folder / PICTURES)
    bundle = line.released.bundle
    reviewed = read_reviewed([station.folder])
    known, unshown = reviewed_pictures(reviewed, line.version, line.data, (bundle, bundle))
    assert unshown == ()
    assert {each.path for each in known} == {
        sample.image for sample in of_stations(line.data) if sample.split != "golden"
    }
    assert known


def test_a_part_seen_by_several_stations_is_in_one_set(
    line: Line, station: Station, tmp_path: Path
) -> None:
    other = Station(tmp_path, "s2", seed=99)
    for i in range(12):
        for each in (station, other):
            each.say("spot", each.take("spot"), part=f"P-{i}")
    line.collect(station.folder, other.folder, other.folder)
    sets: dict[str, set[str | None]] = {}
    for sample in of_stations(line.data):
        sets.setdefault(sample.part, set()).add(sample.split)
    assert len(sets) == 12
    assert all(len(each) == 1 for each in sets.values())
    assert line.facts.stations == {"s1": 12, "s2": 12}


def test_a_part_whose_id_is_padded_with_spaces_stays_in_its_set_in_the_next_run(
    line: Line, station: Station
) -> None:
    for _ in range(2):  # as a PLC's strings of a fixed length come
        for i in range(6):
            station.say("spot", station.take("spot"), part=f" P-{i}  ")
        line.collect(station.folder)
    parts = {(sample.part, sample.split) for sample in of_stations(line.data)}
    assert len(parts) == 6
    golden = sum(split == "golden" for _, split in parts)
    assert line.why() == {"a part of the golden set": golden}
    reviewed, pair = read_reviewed([station.folder]), (line.released.bundle,) * 2
    known, _ = reviewed_pictures(reviewed, line.version, line.data, pair)
    assert {each.part for each in known if each.trained} == {
        part for part, split in parts if split != "golden"
    }


def test_where_nothing_is_new_all_that_was_left_out_is_named(
    line: Line, station: Station, capsys: pytest.CaptureFixture[str]
) -> None:
    station.say_all("good", 2)
    line.collect(station.folder)
    capsys.readouterr()
    for _ in range(7):
        seen = station.take("good")
        number = station.say("good", seen, "anna")[0].review.seq
        station.say("spot", seen, "ben", seq=number)
    assert line.collect(station.folder, quiet=False) == 0
    told = capsys.readouterr()
    said = told.out + told.err
    assert "nothing is new" in said
    assert "collected.json" not in said
    assert all(f"b-{seq} " in said for seq in range(3, 10))


def test_the_next_run_adds_what_is_new_and_takes_out_what_was_taken_back(
    line: Line, station: Station, capsys: pytest.CaptureFixture[str]
) -> None:
    station.say_all("spot", 2)
    kept = station.say("scratch", station.take("scratch"))[0]
    line.collect(station.folder)
    first, sets = line.version, {s.name: s.split for s in line.data.samples}
    assert line.collect(station.folder) == 0
    assert "nothing is new" in capsys.readouterr().err
    assert line.version == first
    station.say_all("good", 2)
    with ReviewStore(station.folder / FILE) as store:
        store.undo(Undo(review=kept.id, by="anna", at=kept.review.at))
    line.collect(station.folder)
    assert (first.name, line.version.name) == ("v0001", "v0002")
    assert line.facts.added == ("s1/b-4.jpg", "s1/b-5.jpg")
    assert line.facts.changed == ("s1/b-3.jpg: taken out, its reviews: open",)
    now = {s.name: s.split for s in line.data.samples}
    assert now.items() >= {k: v for k, v in sets.items() if k != "s1/b-3.jpg"}.items()
    old, new = first / "s1/b-1.jpg", line.version / "s1/b-1.jpg"
    assert old.stat().st_ino == new.stat().st_ino  # one picture on the disk
    assert line.collect(station.folder, first=True) == 78
    assert "has v0002 already" in capsys.readouterr().err


def test_a_part_that_is_of_a_new_class_by_now_waits_for_more_of_it_and_stops_no_others(
    line: Line, station: Station
) -> None:
    picture = jpeg(dent(np.random.default_rng(4)))
    (kept,) = station.say("spot", picture)
    line.collect(station.folder)
    with ReviewStore(station.folder / FILE) as store:
        store.undo(Undo(review=kept.id, by="anna", at=kept.review.at))
    station.say("dent", picture, "ben", seq=1)
    station.say_all("good", 2)
    assert line.collect(station.folder) == 0
    assert [sample.label for sample in of_stations(line.data)] == ["good", "good"]
    assert line.facts.changed == ("s1/b-1.jpg: spot is now dent",)
    assert line.why() == {"too few of its class yet": 1}
    before = line.version
    assert line.collect(station.folder) == 0
    assert line.version == before
    dents(station, 6)
    assert line.collect(station.folder) == 0
    assert {s.split for s in of_stations(line.data) if s.label == "dent"} == set(SPLITS)
    assert "s1/b-1.jpg" in line.facts.added


def test_a_disk_that_fills_up_costs_no_version_and_is_said_in_words(
    line: Line, station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station.say_all("spot", 2)
    with small_disk(tmp_path / "disk", "96k") as disk:
        line.into = disk / "line"
        assert line.collect(station.folder) == 1
        expected = "No space left on device; with more room the same command goes on\n"
        assert capsys.readouterr().err.endswith(expected)
        assert newest(line.into) is None
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        assert line.collect(station.folder) == 0
        assert len(of_stations(line.data)) == 2


def test_another_grade_of_the_same_defect_is_taken_up(line: Line, station: Station) -> None:
    kept = station.say("spot", station.take("spot"))[0].review
    line.collect(station.folder)
    with ReviewStore(station.folder / FILE) as store:
        shot = (station.folder / PICTURES).rglob("*.jpg")
        second = {"by": "ben", "severity": 1 / 3}
        store.put(kept.model_copy(update=second), next(shot).read_bytes())
    line.collect(station.folder)
    assert line.facts.changed == ("s1/b-1.jpg: spot is now spot of severity 0.3333",)
    assert line.collect(station.folder) == 0
    assert line.version.name == "v0002"  # nothing is new


def test_a_picture_that_was_half_copied_hides_no_whole_one(station: Station) -> None:
    station.say("good", picture := station.take("good"))
    copy = shutil.copytree(station.folder, station.folder.with_name("copy"))
    (half,) = (copy / PICTURES).iterdir()
    half.write_bytes(picture[:100])
    for sources in ([copy, station.folder], [station.folder, copy]):
        (part,) = read_reviewed(sources)
        assert part.picture_bytes() == picture
    (part,) = read_reviewed([copy])
    assert (part.picture, part.picture_bytes()) == (half, None)


def test_who_cannot_tell_what_it_is_grades_no_defect(station: Station) -> None:
    kept = station.say("spot", picture := station.take("spot"))[0].review
    with ReviewStore(station.folder / FILE) as store:
        for by, label, severity in (("ben", "spot", 0.2), ("carl", None, 1.0)):
            said = {"by": by, "label": label, "severity": severity}
            store.put(kept.model_copy(update=said), picture)
    (part,) = read_reviewed([station.folder])
    assert (part.standing, part.label, part.severity) == ("agreed", "spot", 0.2)


def test_a_version_is_split_as_it_says_by_the_plan_that_trains_on_it(
    line: Line, station: Station
) -> None:
    dents(station, 8)
    line.collect(station.folder)
    plan = read_plan(line.plan)
    with TemporaryDirectory() as work:
        run = Run(Path(work), lambda _: None)
        job = Job(plan, run, Machine(torch.device("cpu"), 1), Screen(quiet=True))
        images, split = prepare(job, line.data, "test")
        rows = data_of(images, split).rows
        run.close()
    assert len(images.samples) == len(line.data.samples)
    assert {images.samples[i].name: name for name in SPLITS for i in rows[name]} == {
        sample.name: sample.split for sample in line.data.samples
    }


def test_golden_pictures_that_are_not_the_bundles_are_refused(
    line: Line, station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(line.released.out, tmp_path / "out")
    bundle = out / "bundles" / line.released.bundle.id
    path = out / "networks" / line.released.bundle.id / "split.csv"
    path.write_text(path.read_text().replace("golden", "train", 1), encoding="utf-8")
    with pytest.raises(DataError, match="its golden set is not that of bundle"):
        read_split(running_bundle(bundle))
    station.say_all("good", 1)
    words = ["collect", str(line.plan), str(station.folder), "--into", str(line.into)]
    assert main(words) == 65
    assert "has no version yet: the first needs --data" in capsys.readouterr().err
    shutil.rmtree(out / "networks")
    assert main([*words, "--data", str(line.released.data), "--from-bundle", str(bundle)]) == 78
    assert "its networks are not in" in capsys.readouterr().err
    assert main([*words[:2], str(tmp_path), "--into", str(line.into)]) == 78
    assert "there is no" in capsys.readouterr().err
