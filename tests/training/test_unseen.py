"""A class left out of training: the command from end to end, and how what stops it is counted."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.contract.verdict import Limits
from tests.support import SIZE, make_model
from tests.training.plates import ALONE, write_class_folders
from tests.training.test_judging import plan_of, report_of, row_of
from training.checkpoint import load
from training.cli import main
from training.dataset import SPLITS, Sample
from training.evaluate import Held, Rate, defect_scores
from training.export import run_model
from training.job import Data
from training.judging import Candidate
from training.layout import Layout
from training.scan import Images, ScanReport
from training.unseen import COLUMNS, LeftOut, judge_left_out, table

LABELS, GOOD = ("good", "scratch", "spot"), ("good",)
LOW, REVIEW, NEEDED, REJECT, HIGH = 0.05, 0.3, 0.5, 0.7, 0.95
"""About the scores of the pictures below; the limits are those of pictures to the last digit."""
USUAL, STRANGE = 0.5, 1.5
DENTS = (
    [(LOW, USUAL), (HIGH, USUAL)],  # one picture that passes is an escape
    [(LOW, USUAL)],
    [(HIGH, USUAL)],  # 2: from here on by score
    [(HIGH, USUAL), (0.4, USUAL)],
    [(LOW, 2 * STRANGE), (HIGH, USUAL)],
    [(REJECT, USUAL)],
    [(0.4, USUAL)],  # 6: from here on by review
    [(0.6, USUAL)],
    [(REVIEW, USUAL)],
    [(LOW, 2 * STRANGE)],  # 9: from here on by novelty
    [(LOW, 2 * STRANGE), (0.4, USUAL)],
    [(LOW, STRANGE)],
    [(LOW, 3 * STRANGE)],
    [(LOW, 4 * STRANGE)],
)
"""Parts of a class that nobody has seen, by their pictures: about which score, which novelty."""
GOLDEN = (
    ("good", [(LOW, USUAL)]),
    ("good", [(LOW, USUAL), (LOW, STRANGE)]),  # novelty alone stops it
    ("good", [(0.4, USUAL)]),  # the goals alone would not
    ("good", [(0.4, STRANGE)]),
    ("good", [(NEEDED, USUAL)]),  # the goals would
    ("good", [(0.6, STRANGE)]),
    ("good", [(HIGH, USUAL), (LOW, STRANGE), (0.4, USUAL)]),
    ("good", [(0.02, USUAL), (0.02, USUAL), (0.02, USUAL)]),
    ("spot", [(LOW, STRANGE)]),  # no good part
    ("spot", [(HIGH, USUAL)]),
)


def shade(score: float, novelty: float) -> NDArray[np.uint8]:
    """A picture of which the model of tests/support.py says about this."""
    bright = 255 * (10.0 - np.log(score / (1.0 - score))) / 40.0
    apart = 25.5 * novelty
    blue_to_red = np.array([bright - apart / 2, bright, bright + apart / 2])
    return np.broadcast_to(blue_to_red.round(), (SIZE, SIZE, 3)).astype(np.uint8)


class Dents:
    """Pictures of parts that a model of known answers is shown."""

    def __init__(self, folder: Path) -> None:
        self.model = folder / "model.onnx"
        make_model(self.model, novelty=True)
        flat = [(f"d{i}", "dent", *each) for i, part in enumerate(DENTS) for each in part]
        golden = [
            (f"g{i}", label, *each) for i, (label, part) in enumerate(GOLDEN) for each in part
        ]
        every = [*flat, *golden]
        pixels = np.stack([shade(score, novelty) for *_, score, novelty in every])
        names = [f"{row}.png" for row in range(len(every))]
        samples = tuple(
            Sample(folder / name, name, label, part)
            for name, (part, label, *_) in zip(names, every, strict=True)
        )
        report = ScanReport(
            layout="",
            images=len(every),
            kept=tuple(names),
            classes={},
            parts={},
            twins=(),
            findings=(),
        )
        targets = np.array([(*LABELS, "dent").index(label) for _, label, *_ in every])
        targets[targets == len(LABELS)] = -1
        none = {name: np.zeros(0, np.int64) for name in SPLITS}
        self.data = Data(Images(samples, pixels, report), none, targets, LABELS)
        self.rows = np.arange(len(flat))
        answers = run_model(self.model, pixels, np.arange(len(every)))
        scores = defect_scores(answers.probabilities, LABELS, GOOD)
        assert answers.novelty is not None
        self.strange = scores[self.rows], answers.novelty[self.rows]
        its = slice(len(flat), None)
        parts = np.array([int(part[1:]) for part, *_ in golden])
        far = answers.novelty[its].astype(np.float64)
        self.golden = Held(scores[its], targets[its], LABELS, GOOD, parts, far)
        asked = [(score, novelty) for *_, score, novelty in every]
        exact = {score: scores[i] for i, (score, _) in enumerate(asked)}
        self.needed = exact[NEEDED]
        self.limits = Limits(
            review_at=exact[REVIEW],
            reject_at=exact[REJECT],
            novelty_at=float(answers.novelty[asked.index((LOW, STRANGE))]),
        )


@pytest.fixture(scope="module")
def dents(tmp_path_factory: pytest.TempPathFactory) -> Dents:
    return Dents(tmp_path_factory.mktemp("dents"))


def in_tiles(dents: Dents) -> Data:
    """The pictures as two tiles each: what one says is strange only in the tile that scores less.

    Where a picture is usual, one tile scores as it does and the other little, in turn.
    """
    asked = [picture for part in DENTS for picture in part]
    tiles, pictures = [], []
    for i, (score, novelty) in enumerate(asked):
        beside = (LOW if novelty == USUAL else 2 * LOW, USUAL)
        tiles += [(score, novelty), beside][:: 1 if i % 2 else -1]
        pictures += [i, i]
    picture = np.array(pictures)
    box = np.tile([0, 0, SIZE, SIZE], (len(tiles), 1))
    no, seen = np.zeros(len(tiles), bool), np.full(len(tiles), -1)
    layout = Layout(picture, box, np.zeros_like(box), seen, ~no, no)
    pixels = np.stack([shade(*tile) for tile in tiles])
    samples = tuple(dents.data.images.samples[i] for i in picture)
    images = replace(dents.data.images, samples=samples, pixels=pixels)
    return dents.data._replace(images=images, targets=seen, layout=layout)


def judged(dents: Dents, folder: Path, *, spent: bool, data: Data) -> tuple[LeftOut, Rate]:
    """What is counted, and the overkill of what ships. spent: whether overkill was to spend."""
    plan = plan_of(folder, "")
    row = row_of(plan, "student", 6.0, 600, 2.0)
    needed = {"limits": dents.limits, "needed_review_at": dents.needed if spent else None}
    row = row.model_copy(update={"choice": row.choice.model_copy(update=needed)})
    probabilities = np.zeros((0, 3), np.float32)
    golden_rows = np.arange(len(dents.golden.scores)) + len(dents.rows)
    files = {"student": dents.model}
    candidate = Candidate(report_of(row), files, probabilities, dents.golden, golden_rows)
    rows = np.flatnonzero([sample.label == "dent" for sample in data.images.samples])
    return judge_left_out(plan, data, candidate, "dent", rows), row.golden.overkill


def test_each_part_of_a_class_left_out_is_counted_by_what_stops_it(
    dents: Dents, tmp_path: Path
) -> None:
    found, overkill = judged(dents, tmp_path, spent=True, data=dents.data)
    assert (found.label, found.model, found.limits) == ("dent", "student", dents.limits)
    assert (found.passed.events, found.passed.n) == (2, 14)
    assert (found.by_score, found.by_review, found.by_novelty) == (4, 3, 5)
    # Without novelty also those it stops and one by score; by the goals also 0.3 and 0.4.
    assert (found.passed_without_novelty.events, found.passed_without_novelty.n) == (8, 14)
    assert (found.passed_by_goals_alone.events, found.passed_by_goals_alone.n) == (11, 14)
    assert (found.extra_overkill.events, found.extra_overkill.n) == (3, 8)
    assert overkill.events > 0
    assert found.overkill == overkill


def test_a_picture_judged_in_tiles_is_stopped_by_any_tile_and_its_part_counts_once(
    dents: Dents, tmp_path: Path
) -> None:
    whole, _ = judged(dents, tmp_path, spent=True, data=dents.data)
    tiled, _ = judged(dents, tmp_path, spent=True, data=in_tiles(dents))
    apart = {"auroc_score", "auroc_novelty"}  # the tile beside is a trifle higher in one of them
    assert tiled.model_dump(exclude=apart) == whole.model_dump(exclude=apart)


def test_a_plan_without_overkill_to_spend_costs_what_novelty_alone_stops(
    dents: Dents, tmp_path: Path
) -> None:
    found, _ = judged(dents, tmp_path, spent=False, data=dents.data)
    assert found.passed_by_goals_alone == found.passed_without_novelty
    assert (found.extra_overkill.events, found.extra_overkill.n) == (1, 8)


def test_a_class_left_out_is_told_from_good_parts_pair_by_pair(
    dents: Dents, tmp_path: Path
) -> None:
    found, _ = judged(dents, tmp_path, spent=True, data=dents.data)
    good = ~dents.golden.is_defect
    assert dents.golden.novelty is not None
    for value, strange, usual in (
        (found.auroc_score, dents.strange[0], dents.golden.scores[good]),
        (found.auroc_novelty, dents.strange[1], dents.golden.novelty[good]),
    ):
        pairs = np.sign(strange[:, None] - usual[None])
        assert value == pytest.approx((pairs.mean() + 1.0) / 2)
        assert abs(value - 0.5) > 0.04, "so that it shows which side is which"


def test_each_class_left_out_in_turn_is_trained_without_and_counted_once_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, out = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text(ALONE.replace("mobilenetv2_035", "test_resnet"), encoding="utf-8")
    data = write_class_folders(tmp_path / "data")
    words = ["novelty", str(plan), "--data", str(data), "--out", str(out), "--quiet"]
    assert main(words) == 0
    said = capsys.readouterr().out.splitlines()
    kept = json.loads((out / "novelty.json").read_text("utf-8"))
    found = [LeftOut.model_validate(each) for each in kept]
    assert [each.label for each in found] == ["scratch", "spot"]
    assert said == table(found)
    heads = [load(path)["trunk.fc.bias"] for path in out.glob("work/student-*/best.pt")]
    assert [len(head) for head in heads] == [2, 2], "good, and the class that was left"
    with (out / "novelty.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    for each, row, line in zip(found, rows, said[1:], strict=False):
        assert each.passed.n == 12, "every part of the class, whatever set it would have been in"
        stopped = each.by_score + each.by_review + each.by_novelty
        assert each.passed.events + stopped == each.passed.n
        without = each.passed_without_novelty.events
        assert without + each.by_score + each.by_review >= each.passed.n
        assert each.passed.events <= without <= each.passed_by_goals_alone.events
        assert each.extra_overkill.events <= each.overkill.events <= each.extra_overkill.n == 3
        counts = [each.passed.n, each.passed.events, each.by_score, each.by_review, each.by_novelty]
        columns = ("parts", "passed", "by_score", "by_review", "by_novelty")
        assert [int(row[name]) for name in columns] == counts
        assert int(row["extra_overkill"]) == each.extra_overkill.events
        assert int(row["overkill"]) == each.overkill.events
        assert float(row["auroc_novelty"]) == pytest.approx(each.auroc_novelty, abs=1e-4)
        assert line.split()[:2] == [each.label, f"{each.passed.events}/12"]
    stopped = 24 - sum(each.passed.events for each in found)
    assert re.match(rf"not passed: {stopped}/24 parts \(", said[-1])
