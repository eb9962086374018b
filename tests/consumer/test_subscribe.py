"""`inspector subscribe` against a real courier and a real mosquitto: killed, late, deceived."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from inspector.delivery.cursors import cursors_path
from tests.brokers import Listener, Mosquitto
from tests.consumer.lines import (
    PLACE,
    Subscription,
    line,
    seqs,
    stored_in_sqlite,
    write_consumer,
)
from tests.delivery.results import result
from tests.support import free_port, run_inspector, until


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as made:
        yield made.start()


def test_it_stores_everything_there_is_and_acknowledges_what_it_stored(
    tmp_path: Path, broker: Mosquitto
) -> None:
    with line(tmp_path, broker.port) as station:
        station.put(300)
        assert until(lambda: station.courier.acknowledged == 300)  # long before anybody listens
        settings = write_consumer(tmp_path, broker.port, {"kind": "sqlite", "path": "got.db"})
        subscription = Subscription(settings, "--expect", "350")
        assert until(lambda: len(stored_in_sqlite(tmp_path / "got.db")) >= 300)
        station.put(50)
        code, said = subscription.wait()
        assert code == 0, said
        assert "350 results stored, up to 350" in said
        assert stored_in_sqlite(tmp_path / "got.db") == station.payloads()
        assert until(lambda: station.acknowledged() == 350)


@pytest.mark.parametrize("kind", ["csv", "sqlite"])
def test_killed_again_and_again_it_stores_each_result_once(
    tmp_path: Path, broker: Mosquitto, kind: str
) -> None:
    path = tmp_path / "got"
    settings = write_consumer(tmp_path, broker.port, {"kind": kind, "path": "got"}, store_rows=7)
    with line(tmp_path, broker.port) as station:
        for _ in range(3):
            subscription = Subscription(settings)
            before = station.acknowledged()
            station.put(60)
            assert until(lambda before=before: station.acknowledged() > before + 20)  # type: ignore[misc]
            subscription.kill()
            assert station.acknowledged() <= station.journal.last_seq()
        subscription = Subscription(settings)
        station.put(20)
        assert until(lambda: station.acknowledged() == 200)
        code, said = subscription.end()
        assert code == 0, said
        if kind == "csv":
            lines = path.read_text(encoding="utf-8").splitlines()
            assert lines[0].startswith("station,seq,result_id,")
            assert [int(each.split(",")[1]) for each in lines[1:]] == list(range(1, 201))
        else:
            assert stored_in_sqlite(path) == station.payloads()


def test_several_stations_share_one_store_and_are_told_apart(
    tmp_path: Path, broker: Mosquitto
) -> None:
    sink = {"kind": "sqlite", "path": "got.db"}
    settings = write_consumer(tmp_path, broker.port, sink, stations=["a", "b"])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        line(tmp_path / "a", broker.port, station="a") as first,
        line(tmp_path / "b", broker.port, station="b") as second,
    ):
        first.put(40)
        second.put(60)
        code, said = Subscription(settings, "--expect", "100").wait()
        assert code == 0, said
        assert "station a: 40 results stored" in said
        assert "station b: 60 results stored" in said
        assert until(lambda: (first.acknowledged(), second.acknowledged()) == (40, 60))
        stored = stored_in_sqlite(tmp_path / "got.db")
        assert sorted(stored) == sorted([*first.payloads(), *second.payloads()])


def test_two_of_one_name_for_other_stations_do_not_end_each_others_connection(
    tmp_path: Path, broker: Mosquitto
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    sink = {"kind": "jsonl", "path": "got"}
    with (
        line(tmp_path / "a", broker.port, station="a") as first,
        line(tmp_path / "b", broker.port, station="b") as second,
    ):
        subscriptions = [
            Subscription(write_consumer(tmp_path / name, broker.port, sink, stations=[name]))
            for name in ("a", "b")
        ]
        for _ in range(20):
            first.put(5)
            second.put(5)
            time.sleep(0.1)
        both = until(lambda: (first.acknowledged(), second.acknowledged()) == (100, 100))
        for code, said in [each.end() for each in subscriptions]:
            assert (code, said.count("connected to")) == (0, 1), said
    assert both


def test_whose_name_another_client_takes_is_told_which_name_that_is(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """As where [mqtt] was copied from the station's settings with its client_id."""
    mqtt = {"host": "127.0.0.1", "port": broker.port, "client_id": "press-7"}
    settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"}, mqtt=mqtt)
    with line(tmp_path, broker.port) as station:
        subscription = Subscription(settings)
        station.put(3)
        assert until(lambda: station.acknowledged() == 3)
        with Listener(broker.port, "nothing", name="press-7"):
            time.sleep(0.5)
        said = subscription.end()[1]
    assert "another client may be called press-7" in said


def test_mqtt_3_1_1_is_enough_on_both_sides(tmp_path: Path, broker: Mosquitto) -> None:
    settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"})
    settings.write_text(
        settings.read_text(encoding="utf-8").replace("[mqtt]", '[mqtt]\nprotocol = "3.1.1"'),
        encoding="utf-8",
    )
    with line(tmp_path, broker.port, protocol="3.1.1") as station:
        station.put(50)
        assert until(lambda: station.courier.acknowledged == 50)
        code, said = Subscription(settings, "--expect", "50").wait()
        assert code == 0, said
        assert "connected to" in said
        assert "MQTT 3.1.1" in said
        assert "50 sent again on" in said
        assert until(lambda: station.acknowledged() == 50)


def test_a_broker_killed_in_between_costs_nothing(tmp_path: Path, broker: Mosquitto) -> None:
    settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"})
    with line(tmp_path, broker.port) as station:
        subscription = Subscription(settings)
        for _ in range(3):
            station.put(100)
            broker.kill()
            for stored in tmp_path.glob("mosquitto/*.db"):
                stored.unlink()  # whatever the broker kept for anybody is gone
            station.put(100)
            broker.start()
        assert until(lambda: station.acknowledged() == 600)
        code, said = subscription.end()
        assert code == 0, said
        assert (tmp_path / "got").read_bytes().splitlines() == station.payloads()


def test_rows_that_are_gone_are_a_gap_that_the_exit_code_tells(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"})
    with line(tmp_path, broker.port) as station:
        station.put(10)
        assert run_inspector("subscribe", settings, "--expect", "10").returncode == 0
        station.put(20)
        assert until(lambda: station.courier.acknowledged == 30)
        # somebody acknowledges in its name what it has not stored: a copy of it, say
        ack = {"schema": 1, "station": "station", "seq": 25, "result_id": "station-boot-25"}
        with Listener(broker.port) as listener:
            listener.publish(PLACE.consumer("historian").ack, json.dumps(ack).encode())
            assert until(lambda: station.acknowledged() == 25)
        station.journal._db.execute("DELETE FROM result WHERE seq <= 25")
        done = run_inspector("subscribe", settings, "--expect", "5")
        assert done.returncode == 3, done.stdout + done.stderr
        assert "GAP: 11 to 25 are gone" in done.stdout
        assert seqs((tmp_path / "got").read_bytes().splitlines()) == [
            *range(1, 11),
            *range(26, 31),
        ]


def test_a_hole_in_a_journal_is_stepped_over_and_told_as_a_gap(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"})
    with line(tmp_path, broker.port) as station:
        station.put(40)
        assert until(lambda: station.courier.acknowledged == 40)
        # as a program left it that let rows go before older ones from the future
        station.journal._db.execute("DELETE FROM result WHERE seq BETWEEN 4 AND 20")
        done = run_inspector("subscribe", settings, "--expect", "23")
        assert done.returncode == 3, done.stdout + done.stderr
        assert "GAP: 4 to 20 are gone" in done.stdout
        assert (tmp_path / "got").read_bytes().splitlines() == station.payloads()


def test_a_station_that_forgot_an_acknowledgement_is_told_again_without_a_new_row(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"})
    with line(tmp_path, broker.port) as station:
        subscription = Subscription(settings)
        station.put(10)
        assert until(lambda: station.acknowledged() == 10)
    with closing(sqlite3.connect(cursors_path(tmp_path / "journal.db"))) as db, db:
        db.execute("UPDATE cursor SET seq = 5 WHERE name = 'historian'")
    with line(tmp_path, broker.port) as station:
        assert until(lambda: bool(station.courier.consumers))
        station.tell()  # with what it knows of its consumers, as a station does in time
        assert until(lambda: station.acknowledged() == 10)
    code, said = subscription.end()
    assert code == 0, said


def test_a_number_with_two_contents_is_told_by_the_exit_code(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"})
    with line(tmp_path, broker.port) as station, Listener(broker.port) as forger:
        subscription = Subscription(settings)
        station.put(10)
        assert until(lambda: station.acknowledged() == 10)
        forger.publish(PLACE.result, result(4).model_copy(update={"label": "other"}).to_json())
        time.sleep(0.5)
        code, said = subscription.end()
        assert code == 4, said
        assert "DIFFERS: row 4" in said
        assert (tmp_path / "got").read_bytes().splitlines() == station.payloads()


def test_too_few_results_in_the_time_given_are_told_by_the_exit_code(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"})
    with line(tmp_path, broker.port) as station:
        station.put(3)
        done = run_inspector("subscribe", settings, "--expect", "5", "--for", "2")
    assert done.returncode == 5
    assert "3 results, 5 were expected" in done.stdout


def test_a_consumer_nobody_registered_is_told_that_nothing_is_kept_for_it(
    tmp_path: Path, broker: Mosquitto
) -> None:
    sink = {"kind": "jsonl", "path": "got"}
    settings = write_consumer(tmp_path, broker.port, sink, consumer="stranger")
    with line(tmp_path, broker.port):
        done = run_inspector("subscribe", settings, "--for", "1")
    assert "station station does not know consumer stranger" in done.stderr


def test_a_journal_that_was_begun_anew_ends_it_before_a_new_row_passes_for_an_old_one(
    tmp_path: Path, broker: Mosquitto
) -> None:
    settings = write_consumer(tmp_path, broker.port, {"kind": "jsonl", "path": "got"})
    with line(tmp_path, broker.port) as station:
        station.put(10)
        assert run_inspector("subscribe", settings, "--expect", "10").returncode == 0
    for file in tmp_path.glob("journal.db*"):
        file.unlink()
    with line(tmp_path, broker.port) as station:
        station.put(4)
        done = run_inspector("subscribe", settings)
    assert done.returncode == 4
    assert "REFUSED: row 10 was not sent yet" in done.stdout
    assert seqs((tmp_path / "got").read_bytes().splitlines()) == list(range(1, 11))


def test_a_station_of_the_same_name_on_another_line_is_told_from_a_journal_begun_anew(
    tmp_path: Path, broker: Mosquitto
) -> None:
    (tmp_path / "other").mkdir()
    sink = {"kind": "sqlite", "path": str(tmp_path / "quality.db")}
    with line(tmp_path, broker.port) as station:
        station.put(20)
        settings = write_consumer(tmp_path, broker.port, sink)
        assert Subscription(settings, "--expect", "20").wait()[0] == 0
    with line(tmp_path / "other", broker.port, boot="other", root="plant/other") as other:
        other.put(10)
        settings = write_consumer(tmp_path / "other", broker.port, sink, topic_root="plant/other")
        code, said = Subscription(settings).wait()
    assert code == 4
    assert "If another line's station station is stored here: a store of its own for each" in said


def test_a_journal_that_was_begun_anew_ends_nothing_for_the_stations_beside_it(
    tmp_path: Path, broker: Mosquitto
) -> None:
    sink = {"kind": "jsonl", "path": "got"}
    settings = write_consumer(tmp_path, broker.port, sink, stations=["station", "other"])
    new, other = tmp_path / "new", tmp_path / "other"
    with line(other, broker.port, station="other") as beside:
        with line(tmp_path, broker.port) as station:
            station.put(10)
            beside.put(10)
            assert run_inspector("subscribe", settings, "--expect", "20").returncode == 0
        with line(new, broker.port) as station:
            station.put(4)
            subscription = Subscription(settings)
            assert until(lambda: any(each.refused for each in station.courier.consumers))
            beside.put(5)
            assert until(lambda: beside.acknowledged() == 15)
            code, said = subscription.end()
            assert code == 4, said
            assert "station station is followed no more: row 10 was not sent yet" in said
            assert "REFUSED: row 10 was not sent yet" in said
            assert station.acknowledged() == 0
    rows = [json.loads(each) for each in (tmp_path / "got").read_bytes().splitlines()]
    for name, last in (("station", 10), ("other", 15)):
        assert [row["seq"] for row in rows if row["station"] == name] == list(range(1, last + 1))


def test_a_station_nobody_hears_is_not_complete(tmp_path: Path) -> None:
    settings = write_consumer(tmp_path, free_port(), {"kind": "jsonl", "path": "got"})
    done = run_inspector("subscribe", settings, "--for", "0.5")
    assert done.returncode == 5
    assert "SILENT: nothing was heard of it" in done.stdout


def test_a_file_that_is_not_the_one_it_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "got").write_text("somebody else's\n", encoding="utf-8")
    settings = write_consumer(tmp_path, 1, {"kind": "jsonl", "path": "got"})
    done = run_inspector("subscribe", settings, "--for", "0.1")
    assert done.returncode == 78
    assert "is not the file that got.position speaks of" in done.stderr
    assert (tmp_path / "got").read_text(encoding="utf-8") == "somebody else's\n"


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_second_consumer_on_the_same_file_is_refused_and_touches_nothing(
    tmp_path: Path, broker: Mosquitto, kind: str
) -> None:
    with line(tmp_path, broker.port) as station:
        settings = write_consumer(tmp_path, broker.port, {"kind": kind, "path": "got"})
        first = Subscription(settings)
        station.put(10)
        assert until(lambda: station.acknowledged() == 10)
        before = (tmp_path / "got").read_bytes()
        done = run_inspector("subscribe", settings, "--for", "5")
        assert done.returncode == 1, "systemd tries again: the other one may be a technician's"
        assert f"process {first.process.pid} is already writing it" in done.stderr
        assert (tmp_path / "got").read_bytes() == before
        first.kill()
        second = Subscription(settings)  # whoever is dead holds nothing
        station.put(10)
        assert until(lambda: station.acknowledged() == 20)
        assert second.end()[0] == 0
