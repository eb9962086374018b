"""`inspector journal` beside a station at work, and on journals that were spoilt."""

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inspector.contract.errors import ConfigError
from inspector.contract.result import InspectionResult
from inspector.contract.table import cells
from inspector.delivery.cursors import COURIER, Cursors
from inspector.delivery.journal import ConsumerSettings, Journal, JournalSettings
from inspector.examine import payloads, show
from inspector.parquet import ParquetFile
from tests.delivery.results import result
from tests.support import make_bundle, run_inspector, start_station, until, write_station


def put(journal: Journal, **changes: Any) -> InspectionResult:
    made = result(journal.next_seq()).model_copy(update=changes)
    journal.put(made)
    journal.release(made.seq)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Six rows: four good, two that were not judged for want of focus."""
    found = tmp_path / "journal.db"
    journal = Journal(JournalSettings(path=found, disk_free_min_mb=0))
    journal.register([ConsumerSettings(name="mes")])
    for seq in range(1, 7):
        if seq in (3, 5):
            reason = f"blurred: sharpness {seq}.5 is below 20.1"
            put(journal, evaluation="UNDEFINED", passed=False, reason=reason, cause="late")
        else:
            put(journal)
    with Cursors(found) as cursors:
        cursors.register(COURIER)
        cursors.advance(COURIER, 6)
        cursors.advance("mes", 4)
    journal.close()
    return found


def test_info_counts_by_evaluation_and_reason_and_names_who_lags(path: Path) -> None:
    said = run_inspector("journal", "info", path).stdout
    assert "6 results of 1 boots" in said
    assert "4 OK" in said
    assert "2 UNDEFINED late; first: blurred: sharpness 3.5 is below 20.1" in said
    assert "the broker has acknowledged up to 6: all" in said
    assert "consumer mes has acknowledged up to 4: 2 wait, the oldest for" in said


def test_info_counts_by_cause_and_class_and_rows_without_a_cause_by_their_words(path: Path) -> None:
    swap = "UPDATE result SET payload = CAST(json_patch(CAST(payload AS TEXT), ?) AS BLOB)"
    wrong: dict[str, Any] = {"pass": False, "evaluation": "NOT_OK", "cause": "defect"}
    with closing(sqlite3.connect(path)) as db, db:
        for seq, label in ((1, "crack"), (2, "dent"), (4, "crack")):
            said = {**wrong, "label": label, "reason": f"{label} at 0.9{seq}"}
            db.execute(f"{swap} WHERE seq = ?", (json.dumps(said), seq))
        # json_patch takes a key away for null: so were rows of before schema 3
        db.execute(f"{swap} WHERE seq IN (3, 5)", (json.dumps({"schema": 2, "cause": None}),))
    found = run_inspector("journal", "info", path).stdout
    assert "2 NOT_OK defect crack; first: crack at 0.91" in found
    assert "1 NOT_OK defect dent; first: dent at 0.92" in found
    assert "2 UNDEFINED: blurred: sharpness # is below #; first: blurred: sharpness 3.5" in found


def test_show_finds_a_row_by_its_number_and_by_its_part(path: Path) -> None:
    assert json.loads(run_inspector("journal", "show", path, "3").stdout)["seq"] == 3
    assert json.loads(run_inspector("journal", "show", path, "P5").stdout)["seq"] == 5
    done = run_inspector("journal", "show", path, "P99")
    assert done.returncode == 78
    assert "has no row P99 and no part of that id" in done.stderr


def test_exports_agree_with_the_journal_in_every_format(path: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the parquet extra")
    stored = [json.loads(payload) for _, payload in payloads(path)]
    lines = run_inspector("journal", "export", path, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == stored
    table = list(csv.DictReader(io.StringIO(run_inspector("journal", "export", path).stdout)))
    assert [row["result_id"] for row in table] == [row["result_id"] for row in stored]
    assert [row["pass"] for row in table] == [str(row["pass"]).lower() for row in stored]
    out = tmp_path / "out.parquet"
    done = run_inspector("journal", "export", path, "--format", "parquet", "--out", out)
    assert done.stdout == f"{out}: 6 results\n", done.stderr
    read = parquet.read_table(out)
    assert [json.loads(text) for text in read["payload"].to_pylist()] == stored
    assert str(read.schema.field("captured_at").type) == "timestamp[ms, tz=UTC]"
    assert read["seq"].to_pylist() == [1, 2, 3, 4, 5, 6]


def test_large_rows_are_written_before_they_fill_the_memory(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the parquet extra")
    row = cells({"seq": 1})
    payload = b'"' + b"x" * 1_000_000 + b'"'
    with (tmp_path / "large").open("wb") as out, ParquetFile(out) as table:
        for _ in range(100):
            table.add(row, payload)
    written = parquet.ParquetFile(tmp_path / "large")
    assert (written.metadata.num_rows, written.num_row_groups) == (100, 4)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--evaluation", "UNDEFINED"], [3, 5]),
        (["--part", "P2"], [2]),
        (["--since", "2026-01-02T03:04:05"], [1, 2, 3, 4, 5, 6]),
        (["--since", "2026-01-02T03:04:06"], []),
        (["--until", "2026-01-02T04:04:05+01:00"], []),
    ],
    ids=["evaluation", "part", "since", "since later", "until with a zone"],
)
def test_an_export_holds_what_was_asked_for(
    path: Path, words: list[str], expected: list[int]
) -> None:
    done = run_inspector("journal", "export", path, "--format", "jsonl", *words)
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == expected


def test_a_part_without_a_picture_is_exported_where_its_row_stands(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(JournalSettings(path=path, disk_free_min_mb=0))
    lost = {"captured_at": None, "evaluation": "UNDEFINED", "passed": False, "cause": "no_frame"}
    for hour in (6, 7):
        put(journal, captured_at=datetime(2026, 1, 2, hour, tzinfo=UTC))
        put(journal, **lost)
    journal.close()

    def exported(*words: str) -> list[int]:
        done = run_inspector("journal", "export", path, "--format", "jsonl", *words)
        return [json.loads(line)["seq"] for line in done.stdout.splitlines()]

    assert exported("--since", "2026-01-02T07:00Z") == [3, 4]
    assert exported("--until", "2026-01-02T07:00Z") == [1, 2]
    assert exported("--since", "2026-01-02T07:00Z", "--evaluation", "UNDEFINED") == [4]


def test_an_export_is_never_written_over_what_it_reads(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    for named in (path, tmp_path / "." / "journal.db"):
        done = run_inspector("journal", "export", path, "--out", named)
        assert (done.returncode, done.stdout) == (78, "")
        assert "is what is read: name another file" in done.stderr
    assert path.read_bytes() == before
    assert run_inspector("journal", "verify", path).returncode == 0


@pytest.mark.parametrize("named", [".", "..", "", "not-there/x.csv"])
def test_a_folder_in_place_of_the_file_to_write_is_one_line(
    path: Path, tmp_path: Path, named: str
) -> None:
    beside = sorted(tmp_path.parent.iterdir())
    done = run_inspector("journal", "export", path, "--out", f"{tmp_path}/{named}")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.endswith("must be a file in a folder that is there\n")
    assert sorted(tmp_path.parent.iterdir()) == beside
    done = run_inspector("journal", "export", path, "--out", named or ".")
    assert (done.returncode, done.stderr.count("\n")) == (78, 1)


def test_a_device_or_a_link_is_written_to_and_stays_what_it_is(path: Path, tmp_path: Path) -> None:
    """As --out /dev/stdout, or /dev/null: root's export would put a file in its place."""
    link, target, pipe = tmp_path / "link", tmp_path / "target", tmp_path / "pipe"
    link.symlink_to(target)
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        for out in (link, pipe):
            done = run_inspector("journal", "export", path, "--format", "jsonl", "--out", out)
            assert done.stdout == f"{out}: 6 results\n", done.stderr
        if not pipe.is_fifo():
            reader.kill()
        assert reader.communicate()[0] == target.read_bytes()
    assert link.is_symlink()
    assert target.read_bytes().count(b"\n") == 6


def test_a_folder_in_place_of_the_journal_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    done = run_inspector("journal", "info", tmp_path)
    assert done.returncode == 78
    told = "is a folder: name journal.db in it, or station.toml\n"
    assert done.stderr == f"journal {tmp_path}: {told}"


@pytest.mark.parametrize(
    ("action", "words", "told"),
    [
        ("info", ["--since", "2030-01-01"], "--since goes with export alone"),
        ("info", ["--part", "P2"], "--part goes with show and export alone"),
        ("verify", ["--until", "2026-01-01"], "--until goes with export alone"),
        ("verify", ["P2"], "'P2' goes with show alone"),
        ("export", ["P2"], "'P2' goes with show alone"),
        ("show", ["3", "--out", "x"], "--out goes with export alone"),
        ("show", ["3", "--evaluation", "OK"], "--evaluation goes with export alone"),
        ("show", ["3", "--part", "P3"], "say which row or part"),
    ],
)
def test_what_would_have_no_effect_is_refused(
    path: Path, action: str, words: list[str], told: str
) -> None:
    done = run_inspector("journal", action, path, *words)
    assert (done.returncode, done.stdout) == (78, "")
    assert f"journal {action}: {told}" in done.stderr


def test_a_number_is_a_row_and_a_part_so_called_is_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(JournalSettings(path=path, disk_free_min_mb=0))
    for part in ("3", "2", "1"):
        made = result(journal.next_seq())
        put(journal, part=made.part.model_copy(update={"id": part}))
    journal.close()
    done = run_inspector("journal", "show", path, "3")
    assert json.loads(done.stdout)["seq"] == 3
    assert "note: row 3, which is of part 1; a part whose id is 3: --part 3" in done.stderr
    done = run_inspector("journal", "show", path, "--part", "3")
    assert (json.loads(done.stdout)["seq"], done.stderr) == (1, "")
    assert run_inspector("journal", "show", path, "2").stderr == ""


def test_a_file_is_written_in_the_form_that_its_name_says(path: Path, tmp_path: Path) -> None:
    for name, begins in (("a.jsonl", b"{"), ("a.JSONL", b"{"), ("a.txt", b"station,")):
        run_inspector("journal", "export", path, "--out", tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begins)
    words = ("--format", "csv", "--out", tmp_path / "b.jsonl")
    run_inspector("journal", "export", path, *words)
    assert (tmp_path / "b.jsonl").read_bytes().startswith(b"station,")


def test_verify_passes_a_whole_journal_and_names_every_fault_of_another(path: Path) -> None:
    done = run_inspector("journal", "verify", path)
    assert (done.returncode, done.stdout) == (0, f"{path}: 6 rows, 0 faults\n")
    swap = "UPDATE result SET payload = CAST(replace(CAST(payload AS TEXT), ?, ?) AS BLOB)"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM result WHERE seq = 2")
        db.execute(f"{swap} WHERE seq = 4", ('"pass":true', '"pass":false'))
        db.execute("UPDATE result SET payload = x'7b7d' WHERE seq = 5")
        db.execute(f"{swap} WHERE seq = 6", ("station-boot-6", "station-boot-1"))
    done = run_inspector("journal", "verify", path)
    assert done.returncode == 1
    assert "FAULT row 3: rows 2 to 2 before it are missing" in done.stdout
    assert "FAULT row 4: Value error, pass is true for OK and for nothing else" in done.stdout
    assert "FAULT row 5: is no result: KeyError('schema')" in done.stdout
    assert "FAULT row 6: its result_id station-boot-1 came before" in done.stdout
    assert "5 rows, 4 faults" in done.stdout
    done = run_inspector("journal", "info", path)
    assert done.returncode == 1
    assert "row 5 is no result: KeyError('evaluation')" in done.stderr


@pytest.mark.parametrize("spoilt", [b"\xff\x00", b"{", b"[]"])
def test_a_row_that_a_disk_has_spoilt_is_left_out_in_words_and_takes_no_other_with_it(
    path: Path, tmp_path: Path, spoilt: bytes
) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE result SET payload = ? WHERE seq = 2", (spoilt,))
    out = tmp_path / "rest.csv"
    done = run_inspector("journal", "export", path, "--out", out)
    rows = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    assert [row["seq"] for row in rows] == ["1", "3", "4", "5", "6"]
    assert f"journal {path}: row 2 is no result" in done.stderr
    assert done.returncode == 1, "who exports by a script must know that it is not all"
    done = run_inspector("journal", "info", path)
    assert "5 results of 1 boots" in done.stdout
    assert (done.returncode, "row 2 is no result" in done.stderr) == (1, True)
    done = run_inspector("journal", "show", path, "--part", "P4")
    assert json.loads(done.stdout)["seq"] == 4
    done = run_inspector("journal", "show", path, "2")
    assert (done.returncode, "row 2 is no result" in done.stderr) == (1, True)


def test_a_row_that_is_not_settled_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(JournalSettings(path=path, disk_free_min_mb=0))
    put(journal)
    journal.put(result(2))
    assert [seq for seq, _ in payloads(path)] == [1]
    with pytest.raises(ConfigError, match="has no row 2"):
        list(show(path, "2", print, print))
    journal.release(2)
    journal.rest()
    assert [seq for seq, _ in payloads(path)] == [1, 2]
    journal.close()


def test_a_station_at_work_is_not_disturbed_and_its_settings_name_the_journal(
    tmp_path: Path,
) -> None:
    settings = write_station(
        tmp_path,
        make_bundle(tmp_path / "bundles"),
        camera={"loop": True},
        trigger={"kind": "interval", "period_ms": 10},
    )
    station = start_station(settings)
    try:
        assert until((tmp_path / "journal.db").exists)
        assert until(lambda: len(list(payloads(tmp_path / "journal.db"))) > 100)
        for action in ("info", "verify"):
            done = run_inspector("journal", action, settings)
            assert done.returncode == 0, done.stderr
        assert station.poll() is None
    finally:
        station.terminate()
        assert station.wait(30.0) == 0
    log = (tmp_path / "station.log").read_text(encoding="utf-8")
    assert "another program holds it" not in log


def test_no_journal_and_no_time_are_told_in_words(tmp_path: Path) -> None:
    done = run_inspector("journal", "verify", tmp_path / "none.db")
    assert done.returncode == 78
    assert "none.db: there is no such file; a station makes it at its start" in done.stderr
    done = run_inspector("journal", "export", tmp_path / "none.db", "--since", "yesterday")
    assert done.returncode == 2
    assert "'yesterday' is no time in ISO 8601, such as 2026" in done.stderr


def test_parquet_without_its_extra_says_which_one_is_missing(path: Path, tmp_path: Path) -> None:
    words = ["journal", "export", str(path), "--format", "parquet", "--out", str(tmp_path / "x")]
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        f"from inspector.cli import main\nsys.exit(main({words!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert 'pip install "inspector[parquet]"' in done.stderr
    assert not list(tmp_path.glob("x*"))
