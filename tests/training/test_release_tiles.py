"""The whole chain on tiles, and the station's replay of the bundle that comes out of it."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from inspector.contract.bundle import Bundle, Manifest, read_bundle
from inspector.contract.image import Tiling, decode, fit
from inspector.contract.outputs import Outputs, acceptable, expected_of, golden_parts, scored
from inspector.contract.outputs import with_overview as pooled
from inspector.contract.variant import Wanted
from inspector.contract.verdict import Evaluation, Limits, Prediction, judge, worst
from inspector.hmi.bundles import detail, golden_picture
from inspector.replay import judge_folder
from inspector.runtime.loader import open_runtime
from inspector.station.cycle import Job
from inspector.station.recipe import Recipe
from tests.training.plates import PLAN, draw
from training import job as training_job
from training.answers import untempered
from training.cli import main
from training.dataset import read_dataset
from training.fit import Machine
from training.plan import read_plan
from training.release import read_sights
from training.run import Run
from training.screen import Screen
from training.standing import standing

TILES = """fit = "pad"
[tiles]
width = 32
height = 32
without_mask = "leave_out"
crops_per_defect = 2
"""


def write_marked_plates(root: Path) -> Path:
    """Plates of several sizes, each a 64 x 64 drawing somewhere on more grey; masks and boxes."""
    rng = np.random.default_rng(3)
    root.mkdir()
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "mask", "boxes"])
        for label in ("good", "scratch", "spot"):
            for i in range(12):
                height, width = (int(side) for side in rng.integers(64, 100, 2))
                image = rng.normal(128, 6, (height, width, 1)).clip(0, 255).repeat(3, axis=2)
                plate = draw(rng, label)
                image[:64, :64] = plate
                name = f"{label}{i}"
                cv2.imwrite(str(root / f"{name}.png"), image.astype(np.uint8))
                marked = np.abs(image[..., 0] - 128) > 60
                y, x = np.nonzero(marked)
                mask = boxes = ""
                if label == "scratch" and i:  # one is left without
                    mask = f"{name}_mask.png"
                    cv2.imwrite(str(root / mask), marked.astype(np.uint8) * 255)
                if label == "spot":
                    boxes = f"{x.min()},{y.min()},{np.ptp(x) + 1},{np.ptp(y) + 1}"
                rows.writerow([f"{name}.png", label, mask, boxes])
    return root


class Released:
    """One release that several tests look at."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.plan = folder / "plan.toml"
        tiles = "\n".join([TILES, *more, ""])
        plan = PLAN.replace("width = 64\nheight = 64\n", f"width = 32\nheight = 32\n{tiles}")
        plan = plan.replace("resnet18", "resnet10t").replace("epochs = 3", "epochs = 1")
        self.plan.write_text(plan, encoding="utf-8")
        self.data = write_marked_plates(folder / "data")
        self.out = folder / "out"
        self.release()
        (bundle,) = (self.out / "bundles").iterdir()
        self.bundle: Bundle = read_bundle(bundle)
        with (self.out / "report" / "golden.csv").open(encoding="utf-8") as file:
            self.golden = list(csv.DictReader(file))

    def release(self) -> None:
        words = ["release", self.plan, "--data", self.data, "--out", self.out]
        assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    return Released(tmp_path_factory.mktemp("release"))


def test_the_report_tells_how_well_the_map_points_where_golden_defects_are_marked(
    released: Released,
) -> None:
    report = json.loads((released.bundle.folder / "report.json").read_text(encoding="utf-8"))
    defects = sum(row["label"] != "good" for row in released.golden)
    played = report["pointing"]
    assert defects - 1 <= played["pictures"] <= defects  # one scratch is left without a mask
    assert 0.0 < played["chance"] < 1.0
    page = (released.bundle.folder / "report.html").read_text(encoding="utf-8")
    assert "Defect map: the strongest cell of the map touches the marked defect in " in page
    assert released.bundle.manifest.model.defect_map == "defect_map"


def test_a_bundle_of_tiles_says_so_and_tests_itself_on_tiles(released: Released) -> None:
    manifest = released.bundle.manifest
    assert manifest.tiles == Tiling(width=32, height=32, overlap=0.25)
    open_runtime(released.bundle)
    labels = {row["label"] for row in released.golden}
    assert {golden.label for golden in manifest.golden} == labels
    for golden in manifest.golden:
        tile = decode((released.bundle.folder / golden.file).read_bytes())
        assert tile.shape == (32, 32, 3)


def test_a_temperature_that_is_fitted_to_tiles_says_tiles(released: Released) -> None:
    (path,) = released.out.glob("work/calibrate-student-*/temperature.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert f"{found['parts']} validation tiles" in found["sentence"]


@pytest.fixture(scope="module")
def with_overview(tmp_path_factory: pytest.TempPathFactory) -> Released:
    more = ("border = 10", "overview = true", "overview_shows = 2")
    return Released(tmp_path_factory.mktemp("overview"), *more)


def test_what_was_said_before_the_temperature_is_told_of_each_tile_and_overview(
    with_overview: Released,
) -> None:
    """Taken off what both say together it would be another answer, of more than two classes."""
    plan, data = read_plan(with_overview.plan), read_dataset(with_overview.data)
    run = Run(with_overview.out / "work", lambda _: None)
    try:
        job = training_job.Job(plan, run, Machine(torch.device("cpu"), 1), Screen(quiet=True))
        its = read_sights(job, data, data.fingerprint(marks=True)).own.data
    finally:
        run.close()
    assert its.layout is not None
    (folder,) = with_overview.out.glob(f"work/answers-student-{12 * '[0-9a-f]'}")
    off, rows = 3.0, its.rows["golden"]
    alone = np.load(folder / "student-golden.npy") ** off
    alone /= alone.sum(axis=1, keepdims=True)
    good = np.array([label in plan.good for label in its.labels])
    expected = []
    for picture in dict.fromkeys(its.layout.picture[rows].tolist()):
        mine = its.layout.picture[rows] == picture
        whole, tiles = (alone[mine & (its.layout.overview[rows] == k)] for k in (True, False))
        said = pooled(Outputs(np.concatenate([whole, tiles]), None, None), good).probabilities
        expected.append(said[said[:, ~good].sum(axis=1).argmax()])
    found = untempered(plan, its, "student", folder, off)
    np.testing.assert_allclose(found, np.array(expected), atol=1e-5)
    together = untempered(plan, its, "student", folder, 1.0) ** off
    together /= together.sum(axis=1, keepdims=True)
    assert np.abs(found - together).max() > 1e-3


@pytest.mark.parametrize("which", ["released", "with_overview"])
def test_the_stations_replay_finds_the_scores_that_training_wrote(
    request: pytest.FixtureRequest, tmp_path: Path, which: str
) -> None:
    released: Released = request.getfixturevalue(which)
    for row in released.golden:
        shutil.copy(released.data / row["image"], tmp_path / row["image"])
    recipe = Recipe(name="plate", bundle=released.bundle.id)
    wanted: Wanted = "int8-vnni" if released.bundle.manifest.variants else "float"
    runtime = open_runtime(released.bundle, wanted=wanted)  # golden.csv is of what ships
    replayed = list(judge_folder(tmp_path, Job(recipe, runtime)))
    expected = {row["image"]: row for row in released.golden}
    assert len(replayed) == len(expected)
    for seen in replayed:
        row = expected[seen.name]
        # the region that stands for the part may be a strange one, of a lower score than others
        regions = seen.judged.regions
        highest = max(each.score for each in regions if each.score is not None)
        assert highest == pytest.approx(float(row["score"]), abs=2e-6)
        farthest = max(each.novelty for each in regions if each.novelty is not None)
        assert farthest == pytest.approx(float(row["novelty"]), abs=1e-4)
        assert seen.judged.verdict.evaluation.name == row["evaluation"]
        assert len(seen.judged.regions) >= 9


def test_a_bundle_with_an_overview_tests_itself_on_tile_and_overview(
    with_overview: Released,
) -> None:
    manifest = with_overview.bundle.manifest
    assert manifest.tiles == Tiling(width=32, height=32, overlap=0.25, border=10, overview=True)
    kinds = [golden.overview for golden in manifest.golden]
    assert kinds == [False, True] * (len(kinds) // 2)
    runtime = open_runtime(with_overview.bundle)
    parts, expected = golden_parts(manifest, expected_of(manifest))
    for tile, whole in zip(manifest.golden[::2], manifest.golden[1::2], strict=True):
        assert tile.label == whole.label
        files = (with_overview.bundle.folder / each.file for each in (whole, tile))
        shown = [fit(decode(file.read_bytes()), manifest.image) for file in files]
        (prediction,) = runtime.predict(shown)
        part = parts.index(tile)
        said = scored(expected, acceptable(manifest))[part]
        assert prediction.defect_score == pytest.approx(said.defect_score, abs=manifest.tolerance)


def test_the_pages_show_the_tiles_of_a_bundle_with_their_parts_scores(
    with_overview: Released,
) -> None:
    bundle = with_overview.bundle
    rows = detail(bundle.folder, bundle.manifest)["golden"]
    assert [row["picture"] for row in rows] == list(range(0, len(bundle.manifest.golden), 2))
    _, said = golden_parts(bundle.manifest, expected_of(bundle.manifest))
    good = acceptable(bundle.manifest)
    assert [row["score"] for row in rows] == [each.defect_score for each in scored(said, good)]
    for row in rows:
        assert golden_picture(bundle.folder, bundle.manifest, row["picture"]).startswith(b"\x89PNG")


def test_a_bundle_whose_overview_is_missing_or_unasked_for_is_refused(
    released: Released, with_overview: Released
) -> None:
    whole = with_overview.bundle.manifest
    for change in ({"golden": whole.golden[:-1]}, {"tiles": None}):
        with pytest.raises(ValidationError, match="an overview behind each tile"):
            Manifest.model_validate({**whole.model_dump(by_alias=True), **change, "variants": ()})
    plain = released.bundle.manifest.model_dump(by_alias=True)
    assert "overview" not in json.dumps(plain, default=str), "older stations read it"


def test_the_report_counts_pictures_not_tiles(released: Released) -> None:
    report = json.loads((released.out / "report" / "report.json").read_text(encoding="utf-8"))
    for row in report["models"]:
        assert row["golden"]["parts"] == len(released.golden)
    assert report["images"]["golden"] == {"good": 3, "scratch": 3, "spot": 3}
    tiles = report["tiles_per_picture"]
    split = json.loads(next(released.out.glob("work/split-*/split.json")).read_text("utf-8"))
    assert tiles > 1
    judged = next(released.out.glob("work/judge-*"))
    assert len(np.load(judged / "student-golden.npy")) == tiles * len(split["golden"])
    page = (released.out / "report" / "report.html").read_text(encoding="utf-8")
    assert f"of one tile; a picture has {tiles:.1f} tiles on average" in page
    assert "Time: one tile, one thread" in page
    lines = "\n".join(report["data_lines"])
    assert "tiles of 32x32, overlap 0.25: " in lines
    assert "36 images, 36 used" in lines


def test_a_repeated_release_rests_and_masks_that_were_changed_are_read_again(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    released.release()
    assert "starts" not in capsys.readouterr().err
    kept = {mask: mask.read_bytes() for mask in released.data.glob("*_mask.png")}
    for mask in kept:
        cv2.imwrite(str(mask), np.full((3, 3), 255, np.uint8))
    words = ["release", released.plan, "--data", released.data, "--out", released.out]
    assert main([str(word) for word in words]) == 65
    assert "_mask.png is 3x3, the picture" in capsys.readouterr().err
    for mask, data in kept.items():
        mask.write_bytes(data)


def test_the_row_that_stands_for_a_picture_is_the_stations_worst_whatever_the_limits() -> None:
    rng = np.random.default_rng(5)
    labels, good = ("good", "spot"), ("good",)
    pictures = np.sort(rng.integers(0, 20, 120))
    bad = np.round(rng.random(120), 1).astype(np.float32)  # with equals among them
    places = standing(np.stack([1 - bad, bad], axis=1), pictures, labels, good)
    assert len(places) == len(set(pictures.tolist()))
    for place in places:
        mine = np.flatnonzero(pictures == pictures[place])
        for review, reject in ((0.0, 1.0), (0.3, 0.6), (0.5, 0.5), (0.9, 0.95), (1.0, 1.0)):
            limits = Limits(review_at=review, reject_at=reject)
            scores = [float(bad[i]) for i in mine]
            verdicts = [judge(Prediction("", "", score), limits) for score in scores]
            assert mine[worst(verdicts, scores)] == place


def test_a_tile_whose_score_is_nonsense_stands_for_its_picture() -> None:
    probabilities = np.array([[0.9, 0.1], [np.nan, 0.5], [0.2, 0.8]], np.float32)
    (place,) = standing(probabilities, np.zeros(3, np.int64), ("good", "spot"), ("good",))
    assert place == 1
    verdict = judge(Prediction("", "", float("nan")), Limits(review_at=0.3, reject_at=0.9))
    assert verdict.evaluation is Evaluation.UNDEFINED
