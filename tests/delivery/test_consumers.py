"""Consumers of a real courier over a real mosquitto: acknowledgements, replays, refusals."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inspector.contract.topics import Place
from inspector.delivery.broker import MqttSettings
from inspector.delivery.consumers import Identity
from inspector.delivery.cursors import Cursors
from inspector.delivery.journal import ConsumerSettings, Journal, JournalSettings
from inspector.delivery.mqtt import Courier
from tests.brokers import Listener, Mosquitto
from tests.delivery.results import result
from tests.support import until

PLACE = Place.of("plant/line", "station")
MES = PLACE.consumer("mes")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    yield opened
    opened.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as made:
        yield made.start()


@contextmanager
def courier(journal: Journal, port: int, **consumer: Any) -> Iterator[Courier]:
    consumers = (ConsumerSettings(name="mes", **consumer),)
    journal.register(consumers)
    made = Courier(
        MqttSettings(host="127.0.0.1", port=port, backoff_min_s=0.05, backoff_max_s=0.2),
        journal=journal.path,
        released=journal.released,
        place=PLACE,
        will=b"{}",
        who=Identity("station", "boot"),
        consumers=consumers,
    )
    made.start()
    try:
        assert until(lambda: made.connected)
        yield made
    finally:
        made.stop(0.0)


def put(journal: Journal, count: int) -> None:
    for _ in range(count):
        journal.put(result(journal.next_seq()))
        journal.release(journal.last_seq())


def ack(row: int, **changes: Any) -> bytes:
    words = {"schema": 1, "station": "station", "seq": row, "result_id": f"station-boot-{row}"}
    return json.dumps({**words, **changes}).encode()


def replay(first: int, last: int, id_: str = "r1", **changes: Any) -> bytes:
    words = {"schema": 1, "station": "station", "id": id_, "from": first, "to": last}
    return json.dumps({**words, **changes}).encode()


def cursor(journal: Journal) -> int:
    with Cursors(journal.path) as cursors:
        return cursors.all()["mes"]


def replies(listener: Listener) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in listener.payloads(MES.reply)]


def replayed(listener: Listener) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in listener.payloads(MES.replayed)]


def test_an_acknowledgement_moves_the_cursor_and_shows_in_the_status(
    journal: Journal, broker: Mosquitto
) -> None:
    with Listener(broker.port) as listener, courier(journal, broker.port) as sender:
        put(journal, 10)
        sender.wake()
        assert until(lambda: sender.acknowledged == 10)
        listener.publish(MES.ack, ack(7))
        assert until(lambda: cursor(journal) == 7)
        assert until(lambda: sender.consumers[0].acknowledged == 7)
        (status,) = sender.consumers
        assert (status.name, status.lag, status.lost, status.refused) == ("mes", 3, 0, 0)
        assert status.oldest_unacknowledged_s >= 0.0
        listener.publish(MES.ack, ack(3))
        listener.publish(MES.ack, ack(8))
        assert until(lambda: cursor(journal) == 8)
        assert replies(listener) == [], "neither a good one nor an old one is answered"


@pytest.mark.parametrize("spoilt", [b"\xff\x00", b"{", b"[]"])
def test_an_acknowledged_row_that_a_disk_has_spoilt_costs_nothing_but_its_own_confirmation(
    journal: Journal, broker: Mosquitto, spoilt: bytes
) -> None:
    with Listener(broker.port) as listener, courier(journal, broker.port) as sender:
        put(journal, 3)
        sender.wake()
        assert until(lambda: sender.acknowledged == 3)
        journal._db.execute("UPDATE result SET payload = ? WHERE seq = 2", (spoilt,))
        listener.publish(MES.ack, ack(1))
        listener.publish(MES.ack, ack(2))
        assert until(lambda: cursor(journal) == 1)
        time.sleep(0.3)
        assert sender.alive()
        assert (cursor(journal), replies(listener)) == (1, []), "nobody can say whose it is"
        listener.publish(MES.ack, ack(3))
        assert until(lambda: cursor(journal) == 3)


REFUSED = {
    "row 11 was not sent yet, the last was 10": ack(11),
    "row 5 has another result_id": ack(5, result_id="another-boot-5"),
    "it is for station other, this is station": ack(5, station="other"),
    "more: is not a key here": ack(5, more=1),
    "seq True: input should be a valid integer": ack(5, seq=True),
    "seq '5': input should be a valid integer": ack(5, seq="5"),
    "schema 2: must be 1": ack(5, schema=2),
    "a key twice": b'{"seq": 5, "seq": 6}',
    "is not JSON": b"\xff\xfe",
    "nested deeper than": b"[" * 60_000,
}


def test_an_acknowledgement_the_journal_cannot_confirm_changes_nothing_and_is_told(
    journal: Journal, broker: Mosquitto
) -> None:
    with Listener(broker.port) as listener, courier(journal, broker.port) as sender:
        put(journal, 10)
        sender.wake()
        assert until(lambda: sender.acknowledged == 10)
        listener.publish(MES.ack, b"[" * 70_000)  # longer than any message: never read
        for payload in REFUSED.values():
            listener.publish(MES.ack, payload)
        listener.publish(MES.ack, ack(2))
        assert until(lambda: cursor(journal) == 2)
        assert until(lambda: len(replies(listener)) == len(REFUSED))
        for reply, words in zip(replies(listener), REFUSED, strict=True):
            assert words in reply["reason"]
            assert (reply["about"], reply["outcome"]) == ("ack", "refused")
            assert (reply["first"], reply["last"]) == (1, 10)
        assert until(lambda: sender.consumers[0].refused == len(REFUSED))


def test_a_retained_acknowledgement_is_of_another_day_and_refused(
    journal: Journal, broker: Mosquitto
) -> None:
    journal.register([ConsumerSettings(name="mes")])
    put(journal, 10)
    with Listener(broker.port) as listener:
        listener.publish(MES.ack, ack(9), retain=True)
        with courier(journal, broker.port):
            assert until(lambda: len(replies(listener)) == 1)
            assert "it was retained" in replies(listener)[0]["reason"]
            assert cursor(journal) == 0


def test_a_replay_sends_the_rows_as_they_are_marked_and_in_order(
    journal: Journal, broker: Mosquitto
) -> None:
    put(journal, 50)
    with Listener(broker.port) as listener, courier(journal, broker.port) as sender:
        assert until(lambda: sender.acknowledged == 50)
        listener.publish(MES.replay, replay(11, 30))
        assert until(lambda: len(replies(listener)) == 1)
        rows = replayed(listener)
        assert [row["seq"] for row in rows] == list(range(11, 31))
        stored = [json.loads(payload) for _, payload in journal.after(10, 20)]
        assert [row["result"] for row in rows] == stored
        assert {(row["consumer"], row["replay"]) for row in rows} == {("mes", "r1")}
        reply = replies(listener)[0]
        assert (reply["outcome"], reply["id"]) == ("done", "r1")
        assert len(listener.payloads(PLACE.result)) == 50, "nobody else is sent anything again"
        assert until(lambda: sender.consumers[0].replayed == 20)


def test_rows_that_are_gone_are_refused_with_the_range_that_is_left(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = JournalSettings(path=tmp_path / "short.db", keep_days=0.0, disk_free_min_mb=0)
    journal = Journal(settings)
    with Listener(broker.port) as listener, courier(journal, broker.port) as sender:
        put(journal, 20)
        sender.wake()
        assert until(lambda: sender.acknowledged == 20)
        listener.publish(MES.ack, ack(20))
        assert until(lambda: cursor(journal) == 20)
        time.sleep(1.1)  # the writer looks at the cursors once a second
        put(journal, 5)
        sender.wake()
        assert until(lambda: sender.acknowledged == 25)
        first = journal.after(0, 1)[0][0]
        assert first > 1
        listener.publish(MES.replay, replay(1, 25))
        listener.publish(MES.replay, replay(25, 26, "r2"))
        assert until(lambda: len(replies(listener)) == 2)
        gone, early = replies(listener)
        assert f"rows from 1 on are no longer there: there are {first} to 25" in gone["reason"]
        assert (gone["outcome"], gone["first"], gone["last"]) == ("refused", first, 25)
        assert "were not sent yet and come by themselves" in early["reason"]
        listener.publish(MES.replay, replay(first, 25, "r3"))
        assert until(lambda: [row["seq"] for row in replayed(listener)][-1:] == [25])
    journal.close()


def test_a_replay_into_a_hole_fails_with_the_next_row_there_is(
    journal: Journal, broker: Mosquitto
) -> None:
    put(journal, 30)
    journal._db.execute("DELETE FROM result WHERE seq BETWEEN 4 AND 20")
    with Listener(broker.port) as listener, courier(journal, broker.port):
        listener.publish(MES.replay, replay(2, 30))
        assert until(lambda: len(replies(listener)) == 1)
        assert [row["seq"] for row in replayed(listener)] == [2, 3]
        before = replies(listener)[0]
        assert (before["outcome"], before["first"]) == ("failed", 2), "rows 2 and 3 are there"
        listener.publish(MES.replay, replay(4, 30, "r2"))
        assert until(lambda: len(replies(listener)) == 2)
        within = replies(listener)[1]
        assert (within["outcome"], within["first"], within["last"]) == ("failed", 21, 30)
        assert "row 4 is no longer in the journal" in within["reason"]


def test_a_newer_request_takes_the_place_of_the_one_under_way(
    journal: Journal, broker: Mosquitto
) -> None:
    put(journal, 200)
    with (
        Listener(broker.port) as listener,
        courier(journal, broker.port, replay_per_s=20) as sender,
    ):
        assert until(lambda: sender.acknowledged == 200)  # what was not sent yet is refused
        listener.publish(MES.replay, replay(1, 200, "slow"))
        assert until(lambda: len(replayed(listener)) >= 3)
        listener.publish(MES.replay, replay(100, 102, "quick"))
        assert until(lambda: len(replies(listener)) == 2)
        assert [(r["id"], r["outcome"]) for r in replies(listener)] == [
            ("slow", "failed"),
            ("quick", "done"),
        ]
        assert "request quick took its place" in replies(listener)[0]["reason"]


def test_new_results_go_before_a_replay_and_the_replay_keeps_its_pace(
    journal: Journal, broker: Mosquitto
) -> None:
    put(journal, 500)
    with (
        Listener(broker.port) as listener,
        courier(journal, broker.port, replay_per_s=60) as sender,
    ):
        assert until(lambda: sender.acknowledged == 500)
        start = time.monotonic()
        listener.publish(MES.replay, replay(1, 300))
        assert until(lambda: len(replayed(listener)) >= 20)
        put(journal, 5)  # each is synced: the rest of the replay, 4 s, takes longer on any disk
        sender.wake()
        assert until(lambda: len(listener.payloads(PLACE.result)) == 505)
        assert len(replayed(listener)) < 300, "the new ones did not wait for the old ones"
        assert until(lambda: len(replies(listener)) == 1)
        assert time.monotonic() - start >= 4.85, "300 rows at 60 a second, 6 of them at once"


def test_a_replay_goes_on_after_the_broker_was_killed(
    tmp_path: Path, journal: Journal, broker: Mosquitto
) -> None:
    put(journal, 300)
    with (
        Listener(broker.port) as listener,
        courier(journal, broker.port, replay_per_s=150) as sender,
    ):
        assert until(lambda: sender.acknowledged == 300)
        broker.save()
        listener.publish(MES.replay, replay(1, 300))
        assert until(lambda: len(replayed(listener)) >= 60)
        broker.kill()
        broker.start()
        assert until(lambda: len(replies(listener)) == 1)
        seqs = [row["seq"] for row in replayed(listener)]
        assert sorted(set(seqs)) == list(range(1, 301))
        assert replies(listener)[0]["outcome"] == "done"


def test_an_acknowledged_row_of_an_earlier_start_is_not_taken_for_unsent(
    journal: Journal, broker: Mosquitto
) -> None:
    with Listener(broker.port) as listener:
        with courier(journal, broker.port) as sender:
            put(journal, 10)
            sender.wake()
            assert until(lambda: sender.acknowledged == 10)
        with courier(journal, broker.port):
            listener.publish(MES.ack, ack(10))
            assert until(lambda: cursor(journal) == 10)
