"""search.csv, as a spreadsheet opens it."""

import csv
from pathlib import Path

from training.search_found import Found, Tried, write_found


def test_what_a_failed_student_said_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    said = '=HYPERLINK("http://example.invalid")'
    failed = Tried(
        model="test_resnet",
        width=32,
        precision="fp32",
        outcome="failed",
        latency_ms=1.0,
        why=said,
    )
    found = Found(
        plan="plate",
        latency_goal_ms=2.0,
        escape_goal=0.1,
        overkill_goal=0.1,
        defects=10,
        goods=10,
        timed_by="this machine",
        machine="a CPU",
        code="0",
        space=1,
        tried=(failed,),
    )
    write_found(found, tmp_path)
    with (tmp_path / "search.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["why"] == "'" + said
    assert (row["latency_ms"], row["overkill"]) == ("1.000000", "")


def test_a_search_whose_quick_students_failed_does_not_say_that_none_is_quick() -> None:
    failed = Tried(
        model="test_resnet",
        width=32,
        precision="fp32",
        outcome="failed",
        latency_ms=1.0,
        why="no weights",
    )
    found = Found(
        plan="plate",
        latency_goal_ms=2.0,
        escape_goal=0.1,
        overkill_goal=0.1,
        defects=1,
        goods=10,
        timed_by="this machine",
        machine="a CPU",
        code="0",
        space=1,
        tried=(failed,),
    )
    assert "1 quick enough failed, the last: no weights" in found.verdict()
    assert "none is as quick" not in found.verdict()
    assert "is 100 %" in found.verdict()
