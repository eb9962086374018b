"""The journal on a real disk: killed, filled up, damaged, written twice."""

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from inspector.contract.errors import ConfigError, RecordError
from inspector.delivery.cursors import COURIER, Cursors, cursors_path
from inspector.delivery.journal import Journal, JournalReader, JournalSettings
from inspector.delivery.stored import StoredTimes, stored_ms
from tests.delivery.results import result


@contextmanager
def journal(
    path: Path, *, size_max_mb: int = 100, keep_days: float = 30.0, disk_free_min_mb: int = 0
) -> Iterator[Journal]:
    settings = JournalSettings(
        path=path, size_max_mb=size_max_mb, keep_days=keep_days, disk_free_min_mb=disk_free_min_mb
    )
    opened = Journal(settings)
    try:
        yield opened
    finally:
        opened.close()


def seqs(opened: Journal) -> list[int]:
    return [seq for seq, _ in opened.after(0, 100_000)]


def delivered(path: Path, seq: int) -> None:
    with Cursors(path) as cursors:
        cursors.register(COURIER)
        cursors.advance(COURIER, seq)


def fill(opened: Journal) -> None:
    while True:
        opened.put(result(opened.next_seq(), padding=1_000))


PUT_AND_DIE = """
import os, signal, sys
from pathlib import Path
from inspector.delivery.journal import Journal, JournalSettings
from tests.delivery.results import result
journal = Journal(JournalSettings(path=Path(sys.argv[1]), disk_free_min_mb=0))
for _ in range(int(sys.argv[2])):
    journal.put(result(journal.next_seq()))
    journal.release(journal.last_seq())
    journal.rest()
os.kill(os.getpid(), signal.SIGKILL)
"""


def put_and_die(path: Path, count: int, *before: str) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-c", PUT_AND_DIE, str(path), str(count)]
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_a_recorded_result_outlives_a_killed_station(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for _ in range(3):
        assert put_and_die(path, 5).returncode == -9
    with journal(path) as reopened:
        assert seqs(reopened) == list(range(1, 16))
        assert reopened.after(14, 10) == [(15, result(15).to_json())]
        assert reopened.next_seq() == 16


def test_numbers_go_on_without_gap_or_repetition_after_a_restart(tmp_path: Path) -> None:
    for first in (1, 4, 7):
        with journal(tmp_path / "journal.db") as opened:
            assert opened.next_seq() == first
            for seq in range(first, first + 3):
                opened.put(result(seq))
            assert opened.last_seq() == first + 2


def test_a_number_is_not_used_again_after_all_rows_were_deleted(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with journal(path) as opened:
        for seq in range(1, 6):
            opened.put(result(seq))
    with sqlite3.connect(path) as by_hand:
        by_hand.execute("DELETE FROM result")
    by_hand.close()
    with journal(path) as reopened:
        assert reopened.next_seq() == 6
        reopened.put(result(6))
        assert seqs(reopened) == [6]


@pytest.mark.parametrize("wrong", [1, 2, 4, 99])
def test_a_result_with_another_number_than_the_next_is_refused(tmp_path: Path, wrong: int) -> None:
    with journal(tmp_path / "journal.db") as opened:
        opened.put(result(1))
        opened.put(result(2))
        with pytest.raises(RecordError, match=f"says seq {wrong}, the next is 3"):
            opened.put(result(wrong))
        assert seqs(opened) == [1, 2]
        opened.put(result(3))


@pytest.mark.parametrize("ending", ["", "-wal"])
def test_a_journal_deleted_while_in_use_takes_no_result(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "journal.db"
    with journal(path) as opened:
        opened.put(result(1))
        path.with_name(path.name + ending).unlink()
        with pytest.raises(RecordError, match="deleted or moved"):
            opened.put(result(2))
        assert seqs(opened) == [1]  # nor does anybody get it from the file that is gone


def test_a_full_journal_refuses_and_writes_nothing_of_the_refused(tmp_path: Path) -> None:
    with journal(tmp_path / "journal.db", size_max_mb=1) as opened:
        assert opened.shortage() is None
        with pytest.raises(RecordError, match="is full"):
            fill(opened)
        count = opened.last_seq()
        assert seqs(opened) == list(range(1, count + 1))
        shortage = opened.shortage()
        assert shortage is not None
        assert f"{count} results wait" in shortage


def test_the_shortage_is_told_while_there_is_still_room_to_record(tmp_path: Path) -> None:
    with journal(tmp_path / "journal.db", size_max_mb=1) as opened:
        while opened.shortage() is None:
            opened.put(result(opened.next_seq(), padding=1_000))
        for _ in range(10):
            opened.put(result(opened.next_seq(), padding=1_000))


def test_a_full_journal_takes_results_again_once_its_rows_are_delivered(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with journal(path, size_max_mb=1) as opened:
        with pytest.raises(RecordError, match="is full"):
            fill(opened)
        count = opened.last_seq()
        delivered(path, count)
        with pytest.raises(RecordError, match="is full"):  # this one finds out and makes room
            opened.put(result(count + 1, padding=200_000))
        opened.put(result(count + 1))
        assert opened.shortage() is None
        assert opened.retention.rows_yielded > 0


def test_a_disk_almost_full_is_a_shortage_in_words(tmp_path: Path) -> None:
    with journal(tmp_path / "journal.db", disk_free_min_mb=1_000_000) as opened:
        shortage = opened.shortage()
        assert shortage is not None
        assert "MB are free on its disk, disk_free_min_mb is 1000000" in shortage


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from inspector.contract.errors import RecordError
from inspector.delivery.journal import Journal, JournalSettings
from tests.delivery.results import result
journal = Journal(JournalSettings(path=Path(sys.argv[1]), disk_free_min_mb=0))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 1_000_000))
for _ in range(1_000):
    try:
        journal.put(result(journal.next_seq()))
    except RecordError as error:
        print(error)
        break
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
journal.put(result(journal.next_seq()))
print(journal.last_seq(), len(journal.after(0, 10_000)))
"""


def test_a_write_the_disk_refuses_leaves_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    command = [sys.executable, "-c", FILL_THE_DISK, str(path)]
    root = Path(__file__).parents[2]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    words, counts = run.stdout.strip().splitlines()
    assert words.startswith(f"journal {path}: ")
    last, rows = map(int, counts.split())
    assert last == rows > 5


def test_a_commit_of_unknown_outcome_leaves_no_gap_and_no_number_twice(tmp_path: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("needs the Debian package strace")
    path = tmp_path / "journal.db"
    with journal(path) as opened:
        opened.put(result(1))
    failing = ("strace", "-f", "-qq", "-o", os.devnull, "-e", "trace=fsync,fdatasync")
    fault = ("-e", "inject=fsync,fdatasync:error=EIO:when=4+")
    run = put_and_die(path, 50, *failing, *fault)
    if "ptrace" in run.stderr:
        pytest.skip("strace is not permitted here")
    assert "RecordError" in run.stderr
    assert "disk I/O error" in run.stderr
    with journal(path) as reopened:
        rows = seqs(reopened)
        assert rows == list(range(1, len(rows) + 1))
        reopened.put(result(len(rows) + 1))


def test_a_reader_sees_every_row_while_the_station_writes(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    seen: list[int] = []

    def read() -> None:
        with JournalReader(path) as reader:
            while len(seen) < 300:
                seen.extend(seq for seq, _ in reader.after(seen[-1] if seen else 0, 7))

    with journal(path) as opened:
        thread = threading.Thread(target=read)
        thread.start()
        for seq in range(1, 301):
            opened.put(result(seq))
        thread.join(timeout=20.0)
    assert seen == list(range(1, 301))


def test_a_reader_opens_the_journal_of_a_station_that_ended(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with journal(path) as opened:
        opened.put(result(1))
    with JournalReader(path) as reader:
        assert (reader.last_seq(), len(reader.after(0, 10))) == (1, 1)


def test_a_reader_says_that_there_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="is the folder there"):
        JournalReader(tmp_path / "journal.db")
    assert not list(tmp_path.iterdir())


def test_a_reader_waits_for_a_station_that_has_only_just_made_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.touch()  # as SQLite makes it, before there is anything in it
    made: list[Journal] = []
    later = threading.Timer(0.2, lambda: made.append(Journal(JournalSettings(path=path))))
    later.start()
    with JournalReader(path) as reader:
        assert reader.last_seq() == 0
    later.join()
    made[0].close()


def test_a_reader_says_that_a_journal_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    path.touch()
    monkeypatch.setattr("inspector.delivery.database.READER_S", 0.1)
    with pytest.raises(RecordError, match="nobody has begun to write it"):
        JournalReader(path)
    assert path.stat().st_size == 0


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with journal(path) as first:
        first.put(result(1))
        with pytest.raises(RecordError, match=f"process {os.getpid()} is already writing"):
            Journal(JournalSettings(path=path))
        first.put(result(2))
    with journal(path) as second:
        second.put(result(3))


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"nothing to see here" * 1_000)
    with pytest.raises(RecordError, match="is damaged"):
        Journal(JournalSettings(path=path))
    assert path.read_bytes() == b"nothing to see here" * 1_000


def test_a_damaged_page_is_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with journal(path) as opened:
        for seq in range(1, 200):
            opened.put(result(seq))
    data = bytearray(path.read_bytes())
    data[8_192:-4_096] = os.urandom(len(data) - 12_288)
    path.write_bytes(data)
    with pytest.raises(RecordError, match="is damaged"), JournalReader(path) as reader:
        reader.after(0, 1_000)


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with journal(path) as opened:
        opened.put(result(1))
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 2")
    later.close()
    with pytest.raises(ConfigError, match="is of version 2, this program writes version 1"):
        Journal(JournalSettings(path=path))


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE customer (name TEXT)")
    other.close()
    with pytest.raises(ConfigError, match="not a journal of ours"):
        Journal(JournalSettings(path=path))


def test_a_journal_replaced_behind_the_cursors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with journal(path) as opened:
        for seq in range(1, 6):
            opened.put(result(seq))
        delivered(path, 5)
    path.unlink()
    with pytest.raises(ConfigError, match="ends at 0, but 5 results were recorded"):
        Journal(JournalSettings(path=path))
    cursors_path(path).unlink()
    with journal(path) as anew:
        assert anew.next_seq() == 1


def test_an_older_copy_of_a_journal_is_refused_though_none_of_the_rest_was_delivered(
    tmp_path: Path,
) -> None:
    """Brought back from a backup while the broker was away: what had waited was gone without a
    word, and its numbers went to other parts."""
    path, copy = tmp_path / "journal.db", tmp_path / "copy"
    with journal(path) as opened:
        for seq in range(1, 6):
            opened.put(result(seq))
            opened.release(seq)
            if seq == 2:
                with closing(sqlite3.connect(path)) as now:
                    now.execute("VACUUM INTO ?", (str(copy),))
    copy.replace(path)
    with pytest.raises(ConfigError, match="ends at 2, but 5 results were recorded") as refused:
        Journal(JournalSettings(path=path))
    named = str(refused.value).partition("at 1, move ")[2].partition(" away")[0]
    for pattern in named.replace(" and ", ", ").split(", "):
        for each in tmp_path.glob(pattern):
            each.unlink()
    with journal(path) as anew:
        assert anew.next_seq() == 1


def test_another_stations_journal_is_refused_with_the_ways_out_and_left_as_it_is(
    tmp_path: Path,
) -> None:
    path, settings = tmp_path / "journal.db", JournalSettings(path=tmp_path / "journal.db")
    with journal(path) as opened:
        for seq in range(1, 31):
            opened.put(result(seq))
        last = opened.after(29, 1)
    delivered(path, 25)
    with pytest.raises(ConfigError) as refused:
        Journal(settings, station="cell-02")
    said = str(refused.value)
    assert "is of station station, and this is station cell-02" in said
    assert 'write station = "station" again' in said
    assert "5 of its results wait still, and only station can deliver them" in said
    with closing(Journal(settings, station="station")) as again:
        assert again.next_seq() == 31
        (row,) = again.after(29, 1)
    assert last[0][1] != row[1], "its own start alone withdraws the OK in doubt"
    delivered(path, 30)
    with pytest.raises(ConfigError) as refused:
        Journal(settings, station="cell-02")
    assert "wait still" not in str(refused.value)


def test_files_moved_away_as_the_refusal_says_make_room_for_another_station(
    tmp_path: Path,
) -> None:
    path, old = tmp_path / "journal.db", tmp_path / "old"
    assert put_and_die(path, 5).returncode == -9  # its -wal is there still
    delivered(path, 5)
    with pytest.raises(ConfigError) as refused:
        Journal(JournalSettings(path=path), station="cell-02")
    named = str(refused.value).partition("or move ")[2].partition(" away")[0]
    patterns = named.replace(" and ", ", ").split(", ")
    assert len(patterns) == 4
    old.mkdir()
    for each in {found for pattern in patterns for found in tmp_path.glob(pattern)}:
        each.rename(old / each.name)
    with closing(Journal(JournalSettings(path=path), station="cell-02")) as new:
        assert new.next_seq() == 1
        assert new.released.final == 0
    with closing(Journal(JournalSettings(path=old / path.name), station="station")) as kept:
        assert seqs(kept) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'{"schema":1,"station":"station","pass":false}', id="of an older version"),
        pytest.param(b'{"schema":1,"pass":false}', id="names no station"),
        pytest.param(b"\xff[", id="damaged"),
        pytest.param(None, id="no row"),
    ],
)
def test_a_journal_that_does_not_say_it_is_another_stations_is_opened(
    tmp_path: Path, payload: bytes | None
) -> None:
    path = tmp_path / "journal.db"
    with journal(path) as opened:
        opened.put(result(1))
        opened.release(1)
        if payload is None:
            opened._db.execute("DELETE FROM result")
        else:
            opened._db.execute("UPDATE result SET payload = ?", (payload,))
    with closing(Journal(JournalSettings(path=path), station="station")) as again:
        assert again.next_seq() == 2


def test_every_row_has_a_time_of_its_own_however_fast_they_come(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    before = time.time()
    with journal(path) as opened:
        for seq in range(1, 301):
            opened.put(result(seq))
        after = time.time()
        with JournalReader(path) as reader:
            times = [stored_ms(reader.stored_at(seq), seq) for seq in range(1, 301)]
    assert times == sorted(set(times))
    assert 1_000 * before - 1 <= times[0]
    assert times[-1] <= 1_000 * after + 300


def test_a_clock_set_back_is_followed_and_one_that_stands_still_is_not() -> None:
    times = StoredTimes()
    still = [times.next(1_000.5) for _ in range(3)]
    assert still == [1_000.5, 1_000.501, 1_000.502]
    assert times.next(900.25) == 900.25
    assert times.next(900.0) == 900.251, "back by less than a second: no time comes twice"


def test_rows_of_whole_seconds_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    assert [stored_ms(1_800_000_000.0, seq) for seq in (7, 1_008)] == [
        1_800_000_000_007,
        1_800_000_000_008,
    ]
    assert stored_ms(StoredTimes().next(1_800_000_001.0), 7) == 1_800_000_001_001


def test_old_rows_go_only_after_every_receiver_has_them(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with journal(path, keep_days=0.0) as opened:
        for seq in range(1, 31):
            opened.put(result(seq))
        assert len(seqs(opened)) == 30, "nobody has received any of them"
    delivered(path, 20)
    with Cursors(path) as cursors:
        cursors.register("historian")
        cursors.advance("historian", 10)
    with journal(path, keep_days=0.0) as opened:
        for seq in range(31, 41):
            opened.put(result(seq))
        assert seqs(opened) == list(range(11, 41))
        assert opened.retention.rows_yielded == 0


def test_delivered_rows_stay_until_the_retention_has_passed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    delivered(path, 0)
    with journal(path, keep_days=1.0) as opened:
        for seq in range(1, 31):
            opened.put(result(seq))
        delivered(path, 30)
    with journal(path, keep_days=1.0) as opened:
        opened.put(result(31))
        assert seqs(opened) == list(range(1, 32))


def test_delivered_rows_give_way_for_room_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    with journal(path, size_max_mb=1) as opened:
        for seq in range(1, 101):
            opened.put(result(seq, padding=1_000))
    delivered(path, 100)
    with journal(path, size_max_mb=1) as opened, caplog.at_level(logging.WARNING):
        while opened.retention.rows_yielded < 100:
            opened.put(result(opened.next_seq(), padding=1_000))
        rows = seqs(opened)
        assert rows == list(range(101, opened.last_seq() + 1)), "undelivered rows all stay"
    assert [r.message for r in caplog.records if "go early" in r.message]


def test_a_cursor_never_goes_back_and_outlives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with Cursors(path) as cursors:
        assert cursors.register(COURIER) == 0
        cursors.advance(COURIER, 7)
        cursors.advance(COURIER, 3)
        assert cursors.register("historian") == 0
        assert (cursors.lowest(), cursors.highest()) == (0, 7)
    with Cursors(path) as cursors:
        assert cursors.register(COURIER) == 7


def test_a_journal_without_memory_says_so_and_does_not_end_the_station(tmp_path: Path) -> None:
    """A limit of SQLite's own, for the whole of a process: it ended with MemoryError."""
    code = """if True:
        import sqlite3, sys
        from contextlib import suppress
        from pathlib import Path
        from inspector.contract.errors import RecordError
        from inspector.delivery.journal import Journal, JournalSettings
        from tests.delivery.results import result

        journal = Journal(JournalSettings(path=Path(sys.argv[1]), disk_free_min_mb=0))
        journal.put(result(1))
        other = sqlite3.connect(":memory:")
        with suppress(MemoryError):
            other.execute("PRAGMA hard_heap_limit = 1")
        try:
            journal.put(result(2, padding=100_000))
        except RecordError as error:
            print(error)
    """
    path = tmp_path / "journal.db"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == f"journal {path}: there is no memory left for it now\n", done.stderr
    with JournalReader(path) as reader:
        assert reader.last_seq() == 1


@pytest.mark.parametrize("spoilt", [b"\xff\x00", b"{", b"[]"])
def test_a_last_row_that_a_disk_has_spoilt_keeps_no_station_from_its_start(
    tmp_path: Path, spoilt: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    with journal(path) as opened:
        for seq in (1, 2):
            opened.put(result(seq))
            opened._db.execute("UPDATE result SET payload = ? WHERE seq = ?", (spoilt, seq))
    with journal(path) as reopened:
        reopened.put(result(3))
        assert [payload for _, payload in reopened.after(0, 10)] == [
            spoilt, spoilt, result(3).to_json()
        ]  # fmt: skip
    assert "row 2 is no result" in caplog.text
