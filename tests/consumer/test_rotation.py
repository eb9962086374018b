"""A file that grows by lines and is renamed, compressed, cut or replaced at any moment."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from inspector.consumer.ledger import Row
from inspector.consumer.settings import CsvSink, JsonLinesSink, SqliteSink
from inspector.consumer.sinks import Sink, open_sink
from inspector.contract.errors import ConfigError, RecordError
from inspector.contract.table import COLUMNS, cells, csv_line
from tests.brokers import Mosquitto
from tests.consumer.lines import Subscription, line, seqs, write_consumer
from tests.support import until

ROOT = Path(__file__).parent.parent.parent
HEAD = csv_line(COLUMNS)
LOGROTATE = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin")


def opened(path: Path, kind: str = "jsonl") -> Sink:
    return open_sink(
        CsvSink(kind="csv", path=path) if kind == "csv" else JsonLinesSink(kind="jsonl", path=path)
    )


def put(sink: Sink, *rows: int) -> None:
    """What has been put was acknowledged to the station, which may delete it."""
    for seq in rows:
        result = {"station": "cell-01", "seq": seq, "result_id": f"b-{seq}"}
        sink.write(Row("cell-01", seq, f"b-{seq}", json.dumps(result).encode(), cells(result)))
    sink.commit()


def numbers(text: bytes, kind: str) -> list[int]:
    if kind == "jsonl":
        return seqs(text.splitlines())
    assert text.startswith(HEAD)
    return [int(row.split(b",")[1]) for row in text.removeprefix(HEAD).splitlines()]


def rotate(path: Path, number: int) -> Path:
    """As logrotate with `compress`: renamed, compressed, and the file itself is no more."""
    away = path.with_name(f"{path.name}.{number}")
    path.rename(away)
    subprocess.run(["gzip", away], check=True)
    return away.with_name(away.name + ".gz")


def just_before_sync(monkeypatch: pytest.MonkeyPatch, do: Callable[[], Any]) -> None:
    """Once, when rows are written and not yet durable."""
    sync = os.fdatasync

    def first(file: int) -> None:
        monkeypatch.setattr(os, "fdatasync", sync)
        do()
        sync(file)

    monkeypatch.setattr(os, "fdatasync", first)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_rows_after_a_rotation_are_in_a_new_file_and_a_restart_goes_on_behind_them(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "got"
    with closing(opened(path, kind)) as sink:
        put(sink, 1, 2, 3)
        first = rotate(path, 1)
        put(sink, 4)
        put(sink, 5, 6)
        second = rotate(path, 2)
    with closing(opened(path, kind)) as sink:
        assert sink.last("cell-01") == {"seq": 6, "result_id": "b-6"}
        put(sink, 7)
    files = [gzip.decompress(first.read_bytes()), gzip.decompress(second.read_bytes())]
    files.append(path.read_bytes())
    assert [numbers(text, kind) for text in files] == [[1, 2, 3], [4, 5, 6], [7]]


def test_a_rotation_between_a_row_and_its_sync_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "got"
    with closing(opened(path)) as sink:
        put(sink, 1, 2)
        just_before_sync(monkeypatch, lambda: rotate(path, 1))
        put(sink, 3, 4)
        put(sink, 5)
    assert seqs(path.read_bytes().splitlines()) == [3, 4, 5]
    # compressed in that moment, they may be there as well: the same result_id
    assert seqs(gzip.decompress((tmp_path / "got.1.gz").read_bytes()).splitlines()) == [1, 2, 3, 4]


def test_where_compressing_waits_no_row_is_in_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "got"
    with closing(opened(path)) as sink:
        put(sink, 1, 2)
        just_before_sync(monkeypatch, lambda: path.rename(tmp_path / "got.1"))
        put(sink, 3, 4)
    assert seqs((tmp_path / "got.1").read_bytes().splitlines()) == [1, 2]
    assert seqs(path.read_bytes().splitlines()) == [3, 4]


KILLED_IN_A_NEW_FILE = """
import os, signal, sys
from pathlib import Path
from tests.consumer.test_rotation import opened, put
path = Path(sys.argv[1])
sink = opened(path, "csv")
if sys.argv[2] == "rotated":
    put(sink, *range(1, 10))
    path.rename(path.with_name("away"))
os.fdatasync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
put(sink, *range(10, 110))
"""


@pytest.mark.parametrize("when", ["first", "rotated"])
def test_a_kill_in_the_first_commit_of_a_file_leaves_one_that_can_be_gone_on_with(
    tmp_path: Path, when: str
) -> None:
    path = tmp_path / "got"
    command = [sys.executable, "-c", KILLED_IN_A_NEW_FILE, str(path), when]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert path.stat().st_size > len(HEAD), "it was killed when rows were in it"
    with closing(opened(path, "csv")) as sink:
        last = {"seq": 9, "result_id": "b-9"} if when == "rotated" else None
        assert sink.last("cell-01") == last
        put(sink, 10)
    assert path.read_bytes().startswith(HEAD + b"cell-01,10,b-10,")
    assert len(path.read_bytes().splitlines()) == 2


def test_a_file_that_is_cut_at_work_is_told_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "got"
    with closing(opened(path)) as sink:
        put(sink, 1, 2)
        os.truncate(path, 0)
        with pytest.raises(RecordError, match=r"copytruncate.*rotate by renaming.*\(cell-01 2\)"):
            put(sink, 3)
    assert path.read_bytes() == b""
    with closing(opened(path)) as sink:
        put(sink, 3)
    assert seqs(path.read_bytes().splitlines()) == [3]


def test_a_file_that_is_cut_between_a_row_and_its_sync_is_told_and_has_no_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "got"
    with closing(opened(path)) as sink:
        put(sink, 1, 2)
        write = os.write

        def cut_first(file: int, data: bytes) -> int:
            os.truncate(path, 0)
            return write(file, data)

        monkeypatch.setattr(os, "write", cut_first)
        with pytest.raises(RecordError, match="was cut by somebody else"):
            put(sink, 3)
        monkeypatch.setattr(os, "write", write)
    with closing(opened(path)) as sink:
        put(sink, 3)
    assert seqs(path.read_bytes().splitlines()) == [3]


def test_what_somebody_else_put_in_its_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "got"
    with closing(opened(path)) as sink:
        put(sink, 1)
        path.rename(tmp_path / "away")
        path.write_text("somebody else's, and longer than what was there\n" * 9, encoding="utf-8")
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=r"is not the file that got\.position speaks of"):
            put(sink, 2)
    assert path.read_bytes() == before


def test_a_database_moved_away_in_use_is_told_before_its_rows_are_acknowledged(
    tmp_path: Path,
) -> None:
    path = tmp_path / "got.db"
    with closing(open_sink(SqliteSink(kind="sqlite", path=path))) as sink:
        put(sink, 1)
        path.rename(tmp_path / "away.db")
        with pytest.raises(RecordError, match="deleted or moved in use"):
            put(sink, 2)


def test_logrotate_as_it_is_shipped_rotates_a_consumer_at_work(tmp_path: Path) -> None:
    if LOGROTATE is None:
        pytest.skip("needs the Debian package logrotate")
    store = tmp_path / "store"
    store.mkdir(mode=0o755)
    text = (ROOT / "deploy" / "inspector-subscribe.logrotate").read_text(encoding="utf-8")
    assert "/var/lib/inspector-subscribe/historian/" in text
    text = text.replace("/var/lib/inspector-subscribe/historian", str(store))
    shipped = tmp_path / "rotation"
    shipped.write_text(text.replace("    su inspector inspector\n", ""), encoding="utf-8")
    shipped.chmod(0o644)
    sink = {"kind": "jsonl", "path": "store/results.jsonl"}
    with Mosquitto(tmp_path) as broker, line(tmp_path, broker.start().port) as station:
        subscription = Subscription(write_consumer(tmp_path, broker.port, sink, store_s=0.01))
        station.put(10)
        assert until(lambda: station.acknowledged() == 10)
        for number in range(1, 4):
            turn = subprocess.Popen([LOGROTATE, "-f", "-s", tmp_path / "state", shipped])
            for _ in range(100):  # while it is at work
                station.record()
            assert turn.wait(60) == 0
            station.put(10)
            assert until(lambda number=number: station.acknowledged() == 10 + 110 * number)  # type: ignore[misc]
            away = sorted(store.glob("results.jsonl-*"))
            assert len(away) == number
            # the names count whole seconds of time(2), which lags behind time.time() by some ms
            at = int(away[-1].name.rpartition("-")[2])
            assert until(lambda at=at: time.time() > at + 1.1)  # type: ignore[misc]
        code, said = subscription.end()
        assert code == 0, said
        *old, last = sorted(store.glob("results.jsonl-*"))
        assert [path.suffix for path in old] == [".gz", ".gz"]
        texts = [gzip.decompress(path.read_bytes()) for path in old]
        texts += [last.read_bytes(), (store / "results.jsonl").read_bytes()]
        assert b"".join(texts).splitlines() == station.payloads()
