"""What the pages find in a journal whose station's clock was set."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from inspector.delivery.journal import Journal, JournalSettings
from inspector.hmi.history import Page, export, search
from tests.delivery.results import result

DAY_S = 86_400.0
BEGAN_S = 1_800_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ten rows a second apart, ten while the clock was a day ahead, ten after it was set back."""
    path = tmp_path / "journal.db"
    journal = Journal(JournalSettings(path=path, disk_free_min_mb=0))
    for seq in range(1, 31):
        journal.put(result(seq))
        journal.release(seq, durably=True)
    journal.close()
    with closing(sqlite3.connect(path)) as db, db:
        for seq in range(1, 31):
            ahead_s = DAY_S if 10 < seq <= 20 else 0.0
            query = "UPDATE result SET stored_at = ? WHERE seq = ?"
            db.execute(query, (BEGAN_S + seq + ahead_s, seq))
    return path


@pytest.mark.parametrize("spoilt", [b"\xff\x00", b"{", b"[]"])
def test_a_row_that_a_disk_has_spoilt_is_shown_as_that_whatever_is_searched_for(
    path: Path, spoilt: bytes
) -> None:
    """It was left out without a word, and the table looked whole."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE result SET payload = ? WHERE seq = 25", (spoilt,))
    wanted = Page(since=BEGAN_S + 21, until=BEGAN_S + 60, evaluation="NOT_OK")
    (row,) = search(path, wanted)["rows"]
    assert (row["seq"], row["evaluation"]) == (25, None)
    assert "a disk has spoilt" in row["reason"]
    _, line = b"".join(export(path, wanted)).decode().splitlines()
    assert "25" in line.split(",")
    assert "a disk has spoilt" in line


@pytest.mark.parametrize(
    ("since", "until", "seqs"),
    [
        (25, 60, range(25, 31)),
        (None, 60, [*range(1, 11), *range(21, 31)]),
        (5, 30, [*range(5, 11), *range(21, 30)]),
        (25, None, [*range(11, 21), *range(25, 31)]),
        (DAY_S, DAY_S + 60, range(11, 21)),
    ],
)
def test_after_the_clock_was_set_back_a_span_has_the_rows_that_were_stored_in_it(
    path: Path, since: float | None, until: float | None, seqs: Sequence[int]
) -> None:
    """Those of after it were hidden, and those of another time shown."""
    wanted = Page(
        since=None if since is None else BEGAN_S + since,
        until=None if until is None else BEGAN_S + until,
    )
    found = search(path, wanted)["rows"]
    assert [each["seq"] for each in found] == sorted(seqs, reverse=True)
    assert b"".join(export(path, wanted)).count(b"\n") == len(found) + 1
