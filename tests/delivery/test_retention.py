"""What the journal keeps for consumers that stay away, and what it says meanwhile."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inspector.contract.strict import Name
from inspector.delivery.cursors import COURIER, Cursors
from inspector.delivery.journal import ConsumerSettings, Journal, JournalSettings
from tests.delivery.results import result

MES = ConsumerSettings(name="mes")
MAY_LOSE = ConsumerSettings(name="mes", may_lose=True)


@contextmanager
def journal(
    folder: Path, *consumers: ConsumerSettings, keep_days: float = 0.0
) -> Iterator[Journal]:
    settings = JournalSettings(
        path=folder / "journal.db", size_max_mb=1, keep_days=keep_days, disk_free_min_mb=0
    )
    opened = Journal(settings)
    opened.register(consumers)
    try:
        yield opened
    finally:
        opened.close()


def put(opened: Journal, count: int = 1) -> None:
    for _ in range(count):
        opened.put(result(opened.next_seq(), padding=1_000))
        opened.release(opened.last_seq())


def moved(folder: Path, opened: Journal, name: Name, seq: int) -> None:
    with Cursors(folder / "journal.db") as cursors:
        cursors.register(name)
        cursors.advance(name, seq)
    opened.retention.look_again()


def first(opened: Journal) -> int:
    return opened.after(0, 1)[0][0]


def test_a_row_goes_only_once_the_consumer_has_acknowledged_it(tmp_path: Path) -> None:
    with journal(tmp_path, MES) as opened:
        put(opened, 20)
        moved(tmp_path, opened, COURIER, 20)
        put(opened, 10)
        assert first(opened) == 1, "the broker has them, the consumer does not"
        moved(tmp_path, opened, "mes", 15)
        put(opened, 10)
        assert first(opened) == 16


def test_a_consumer_that_stays_away_stops_every_pass_and_is_named(tmp_path: Path) -> None:
    with journal(tmp_path, MES) as opened:
        while opened.shortage() is None:
            put(opened)
            moved(tmp_path, opened, COURIER, opened.last_seq())
        last = opened.last_seq()
        put(opened, 20)  # rejected parts are still recorded
        assert first(opened) == 1
        shortage = opened.shortage() or ""
        assert f"{last + 20} results wait for consumer mes, which has acknowledged up to 0" in (
            shortage
        )
        assert opened.lost() is None
        moved(tmp_path, opened, "mes", opened.last_seq())
        put(opened, 20)
        assert opened.shortage() is None


def test_a_consumer_that_may_lose_rows_is_let_go_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with journal(tmp_path, MAY_LOSE) as opened:
        while not opened.retention.rows_let_go:
            put(opened)
            moved(tmp_path, opened, COURIER, opened.last_seq())
            assert opened.shortage() is None
        for _ in range(300):
            put(opened)
            moved(tmp_path, opened, COURIER, opened.last_seq())
        assert opened.shortage() is None
        gone = first(opened) - 1
        assert opened.retention.rows_let_go == gone
        assert opened.lost() == f"consumer mes stayed away: results 1 to {gone} were let go"
        moved(tmp_path, opened, "mes", gone - 1)
        assert opened.lost() == f"consumer mes stayed away: results {gone} to {gone} were let go"
        moved(tmp_path, opened, "mes", gone + 1)
        assert opened.lost() is None
    loud = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(loud) == 1
    assert "consumer mes stayed away" in loud[0].message


def test_rows_are_let_go_of_the_consumers_that_may_lose_some_alone(tmp_path: Path) -> None:
    with journal(tmp_path, MAY_LOSE, ConsumerSettings(name="historian")) as opened:
        while opened.shortage() is None:
            put(opened)
            moved(tmp_path, opened, COURIER, opened.last_seq())
            moved(tmp_path, opened, "historian", 50)
        put(opened, 20)
        assert first(opened) == 51
        assert "wait for consumer historian" in (opened.shortage() or "")


def test_a_new_consumer_begins_where_the_journal_is_and_an_old_one_lets_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with journal(tmp_path, MES, keep_days=1.0) as opened:
        put(opened, 10)
    with journal(tmp_path, ConsumerSettings(name="historian"), keep_days=1.0):
        pass
    with Cursors(tmp_path / "journal.db") as cursors:
        assert cursors.all() == {"historian": 10}
    assert "consumer mes is not registered any more" in caplog.text


def stored(opened: Journal, first: int, last: int, days: float) -> None:
    """As if these rows had been stored so many days from now."""
    words = (time.time() + 86_400 * days, first, last)
    opened._db.execute("UPDATE result SET stored_at = ? WHERE seq BETWEEN ? AND ?", words)


def numbers(opened: Journal) -> list[int]:
    return [seq for seq, _ in opened.after(0, 1_000)]


@pytest.mark.parametrize("ahead", [3, 30])
def test_rows_of_a_clock_that_was_ahead_go_with_those_behind_them_and_leave_no_hole(
    tmp_path: Path, ahead: int
) -> None:
    with journal(tmp_path, keep_days=1.0) as opened:
        put(opened, 60)
        stored(opened, 1, ahead, days=5 * 365)
        stored(opened, ahead + 1, 50, days=-2.0)
        moved(tmp_path, opened, COURIER, 60)
        for _ in range(12):
            put(opened)
            there = numbers(opened)
            assert there == list(range(there[0], opened.last_seq() + 1))
        assert there[0] == 51, "the ten whose day has not passed stay"
        assert opened.retention.rows_yielded == 0


def test_rows_from_the_future_stay_while_nothing_behind_them_is_old(tmp_path: Path) -> None:
    with journal(tmp_path, keep_days=1.0) as opened:
        put(opened, 20)
        stored(opened, 1, 20, days=5 * 365)
        moved(tmp_path, opened, COURIER, 20)
        opened.retention.forget(8)
        assert first(opened) == 1, "there is nothing to tell their age by"
        put(opened, 10)
        assert first(opened) == 1, "they are as old as the next row: a moment"


def test_an_old_row_does_not_go_before_one_that_stays(tmp_path: Path) -> None:
    with journal(tmp_path, keep_days=1.0) as opened:
        put(opened, 20)
        stored(opened, 6, 20, days=-2.0)  # the clock was behind for a while
        moved(tmp_path, opened, COURIER, 20)
        put(opened, 10)
        assert numbers(opened) == list(range(1, 31))
        stored(opened, 1, 5, days=-1.5)
        put(opened, 10)
        assert first(opened) == 21
