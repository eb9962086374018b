"""The courier against a real mosquitto: absent, killed, standing still, refusing."""

import itertools
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inspector.contract.errors import RecordError
from inspector.contract.topics import Place
from inspector.delivery.consumers import Identity
from inspector.delivery.cursors import COURIER, Cursors, cursors_path
from inspector.delivery.journal import Journal, JournalSettings
from inspector.delivery.mqtt import Courier, MqttSettings
from inspector.delivery.outbox import BACKLOG_ROWS
from inspector.delivery.release import Released
from tests.brokers import Listener, Mosquitto
from tests.delivery.results import result
from tests.support import free_port, until

PLACE = Place.of("plant/line", "station")
WHO = Identity("station", "boot")
RESULT, STATE = PLACE.result, PLACE.state
WILL = b'{"state":"OFFLINE"}'


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    yield opened
    opened.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as made:
        yield made


@contextmanager
def courier(journal: Journal, port: int, **settings: Any) -> Iterator[Courier]:
    quick = {"backoff_min_s": 0.05, "backoff_max_s": 0.2, **settings}
    made = Courier(
        MqttSettings(host="127.0.0.1", port=port, **quick),
        journal=journal._path,
        released=journal.released,
        place=PLACE,
        will=WILL,
        who=WHO,
    )
    made.start()
    try:
        yield made
    finally:
        made.stop(0.0)
    assert not made.alive()


def put(journal: Journal, count: int) -> None:
    for _ in range(count):
        journal.put(result(journal.next_seq()))
        journal.release(journal.last_seq())


def seqs(listener: Listener) -> list[int]:
    return [json.loads(payload)["seq"] for payload in listener.payloads(RESULT)]


def first_receipts(listener: Listener) -> list[int]:
    return list(dict.fromkeys(seqs(listener)))


def test_every_result_arrives_in_order_and_unchanged(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    put(journal, 50)
    with Listener(broker.start().port) as listener, courier(journal, broker.port) as sender:
        assert until(lambda: len(seqs(listener)) == 50)
        for _ in range(50):
            put(journal, 1)
            sender.wake()
        assert until(lambda: len(seqs(listener)) == 100)
        assert sender.stop(5.0)
    assert listener.payloads(RESULT) == [payload for _, payload in journal.after(0, 1_000)]
    assert (sender.sent, sender.acknowledged, sender.reconnects) == (100, 100, 0)
    properties: Any = listener.messages[0].properties
    assert properties.ContentType == "application/json"


def test_a_new_result_leaves_at_once(tmp_path: Path, journal: Journal, broker: Mosquitto) -> None:
    with Listener(broker.start().port) as listener, courier(journal, broker.port) as sender:
        assert until(lambda: sender.connected)
        waits_s = []
        for count in range(1, 21):
            put(journal, 1)
            start = time.monotonic()
            sender.wake()
            assert until(lambda count=count: len(seqs(listener)) == count)  # type: ignore[misc]
            waits_s.append(time.monotonic() - start)
            time.sleep(0.01)
    assert sorted(waits_s)[10] < 0.1


def test_a_backlog_gives_way_to_a_part_in_work_from_row_to_row(
    journal: Journal, broker: Mosquitto
) -> None:
    answers = itertools.cycle((True, True, False, False))
    sent: list[int] = []

    def at_work() -> bool:
        sent.append(sender.sent)
        return next(answers)

    with Listener(broker.start().port) as listener, courier(journal, broker.port) as sender:
        assert until(lambda: sender.connected)
        sender.at_work = at_work
        put(journal, 100 + BACKLOG_ROWS)
        sender.wake()
        assert until(lambda: len(seqs(listener)) == 100 + BACKLOG_ROWS)
    # each row of the backlog asked anew: one that rests too long, on a busy machine, brings others
    steps = [after - before for before, after in itertools.pairwise(sent)]
    assert steps.count(0) > steps.count(1) > 50, steps


def test_a_backlog_does_not_wait_for_ever_for_a_part_in_work(
    journal: Journal, broker: Mosquitto
) -> None:
    with Listener(broker.start().port) as listener, courier(journal, broker.port) as sender:
        assert until(lambda: sender.connected)
        sender.at_work = lambda: True
        put(journal, 100 + BACKLOG_ROWS)
        sender.wake()
        assert until(lambda: len(seqs(listener)) == 100 + BACKLOG_ROWS)


def test_a_broker_that_comes_later_gets_everything(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    with Listener(broker.start().port) as listener:
        broker.save()
        broker.kill()
        put(journal, 30)
        with courier(journal, broker.port) as sender:
            put(journal, 30)
            sender.wake()
            time.sleep(0.5)
            assert sender.alive()
            assert not sender.connected
            broker.start()
            assert until(lambda: first_receipts(listener) == list(range(1, 61)))


def test_a_broker_killed_again_and_again_loses_nothing(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    with Listener(broker.start().port) as listener, courier(journal, broker.port) as sender:
        broker.save()
        for _ in range(3):
            put(journal, 100)
            sender.wake()
            assert until(lambda: len(first_receipts(listener)) % 200 > 0)
            broker.kill()  # some of the hundred sent, some acknowledged, some neither
            put(journal, 100)
            broker.start()
            # what it holds for an absent subscriber, a killed broker forgets: that is beyond us
            assert until(lambda: len(first_receipts(listener)) == len(journal.after(0, 1_000)))
        assert sender.stop(5.0)
    assert first_receipts(listener) == list(range(1, 601))
    ids = {json.loads(payload)["result_id"] for payload in listener.payloads(RESULT)}
    assert len(ids) == 600
    assert sender.reconnects == 3


def test_a_restarted_station_sends_on_from_its_cursor(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    with Listener(broker.start().port) as listener:
        for _ in range(3):
            put(journal, 40)
            with courier(journal, broker.port) as sender:
                assert sender.stop(5.0)
        assert until(lambda: len(seqs(listener)) == 120)
    assert seqs(listener) == list(range(1, 121)), "after a clean stop nothing is sent twice"


def test_without_its_cursors_everything_kept_is_sent_again(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    with Listener(broker.start().port) as listener:
        put(journal, 20)
        for _ in range(2):
            with courier(journal, broker.port) as sender:
                assert sender.stop(5.0)
            for path in tmp_path.glob(cursors_path(Path("journal.db")).name + "*"):
                path.unlink()
        assert until(lambda: len(seqs(listener)) == 40)
    assert seqs(listener) == [*range(1, 21), *range(1, 21)]


def test_rows_gone_from_the_journal_are_told_and_passed_over(
    tmp_path: Path, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db"
    with Cursors(path) as cursors:
        cursors.register(COURIER)
        cursors.advance(COURIER, 30)
        settings = JournalSettings(path=path, keep_days=0.0, disk_free_min_mb=0)
        cursors.close()
    for left in path.parent.glob("journal.db.cursors*"):
        left.rename(left.with_name(left.name + ".kept"))
    journal = Journal(settings)
    put(journal, 30)
    journal.close()
    for kept in path.parent.glob("*.kept"):
        kept.rename(kept.with_name(kept.name.removesuffix(".kept")))
    journal = Journal(settings)
    put(journal, 10)
    journal.close()
    cursors_path(path).unlink()
    with Listener(broker.start().port) as listener, courier(journal, broker.port) as sender:
        assert sender.stop(5.0)
        assert until(lambda: len(seqs(listener)) == 10)
    assert seqs(listener) == list(range(31, 41))
    assert "results 1 to 30 are no longer in the journal" in caplog.text


def test_the_window_never_holds_more_than_it_may(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    put(journal, 200)
    with (
        Listener(broker.start().port) as listener,
        courier(journal, broker.port, in_flight_max=5) as sender,
    ):
        for i in range(50):
            sender.offer_state(b"%d" % i)
            time.sleep(0.001)
        assert sender.stop(10.0)
        assert until(lambda: len(seqs(listener)) == 200)
    most = current = 0
    for line in broker.log().splitlines():
        current += "Received PUBLISH from inspector-plant-line-station" in line
        current -= "Sending PUBACK to inspector-plant-line-station" in line
        most = max(most, current)
    # mosquitto answers each message as it reads it, so look from the sender's side as well
    assert most <= 5
    assert sender.sent == 200


def test_unanswered_messages_stay_within_the_window(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    with courier(journal, broker.start().port, in_flight_max=7) as sender:
        assert until(lambda: sender.connected)
        broker.pause()
        put(journal, 100)
        sender.wake()
        sender.offer_state(b"busy")
        assert until(lambda: sender.sent >= 6)
        time.sleep(0.3)
        assert sender.sent <= 7
        broker.resume()
        assert sender.stop(10.0)


def test_a_broker_that_stands_still_is_left_and_found_again(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    broker.start()
    with (
        Listener(broker.port) as listener,
        courier(journal, broker.port, acknowledge_timeout_s=0.5, connect_timeout_s=0.5) as sender,
    ):
        assert until(lambda: sender.connected)
        broker.pause()
        put(journal, 10)
        sender.wake()
        assert until(lambda: not sender.connected)
        broker.resume()
        assert until(lambda: first_receipts(listener) == list(range(1, 11)))


def test_the_state_is_retained_and_published_again_after_a_reconnect(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    with courier(journal, broker.start().port) as sender:
        sender.offer_state(b"READY")
        with Listener(broker.port, STATE) as listener:
            assert until(lambda: listener.payloads(STATE) == [b"READY"])
        broker.kill()
        for path in tmp_path.glob("mosquitto/*.db"):
            path.unlink()
        with Listener(broker.start().port, STATE, name="after") as listener:
            assert until(lambda: listener.payloads(STATE) == [b"READY"])


def test_the_last_state_comes_after_the_last_result_and_leaves_no_will(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    put(journal, 300)
    with Listener(broker.start().port) as listener:
        with courier(journal, broker.port) as sender:
            sender.offer_state(b"bye")
            assert sender.stop(10.0)
        assert until(lambda: bool(listener.payloads(STATE)))
        time.sleep(0.2)  # whatever would come behind it
        topics = [message.topic for message in listener.messages]
    assert topics == [RESULT] * 300 + [STATE] or topics[-1] == STATE
    assert WILL not in listener.payloads(STATE)
    with Listener(broker.port, STATE, name="late") as late:
        assert until(lambda: late.payloads(STATE) == [b"bye"])
        assert late.messages[0].retain


def test_a_stop_without_a_broker_ends_in_time_and_says_so(tmp_path: Path, journal: Journal) -> None:
    put(journal, 1)
    with courier(journal, free_port()) as sender:
        start = time.monotonic()
        assert not sender.stop(0.5)
        assert time.monotonic() - start < 2.0


def test_a_stop_waits_for_a_broker_that_comes_back(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    put(journal, 20)
    with courier(journal, broker.port, backoff_min_s=30.0, backoff_max_s=60.0) as sender:
        time.sleep(0.3)
        with Listener(broker.start().port) as listener:
            assert sender.stop(10.0)
            assert until(lambda: seqs(listener) == list(range(1, 21)))


def test_a_refused_result_is_kept_and_sent_again(
    tmp_path: Path, journal: Journal, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"topic read #\ntopic write {STATE}\n", encoding="utf-8")
    acl.chmod(0o600)
    broker.configure(f"acl_file {acl}")
    put(journal, 5)
    with courier(journal, broker.start().port) as sender:
        assert until(lambda: "refuses result 1 (Not authorized)" in caplog.text)
        # mosquitto 2.0.11 answers and then sometimes hangs up: reconnects are its own affair
        assert (sender.acknowledged, sender.alive()) == (0, True)
        assert not sender.stop(0.2)
    with Cursors(tmp_path / "journal.db") as cursors:
        assert cursors.lowest() == 0
    broker.kill()
    broker.configure()
    with Listener(broker.start().port) as listener, courier(journal, broker.port) as sender:
        assert sender.stop(5.0)
        assert until(lambda: seqs(listener) == [1, 2, 3, 4, 5])


@pytest.mark.parametrize("right", [b"right\n", b"\xef\xbb\xbfright\r\n"], ids=["", "windows"])
def test_a_wrong_password_is_told_and_a_right_one_let_in(
    tmp_path: Path,
    journal: Journal,
    broker: Mosquitto,
    caplog: pytest.LogCaptureFixture,
    right: bytes,
) -> None:
    # mosquitto's PBKDF2 of "right", made by mosquitto_passwd
    users, password = tmp_path / "users", tmp_path / "password"
    users.write_text(
        "station:$7$101$YWFhYWFhYWFhYWFh${}\n".format(_pbkdf2("right", b"a" * 12)),
        encoding="utf-8",
    )
    users.chmod(0o600)
    broker.configure("allow_anonymous false", f"password_file {users}")
    password.write_text("wrong\n", encoding="utf-8")
    password.chmod(0o600)
    put(journal, 3)
    settings = {"user": "station", "password_file": password}
    with courier(journal, broker.start().port, **settings) as sender:
        assert until(lambda: "refused us: Not authorized" in caplog.text)
        password.write_bytes(right)
        assert until(lambda: sender.acknowledged == 3)


def _pbkdf2(password: str, salt: bytes) -> str:
    import base64
    import hashlib

    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return base64.b64encode(key).decode()


def test_a_second_station_of_the_same_name_is_told(
    tmp_path: Path, journal: Journal, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    with courier(journal, broker.start().port) as first:
        assert until(lambda: first.connected)
        with Listener(broker.port, name="inspector-plant-line-station"):
            assert until(
                lambda: "another client may be called inspector-plant-line-station" in caplog.text
            )


def test_a_courier_without_a_journal_says_so_at_the_start(tmp_path: Path) -> None:
    made = Courier(
        MqttSettings(host="localhost"),
        journal=tmp_path / "none.db",
        released=Released(tmp_path / "none.db"),
        place=PLACE,
        will=WILL,
        who=WHO,
    )
    with pytest.raises(RecordError, match=r"none\.db"):
        made.start()
    assert not made.alive()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_courier_that_cannot_read_its_journal_dies_visibly(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    put(journal, 300)
    journal.close()
    path = tmp_path / "journal.db"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xff" * (size - 4_096))
    with courier(journal, broker.start().port) as sender:
        assert until(lambda: not sender.alive())
        assert not sender.stop(0.5)


@pytest.mark.parametrize("host", ["10.0.0.5", "broker.plant", "2001:db8::1"])
def test_plain_text_beyond_this_machine_needs_to_be_asked_for(host: str) -> None:
    with pytest.raises(ValidationError, match="write plaintext_beyond_loopback = true"):
        MqttSettings(host=host)
    assert MqttSettings(host=host, plaintext_beyond_loopback=True).host == host


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_plain_text_on_this_machine_needs_no_word(host: str) -> None:
    assert MqttSettings(host=host).protocol == "auto"


def test_it_connects_quietly_again_after_a_restart_of_the_broker(
    tmp_path: Path, journal: Journal, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with courier(journal, broker.start().port) as sender:
        for count in range(3):
            assert until(lambda count=count: sender.connected and sender.reconnects == count)  # type: ignore[misc]
            broker.kill()
            assert until(lambda: not sender.connected)
            time.sleep(0.5)
            broker.start()
        assert until(lambda: sender.connected)
    spoken = [r.message.rpartition(" ")[2] for r in caplog.records if "connected to" in r.message]
    assert spoken == ["5"] * 4
