"""A courier with its journal and a broker on one side, `inspector subscribe` on the other."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from inspector.contract.status import StateMessage
from inspector.contract.topics import Place
from inspector.delivery.broker import MqttSettings
from inspector.delivery.consumers import Identity
from inspector.delivery.cursors import Cursors
from inspector.delivery.journal import ConsumerSettings, Journal, JournalSettings
from inspector.delivery.mqtt import Courier
from tests.brokers import Listener, Mosquitto
from tests.delivery.results import result
from tests.support import toml, until

PLACE = Place.of("plant/line", "station")
HISTORIAN = (ConsumerSettings(name="historian", replay_per_s=5_000),)


class Line:
    """A station's delivering half: real journal, real courier, results made by the test."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        station: str = "station",
        protocol: Any = "auto",
        boot: str = "boot",
        root: str = "plant/line",
    ) -> None:
        settings = JournalSettings(path=folder / "journal.db", disk_free_min_mb=0)
        self.station = station
        self.boot = boot
        self.journal = Journal(settings)
        self.journal.register(HISTORIAN)
        self.courier = Courier(
            MqttSettings(
                host="127.0.0.1",
                port=port,
                protocol=protocol,
                backoff_min_s=0.05,
                backoff_max_s=0.2,
            ),
            journal=self.journal.path,
            released=self.journal.released,
            place=Place.of(root, station),
            will=StateMessage(
                station=station, boot=boot, state="OFFLINE", cause="gone", since=None
            ).to_json(),
            who=Identity(station, boot),
            consumers=HISTORIAN,
        )
        self.courier.start()
        self.tell()

    def put(self, count: int) -> None:
        for _ in range(count):
            self.record()
        self.tell()

    def record(self, **changes: Any) -> int:
        """One result, durable and on its way; its number."""
        seq = self._put(**changes)
        self._release(seq)
        return seq

    def record_as(self, write: Callable[[dict[str, Any]], bytes]) -> int:
        """As `record`, by a station of another version: what `write` makes of our row."""
        seq = self._put()
        ours = json.loads(self.payloads()[-1])
        row = "UPDATE result SET payload = ? WHERE seq = ?"
        self.journal._db.execute(row, (write(ours), seq))
        self._release(seq)
        return seq

    def _put(self, **changes: Any) -> int:
        seq = self.journal.next_seq()
        mine = {"station": self.station, "result_id": f"{self.station}-boot-{seq}"}
        self.journal.put(result(seq).model_copy(update={**mine, **changes}))
        return seq

    def _release(self, seq: int) -> None:
        self.journal.release(seq)
        self.courier.wake()

    def tell(self) -> None:
        """The state, as a station tells it every other second."""
        state = StateMessage(
            station=self.station,
            boot=self.boot,
            state="READY",
            cause="a test",
            since=None,
            seq=self.journal.last_seq(),
            consumers=self.courier.consumers,
        )
        self.courier.offer_state(state.to_json())

    def acknowledged(self) -> int:
        with Cursors(self.journal.path) as cursors:
            return cursors.all()["historian"]

    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.journal.after(0, 1_000_000)]

    def close(self) -> None:
        self.courier.stop(0.0)
        self.journal.close()


@contextmanager
def line(folder: Path, port: int, **settings: Any) -> Iterator[Line]:
    made = Line(folder, port, **settings)
    try:
        assert until(lambda: made.courier.connected)
        yield made
    finally:
        made.close()


def write_consumer(folder: Path, port: int, sink: dict[str, Any], **changes: Any) -> Path:
    settings = {
        "consumer": "historian",
        "topic_root": "plant/line",
        "stations": ["station"],
        "late_after_s": 0.3,
        "ask_again_s": 1.0,
        "store_s": 0.05,
        "mqtt": {"host": "127.0.0.1", "port": port, "backoff_min_s": 0.05, "backoff_max_s": 0.2},
        "sink": sink,
        **changes,
    }
    path = folder / "consumer.toml"
    path.write_text(toml(settings), encoding="utf-8")
    return path


class Subscription:
    """`inspector subscribe` as a process."""

    def __init__(self, settings: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "inspector.cli", "subscribe", str(settings), *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self) -> tuple[int, str]:
        """As systemd ends it; the exit code, and all it said."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, timeout_s: float = 60.0) -> tuple[int, str]:
        out, err = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out + err

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def name_twice(folder: Path, sink: dict[str, Any]) -> list[bytes]:
    """Somebody sends a result_id that was stored before the consumer's start, and a second station
    has those of the first. What the stations' journals hold, the first's before the second's.
    """
    (folder / "b").mkdir()
    with (
        Mosquitto(folder) as broker,
        line(folder, broker.start().port) as station,
        line(folder / "b", broker.port, station="b") as twin,
        Listener(broker.port, "nothing") as anybody,
    ):
        settings = write_consumer(folder, broker.port, sink, stations=["station", "b"])
        station.put(10)
        assert Subscription(settings, "--expect", "10").wait()[0] == 0
        subscription = Subscription(settings)
        station.put(1)
        assert until(lambda: station.acknowledged() == 11)
        anybody.publish(PLACE.result, result(12, result_id="station-boot-3").to_json())
        station.put(5)
        for seq in range(1, 6):
            twin.record(result_id=f"station-boot-{seq}")
        twin.tell()
        assert until(lambda: (station.acknowledged(), twin.acknowledged()) == (16, 5))
        code, said = subscription.end()
        assert (code, said.count("DIFFERS")) == (4, 1), said
        assert "DIFFERS: result station-boot-3: as row 3, then as row 12" in said
        return [*station.payloads(), *twin.payloads()]


def stored_in_sqlite(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as db:
        try:
            rows = db.execute("SELECT payload FROM result ORDER BY seq").fetchall()
        except sqlite3.OperationalError:
            return []  # not made yet
    return [payload.encode() for (payload,) in rows]


def seqs(payloads: list[bytes]) -> list[int]:
    return [json.loads(payload)["seq"] for payload in payloads]
