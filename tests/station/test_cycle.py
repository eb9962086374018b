"""One part from trigger to verdict, with the real model and the real journal."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest

from inspector.bench import MemoryCamera, NoArchive, NoPublisher
from inspector.clock import SystemClock
from inspector.contract.bundle import Bundle
from inspector.contract.defect_map import MIDDLE
from inspector.contract.errors import ConfigError, DeviceError, RecordError
from inspector.contract.image import Image
from inspector.contract.verdict import Cause, Limits
from inspector.delivery.archive import ArchiveSettings, ImageArchive
from inspector.delivery.journal import Journal, JournalSettings
from inspector.delivery.kept import MAP, read_kept
from inspector.devices.camera_replay import ReplayCamera, ReplaySettings
from inspector.runtime.loader import open_runtime
from inspector.station.attest_rule import Attest, Range
from inspector.station.cycle import Gear, Inspected, Job, inspect_part
from inspector.station.ports import Camera, Frame, Part
from inspector.station.recipe import Grid, Recipe, Rectangle
from tests.support import BRIGHT, DARK, GREY, make_bundle, picture


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"), nan_above=0.98)


@pytest.fixture(scope="module")
def job(bundle: Bundle) -> Job:
    recipe = Recipe(name="tiny", bundle=bundle.id, deadline_ms=5_000, frame_timeout_ms=200)
    return Job(recipe, open_runtime(bundle))


@pytest.fixture
def gear(tmp_path: Path) -> Iterator[Gear]:
    journal = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    yield Gear(
        station="test",
        boot="boot",
        camera=MemoryCamera([picture(GREY)]),
        journal=journal,
        archive=NoArchive(),
        publisher=NoPublisher(),
        clock=SystemClock(),
    )
    journal.close()


class FaultyCamera:
    """A camera whose every answer is written by the test."""

    simulated = False
    restarts = 0

    def __init__(self, answer: Callable[[float], Frame]) -> None:
        self._answer = answer

    def open(self) -> None: ...

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:  # noqa: ARG002 - as all cameras
        return self._answer(not_before)

    def close(self) -> None: ...


def inspect(
    gear: Gear, job: Job, camera: Camera | None = None, last: Frame | None = None, sequence: int = 1
) -> Inspected:
    gear = replace(gear, camera=camera) if camera else gear
    return inspect_part(Part(sequence, None, time.monotonic()), job, gear, last, 0.0)


def of(brightness: int) -> MemoryCamera:
    return MemoryCamera([picture(brightness)])


def assert_rejected(gear: Gear, inspected: Inspected, cause: Cause, *, says: str) -> None:
    """UNDEFINED, with cause and reason, in the journal, and shown to nobody as a pass."""
    result = inspected.result
    assert (result.evaluation, result.passed) == ("UNDEFINED", False)
    assert result.cause == cause
    assert says in result.reason
    assert isinstance(gear.journal, Journal)
    ((seq, payload),) = gear.journal.after(0, limit=10)
    assert seq == result.seq == 1
    assert json.loads(payload)["reason"] == result.reason


@pytest.mark.parametrize(
    ("brightness", "evaluation", "label"),
    [(GREY, "OK", "good"), (DARK, "NOT_OK", "dark"), (BRIGHT, "NOT_OK", "bright")],
)
def test_a_part_is_judged_recorded_and_only_then_released(
    gear: Gear, job: Job, brightness: int, evaluation: str, label: str
) -> None:
    done = inspect(gear, job, of(brightness))
    assert (done.result.evaluation, done.result.label) == (evaluation, label)
    assert done.result.passed is (evaluation == "OK")
    assert done.result.cause == (None if evaluation == "OK" else "defect")
    assert done.result.result_id == "boot-1"
    assert set(done.result.times_ms) == {"wait", "attest", "fit", "predict", "judge", "total"}
    assert done.result.captured_at is not None
    assert isinstance(gear.journal, Journal)
    assert gear.journal.after(0, limit=10) == [(1, done.result.to_json())]


def test_a_score_in_the_review_band_does_not_pass(gear: Gear, bundle: Bundle, job: Job) -> None:
    limits = Limits(review_at=0.0, reject_at=1.0)
    done = inspect(gear, replace(job, recipe=job.recipe.model_copy(update={"limits": limits})))
    assert (done.result.evaluation, done.result.passed) == ("NOT_DECIDABLE", False)
    assert done.result.cause == "review"
    assert done.result.limits.source == "recipe"


def test_a_part_unlike_training_does_not_pass_though_the_recipe_sets_other_limits(
    gear: Gear, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path, novelty_at=1.0)
    limits = Limits(review_at=0.4, reject_at=0.8)
    job = Job(Recipe(name="tiny", bundle=bundle.id, limits=limits), open_runtime(bundle))
    red = picture(GREY)
    red[:, :, 2] = GREY + 51
    done = inspect(gear, job, MemoryCamera([red]))
    assert (done.result.evaluation, done.result.passed) == ("NOT_DECIDABLE", False)
    assert "unlike anything seen in training" in done.result.reason
    assert done.result.cause == "novelty"
    assert done.result.novelty is not None
    assert done.result.novelty >= 1.0
    assert done.result.regions[0].novelty == done.result.novelty
    assert done.result.limits.novelty_at == 1.0
    wide = job.recipe.model_copy(update={"limits": limits.model_copy(update={"novelty_at": 9.0})})
    assert inspect(gear, replace(job, recipe=wide), MemoryCamera([red])).result.passed


def test_a_novelty_limit_for_a_bundle_that_measures_none_is_refused(job: Job) -> None:
    limits = Limits(review_at=0.4, reject_at=0.8, novelty_at=2.0)
    with pytest.raises(ConfigError, match=r"limits.novelty_at 2: bundle .* measures no novelty"):
        replace(job, recipe=job.recipe.model_copy(update={"limits": limits}))


def test_one_bad_tile_rejects_the_part_and_is_named(gear: Gear, job: Job) -> None:
    image = picture(GREY, width=64, height=64)
    image[32:, :32] = DARK
    recipe = job.recipe.model_copy(update={"regions": Grid(rows=2, columns=2)})
    done = inspect(gear, replace(job, recipe=recipe), MemoryCamera([image]))
    assert done.result.evaluation == "NOT_OK"
    assert done.result.reason == "r2c1: dark"
    assert [region.evaluation for region in done.result.regions] == ["OK", "OK", "NOT_OK", "OK"]


def test_nan_from_the_model_is_undefined_and_null_in_the_message(gear: Gear, job: Job) -> None:
    done = inspect(gear, job, MemoryCamera([np.full((40, 40, 3), 255, np.uint8)]))
    assert_rejected(gear, done, "score", says="score nan is outside 0..1")
    assert done.result.score is None
    assert done.result.label is None


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((40, 40, 4), np.uint8), "1 or 3 channels"),
        (np.zeros((40, 40, 3), np.uint16), "not a picture"),
        (np.zeros((0, 40, 3), np.uint8), "picture"),
    ],
)
def test_an_odd_frame_is_undefined(gear: Gear, job: Job, image: Image, says: str) -> None:
    camera = FaultyCamera(lambda _: Frame(image, time.monotonic(), 1))
    recipe = job.recipe.model_copy(update={"regions": Rectangle(x=0, y=0, width=8, height=8)})
    job = job if image.size else replace(job, recipe=recipe)
    assert_rejected(gear, inspect(gear, job, camera), "unsuitable", says=says)


def test_a_frame_too_small_for_the_recipe_is_undefined(gear: Gear, job: Job) -> None:
    recipe = job.recipe.model_copy(update={"regions": Rectangle(x=0, y=0, width=999, height=9)})
    done = inspect(gear, replace(job, recipe=recipe))
    assert_rejected(gear, done, "unsuitable", says="reaches to 999x9")


def test_a_frame_from_before_the_trigger_is_stale(gear: Gear, job: Job) -> None:
    camera = FaultyCamera(lambda not_before: Frame(picture(GREY), not_before - 0.001, 1))
    assert_rejected(gear, inspect(gear, job, camera), "stale", says="exposed before the trigger")


def test_a_frame_shown_twice_is_stale(gear: Gear, job: Job) -> None:
    last = Frame(picture(GREY), time.monotonic(), 7)
    camera = FaultyCamera(lambda _: Frame(picture(GREY), time.monotonic(), 7))
    assert_rejected(gear, inspect(gear, job, camera, last), "stale", says="number 7 after 7")


def test_a_frame_not_newer_than_the_last_is_stale(gear: Gear, job: Job) -> None:
    last = Frame(picture(GREY), time.monotonic() + 60, 7)
    camera = FaultyCamera(lambda _: Frame(picture(GREY), time.monotonic(), 8))
    assert_rejected(
        gear, inspect(gear, job, camera, last), "stale", says="not newer than the one before"
    )


def test_a_camera_that_is_gone_leaves_a_recorded_part_and_a_fault(gear: Gear, job: Job) -> None:
    def gone(not_before: float) -> Frame:
        raise DeviceError("unplugged")

    done = inspect(gear, job, FaultyCamera(gone))
    assert_rejected(gear, done, "camera", says="camera gone: unplugged")
    assert done.fault is not None


def test_an_unreadable_picture_is_undefined_and_names_its_file(
    gear: Gear, job: Job, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "cell17.png").write_bytes(b"not a picture")
    camera = ReplayCamera(ReplaySettings(folder=folder))
    camera.open()
    done = inspect(gear, job, camera)
    camera.close()
    assert_rejected(gear, done, "unreadable", says="cell17.png: is not a picture")
    assert done.result.part.id == "cell17"


def test_a_frame_that_is_not_fit_is_undefined_with_its_figures(gear: Gear, job: Job) -> None:
    strict = job.recipe.model_copy(update={"attest": Attest(brightness=Range(max=200.0))})
    done = inspect(gear, replace(job, recipe=strict), of(BRIGHT))
    assert_rejected(gear, done, "attestation", says="is above 200")
    assert done.result.attestation is not None
    assert done.result.attestation["brightness"] > 200
    assert done.result.score is None
    good = inspect(gear, replace(job, recipe=strict))
    assert good.result.passed
    assert good.result.attestation is not None
    assert good.result.attestation["sharpness"] > 0


def test_what_is_wrong_with_a_frame_comes_before_what_the_model_makes_of_it(
    gear: Gear, job: Job
) -> None:
    white = np.full((40, 40, 3), 255, np.uint8)  # of which this model makes NaN
    strict = job.recipe.model_copy(update={"attest": Attest(brightness=Range(max=200.0))})
    done = inspect(gear, replace(job, recipe=strict), MemoryCamera([white]))
    assert_rejected(gear, done, "attestation", says="is above 200")
    beyond = job.recipe.model_copy(update={"regions": Rectangle(x=0, y=0, width=999, height=9)})
    unsuitable = inspect(gear, replace(job, recipe=beyond))
    assert unsuitable.result.cause == "unsuitable"
    assert unsuitable.result.attestation, "measured all the same"


def test_a_live_camera_that_repeats_its_pixels_is_frozen(gear: Gear, job: Job) -> None:
    images = [picture(GREY, seed=1), picture(GREY, seed=1), picture(GREY, seed=2)]
    count = iter(range(1, 9))
    camera = FaultyCamera(lambda _: Frame(images.pop(0), time.monotonic(), next(count)))
    first = inspect(gear, job, camera)
    again = inspect(gear, job, camera, first.frame, sequence=2)
    assert first.result.passed
    assert not again.result.passed
    assert again.result.reason == "frozen: every pixel is that of the frame before"
    assert again.result.cause == "frozen"
    assert inspect(gear, job, camera, again.frame, sequence=3).result.passed


def test_a_deadline_missed_by_a_slow_model_is_undefined(gear: Gear, tmp_path: Path) -> None:
    slow = make_bundle(tmp_path / "bundles", work=60)
    recipe = Recipe(name="slow", bundle=slow.id, deadline_ms=5)
    done = inspect(gear, Job(recipe, open_runtime(slow)))
    assert_rejected(gear, done, "late", says="deadline of 5 ms missed; judged OK")
    assert done.late
    assert done.result.late


def test_the_commit_has_its_share_of_the_deadline(gear: Gear, job: Job) -> None:
    recipe = job.recipe.model_copy(update={"deadline_ms": 2_000})
    part = Part(1, None, time.monotonic() - 1.7)
    job = replace(job, recipe=recipe)
    camera = FaultyCamera(lambda _: Frame(picture(GREY), time.monotonic(), 1))
    gear = replace(gear, camera=camera)
    done = inspect_part(part, job, gear, None, commit_reserve_ms=900.0)
    assert_rejected(gear, done, "late", says="deadline of 2000 ms missed")


def test_a_commit_that_overruns_the_deadline_makes_a_late_row_before_anybody_is_told(
    gear: Gear, job: Job
) -> None:
    """The disk really takes its time: the commit waits for a reader that holds the lock."""
    assert isinstance(gear.journal, Journal)
    other = sqlite3.connect(gear.journal._path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.15, other.rollback)
    recipe = job.recipe.model_copy(update={"deadline_ms": 120})
    timer.start()
    done = inspect(gear, replace(job, recipe=recipe))
    timer.join()
    other.close()
    assert_rejected(gear, done, "late", says="deadline of 120 ms missed: recorded")
    assert "judged OK" in done.result.reason
    assert done.late
    assert done.late_commit
    assert done.result.late
    assert gear.journal.released.final == 1


def test_a_journal_short_of_room_lets_nothing_pass(gear: Gear, job: Job) -> None:
    assert isinstance(gear.journal, Journal)
    gear.journal.close()
    settings = gear.journal._settings.model_copy(update={"disk_free_min_mb": 1_000_000})
    short = Journal(settings)
    gear = replace(gear, journal=short)
    assert_rejected(
        gear, inspect(gear, job), "journal", says="disk_free_min_mb is 1000000; judged OK"
    )
    short.close()


def test_a_full_journal_raises_and_nothing_is_released(gear: Gear, job: Job) -> None:
    assert isinstance(gear.journal, Journal)
    gear.journal._db.execute("PRAGMA max_page_count = 1")
    recorded = 0
    with pytest.raises(RecordError, match="full"):  # noqa: PT012 - which of them is not known
        for sequence in range(1, 1_000):
            recorded = inspect(gear, job, sequence=sequence).result.seq
    assert gear.journal.last_seq() == recorded


@pytest.mark.parametrize("maps", ["nan", "none"])
def test_a_map_that_is_none_costs_no_part_its_verdict(
    gear: Gear, tmp_path: Path, maps: Literal["nan", "none"]
) -> None:
    """1/0 times 0 in every cell, or no such output: verdict and score are those of a true map."""
    found: list[tuple[object, ...]] = []
    kinds: tuple[Literal["good", "nan", "none"], ...] = ("good", maps)
    for kind in kinds:
        bundle = make_bundle(tmp_path / "bundles", f"tiny-{kind}", maps=kind)
        job = Job(Recipe(name="tiny", bundle=bundle.id, deadline_ms=5_000), open_runtime(bundle))
        settings = ArchiveSettings(folder=tmp_path / kind, keep="all", disk_free_min_mb=0)
        archive = ImageArchive(settings)
        archive.start()
        camera = MemoryCamera([picture(value, seed=value) for value in (BRIGHT, GREY, DARK)])
        used = replace(gear, camera=camera, archive=archive)
        for sequence in range(1, 4):
            seen = Part(sequence + len(found), None, time.monotonic())
            result = inspect_part(seen, job, used, None, 0.0).result
            found.append((result.evaluation, result.score, result.cause, result.label))
        archive.stop()
        assert archive.maps_dropped == (3 if kind == "nan" else 0)
        assert len(list((tmp_path / kind).glob("*.jpg"))) == 3
        assert len(list((tmp_path / kind).glob(f"*{MAP}"))) == (3 if kind == "good" else 0)
    assert found[:3] == found[3:]
    assert {evaluation for evaluation, *_ in found} == {"OK", "NOT_OK"}


def test_the_maps_of_tiles_become_one_map_of_the_part(gear: Gear, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundles", size=16)
    recipe = Recipe(
        name="tiny", bundle=bundle.id, deadline_ms=5_000, regions=Grid(rows=4, columns=5)
    )
    image: Image = picture(GREY, 160, 128)
    image[40:56, 104:120] = BRIGHT  # four cells of a tile of 32
    settings = ArchiveSettings(folder=tmp_path / "images", keep="all", disk_free_min_mb=0)
    archive = ImageArchive(settings)
    archive.start()
    used = replace(gear, camera=MemoryCamera([image]), archive=archive)
    part = Part(1, None, time.monotonic())
    result = inspect_part(part, Job(recipe, open_runtime(bundle)), used, None, 0.0).result
    archive.stop()
    assert result.image is not None
    data = read_kept(tmp_path / "images", result.image, MAP)
    grid = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert grid is not None
    rows, columns = np.nonzero(grid > MIDDLE)
    step_y, step_x = 128 / grid.shape[0], 160 / grid.shape[1]
    assert (rows.min() * step_y, (rows.max() + 1) * step_y) == (40, 56)
    assert (columns.min() * step_x, (columns.max() + 1) * step_x) == (104, 120)
