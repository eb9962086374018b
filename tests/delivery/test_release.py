"""An OK is told only when it is known to be in time, and never taken back once it was told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.contract.errors import RecordError
from inspector.contract.topics import Place
from inspector.delivery.consumers import Identity
from inspector.delivery.cursors import cursors_path
from inspector.delivery.journal import Journal, JournalSettings
from inspector.delivery.mqtt import Courier, MqttSettings
from inspector.delivery.release import read_final, released_path
from tests.brokers import Listener, Mosquitto
from tests.delivery.results import result
from tests.support import until

PLACE = Place.of("plant/line", "station")
WHO = Identity("station", "boot")

DIE = """
import os, sys
from pathlib import Path
from inspector.delivery.journal import Journal, JournalSettings
from tests.delivery.results import result
journal = Journal(JournalSettings(path=Path(sys.argv[1]), disk_free_min_mb=0))
for seq in (1, 2, 3):
    journal.put(result(seq))
    if seq < 3:
        journal.release(seq)
{last}
os.kill(os.getpid(), 9)
"""


def opened(path: Path) -> Journal:
    return Journal(JournalSettings(path=path, disk_free_min_mb=0))


def passes(journal: Journal) -> list[bool]:
    return [json.loads(payload)["pass"] for _, payload in journal.after(0, 100)]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("", False),
        ("journal.release(3)", False),  # perhaps told to nobody: the safe side
        ("journal.release(3); journal.rest()", True),
        (
            "journal.release(3); journal.released.save()",
            True,
        ),  # as the courier does before it sends
    ],
)
def test_after_a_kill_only_an_ok_that_may_have_been_told_stays(
    tmp_path: Path, last: str, *, expected: bool
) -> None:
    path = tmp_path / "journal.db"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", DIE.format(last=last), str(path)]
    assert subprocess.run(command, cwd=root, check=False).returncode == -9
    journal = opened(path)
    assert passes(journal) == [True, True, expected]
    if not expected:
        third = json.loads(journal.after(2, 1)[0][1])
        assert (third["evaluation"], third["cause"]) == ("UNDEFINED", "withdrawn")
        assert "ended before it was known to be in time; judged OK" in third["reason"]
    assert journal.released.final == 3
    journal.close()
    again = opened(path)
    assert passes(again) == [True, True, expected]
    again.close()


def test_a_row_whose_commit_is_unknown_is_withdrawn_by_the_next(tmp_path: Path) -> None:
    """The commit succeeded, but the station was told that it failed: it never released the row."""
    journal = opened(tmp_path / "journal.db")
    journal.put(result(1))
    journal.put(result(2))
    journal.release(2)
    assert passes(journal) == [False, True]
    journal.close()


def test_a_final_row_cannot_be_amended(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    journal.put(result(1))
    journal.amend(result(1, padding=10))
    journal.release(1)
    with pytest.raises(RecordError, match="row 1 is final"):
        journal.amend(result(1))
    journal.close()


def test_a_journal_of_an_older_program_keeps_what_was_delivered(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.put(result(1))
    journal.release(1)
    journal._cursors.register("courier")
    journal._cursors.advance("courier", 1)
    journal.close()
    released_path(path).unlink()
    journal = opened(path)
    assert passes(journal) == [True]
    journal.close()
    released_path(path).write_bytes(b"torn")
    for left in path.parent.glob(cursors_path(path).name + "*"):
        left.unlink()
    journal = opened(path)
    assert passes(journal) == [False]
    journal.close()


def courier(journal: Journal, port: int) -> Courier:
    return Courier(
        MqttSettings(host="127.0.0.1", port=port),
        journal=journal._path,
        released=journal.released,
        place=PLACE,
        will=b"OFFLINE",
        who=WHO,
    )


def test_no_row_is_sent_before_it_is_final_and_none_before_that_is_on_disk(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal.db")
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port) as listener:
        sender = courier(journal, broker.port)
        sender.start()

        def seqs() -> list[int]:
            return [json.loads(each)["seq"] for each in listener.payloads(PLACE.result)]

        def saved() -> int:
            return int(released_path(journal._path).read_bytes() or b"0")

        journal.put(result(1))
        sender.wake()
        assert until(lambda: sender.connected)
        assert not until(lambda: seqs() != [], timeout_s=0.5)
        assert saved() == 0
        journal.release(1)
        sender.wake()
        assert until(lambda: seqs() == [1])
        assert saved() == 1
        journal.put(result(2))
        sender.wake()
        assert sender.stop(1.0), "what is not final is not waited for"
        assert seqs() == [1]
    journal.close()


def test_how_far_results_are_final_is_noted_while_the_broker_is_away_and_they_come_with_it(
    tmp_path: Path,
) -> None:
    journal = opened(tmp_path / "journal.db")
    broker = Mosquitto(tmp_path)
    sender = courier(journal, broker.port)
    sender.start()
    for seq in (1, 2, 3):
        journal.put(result(seq))
        journal.release(seq)
        sender.wake()
        assert until(lambda n=seq: read_final(journal.path) == n)  # type: ignore[misc]
    assert not sender.connected
    with broker.start():
        assert until(lambda: sender.acknowledged_seq == 3, 30.0)
        assert sender.stop(5.0)
    journal.close()


def test_results_wait_while_the_disk_cannot_say_that_they_are_final(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = opened(tmp_path / "journal.db")
    file = journal.released._file
    read_only = os.open(released_path(journal._path), os.O_RDONLY)
    writable = os.dup(file)
    with Mosquitto(tmp_path).start() as broker, Listener(broker.port) as listener:
        sender = courier(journal, broker.port)
        sender.start()
        os.dup2(read_only, file)  # as a disk that has gone read-only under us
        journal.put(result(1))
        journal.release(1)
        sender.wake()
        assert until(lambda: "results wait until it can be written" in caplog.text)
        assert listener.payloads(PLACE.result) == []
        os.dup2(writable, file)
        assert until(lambda: len(listener.payloads(PLACE.result)) == 1)
        sender.stop(1.0)
    os.close(read_only)
    os.close(writable)
    journal.close()
