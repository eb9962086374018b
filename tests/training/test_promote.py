"""A candidate takes an incumbent's place where enough speaks for it and nothing against it."""

import csv
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.contract.bundle import SIGNATURE, Bundle, read_bundle
from inspector.contract.image import Image
from inspector.contract.result import EvaluationName
from inspector.contract.shadow import Opinion, ShadowMessage
from inspector.contract.strict import read_toml
from inspector.contract.verdict import Limits
from inspector.delivery.disagreements import COUNTS, LIST
from inspector.runtime.folder import POINTER, point_to
from inspector.runtime.signature import make_keys, trust_in
from tests.support import BRIGHT, DARK, GREY, make_bundle, picture
from tests.training.said import Station, jpeg
from training.cli import main
from training.dataset import read_dataset
from training.deciding import decide
from training.learned_record import Memory, write_memories
from training.likeness import Looks, look
from training.promote import alone_in
from training.promotion import Case, Evidence, Latency, Says, Shadowed, Terms

DEPLOY = Path(__file__).parents[2] / "deploy"
FEW = """
golden_defects_at_least = 6
golden_good_at_least = 6
class_defects_at_least = 3
shadow_parts_at_least = 0
latency_ratio_at_most = 3.0
"""
MILD = 50
"""Not as dark as the others, which score above 0.99: this one has 0.9."""
SIDE = 64


class Line:
    """A data set with a golden set of six good parts and six defects, and bundles made of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.data.mkdir()
        rows = [("image", "label", "part", "split")]
        for label, brightness in (("good", GREY), ("dark", DARK), ("bright", BRIGHT)):
            for i in range(6 if label == "good" else 3):
                name = f"{label}{i}.png"
                image = picture(brightness, SIDE, SIDE, seed=len(rows))
                cv2.imwrite(str(self.data / name), image)
                rows.append((name, label, f"{label}{i}", "golden"))
        with (self.data / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        self.made_of = read_dataset(self.data).fingerprint()
        self.terms = root / "promote.toml"
        self.terms.write_text(FEW, encoding="utf-8")
        self.plant = root / "plant"
        self.incumbent = self.bundle(self.plant)
        self.out = root / "decision"

    def bundle(self, folder: Path, **how: Any) -> Bundle:
        how.setdefault("limits", Limits(review_at=0.3, reject_at=0.7))
        return make_bundle(folder, made_of=self.made_of, **how)

    def candidate(self, review_at: float = 0.31, **how: Any) -> Bundle:
        """Another bundle only by its limits, or how else it is to differ."""
        limits = Limits(review_at=review_at, reject_at=max(0.7, review_at))
        made = self.bundle(self.root / "new", limits=limits, **how)
        self.learned(made, picture(GREY, SIDE, SIDE, seed=1_000))
        return made

    def learned(self, bundle: Bundle, *images: Image, shown: str = "train") -> Path:
        """What its release left of it."""
        looks = Looks.of([look(image) for image in images])
        memory = Memory.of(shown, [f"learned{i}" for i in range(len(images))], looks)
        folder = self.root / "networks" / bundle.id
        folder.mkdir(parents=True, exist_ok=True)
        write_memories(folder, {"student": memory})
        return folder

    def promote(self, candidate: Bundle, *more: object) -> int:
        words = ["promote", candidate.folder, self.incumbent.folder, "--data", self.data]
        words += ["--out", self.out, "--terms", self.terms, *more]
        return main([*map(str, words), "--quiet"])

    def ask(self, line: str) -> None:
        """One term otherwise."""
        key = line.split(" ", maxsplit=1)[0]
        kept = [each for each in FEW.splitlines() if not each.startswith(key)]
        self.terms.write_text("\n".join([*kept, line]), encoding="utf-8")

    def add(self, name: str, image: Image, label: str, part: str, split: str) -> None:
        """One more picture in the data that both bundles are made of."""
        cv2.imwrite(str(self.data / name), image)
        with (self.data / "manifest.csv").open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow((name, label, part, split))
        self.made_of = read_dataset(self.data).fingerprint()
        self.incumbent = self.bundle(self.plant)

    def trained(self, source: str = "reviewed") -> list[bool]:
        """Of each such picture, in turn."""
        found = json.loads((self.out / "promote.json").read_text())["evidence"]["cases"]
        return [case["trained"] for case in found if case["source"] == source]

    def reasons(self) -> str:
        return "\n".join(json.loads((self.out / "promote.json").read_text())["decision"]["reasons"])


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def test_a_candidate_as_good_is_signed_and_offered_whole(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    public = make_keys(line.root / "key")
    candidate = line.candidate()
    offer = ("--key", line.root / "key", "--bundles", line.plant)
    assert line.promote(candidate, *offer, "--dry-run") == 0
    assert "promote (dry run)" in capsys.readouterr().out
    assert not (candidate.folder / SIGNATURE).exists()
    assert sorted(path.name for path in line.plant.iterdir()) == [line.incumbent.id]
    with alone_in([line.plant]):
        assert line.promote(candidate, *offer) == 78  # somebody else promotes just now
    assert not (line.plant / POINTER).exists()
    assert line.promote(candidate, *offer) == 0
    assert (line.plant / POINTER).read_text().strip() == candidate.id
    assert read_bundle(line.plant / candidate.id, trust_in(public)).id == candidate.id
    assert not [path for path in line.plant.iterdir() if path.name.startswith(".")]
    assert line.promote(candidate, *offer) == 0  # again: it is there, and stays
    page = (line.out / "promote.html").read_text(encoding="utf-8")
    assert "Every term holds" in page
    assert "http" not in page


def test_a_key_that_cannot_sign_is_said_before_anything_is_judged(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = line.candidate()
    assert line.promote(candidate, "--key", line.root / "none", "--bundles", line.plant) == 78
    assert str(line.root / "none") in capsys.readouterr().err
    assert not (line.out / "promote.html").exists()
    assert sorted(path.name for path in line.plant.iterdir()) == [line.incumbent.id]


def test_stations_that_were_asked_for_a_third_bundle_meanwhile_are_left_alone(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    third = line.bundle(line.plant, limits=Limits(review_at=0.2, reject_at=0.7))
    point_to(third.folder)
    assert line.promote(line.candidate(), "--bundles", line.plant) == 78
    assert f"names {third.id}, not the incumbent" in capsys.readouterr().err
    assert (line.plant / POINTER).read_text().strip() == third.id


def test_thin_evidence_promotes_nothing_and_says_what_is_missing(line: Line) -> None:
    line.terms.write_text("", encoding="utf-8")
    assert line.promote(line.candidate(), "--bundles", line.plant) == 5
    said = line.reasons()
    assert "golden defects: 6 parts; asked: at least 59: collect 53 more" in said
    assert "golden good parts: 6 parts; asked: at least 59: collect 53 more" in said
    assert "0 parts judged by both; asked: at least 1000: run it as [shadow] of stations" in said
    assert not (line.plant / POINTER).exists()


def test_a_defect_the_incumbent_stopped_and_the_candidate_passes_refuses_it(line: Line) -> None:
    station = Station(line.root)
    station.say("dark", jpeg(picture(MILD, SIDE, SIDE, seed=77)))
    blind = line.candidate(review_at=0.98)
    assert line.promote(blind, "--reviews", station.folder, "--bundles", line.plant) == 3
    assert "new escapes: 1 (s1/b-1); the incumbent stopped 7" in line.reasons()
    assert not (line.plant / POINTER).exists()
    page = (line.out / "promote.html").read_text(encoding="utf-8")
    assert "s1/b-1: is dark; incumbent" in page


def test_more_good_parts_stopped_than_the_terms_allow_refuse_it(line: Line) -> None:
    assert line.promote(line.candidate(review_at=0.0)) == 3
    assert "overkill, beside the incumbent's: +100.00 points (0/6 before)" in line.reasons()
    assert "paired test, good parts" in line.reasons()  # 6 against 0: p = 0.03


def test_a_slow_candidate_is_refused(line: Line) -> None:
    assert line.promote(line.candidate(work=4)) == 3
    assert "latency, beside the incumbent's" in line.reasons()
    line.ask("latency_ms_at_most = 0.001")
    assert line.promote(line.candidate()) == 3
    assert "latency, p99" in line.reasons()


def test_what_a_station_would_not_take_is_refused(line: Line) -> None:
    other = line.bundle(line.root / "new", name="other")
    assert line.promote(other) == 3
    assert "fit to serve: is for other, what is inspected is tiny" in line.reasons()
    assert line.promote(line.incumbent) == 3
    assert "are the same bundle" in line.reasons()


def test_who_may_have_learned_from_the_golden_set_is_not_promoted(line: Line) -> None:
    line.made_of = "a" * 64
    assert line.promote(line.candidate()) == 5
    assert "was made of other data" in line.reasons()


def test_a_picture_the_candidate_trained_on_is_no_proof_of_its_worth(line: Line) -> None:
    station = Station(line.root)
    station.say("good", jpeg(picture(GREY, SIDE, SIDE, seed=70)), part="P-1")
    station.say("good", jpeg(picture(GREY, SIDE, SIDE, seed=71)), part="P-2")
    line.add("more.png", picture(GREY, SIDE, SIDE, seed=72), "good", "P-1", "train")
    assert line.promote(line.candidate(), "--reviews", station.folder) == 0
    assert line.trained() == [True, False]


def shadowed(line: Line, candidate: Bundle, counted: int = 1) -> Path:
    """A shadow's folder: of 500 parts, one that the candidate alone would pass.

    counted: disagreements there were.
    """
    folder = line.root / "shadow"
    folder.mkdir(exist_ok=True)

    def opinion(bundle: Bundle, evaluation: EvaluationName) -> Opinion:
        return Opinion(bundle=bundle.id, evaluation=evaluation, label="dark", score=0.4)

    message = ShadowMessage(
        station="s1",
        boot="b",
        number=1,
        judged=20,
        result_id="b-1",
        seq=1,
        part=None,
        captured_at=datetime.now(UTC),
        serving=opinion(line.incumbent, "NOT_DECIDABLE"),
        shadow=opinion(candidate, "OK"),
        image="b-1",
    )
    (folder / LIST).write_bytes(message.to_json() + b"\n")
    tally = {"station": "s1", "boot": "b", "judged": 500, "disagreements": counted}
    tally |= {"serving": line.incumbent.id, "shadow": candidate.id}
    (folder / COUNTS).write_text(json.dumps([tally]), encoding="utf-8")
    return folder


def test_what_the_shadow_alone_would_pass_must_be_reviewed_first(line: Line) -> None:
    line.ask("shadow_parts_at_least = 500")
    candidate = line.candidate()
    folder = shadowed(line, candidate)
    assert line.promote(candidate, "--shadow", folder) == 5
    assert "0 defective, 0 good, 1 not reviewed; asked: at most 0 not reviewed" in line.reasons()
    station = Station(line.root)
    kept = station.say("good", jpeg(picture(GREY, SIDE, SIDE, seed=70)))[0]
    assert kept.review.result_id == "b-1"
    assert line.promote(candidate, "--shadow", folder, "--reviews", station.folder) == 0


def test_a_defect_that_the_shadow_alone_would_pass_refuses_it(line: Line) -> None:
    candidate = line.candidate()
    station = Station(line.root)
    station.say("dark", jpeg(picture(DARK, SIDE, SIDE, seed=70)))
    folder = shadowed(line, candidate)
    assert line.promote(candidate, "--shadow", folder, "--reviews", station.folder) == 3
    assert "new escapes: 1 (s1/b-1)" in line.reasons()


def test_a_record_whose_list_has_lost_some_is_no_evidence(line: Line) -> None:
    candidate = line.candidate()
    assert line.promote(candidate, "--shadow", shadowed(line, candidate, counted=4)) == 5
    assert "3 are no longer on the disk" in line.reasons()


def test_a_shadow_and_its_copy_are_one_record(line: Line) -> None:
    line.ask("shadow_parts_at_least = 501")
    candidate = line.candidate()
    folder = shadowed(line, candidate)
    copy = shutil.copytree(folder, line.root / "copy")
    shadows = ("--shadow", folder, "--shadow", copy, "--shadow", folder)
    assert line.promote(candidate, *shadows) == 5
    said = line.reasons()
    assert "shadow record: 500 parts judged by both" in said
    assert "passed by the candidate alone: 0 defective, 0 good, 1 not reviewed" in said


def test_frames_of_one_part_are_one_trial_also_where_nobody_wrote_its_id(line: Line) -> None:
    once = picture(DARK, SIDE, SIDE, seed=90)
    for i in range(3):
        line.add(f"again{i}.png", once + np.uint8(i), "dark", f"again{i}", "golden")
    line.ask("golden_defects_at_least = 8")
    assert line.promote(line.candidate()) == 5
    assert "golden defects: 7 parts; asked: at least 8: collect 1 more" in line.reasons()


def cases(count: int, *, defect: bool, incumbent: bool, candidate: bool) -> list[Case]:
    """Golden parts, which each of the two judges rightly or not."""

    def says(*, right: bool) -> Says:
        passes = right is not defect
        return Says(evaluation="OK" if passes else "NOT_OK", label=None, score=None)

    kind = f"{defect}-{incumbent}-{candidate}"
    return [
        Case(
            name=f"{kind}-{i}",
            picture="",
            part=f"{kind}-{i}",
            label="dark" if defect else "good",
            is_defect=defect,
            source="golden",
            trained=False,
            incumbent=says(right=incumbent),
            candidate=says(right=candidate),
            caught=defect and incumbent,
        )
        for i in range(count)
    ]


def evidence(*some: list[Case]) -> Evidence:
    time = Latency(n=200, least_ms=1.0, p50_ms=1.0, p99_ms=2.0)
    return Evidence(
        incumbent="old",
        candidate="new",
        unfit=(),
        unshown=(),
        unknown=(),
        classes=("dark",),
        cases=tuple(case for each in some for case in each),
        shadow=Shadowed(judged=2_000, disagreed=(), lost=0),
        latency_incumbent=time,
        latency_candidate=time,
        latency_ratio=1.0,
        machine="",
        data="",
        data_fingerprint="",
        at=datetime.now(UTC),
    )


def test_better_is_asked_for_only_where_the_terms_say_so() -> None:
    both = {"incumbent": True, "candidate": True}
    same = evidence(cases(60, defect=True, **both), cases(60, defect=False, **both))
    assert decide(same, Terms()).outcome == "promote"
    strict = Terms(must_be_better=True)
    assert decide(same, strict).outcome == "refuse"
    better = evidence(
        cases(60, defect=True, **both),
        cases(54, defect=False, **both),
        cases(6, defect=False, incumbent=False, candidate=True),
    )
    assert decide(better, strict).tests["all parts"].p == pytest.approx(2 * 0.5**6)
    assert decide(better, strict).outcome == "promote"


def test_a_part_is_one_trial_and_what_was_trained_on_speaks_only_against() -> None:
    both = {"incumbent": True, "candidate": True}
    won = cases(8, defect=False, incumbent=False, candidate=True)
    trained = [case.model_copy(update={"trained": True, "source": "reviewed"}) for case in won]
    plain = evidence(cases(60, defect=True, **both), cases(60, defect=False, **both), trained)
    assert decide(plain, Terms()).tests["good parts"].second_better == 0
    one_part = [case.model_copy(update={"part": "P-1"}) for case in won]
    found = decide(evidence(one_part), Terms())
    assert found.tests["good parts"].second_better == 1
    assert found.incumbent.overkill.n == 1
    escaped = cases(1, defect=True, incumbent=True, candidate=False)
    learned = [case.model_copy(update={"trained": True}) for case in escaped]
    assert "new escapes: 1" in "\n".join(decide(evidence(learned), Terms()).reasons)


def test_the_example_of_the_terms_can_be_read() -> None:
    terms = read_toml(DEPLOY / "promote.example.toml", Terms)
    assert terms.model_copy(update={"overkill_rate_at_most": 1.0}) == Terms()


def test_the_keys_of_the_terms_are_checked(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    line.ask("new_escapes = 3")
    assert line.promote(line.candidate()) == 78
    assert "new_escapes: is not a key here; known keys: class_defects" in capsys.readouterr().err
    line.ask("shadow_parts_at_least = 0")
    assert line.promote(line.candidate(), "--bundles", line.root / "nowhere") == 78
    assert "there is no such folder" in capsys.readouterr().err
