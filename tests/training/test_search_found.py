"""search.csv, as a spreadsheet opens it."""

import csv
from pathlib import Path

from training.search_found import Found, Tried, write_found


def of_one_that_failed(why: str, defects: int) -> Found:
    """A search whose only student, quick enough, could not be trained."""
    failed = Tried(
        model="test_resnet",
        width=32,
        precision="fp32",
        outcome="failed",
        latency_ms=1.0,
        why=why,
    )
    return Found(
        plan="plate",
        latency_goal_ms=2.0,
        escape_goal=0.1,
        overkill_goal=0.1,
        defects=defects,
        goods=10,
        timed_by="this machine",
        machine="a CPU",
        code="0",
        space=1,
        tried=(failed,),
    )


def test_what_a_failed_student_said_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    said = '=HYPERLINK("http://example.invalid")'
    found = of_one_that_failed(said, defects=10)
    write_found(found, tmp_path)
    with (tmp_path / "search.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["why"] == "'" + said
    assert (row["latency_ms"], row["overkill"]) == ("1.000000", "")


def test_a_search_whose_quick_students_failed_does_not_say_that_none_is_quick() -> None:
    found = of_one_that_failed("no weights", defects=1)
    assert "1 quick enough failed, the last: no weights" in found.verdict()
    assert "none is as quick" not in found.verdict()
    assert "is 100 %" in found.verdict()
