"""Recheck: a second model looks at what passed, and what it cannot look at is never called good."""

import csv
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.contract.bundle import Bundle
from inspector.contract.verdict import Limits
from inspector.delivery.journal import Journal, JournalSettings
from tests.delivery.results import result
from tests.study.reports import figures, page, run_study
from tests.support import (
    DARK,
    GREY,
    make_bundle,
    make_model,
    picture,
    run_inspector,
    start_station,
    until,
    write_station,
)

AT = datetime(2026, 1, 2, 8, 0, tzinfo=UTC)
JUST_GOOD = 70
"""Passes by review_at 0.3, not by 0.1."""


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "bundles")


@pytest.fixture
def stricter(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "new", "stricter", limits=Limits(review_at=0.1, reject_at=0.6))


@pytest.fixture
def station(tmp_path: Path, bundle: Bundle) -> Path:
    return write_station(tmp_path, bundle, archive={"keep": "all"})


class Shift:
    """A journal and an archive as a station leaves them: parts that passed."""

    def __init__(self, folder: Path, bundle: Bundle, boot: str = "boot") -> None:
        self._folder = folder
        self._boot = boot
        self._bundle = bundle.id
        (folder / "images").mkdir()
        self._journal = Journal(JournalSettings(path=folder / "journal.db", disk_free_min_mb=0))

    def part(self, brightness: int | None, **changes: Any) -> None:
        """brightness: of its archived picture; None: none is kept."""
        seq = self._journal.next_seq()
        made = result(seq, result_id=f"{self._boot}-{seq}")
        alike = {"captured_at": AT, "bundle": self._bundle, "recipe": "tiny", "image": None}
        if brightness is not None:
            alike["image"] = made.result_id
            path = self._folder / "images" / f"{made.result_id}.jpg"
            cv2.imwrite(str(path), picture(brightness, seed=seq))
        self._journal.put(made.model_copy(update={**alike, **changes}))
        self._journal.release(seq)

    def end(self) -> None:
        self._journal.close()


def recheck(
    station: Path, *words: str | Path, since: str = "2026-01-02T06:00Z"
) -> subprocess.CompletedProcess[str]:
    out = station.parent / "study"
    return run_study("recheck", station, "--since", since, "--out", out, *words)


def test_suspects_are_listed_by_score_and_what_cannot_be_rechecked_is_counted_by_reason(
    tmp_path: Path, station: Path, bundle: Bundle, stricter: Bundle
) -> None:
    shift = Shift(tmp_path, bundle)
    shift.part(DARK, captured_at=AT - timedelta(hours=9))  # of the shift before
    shift.part(GREY)
    shift.part(JUST_GOOD, score=0.27)
    shift.part(DARK, score=0.01)  # as if it had been passed
    shift.part(None)
    shift.part(GREY, recipe="another")
    shift.part(GREY)
    shift.part(GREY)
    shift.part(DARK, passed=False, evaluation="NOT_OK", cause="defect")
    shift.end()
    (tmp_path / "images" / "boot-7.jpg").unlink()
    (tmp_path / "images" / "boot-8.jpg").write_bytes(b"half a picture")
    done = recheck(station, "--bundle", stricter.folder)
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stdout.startswith("2 suspect parts\n  P4, row 4: NOT_OK, score 0.99")
    found = figures(tmp_path / "study", "recheck")
    assert [each["part"] for each in found["suspects"]] == ["P4", "P3"]
    assert [each["evaluation"] for each in found["suspects"]] == ["NOT_OK", "NOT_DECIDABLE"]
    assert found["suspects"][0]["first_again"] > 0.9, "its own bundle would not pass it either"
    assert found["suspects"][1]["first_again"] == pytest.approx(0.27, abs=0.05)
    assert (found["passes"], found["rechecked"]) == (7, 3)
    assert sorted(found["not_rechecked"].values()) == [1, 1, 1, 1]
    assert found["control"]["pictures"] == 3
    assert found["control"]["turned"] == 1, "P4: its own bundle would not pass that picture"
    text = page(tmp_path / "study", "recheck")
    assert text.count("data:image/jpeg") == 2
    assert "of recipe another" in text
    assert "of 4 parts that passed this study knows nothing" in text
    with (tmp_path / "study" / "recheck.csv").open(encoding="utf-8", newline="") as file:
        outcomes = [row["outcome"] for row in csv.DictReader(file)]
    assert outcomes == ["suspect"] * 2 + ["not rechecked"] * 4 + ["passes"]


def test_no_suspects_is_only_said_where_every_pass_could_be_judged_again(
    tmp_path: Path, station: Path, bundle: Bundle, stricter: Bundle
) -> None:
    shift = Shift(tmp_path, bundle)
    shift.part(GREY)
    shift.part(GREY, captured_at=AT + timedelta(hours=1))
    shift.part(None, captured_at=AT + timedelta(hours=2))
    shift.end()
    words: list[str | Path] = ["--bundle", stricter.folder]
    done = recheck(station, *words, "--until", "2026-01-02T09:30Z")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ">No suspects<" in page(tmp_path / "study", "recheck")
    done = recheck(station, *words)
    assert done.returncode == 78
    assert "was begun otherwise (until)" in done.stderr
    for kept in ("plan.json", "rechecked.jsonl"):
        (tmp_path / "study" / kept).unlink()
    done = recheck(station, *words)
    assert done.returncode == 5
    assert "No suspects among the parts that could" in page(tmp_path / "study", "recheck")
    done = recheck(station, *words, "--out", tmp_path / "later", since="2026-02-01")
    assert done.returncode == 78
    assert "no part passed since 2026-02-01T00:00:00+00:00: the journal reaches" in done.stderr


def test_passes_that_are_gone_from_the_journal_are_not_forgotten(
    tmp_path: Path, station: Path, bundle: Bundle, stricter: Bundle
) -> None:
    shift = Shift(tmp_path, bundle)
    for _ in range(3):
        shift.part(GREY)
    shift._journal._db.execute("DELETE FROM result WHERE seq = 1")  # as its retention does
    shift.end()
    done = recheck(station, "--bundle", stricter.folder)
    assert done.returncode == 5
    assert "the journal begins at 2026-01-02T08:00:00.000Z" in done.stdout


def test_a_whole_journal_that_begins_with_a_part_without_a_picture_lacks_nothing(
    tmp_path: Path, station: Path, bundle: Bundle, stricter: Bundle
) -> None:
    shift = Shift(tmp_path, bundle)
    shift.part(None, captured_at=None, passed=False, evaluation="UNDEFINED", cause="no_frame")
    shift.part(GREY)
    shift.end()
    done = recheck(station, "--bundle", stricter.folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_number_in_a_journal_begun_anew_is_another_part(
    tmp_path: Path, station: Path, bundle: Bundle, stricter: Bundle
) -> None:
    shift = Shift(tmp_path, bundle)
    shift.part(GREY)
    shift.end()
    assert recheck(station, "--bundle", stricter.folder).returncode == 0
    for path in tmp_path.glob("journal.db*"):
        path.unlink()
    (tmp_path / "images").rename(tmp_path / "images-of-before")
    shift = Shift(tmp_path, bundle, boot="later")
    shift.part(DARK, score=0.01)  # as if it had been passed
    shift.end()
    done = recheck(station, "--bundle", stricter.folder)
    assert done.returncode == 3, done.stdout + done.stderr
    (suspect,) = figures(tmp_path / "study", "recheck")["suspects"]
    assert suspect["result_id"] == "later-1"


def test_parts_judged_again_in_other_regions_are_another_study(
    tmp_path: Path, bundle: Bundle, stricter: Bundle
) -> None:
    halves = [{"kind": "rectangle", "x": x, "y": 0, "width": 24, "height": 40} for x in (0, 24)]
    station = write_station(tmp_path, bundle, recipe={"regions": halves[0]})
    shift = Shift(tmp_path, bundle)
    shift.part(GREY)
    shift.end()
    shown = np.hstack([picture(GREY, width=24), picture(DARK, width=24)])
    cv2.imwrite(str(tmp_path / "images" / "boot-1.jpg"), shown)
    assert recheck(station, "--bundle", stricter.folder).returncode == 0
    station = write_station(tmp_path, bundle, recipe={"regions": halves[1]})
    done = recheck(station, "--bundle", stricter.folder)
    assert (done.returncode, "was begun otherwise (regions)" in done.stderr) == (78, True)
    done = recheck(station, "--bundle", stricter.folder, "--out", tmp_path / "other")
    assert done.returncode == 3, done.stdout + done.stderr


def test_a_teacher_without_a_bundle_gives_its_opinion_too(
    tmp_path: Path, station: Path, bundle: Bundle
) -> None:
    shift = Shift(tmp_path, bundle)
    shift.part(GREY)
    shift.part(DARK)
    shift.end()
    make_model(tmp_path / "teacher.onnx", size=64)  # it sees more pixels than its student
    done = recheck(station, "--teacher", tmp_path / "teacher.onnx", "--suspect-at", "0.5")
    assert done.returncode == 3, done.stdout + done.stderr
    found = figures(tmp_path / "study", "recheck")
    assert [each["part"] for each in found["suspects"]] == ["P2"]
    assert found["plan"]["suspect_at"] == 0.5
    assert "with no certificate" in found["conditions"]["caveats"][0]
    make_model(tmp_path / "other.onnx", labels=2)
    done = recheck(station, "--teacher", tmp_path / "other.onnx", "--out", tmp_path / "o")
    assert done.returncode == 78
    assert "other.onnx" in done.stderr
    assert "probabilities is ['batch', 2]" in done.stderr


def test_stopped_and_started_again_it_goes_on_beside_a_station_at_work(
    tmp_path: Path, stricter: Bundle
) -> None:
    slow = make_bundle(tmp_path / "new", "slow", work=30)
    station = write_station(
        tmp_path,
        make_bundle(tmp_path / "bundles"),
        camera={"loop": True},
        trigger={"kind": "interval", "period_ms": 20},
        archive={"keep": "all"},
        drain_s=0.0,
    )
    running = start_station(station)
    try:
        assert until(lambda: len(list((tmp_path / "images").glob("*.jpg"))) > 30)
        now = datetime.now(UTC).isoformat()
        words: list[str | Path] = [
            "study",
            "recheck",
            station,
            "--since",
            "2026-01-01",
            "--until",
            now,
        ]
        words += ["--bundle", slow.folder, "--out", tmp_path / "study"]
        kept = tmp_path / "study" / "rechecked.jsonl"
        process = subprocess.Popen(
            [sys.executable, "-m", "inspector.cli", *map(str, words)],
            stdout=subprocess.DEVNULL,
            process_group=0,
        )
        assert until(lambda: kept.exists() and kept.read_bytes().count(b"\n") >= 3)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
        first = kept.read_bytes()
        kept.write_bytes(first + b'{"seq": 1, "half')  # a power cut
        time.sleep(0.1)
        done = run_inspector(*words)
        assert running.poll() is None
    finally:
        running.terminate()
        assert running.wait(30.0) == 0
    assert done.returncode in (0, 5), done.stdout + done.stderr
    assert kept.read_bytes().startswith(first)
    numbers = [line.split(b",")[0] for line in kept.read_bytes().splitlines()]
    assert len(set(numbers)) == len(numbers), "none is judged twice"
    found = figures(tmp_path / "study", "recheck")
    assert found["rechecked"] == len(numbers)
    assert found["rechecked"] > first.count(b"\n")
    log = (tmp_path / "station.log").read_text(encoding="utf-8")
    assert "another program holds it" not in log
