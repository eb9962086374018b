"""A candidate is judged by what it has not learned, and its own record says what that is."""

from pathlib import Path

import numpy as np
import pytest

from inspector.contract.image import Image, ImageSpec, decode
from inspector.delivery.reviews import FILE, ReviewStore
from tests.support import GREY, picture
from tests.training.said import Station, jpeg
from tests.training.test_promote import SIDE, Line
from training.handover import Networks, read_networks, write_networks
from training.learned_record import LEARNED, UNSAID, Entry, Memory, memory_of, write_memories


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def plain(seed: int) -> Image:
    """A good part as a JPEG of a station shows it."""
    return decode(jpeg(picture(GREY, SIDE, SIDE, seed=seed)))


def nearly(image: Image) -> Image:
    """Another shot of the same part."""
    shot: Image = np.clip(image.astype(int) + 1, 0, 255).astype(np.uint8)
    return shot


@pytest.mark.parametrize("shown", ["train", "validation", "archive"])
def test_a_reviewed_picture_that_the_candidate_learned_is_not_held_out_though_no_data_has_it(
    line: Line, station: Station, shown: str
) -> None:
    one, other = picture(GREY, SIDE, SIDE, seed=500), plain(501)
    station.say("good", jpeg(one))
    station.say("good", jpeg(nearly(other), 100))
    station.say("good", jpeg(picture(GREY, SIDE, SIDE, seed=502)))
    candidate = line.candidate()
    line.learned(candidate, decode(jpeg(one)), other, shown=shown)
    assert line.promote(candidate, "--reviews", station.folder) == 0
    assert line.trained() == [True, True, False]


def test_what_was_learned_of_a_part_is_learned_of_all_its_shots(
    line: Line, station: Station
) -> None:
    one = plain(500)
    station.say("good", jpeg(one), part="P-1")
    station.say("good", jpeg(nearly(one), 100))  # nobody wrote its id: it looks like it
    station.say("good", jpeg(picture(GREY, SIDE, SIDE, seed=501)), part="P-1")
    station.say("good", jpeg(picture(GREY, SIDE, SIDE, seed=502)), part="P-2")
    candidate = line.candidate()
    line.learned(candidate, decode(jpeg(one)))
    assert line.promote(candidate, "--reviews", station.folder) == 0
    assert line.trained() == [True, True, True, False]


def test_a_golden_picture_that_the_candidate_learned_refuses_it(line: Line) -> None:
    one = picture(GREY, SIDE, SIDE, seed=600)
    line.add("a.png", one, "good", "a", "train")
    line.add("zz.png", one, "good", "zz", "golden")  # a release leaves the copy out, and says so
    candidate = line.candidate()
    line.learned(candidate, one)
    assert line.promote(candidate) == 3
    assert "golden set: 1 of its pictures were learned by the candidate (zz.png)" in line.reasons()
    assert line.trained("golden").count(True) == 1


def test_twins_are_what_the_candidates_plan_calls_twins(line: Line) -> None:
    one = picture(GREY, SIDE, SIDE, seed=600)
    line.add("zz.png", nearly(one), "good", "zz", "golden")
    candidate = line.candidate()
    folder = line.learned(candidate, one)
    assert line.promote(candidate) == 3
    facts = Networks(
        labels=("good", "dark", "bright"),
        image=ImageSpec(width=SIDE, height=SIDE),
        teacher=None,
        student="test_resnet",
        near_duplicate_at=1.0,
    )
    write_networks(folder, facts, {})
    assert read_networks(folder, "student", "networks") == facts
    assert line.promote(candidate) == 0
    assert not any(line.trained("golden"))


def test_a_reviewed_copy_of_a_golden_picture_takes_nothing_from_the_golden_set(
    line: Line, station: Station
) -> None:
    one = plain(600)
    line.add("zz.png", one, "good", "zz", "golden")
    line.add("more.png", picture(GREY, SIDE, SIDE, seed=72), "good", "P-1", "train")
    station.say("good", jpeg(one, 100), part="P-1")  # of a line that counts anew every day
    assert line.promote(line.candidate(), "--reviews", station.folder) == 0
    assert line.trained() == [True]
    assert not any(line.trained("golden"))


@pytest.mark.parametrize("kept", ["whole", "cut"])
def test_a_part_judged_in_a_region_is_known_by_the_cut_and_by_the_whole_picture(
    line: Line, station: Station, kept: str
) -> None:
    frame = jpeg(picture(GREY, 2 * SIDE, 2 * SIDE, seed=500))
    other = jpeg(picture(GREY, 2 * SIDE, 2 * SIDE, seed=501))
    with ReviewStore(station.folder / FILE) as store:
        for seq, data in enumerate((frame, other), start=1):
            review = station.review("good", data, "anna", None, seq)
            region = (SIDE, 0, SIDE, SIDE)
            store.put(review.model_copy(update={"region": region}), data)
    candidate, whole = line.candidate(), decode(frame)
    line.learned(candidate, whole if kept == "whole" else np.ascontiguousarray(whole[:SIDE, SIDE:]))
    assert line.promote(candidate, "--reviews", station.folder) == 0
    assert line.trained() == [True, False]


def test_a_candidate_that_does_not_say_what_it_learned_is_not_promoted_yet(line: Line) -> None:
    candidate = line.candidate()
    folder = line.learned(candidate, picture(GREY, SIDE, SIDE, seed=1_000))
    mine = memory_of(folder, "student")
    of_old = Memory((Entry("", UNSAID, "", "tiny-old"),)).with_all([mine])
    write_memories(folder, {"student": of_old})
    assert line.promote(candidate) == 5
    assert "held-out parts: not all that tiny-old learned is known, and" in line.reasons()
    (folder / LEARNED).unlink()
    assert line.promote(candidate) == 5
    said = f"held-out parts: what {candidate.id} learned is not known: name the bundle where its"
    assert said in line.reasons()
