"""What a station judged is shown to candidate and incumbent as it was, or said to be missing."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspector.contract.image import Image, ImageSpec, Tiling
from inspector.contract.review import Box, Review, Undo
from inspector.contract.shadow import ShadowMessage
from inspector.contract.verdict import Limits
from inspector.delivery.disagreements import COUNTS, LIST
from inspector.delivery.reviews import FILE, PICTURES, ReviewStore
from tests.support import DARK, GREY, make_bundle, picture
from tests.training.said import Station, jpeg
from tests.training.test_promote import MILD, SIDE, Line, cases, evidence, shadowed
from training.deciding import decide
from training.handover import Networks, write_networks
from training.promotion import Terms
from training.versions import FACTS, MANIFEST, ORIGIN_COLUMNS, Collected

TILES = Tiling(width=SIDE, height=SIDE, overlap=0.0)
PART = (0, 0, SIDE, SIDE), (SIDE, 0, SIDE, SIDE)
"""Two tiles of a frame whose third shows the fixture."""


class LineOfTiles(Line):
    def bundle(self, folder: Path, **how: Any) -> Any:
        how.setdefault("limits", Limits(review_at=0.3, reject_at=0.7))
        return make_bundle(folder, made_of=self.made_of, tiles=TILES, **how)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def beside_a_fixture() -> Image:
    """A part of two tiles, the first mildly defective, and a dark fixture beside it."""
    tiles = [(MILD, 77), (GREY, 78), (DARK, 79)]
    return np.hstack([picture(each, SIDE, SIDE, seed=seed) for each, seed in tiles])


def judged(line: Line, station: Station, image: Image, areas: tuple[Box, ...] | None) -> None:
    """Somebody says "dark" of a part that the incumbent stopped in these areas."""
    shot = jpeg(image)
    review = station.review("dark", shot, "anna", None, 1)
    said = {"regions": 2, "region": None, "areas": areas, "bundle": line.incumbent.id}
    with ReviewStore(station.folder / FILE) as store:
        store.put(review.model_copy(update=said), shot)


def test_a_defect_beside_a_fixture_that_no_recipe_looks_at_is_a_new_escape(
    tmp_path: Path, station: Station
) -> None:
    line = LineOfTiles(tmp_path)
    judged(line, station, beside_a_fixture(), PART)
    blind = line.candidate(review_at=0.98)
    assert line.promote(blind, "--reviews", station.folder) == 3
    assert "new escapes: 1 (s1/b-1)" in line.reasons()


def test_a_part_that_was_judged_in_several_regions_is_judged_in_each_again(
    line: Line, station: Station
) -> None:
    judged(line, station, beside_a_fixture(), PART)
    assert line.promote(line.candidate(review_at=0.98), "--reviews", station.folder) == 3
    assert "new escapes: 1 (s1/b-1)" in line.reasons()
    assert line.promote(line.candidate(), "--reviews", station.folder) == 0


def test_a_defect_whose_judged_areas_nobody_knows_is_missing_evidence(
    line: Line, station: Station
) -> None:
    judged(line, station, beside_a_fixture(), None)
    assert line.promote(line.candidate(), "--reviews", station.folder) == 5
    assert "1 reviewed defects (s1/b-1) whose judged areas are not known" in line.reasons()


def test_a_defect_whose_picture_is_gone_is_missing_evidence_and_a_good_part_is_not(
    line: Line, station: Station
) -> None:
    station.say("good", jpeg(picture(GREY, SIDE, SIDE, seed=76)))
    station.say("dark", jpeg(picture(MILD, SIDE, SIDE, seed=77)))
    blind = line.candidate(review_at=0.98)
    assert line.promote(blind, "--reviews", station.folder) == 3
    shutil.rmtree(station.folder / PICTURES)
    assert line.promote(blind, "--reviews", station.folder) == 5
    assert "1 reviewed defects (s1/b-2) whose picture is gone or another" in line.reasons()


def test_what_only_one_bundle_passed_must_be_reviewed_though_the_count_of_parts_is_gone(
    line: Line,
) -> None:
    candidate = line.candidate()
    folder = shadowed(line, candidate)
    (folder / COUNTS).unlink()
    assert line.promote(candidate, "--shadow", folder) == 5
    assert "passed by the candidate alone: 0 defective, 0 good, 1 not reviewed" in line.reasons()


def test_what_one_station_lists_beyond_its_count_hides_no_loss_of_another(
    line: Line, station: Station
) -> None:
    line.ask("overkill_growth_at_most = 0.05")
    candidate = line.candidate()
    lost = shadowed(line, candidate, counted=4)
    station.say("good", jpeg(picture(GREY, SIDE, SIDE, seed=70)))
    message = ShadowMessage.model_validate_json((lost / LIST).read_text(encoding="utf-8"))
    stop = message.serving.model_copy(update={"bundle": candidate.id})
    passed = message.shadow.model_copy(update={"bundle": line.incumbent.id})
    uncounted = line.root / "uncounted"  # killed before it wrote how many it had judged
    uncounted.mkdir()
    with (uncounted / LIST).open("wb") as file:
        for i in range(3):
            other = message.model_copy(update={"serving": passed, "shadow": stop})
            named = {"station": "s2", "boot": "z", "result_id": f"z-{i}"}
            file.write(other.model_copy(update=named).to_json() + b"\n")
    shadows = ("--shadow", lost, "--shadow", uncounted, "--reviews", station.folder)
    assert line.promote(candidate, *shadows) == 5
    assert "3 are no longer on the disk" in line.reasons()


def test_trials_are_counted_by_the_likeness_that_the_release_counted_by(line: Line) -> None:
    once = picture(DARK, SIDE, SIDE, seed=90)
    for i in range(3):  # another kind of part each, for whoever trained it
        line.add(f"again{i}.png", once + np.uint8(i), "dark", f"again{i}", "golden")
    line.ask("golden_defects_at_least = 9")
    candidate = line.candidate()
    assert line.promote(candidate) == 5
    assert "golden defects: 7 parts" in line.reasons()
    own = Networks(
        labels=("good", "dark", "bright"),
        image=ImageSpec(width=SIDE, height=SIDE),
        teacher=None,
        student="test_resnet",
        near_duplicate_at=1.0,
    )
    write_networks(line.root / "networks" / candidate.id, own, {})
    assert line.promote(candidate) == 0
    decision = json.loads((line.out / "promote.json").read_text(encoding="utf-8"))["decision"]
    assert decision["candidate"]["escape"]["n"] == 9


@pytest.mark.parametrize("before", [3, 6, 16])
def test_one_good_part_more_of_a_hundred_is_one_point_more_and_not_above_it(before: int) -> None:
    both = {"incumbent": True, "candidate": True}
    found = evidence(
        cases(60, defect=True, **both),
        cases(99 - before, defect=False, **both),
        cases(1, defect=False, incumbent=True, candidate=False),
        cases(before, defect=False, incumbent=False, candidate=False),
    )
    assert decide(found, Terms(overkill_growth_at_most=0.01)).outcome == "promote"


def test_a_golden_part_that_people_call_a_defect_since_it_was_collected_is_a_new_escape(
    line: Line, station: Station
) -> None:
    shot = jpeg(picture(MILD, SIDE, SIDE, seed=77))
    (kept,) = station.say("good", shot, part="P-7")
    collected(line, picture(MILD, SIDE, SIDE, seed=77), "good", kept.review)
    with ReviewStore(station.folder / FILE) as store:
        store.undo(Undo(review=kept.id, by="ben", at=kept.review.at))
    station.say("dark", shot, "ben", part="P-7", seq=1)
    blind = line.candidate(review_at=0.98)
    assert line.promote(blind, "--reviews", station.folder) == 3
    assert "new escapes: 1 (s1/b-1); the incumbent stopped 7" in line.reasons()


def test_a_golden_defect_that_the_incumbent_stopped_at_its_station_alone_is_a_new_escape(
    line: Line, station: Station
) -> None:
    image = picture(GREY, SIDE, SIDE, seed=77)  # strange to the station, not to its bundle here
    collected(line, image, "dark", station.review("dark", jpeg(image), "anna", "P-7", 1))
    assert line.promote(line.candidate()) == 3
    assert "new escapes: 1 (b-1.png); the incumbent stopped 7" in line.reasons()


def collected(line: Line, image: Image, label: str, review: Review) -> None:
    """The data as a version of `collect`, with this part, that the incumbent judged, in its golden
    set.
    """
    line.add(f"{review.result_id}.png", image, label, review.part or "", "golden")
    with (line.data / MANIFEST).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.update(dict.fromkeys(ORIGIN_COLUMNS, ""))
    rows[-1] |= {"station": review.station, "result_id": review.result_id}
    rows[-1] |= {"bundle": line.incumbent.id, "evaluation": review.evaluation}
    with (line.data / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    facts = Collected(
        name="v0001",
        before=None,
        from_bundle="old",
        tiles=False,
        plan="plate",
        counts={},
        new={},
        stations={},
        seen={},
        added=(),
        changed=(),
        left_out=(),
        opinions={},
    )
    (line.data / FACTS).write_text(facts.model_dump_json(), encoding="utf-8")
