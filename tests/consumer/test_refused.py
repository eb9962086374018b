"""Acknowledgements refused on a consumer's topic: its own, and what others send there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.consumer.settings import read_subscribe_settings
from inspector.consumer.station import Followed
from inspector.contract.consumer import ConsumerReply, replayed
from inspector.delivery.cursors import cursors_path
from tests.brokers import Listener, Mosquitto
from tests.consumer.lines import PLACE, Subscription, line, seqs, write_consumer
from tests.delivery.results import result
from tests.support import until

MINE = PLACE.consumer("historian")
SINK = {"kind": "jsonl", "path": "got"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as made:
        yield made.start()


def ack(seq: int, **changes: object) -> bytes:
    words = {"schema": 1, "station": "station", "seq": seq, "result_id": f"station-boot-{seq}"}
    return json.dumps({**words, **changes}).encode()


STRANGE = {
    "malformed": b"{",
    "another station's": ack(5, station="other"),
    "ahead": ack(10**6),
    "of another journal, with the number it has stored": ack(10, result_id="another"),
}


def said_to_it(listener: Listener) -> bytes:
    return b"".join(listener.payloads(MINE.reply))


def refused(reason: str, last: int) -> bytes:
    return ConsumerReply(
        station="station",
        boot="boot",
        consumer="historian",
        about="ack",
        id=None,
        outcome="refused",
        reason=reason,
        first=1,
        last=last,
        acknowledged=0,
    ).to_json()


def test_after_a_refusal_nothing_is_taken_until_the_row_last_told_has_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = read_subscribe_settings(write_consumer(tmp_path, 1, SINK))
    followed = Followed(settings, "station", {"seq": 10, "result_id": "station-boot-10"})
    followed.restart(0.0)
    assert followed.acknowledgement() is not None
    followed.take(MINE.reply, refused("it was retained", last=12), 0.0)
    assert followed.take(PLACE.result, result(11).to_json(), 0.0) == []
    asked = followed.request(0.0)
    assert asked is not None
    request = json.loads(asked[1])
    assert (request["from"], request["to"]) == (10, 10)
    row = replayed("station", "historian", request["id"], 10, result(10).to_json())
    followed.take(MINE.replayed, row, 0.0)
    assert followed.contradicted is None
    assert "who else may write on plant/line/station/consumer/historian/ack" in caplog.text
    followed.take(MINE.reply, refused("and again", last=12), 0.0)
    (taken,) = followed.take(PLACE.result, result(11).to_json(), 0.0)
    assert taken.seq == 11


def test_what_others_acknowledge_in_its_name_and_is_refused_does_not_end_it(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_consumer(tmp_path, broker.port, SINK)
    with line(tmp_path, broker.port) as station, Listener(broker.port) as stranger:
        subscription = Subscription(settings)
        station.put(10)
        assert until(lambda: station.acknowledged() == 10)
        for _ in range(3):
            for payload in STRANGE.values():
                stranger.publish(MINE.ack, payload)
            station.put(5)
        assert until(lambda: station.acknowledged() == 25)
        code, said = subscription.end()
        assert code == 0, said
        assert (tmp_path / "got").read_bytes().splitlines() == station.payloads()


def test_a_retained_acknowledgement_is_refused_at_each_connection_and_ends_nothing(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_consumer(tmp_path, broker.port, SINK)
    with Listener(broker.port) as tester:
        with line(tmp_path, broker.port) as station:
            subscription = Subscription(settings)
            station.put(10)
            assert until(lambda: station.acknowledged() == 10)
            tester.publish(MINE.ack, ack(3), retain=True)
        for boot in range(3):
            before = said_to_it(tester).count(b"it was retained")
            with line(tmp_path, broker.port, boot=f"boot-{boot}") as station:
                assert until(
                    lambda before=before: said_to_it(tester).count(b"it was retained") > before  # type: ignore[misc]
                )
                station.put(5)
                at = 15 + 5 * boot
                assert until(lambda at=at, station=station: station.acknowledged() == at)  # type: ignore[misc]
                stored = station.payloads()
        code, said = subscription.end()
    assert code == 0, said
    assert (tmp_path / "got").read_bytes().splitlines() == stored


def test_it_goes_on_where_the_rows_it_has_stored_were_let_go_meanwhile(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_consumer(tmp_path, broker.port, SINK)
    with line(tmp_path, broker.port) as station, Listener(broker.port) as stranger:
        subscription = Subscription(settings)
        station.put(10)
        assert until(lambda: station.acknowledged() == 10)
        station.journal._db.execute("DELETE FROM result")

        def asked() -> bool:
            stranger.publish(MINE.ack, STRANGE["malformed"])
            return b"from 10 on are no longer there" in said_to_it(stranger)

        assert until(asked)
        station.put(5)
        assert until(lambda: station.acknowledged() == 15)
        code, said = subscription.end()
    assert code == 0, said
    assert seqs((tmp_path / "got").read_bytes().splitlines()) == list(range(1, 16))


def test_another_journal_that_is_longer_ends_it_and_none_of_its_rows_is_stored(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_consumer(tmp_path, broker.port, SINK)
    with line(tmp_path, broker.port) as station:
        subscription = Subscription(settings, "--expect", "10")
        station.put(10)
        assert subscription.wait()[0] == 0
        stored = station.payloads()
    cursors_path(tmp_path / "journal.db").unlink()
    for file in tmp_path.glob("journal.db*"):
        file.unlink()
    with line(tmp_path, broker.port) as station:
        for seq in range(1, 31):
            station.record(result_id=f"new-boot-{seq}")
        station.tell()
        assert until(lambda: station.courier.acknowledged == 30)
        code, said = Subscription(settings).wait()
    assert code == 4, said
    assert "REFUSED: row 10 is result new-boot-10 there and station-boot-10 here" in said
    assert (tmp_path / "got").read_bytes().splitlines() == stored
