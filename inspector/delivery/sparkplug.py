"""The Sparkplug B 3.0 edge node: the same journal, told as SCADA systems expect it. One thread.

One CONNECT after the other, each with the next bdSeq in its will:

    connect -> listen to NCMD, DCMD, STATE -> the primary host is online -> NBIRTH, DBIRTH
            -> what was missed, as historical -> parts and states as they come
    the host goes, or we end: NDEATH, DISCONNECT; the connection is lost: the broker says NDEATH

Results come from the journal, never from memory: what no host can have seen waits there.
"""

import logging
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from inspector.contract.status import ConsumerStatus
from inspector.delivery.broker import MqttSettings
from inspector.delivery.cursors import Cursors
from inspector.delivery.patience import Patience
from inspector.delivery.reader import JournalReader
from inspector.delivery.release import Released
from inspector.delivery.sparkplug_commands import Answer, DeviceCommands
from inspector.delivery.sparkplug_connection import EdgeConnection
from inspector.delivery.sparkplug_heard import Heard
from inspector.delivery.sparkplug_host import BirthNumber
from inspector.delivery.sparkplug_reports import Origin, Reports
from inspector.delivery.sparkplug_rows import Rows
from inspector.delivery.sparkplug_session import Session, death
from inspector.delivery.sparkplug_settings import SparkplugPlace, SparkplugSettings
from inspector.delivery.versions import Versions
from inspector.delivery.wake import Wake

__all__ = ["EdgeNode", "Origin", "SparkplugSettings"]

log = logging.getLogger(__name__)

TURN_S = 1.0
FAREWELL_S = 1.0
STEADY_S = 10.0  # a connection that held this long was a good one
REBIRTH_EVERY_S = 1.0  # every host that comes asks for one


class EdgeNode:
    """Offered everything the courier is; nothing here waits for the broker, but `stop`."""

    def __init__(
        self,
        settings: SparkplugSettings,
        broker: MqttSettings,
        *,
        client_id: str,
        journal: Path,
        released: Released,
        origin: Origin,
    ) -> None:
        self._settings = settings
        self._broker = broker
        self._client_id = client_id
        self._journal_path = journal.resolve()
        self._released = released
        self._origin = origin
        self._place = SparkplugPlace.named(settings, origin.station)
        self._wake = Wake()
        by = f"sparkplug {self._place.group}/{self._place.node}"
        self.commands = DeviceCommands(settings.commands, by, self._wake)
        self._heard = Heard(self._place, self.commands)
        self._reports = Reports(origin, self.commands, lambda: self._heard.refused)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._stop_at = 0.0
        self._all_delivered = False
        self._rows: Rows | None = None
        # from here on the node's thread writes
        self._versions = Versions(broker.protocol)
        self._patience = Patience(broker)
        self._numbers = BirthNumber(self._journal_path)
        self.connected = False
        self.births = 0
        """Sequences of NBIRTH and DBIRTH, since this start."""

    def start(self, answer: Answer) -> None:
        """answer: the station's command door. Raises RecordError or ConfigError where the journal
        or its cursors cannot be used."""
        with ExitStack() as opened:
            opened.callback(self._wake.close)
            reader = opened.enter_context(JournalReader(self._journal_path))
            cursors = opened.enter_context(Cursors(self._journal_path))
            self._rows = Rows(self._settings, reader, cursors, self._released)
            opened.pop_all()
        self.commands.start(answer)
        self._thread = threading.Thread(
            target=self._run, args=(self._rows,), name="sparkplug", daemon=True
        )
        self._thread.start()

    def alive(self) -> bool:
        """False before start, after stop, and when a thread has died of our own fault."""
        return self._thread is not None and self._thread.is_alive() and self.commands.alive()

    @property
    def consumers(self) -> tuple[ConsumerStatus, ...]:
        """The hosts as one consumer. Any thread may ask."""
        return self._rows.status if self._rows else ()

    def wake(self) -> None:
        """There is a new row. Never blocks."""
        self._wake()

    def offer_state(self, payload: bytes) -> None:
        self._reports.offer_state(payload)
        self._wake()

    def offer_alarm(self, payload: bytes) -> None:
        self._reports.offer_alarm(payload)
        self._wake()

    def stop(self, drain_s: float) -> bool:
        """Send what is left, if somebody listens, for at most `drain_s`, then say goodbye.

        Returns whether the broker has everything; the journal keeps what it has not.
        """
        if self._thread is None:
            return False
        self._stop_at = time.monotonic() + drain_s
        self._stopping.set()
        self._wake()
        self._thread.join(drain_s + FAREWELL_S + self._broker.connect_timeout_s + 2.0)
        self.commands.stop()
        if not self._thread.is_alive():
            self._wake.close()
        return self._all_delivered

    def _run(self, rows: Rows) -> None:
        failures = 0
        try:
            while not self._stopping.is_set():
                session = self._connect()
                opened_at = time.monotonic()
                self._serve(session, rows)
                served = self._heard.host_left or rows.passed_seq > rows.cursor
                self._part(session, rows)
                good = served or time.monotonic() - opened_at > STEADY_S
                failures = 0 if good else failures + 1
                if self._versions.ended(session.connection):
                    self._pause(failures, rows)
        finally:
            rows.save(time.monotonic(), at_once=True)
            rows.close()

    def _connect(self) -> Session:
        number = self._numbers.next()
        if self._numbers.trouble:
            self._patience.say(self._numbers.trouble)
        connection = EdgeConnection(
            self._broker,
            self._versions.next(self._broker),
            client_id=self._client_id,
            death_topic=self._place.of_node("NDEATH"),
            death=death(number),
            inbound=self._heard.inbound,
        )
        connection.open()
        if connection.lost is not None:
            self._numbers.unused()
        return Session(connection, self._place, number)

    def _serve(self, session: Session, rows: Rows) -> None:
        """Until the connection or the host is lost, or all is done that stop asked for."""
        connection = session.connection
        while connection.lost is None:
            now = time.monotonic()
            if connection.ready and self._heard.inbound.listening and not self.connected:
                self._greet(connection)
            self._heard.take(connection, self._patience.say)
            rows.settle(connection, now)
            if self._heard.host_left and session.born:
                host = self._settings.primary_host
                log.warning("sparkplug: primary host %s left: results wait in the journal", host)
                return
            if self._over(session, rows, now):
                return
            if self.connected and self._heard.host.online:
                self._publish(session, rows, now)
            rows.save(now)
            rows.look(now)
            oldest = rows.marked_at() or now
            if now - oldest > self._broker.acknowledge_timeout_s:
                connection.lost = f"no answer within {now - oldest:.0f} s"
            if connection.turn(self._wake.out, self._wait_s(rows, now)):
                self._wake.drain()

    def _publish(self, session: Session, rows: Rows, now: float) -> None:
        if session.born and self._heard.missed:
            self._heard.missed = False
            rows.repeat()
        if not session.born or self._heard.rebirth_wanted:
            if session.born and now - session.born_at < REBIRTH_EVERY_S:
                return  # and no data meanwhile
            self._birth(session, rows)
        self._reports.tell(session, rows, now)
        rows.send(session.connection, session.part, now)
        rows.mark(session.connection, self._place.of_device("DDATA"), now)

    def _birth(self, session: Session, rows: Rows) -> None:
        self._heard.answered()
        node, device = self._reports.everything(rows)
        session.birth(node, device)
        self.births += 1
        group, name = self._place.group, self._place.node
        log.info("sparkplug: birth of %s/%s, %d results wait", group, name, rows.waiting)

    def _greet(self, connection: EdgeConnection) -> None:
        self._versions.accepted(connection)
        self.connected = True
        self._patience.greet(connection.protocol)
        if not self._heard.host.online:
            log.info("sparkplug: waits for primary host %s", self._place.primary_host)

    def _part(self, session: Session, rows: Rows) -> None:
        """End one connection: death first, then goodbye."""
        connection = session.connection
        if connection.lost is None and connection.ready:
            farewell = session.death()
            end = time.monotonic() + FAREWELL_S
            while connection.lost is None and time.monotonic() < end:
                if any(each.message == farewell for each in connection.acknowledged):
                    break
                connection.turn(self._wake.out, 0.05)
                self._wake.drain()
            connection.leave()
        else:
            if connection.lost is not None:
                self._patience.say(connection.lost + self._hint(connection))
            connection.drop()
        rows.settle(connection, time.monotonic())
        self._all_delivered = rows.all_passed()
        rows.restart()
        self._heard.restart()
        self.connected = False

    def _hint(self, connection: EdgeConnection) -> str:
        """The usual reasons: brokers end the older client of a name, and who may not publish."""
        if not connection.ready:
            return ""
        topic = self._place.of_node("NBIRTH")
        return (
            f"; another client may be called {self._client_id}, "
            f"or its access list may keep us from {topic}"
        )

    def _pause(self, failures: int, rows: Rows) -> None:
        """Not in step with other stations; meanwhile the state still says who lags how far."""
        end = time.monotonic() + self._patience.delay_s(failures)
        while (left_s := end - time.monotonic()) > 0.0:
            if self._stopping.wait(min(left_s, TURN_S)):
                return
            rows.look(time.monotonic())

    def _over(self, session: Session, rows: Rows, now: float) -> bool:
        """Whether stop was asked for and nothing is left that anybody would hear."""
        if not self._stopping.is_set():
            return False
        return not session.born or now >= self._stop_at or rows.all_passed()

    def _wait_s(self, rows: Rows, now: float) -> float:
        times = [now + TURN_S]
        if self._stopping.is_set():
            times.append(self._stop_at)
        due = rows.due(now) if self.connected and self._heard.host.online else None
        if due is not None:
            times.append(due)
        return min(times) - now
