"""Labels that models contradict which never learned from them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.dataset import Sample
from training.second_look import COLUMNS, Said, doubts_of, table_of
from training.second_look_html import SHOWN, page_of

LABELS = ("crack", "good")
# shares of crack. Thresholds: crack (0.9 + 0.7 + 0.2) / 3 = 0.6; good (0.8 + 0.9 + 0.1) / 3 = 0.6.
CRACK = {"c1": 0.9, "c2": 0.7, "c3": 0.2, "g1": 0.2, "g2": 0.1, "g3": 0.9}


def sample(name: str, folder: Path = Path("data")) -> Sample:
    label = "crack" if name.startswith("c") else "good"
    return Sample(folder / f"{name}.png", name, label, part=name)


def said(crack: dict[str, float]) -> Said:
    return Said(LABELS, {name: (share, 1.0 - share) for name, share in crack.items()})


def test_a_picture_is_doubtful_where_another_class_is_as_likely_as_its_own_pictures_find_it() -> (
    None
):
    doubts = doubts_of([said(CRACK)], [sample(name) for name in CRACK], {})
    found = {doubt.picture: (doubt.label, doubt.looks_like) for doubt in doubts}
    assert found == {"g3": ("good", "crack"), "c3": ("crack", "good")}
    assert [doubt.picture for doubt in doubts] == ["g3", "c3"]  # 0.1 - 0.9 before 0.2 - 0.8
    assert doubts[0].probability == pytest.approx(0.9)
    assert doubts[0].probability_of_label == pytest.approx(0.1)


def test_a_picture_that_is_likelier_another_class_but_not_as_its_pictures_are_is_left_alone() -> (
    None
):
    unsure = {"c1": 1.0, "c2": 1.0, "c3": 0.45, "g1": 0.0, "g2": 0.0}  # c3: good 0.55, asked 1.0
    assert doubts_of([said(unsure)], [sample(name) for name in unsure], {}) == ()


def test_models_are_heard_together_and_counted_apart() -> None:
    other = CRACK | {"g3": 0.3, "c3": 0.1}  # g3: 0.6 of crack on average, which is the threshold
    doubts = doubts_of([said(CRACK), said(other)], [sample(name) for name in CRACK], {})
    by_picture = {doubt.picture: doubt for doubt in doubts}
    assert (by_picture["c3"].said_by, by_picture["c3"].of) == (2, 2)
    assert (by_picture["g3"].said_by, by_picture["g3"].of) == (1, 2)
    assert by_picture["g3"].probability == pytest.approx(0.6)


def test_pictures_of_one_part_stand_together_and_those_nobody_judged_are_not_listed() -> None:
    shares = CRACK | {"g4": 0.65}
    parts = {"g3": "g3", "g4": "g3"}
    names = [*shares, "g9"]
    doubts = doubts_of([said(shares)], [sample(name) for name in names], parts)
    assert [doubt.picture for doubt in doubts] == ["g3", "g4", "c3"]
    assert doubts_of([], [sample("g1")], {}) == ()


def test_the_page_shows_the_pictures_and_fetches_nothing(tmp_path: Path) -> None:
    names = {name: sample(name, tmp_path) for name in CRACK}
    cv2.imwrite(str(tmp_path / "g3.png"), np.full((400, 900, 3), 90, np.uint8))
    doubts = doubts_of([said(CRACK)], list(names.values()), {})
    page = page_of(doubts, names, judged=6).decode()
    assert "2 of 6 pictures look like another class" in page
    assert page.count("data:image/jpeg;base64,") == 1
    assert "cannot be read any more" in page  # c3: gone meanwhile
    assert "g3: good 10 %, crack 90 %, by 1 of 1" in page
    assert "http" not in page
    many = page_of(doubts * SHOWN, names, judged=6).decode()
    assert many.count("<figure>") == SHOWN
    assert "second_look.csv has all" in many


def test_the_table_has_a_line_a_picture_and_no_formula() -> None:
    named = Sample(Path("x"), "=cmd.png", "good", part="=cmd.png")
    shares = CRACK | {"=cmd.png": 0.9}
    samples = [*(sample(name) for name in CRACK), named]
    lines = table_of(doubts_of([said(shares)], samples, {})).decode().splitlines()
    assert lines[0].split(",") == list(COLUMNS)
    assert len(lines) == 4
    assert sum(line.startswith("'=cmd.png") for line in lines) == 1
