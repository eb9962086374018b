"""Data as people have it, split so that nothing leaks."""

import csv
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.contract.errors import DataError
from inspector.contract.image import ImageSpec
from training.cli import main
from training.dataset import SPLITS, Sample, read_dataset, require_trainable, subset
from training.likeness import near_twins
from training.plan import SplitRule, read_plan
from training.plan_smoke import smoke
from training.scan import LOOKS, Images, load_images, scan
from training.split import split_by_part

SPEC = ImageSpec(width=32, height=32)


def scanned(data: Path, folder: Path) -> Images:
    dataset = read_dataset(data)
    folder.mkdir(exist_ok=True)
    scan(dataset, SPEC, 0.999, folder, lambda samples, _: samples)
    return load_images(dataset, folder)


def test_a_folder_per_class_is_read(class_folders: Path) -> None:
    dataset = read_dataset(class_folders)
    assert dataset.labels == ("good", "scratch", "spot")
    assert len(dataset.samples) == 36


def test_split_folders_above_the_classes_are_kept(class_folders: Path, tmp_path: Path) -> None:
    root = tmp_path / "split"
    for split, numbers in (("train", range(7)), ("val", range(7, 9)), ("test", range(9, 12))):
        for label in ("good", "scratch", "spot"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in numbers:
                shutil.copy(class_folders / label / f"{i:02d}.png", folder / f"{i:02d}.png")
    samples = read_dataset(root).samples
    chosen = split_by_part(samples, (), SplitRule(calibration=0.0), 0)
    assert Counter(chosen) == {"train": 21, "validation": 6, "golden": 9}
    for sample, split in zip(samples, chosen, strict=True):
        assert sample.split == split
    # A train folder holds what the data does not bring.
    chosen = split_by_part(samples, (), SplitRule(calibration=0.17), 0)
    assert Counter(chosen) == {"train": 15, "validation": 6, "calibration": 6, "golden": 9}


def test_a_hidden_folder_beside_the_classes_is_no_class(class_folders: Path) -> None:
    before = read_dataset(class_folders)
    for bin_, name in ((".Trash-1000", "files"), (".ipynb_checkpoints", ".")):
        shutil.copytree(class_folders / "good", class_folders / bin_ / name)
    assert read_dataset(class_folders) == before


def test_a_folder_that_is_linked_to_is_looked_into(class_folders: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    shutil.copytree(class_folders / "good", more)
    (more / "back").symlink_to(more)
    (class_folders / "good" / "more").symlink_to(more)
    before = sum(1 for _ in class_folders.glob("good/*.png"))
    found = [s.name for s in read_dataset(class_folders).samples if s.name.startswith("good/more/")]
    assert len(found) == before


def test_a_column_that_is_not_read_is_named(class_folders: Path) -> None:
    manifest = class_folders / "manifest.csv"
    manifest.write_text("image,label,severty\n" + "good/0.png,good,1\n")
    assert read_dataset(class_folders).layout == f"{manifest}: manifest; not read: severty"


def test_folders_of_sets_may_differ_in_capitals_and_hidden_ones_are_no_set(
    class_folders: Path, tmp_path: Path
) -> None:
    for name in ("Train", "train", "test"):
        shutil.copytree(class_folders, tmp_path / "sets" / name)
    shutil.copytree(class_folders / "good", tmp_path / "sets" / ".Trash-1000" / "files")
    samples = read_dataset(tmp_path / "sets").samples
    assert Counter(sample.split for sample in samples) == {"train": 72, "golden": 36}


def test_the_mvtec_layout_is_read_with_its_masks_and_split_anew(
    class_folders: Path, tmp_path: Path
) -> None:
    root = tmp_path / "mvtec"
    shutil.copytree(class_folders / "good", root / "train" / "good")
    shutil.copytree(class_folders / "scratch", root / "test" / "scratch")
    masks = root / "ground_truth" / "scratch"
    masks.mkdir(parents=True)
    cv2.imwrite(str(masks / "03_mask.png"), np.zeros((64, 64), np.uint8))
    dataset = read_dataset(root)
    assert Counter(s.label for s in dataset.samples) == {"good": 12, "scratch": 12}
    assert [s.name for s in dataset.samples if s.mask] == ["test/scratch/03.png"]
    assert {s.split for s in dataset.samples} == {None}


def test_masks_as_mvtec_has_them_are_never_another_pictures(
    class_folders: Path, tmp_path: Path
) -> None:
    root = tmp_path / "mvtec"
    masks = root / "ground_truth" / "scratch" / "deep"
    masks.mkdir(parents=True)
    cv2.imwrite(str(masks / "03_mask.png"), np.zeros((64, 64), np.uint8))
    shutil.copytree(class_folders / "good", root / "train" / "good")
    with pytest.raises(DataError, match="has ground_truth, as MVTec's layout, but no folder test"):
        read_dataset(root)
    shutil.copytree(class_folders / "scratch", root / "test" / "scratch")
    assert not any(sample.mask for sample in read_dataset(root).samples)
    shutil.copytree(class_folders / "scratch", root / "test" / "scratch" / "deep")
    marked = [sample.name for sample in read_dataset(root).samples if sample.mask]
    assert marked == ["test/scratch/deep/03.png"]
    shutil.copytree(class_folders / "scratch", root / "train" / "scratch" / "deep")
    with pytest.raises(DataError, match=r"may be of train/scratch/deep/03\.png or of test/scratch"):
        read_dataset(root)


def test_a_stations_map_beside_its_picture_is_no_picture_of_the_class(class_folders: Path) -> None:
    for suffix in (".jpg", ".map.png"):
        shutil.copy(class_folders / "spot" / "00.png", class_folders / "spot" / f"r1{suffix}")
    names = {sample.name for sample in read_dataset(class_folders).samples}
    assert "spot/r1.jpg" in names
    assert "spot/r1.map.png" not in names


def test_a_name_that_is_no_utf8_is_refused_before_anything_is_read(class_folders: Path) -> None:
    folder = class_folders / "spot"
    (folder / "00.png").rename(os.fsdecode(os.fsencode(folder) + b"/sch\xe4den.png"))
    with pytest.raises(DataError, match=r"sch.udce4den.png': is no name in UTF-8: rename it"):
        read_dataset(class_folders)


def test_a_manifest_is_read_under_the_names_people_give_its_columns(class_folders: Path) -> None:
    manifest = class_folders / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["File", "class", "group", "severity"])
        writer.writerow(["good/00.png", "ok", "p1", ""])
        writer.writerow(["scratch/00.png", "nok", "p2", "0.5"])
    first, second = read_dataset(class_folders).samples
    assert (first.label, first.part, first.severity) == ("ok", "p1", None)
    assert (second.label, second.part, second.severity) == ("nok", "p2", 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,name\na.png,x\n", "has no column 'label'; it has image, name"),
        ("file,class_\na.png,x,\n", "has no column 'label'; it has file, class_; allowed"),
        ("image,label,split\na.png,x,holdout\n", "line 2: split 'holdout': must be one of train"),
        ("image,label,severity\na.png,x,2\n", "line 2: severity '2': must be a number from 0 to 1"),
        ("image,label\n", "holds no rows"),
        ("image,label\na.png,x\na.png,y\n", "a.png is listed twice"),
    ],
)
def test_a_manifest_that_cannot_work_is_refused_in_words(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_dataset(path)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("image,label,severity\na.png,good,\nb.png,scratch,0,5\n", "5"),
        ("image,label,part\na.png,good,P1\nb.png,crack, deep,P2\n", "P2"),
        ("image,boxes,label\na.png,,good\nb.png,10,20,30,40,crack\n", "30"),
    ],
    ids=["a decimal comma", "a comma in a label", "a box without quotes"],
)
def test_a_cell_that_a_comma_has_split_is_not_read_as_another(
    tmp_path: Path, text: str, cell: str
) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    words = rf"line 3: has more cells than the head has columns \('{cell}'\).* must be quoted"
    with pytest.raises(DataError, match=words):
        read_dataset(path)
    path.write_text("image,label\na.png,good,,\n", encoding="utf-8")
    assert read_dataset(path).labels == ("good",), "blank cells of a spreadsheet say nothing"


def test_one_class_alone_is_refused(class_folders: Path) -> None:
    samples = [s for s in read_dataset(class_folders).samples if s.label == "good"]
    with pytest.raises(DataError, match=r"only one class \(good 12\)"):
        require_trainable(samples, ["good"], "here")


def test_a_good_class_that_does_not_exist_is_refused(class_folders: Path) -> None:
    samples = read_dataset(class_folders).samples
    with pytest.raises(DataError, match="good 'fine': no such class here; there are good 12"):
        require_trainable(samples, ["fine"], "here")


@pytest.mark.parametrize("other", ["Good", "g\uff4fod"])
def test_a_class_written_in_two_ways_is_no_defect(class_folders: Path, other: str) -> None:
    samples = read_dataset(class_folders).samples
    written = [replace(s, label=other) if s.name == "good/00.png" else s for s in samples]
    with pytest.raises(DataError, match=r"classes '.*' and '.*good .*: are they one\?"):
        require_trainable(written, ["good"], "data")


def test_a_class_too_small_to_split_is_refused() -> None:
    samples = [Sample(Path(f"{i}.png"), f"{i}.png", "ok", f"p{i}") for i in range(20)]
    samples += [Sample(Path(f"n{i}.png"), f"n{i}.png", "nok", f"n{i % 2}") for i in range(6)]
    words = r"class 'nok' has no part for \w+: 2 part\(s\) that differ, at least 4"
    with pytest.raises(DataError, match=words):
        split_by_part(tuple(samples), (), SplitRule(), 0)


def test_the_scan_names_what_is_wrong_and_leaves_it_out(
    class_folders: Path, tmp_path: Path
) -> None:
    (class_folders / "good" / "00.png").write_bytes(b"not a picture")
    half = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1]
    (class_folders / "good" / "half.jpg").write_bytes(half.tobytes()[: len(half) // 2])
    shutil.copy(class_folders / "good" / "01.png", class_folders / "good" / "twin.png")
    shutil.copy(class_folders / "good" / "02.png", class_folders / "spot" / "two.png")
    cv2.imwrite(str(class_folders / "spot" / "small.png"), np.full((8, 8, 3), 90, np.uint8))
    report = scanned(class_folders, tmp_path / "scan").report
    found = {(f.kind, f.image): f.excluded for f in report.findings}
    assert found[("unreadable", "good/00.png")]
    assert found[("unreadable", "good/half.jpg")]
    assert found[("same picture twice", "good/twin.png")]
    assert found[("same picture, two labels", "good/02.png")]
    assert found[("same picture, two labels", "spot/two.png")]
    assert not found[("tiny", "spot/small.png")]
    assert not {"good/00.png", "good/twin.png", "good/02.png", "spot/two.png"} & set(report.kept)
    assert any("unreadable: 2" in line for line in report.lines())
    sizes = {(wide, high): n for wide, high, n in report.sizes}
    assert sum(sizes.values()) == len(report.kept)
    assert sizes[8, 8] == 1
    assert any(line.startswith("pixels: ") and "8x8 (1)" in line for line in report.lines())


def test_what_scan_does_not_show_of_many_findings_is_had_as_it_says(
    class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(8):
        (class_folders / "spot" / f"torn{i}.png").write_bytes(b"no picture")
    assert main(["scan", str(class_folders)]) == 0
    assert "and 3 more; inspector-train scan DATA --json FILE lists all" in capsys.readouterr().out
    found = tmp_path / "found.json"
    assert main(["scan", str(class_folders), "--json", str(found)]) == 0
    assert all(f"spot/torn{i}.png" in found.read_text(encoding="utf-8") for i in range(8))


def test_a_picture_of_12_bits_in_16_is_not_trained_on_as_almost_black(
    class_folders: Path, tmp_path: Path
) -> None:
    eight = cv2.imread(str(class_folders / "spot" / "00.png"))
    assert eight is not None
    deep = eight.astype(np.uint16) * 16
    for suffix in ("png", "tif"):
        assert cv2.imwrite(str(class_folders / "spot" / f"deep.{suffix}"), deep)
    found = scanned(class_folders, tmp_path / "scan").report.findings
    said = {each.image: (each.kind, each.excluded, each.what) for each in found}
    words = "has 16 bits a channel: bring it to 8 as the camera does"
    for suffix in ("png", "tif"):
        assert said[f"spot/deep.{suffix}"] == ("unreadable", True, words)


def test_a_file_that_the_manifest_names_and_nobody_has_is_a_finding(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("image,label\ngone.png,ok\n", encoding="utf-8")
    dataset = read_dataset(manifest)
    assert dataset.fingerprint()
    (finding,) = scanned(manifest, tmp_path / "scan").report.findings
    assert (finding.kind, finding.what) == ("unreadable", "No such file or directory")


def test_the_kept_pixels_are_what_the_station_would_see(
    class_folders: Path, tmp_path: Path
) -> None:
    from inspector.contract.image import fit

    (class_folders / "good" / "00.png").unlink()
    images = scanned(class_folders, tmp_path / "scan")
    for sample, pixels in zip(images.samples, images.pixels, strict=True):
        image = cv2.imread(str(sample.image), cv2.IMREAD_COLOR)
        assert image is not None
        assert np.array_equal(pixels, fit(np.asarray(image, np.uint8), SPEC))


def test_nearly_the_same_picture_is_found_although_all_pictures_look_alike() -> None:
    rng = np.random.default_rng(1)
    product = rng.normal(0, 1, (64, 64))
    faces = (product + rng.normal(0, 0.3, (20, 64, 64))).astype(np.float32)
    faces[7] = faces[3] + rng.normal(0, 0.02, (64, 64))
    assert near_twins(faces, 0.97) == [(3, 7)]
    assert near_twins(faces, 1.0) == []


def test_pictures_that_an_older_program_scanned_are_looked_at_again(
    class_folders: Path, tmp_path: Path
) -> None:
    looks = scanned(class_folders, tmp_path / "scan").looks
    (tmp_path / "scan" / LOOKS).unlink()
    again = load_images(read_dataset(class_folders), tmp_path / "scan").looks
    assert len(set(again.digests)) == 36
    assert again.digests == looks.digests
    assert np.array_equal(again.greys, looks.greys)


def test_twins_and_parts_stay_on_one_side_and_every_class_is_everywhere() -> None:
    rng = np.random.default_rng(3)
    samples = tuple(
        Sample(Path(f"{i}.png"), f"{i}.png", "nok" if i % 4 == 0 else "ok", f"p{i // 3}")
        for i in range(300)
    )
    twins = tuple((int(a), int(b)) for a, b in rng.integers(0, 300, (40, 2)) if a < b)
    rule = SplitRule(golden=0.2, validation=0.15, calibration=0.25)
    chosen = split_by_part(samples, twins, rule, 5)
    for i, j in twins:
        assert chosen[i] == chosen[j]
    for i in range(0, 300, 3):
        assert len(set(chosen[i : i + 3])) == 1
    for label in ("ok", "nok"):
        n = sum(s.label == label for s in samples)
        share = Counter(c for c, s in zip(chosen, samples, strict=True) if s.label == label)
        assert share["golden"] / n == pytest.approx(0.2, abs=0.06)
        assert share["validation"] / n == pytest.approx(0.12, abs=0.06)
        assert share["calibration"] / n == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("label", ["good", "scratch"], ids=["twice", "two labels"])
def test_two_ids_under_which_one_picture_stands_are_one_part(
    class_folders: Path, tmp_path: Path, label: str
) -> None:
    shutil.copy(class_folders / "good" / "00.png", class_folders / "again.png")
    parts = {"good/00.png": "A-17", "again.png": "17", "good/01.png": "17", "good/02.png": "A-17"}
    labels = {s.name: s.label for s in read_dataset(class_folders).samples} | {"again.png": label}
    with (class_folders / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [(name, label, parts.get(name, name)) for name, label in labels.items()]
        csv.writer(file).writerows([("image", "label", "part"), *rows])
    images = scanned(class_folders, tmp_path / "scan")
    names = [sample.name for sample in images.samples]
    assert not {"good/00.png", "again.png"} <= set(names), "a picture is used once at most"
    places = [names.index(name) for name in ("good/01.png", "good/02.png")]
    for seed in range(20):
        chosen = split_by_part(images.samples, images.report.twins, SplitRule(), seed)
        assert len({chosen[i] for i in places}) == 1, "a shot of a part that trains is held back"


def test_the_split_is_the_same_every_time_and_another_with_another_seed() -> None:
    samples = tuple(
        Sample(Path(f"{i}.png"), f"{i}.png", "nok" if i % 3 else "ok", f"p{i}") for i in range(60)
    )
    once = split_by_part(samples, (), SplitRule(), 1)
    assert once == split_by_part(samples, (), SplitRule(), 1)
    assert once != split_by_part(samples, (), SplitRule(), 2)


def test_a_part_that_the_data_puts_on_both_sides_is_refused() -> None:
    samples = (
        Sample(Path("a.png"), "a.png", "ok", "p1", "train"),
        Sample(Path("b.png"), "b.png", "ok", "p1", "golden"),
    )
    with pytest.raises(DataError, match=r"into two splits: a\.png, b\.png"):
        split_by_part(samples, (), SplitRule(), 0)


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_a_smoke_run_trains_on_two_pictures_of_every_class(tmp_path: Path, classes: int) -> None:
    # what differs within a class is what novelty is measured by
    for label in ("free", "blowhole", "break", "crack", "fray", "uneven")[:classes]:
        (tmp_path / label).mkdir()
        for i in range(12):
            cv2.imwrite(str(tmp_path / label / f"{i}.png"), np.full((8, 8, 3), 9 * i, np.uint8))
    plan = smoke(read_plan(Path(__file__).parents[2] / "training/plans/magnetic_tile.toml"))
    few = subset(read_dataset(tmp_path))
    splits = split_by_part(few.samples, (), plan.split, plan.seed)
    have = Counter((s.label, split) for s, split in zip(few.samples, splits, strict=True))
    assert all(have[label, "train"] >= 2 for label in few.labels)
    assert all(have[label, split] for label in few.labels for split in SPLITS)
