"""The courier: from the journal to the broker, at QoS 1, until acknowledged. One thread.

A new row wakes it; the broker away, the rows wait in the journal and the station does not
notice. Near the journal's limit it does: then nothing passes any more, and nothing is lost.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from inspector.contract.status import ConsumerStatus
from inspector.contract.topics import Place
from inspector.delivery.board import Board
from inspector.delivery.broker import REFUSALS_UNSEEN, MqttSettings
from inspector.delivery.connection import Connection
from inspector.delivery.consumers import Consumers, Identity
from inspector.delivery.cursors import Cursors
from inspector.delivery.outbox import Outbox, idle
from inspector.delivery.patience import Patience
from inspector.delivery.reader import JournalReader
from inspector.delivery.release import Released
from inspector.delivery.retention import ConsumerSettings
from inspector.delivery.traffic import Traffic
from inspector.delivery.versions import Versions
from inspector.delivery.wake import Wake

__all__ = ["Courier", "MqttSettings"]

log = logging.getLogger(__name__)

TURN_S = 1.0
FAREWELL_S = 1.0  # for the last state, after the drain
STEADY_S = 10.0  # a connection that held this long was a good one
SHADOW_MAX = 100
REST_MAX_S, REST_TURN_S = 0.03, 0.002
"""A station that is always at work must not keep its results for ever."""


class Courier:
    """Delivers every row of the journal at least once, in order, and the newest state.

    Nothing here waits for the broker, but `stop`, for as long as it is told.
    """

    def __init__(
        self,
        settings: MqttSettings,
        *,
        journal: Path,
        released: Released,
        place: Place,
        will: bytes,
        who: Identity,
        consumers: Sequence[ConsumerSettings] = (),
    ) -> None:
        self._settings = settings
        self._journal_path = journal.resolve()
        self._released = released
        self._topics = place
        self._shadow: deque[bytes] = deque(maxlen=SHADOW_MAX)
        self._will = will
        self._who = who
        self._registered = tuple(consumers)
        self._board = Board(place.heartbeat)
        self._client_id = settings.name_of(place.path)
        self._thread: threading.Thread | None = None
        self._wake = Wake()
        self._stopping = threading.Event()
        self._stop_at = 0.0
        self._all_delivered = False
        self._consumers: Consumers | None = None
        self.at_work: Callable[[], bool] = idle
        """Whether the station has a part in work; build.py says how to ask it."""
        # from here on the courier's thread writes; others may read the figures
        self._versions = Versions(settings.protocol)
        self._patience = Patience(settings)
        self.connected = False
        self.reconnects = 0
        """Connections after the first."""
        self.acknowledged = 0
        """Results the broker has taken, since this start."""
        self.acknowledged_seq = 0
        """Up to which row the broker has everything."""
        self.sent = 0
        """Results sent, those sent again included."""

    def start(self) -> None:
        """Raises RecordError or ConfigError where the journal or its cursors cannot be used."""
        with ExitStack() as opened:
            opened.callback(self._wake.close)
            rows = opened.enter_context(JournalReader(self._journal_path))
            cursors = opened.enter_context(Cursors(self._journal_path))
            outbox = Outbox(rows, cursors, self._released, self._topics.result)
            self._consumers = Consumers(
                self._registered,
                who=self._who,
                place=self._topics,
                rows=rows,
                cursors=cursors,
                told=lambda: outbox.told,
            )
            self.acknowledged_seq = outbox.cursor
            opened.pop_all()
        traffic = Traffic(
            self._board,
            outbox,
            self._consumers,
            self._shadow,
            self._topics.shadow,
            self._patience.say,
        )
        self._thread = threading.Thread(
            target=self._run, args=(traffic,), name="courier", daemon=True
        )
        self._thread.start()

    def alive(self) -> bool:
        """False before start, after stop, and when the thread has died of our own fault."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def consumers(self) -> tuple[ConsumerStatus, ...]:
        """Those registered, as of a second ago. Any thread may ask."""
        return self._consumers.status if self._consumers else ()

    def wake(self) -> None:
        """There is a new row. Never blocks."""
        self._wake()

    def offer_state(self, payload: bytes) -> None:
        """Publish this retained, now and after every reconnect; a newer one replaces it."""
        self._board.offer(self._topics.state, payload)
        self.wake()

    def offer_alarm(self, payload: bytes) -> None:
        """As `offer_state`, on the alarm's topic."""
        self._board.offer(self._topics.alarm, payload)
        self.wake()

    def beat(self, payload: bytes) -> None:
        """Send this heartbeat once, if the broker is there just now."""
        self._board.beat(payload)
        self.wake()

    def offer_shadow(self, payload: bytes) -> None:
        """Publish this once. Never blocks: the station's disk has it, so the oldest may be lost."""
        self._shadow.append(payload)
        self.wake()

    def stop(self, drain_s: float) -> bool:
        """Deliver what is left for at most `drain_s`, then the last state, then say goodbye.

        Returns whether all was delivered. Where the last state could not be, the connection is
        cut instead, so that the broker publishes the last will.
        """
        if self._thread is None:
            return False
        self._stop_at = time.monotonic() + drain_s
        self._stopping.set()
        self.wake()
        self._thread.join(drain_s + FAREWELL_S + self._settings.connect_timeout_s + 2.0)
        if not self._thread.is_alive():
            self._wake.close()
        return self._all_delivered

    def _run(self, traffic: Traffic) -> None:
        failures = 0
        try:
            while not self._over(traffic.outbox):
                connection = self._connect(traffic)
                opened_at = time.monotonic()
                taken_before = self.acknowledged
                self._serve(connection, traffic)
                self._part(connection, traffic)
                good = time.monotonic() - opened_at > STEADY_S
                failures = 0 if good or self.acknowledged > taken_before else failures + 1
                if self._versions.ended(connection) and not self._over(traffic.outbox):
                    self._pause(failures, traffic)
            self._all_delivered = traffic.outbox.delivered_all()
        finally:
            traffic.save(time.monotonic(), at_once=True)
            traffic.outbox.close()

    def _connect(self, traffic: Traffic) -> Connection:
        connection = Connection(
            self._settings,
            self._versions.next(self._settings),
            client_id=self._client_id,
            will_topic=self._topics.state,
            will=self._will,
            inbound=traffic.inbound,
        )
        connection.open()
        return connection

    def _serve(self, connection: Connection, traffic: Traffic) -> None:
        """Until the connection is lost, or all is done that stop asked for."""
        farewell_by: float | None = None
        while connection.lost is None:
            at_work = self._give_way(traffic.outbox)
            now = time.monotonic()
            self._settle(connection, traffic, now)
            if connection.ready and not self.connected:
                self._greet(connection)
            if self._over(traffic.outbox):
                if farewell_by is None:
                    farewell_by = now + FAREWELL_S
                if not connection.ready or now > farewell_by or self._board.is_out():
                    return
                traffic.send_board(connection, now)
            elif connection.ready:
                ending = self._stopping.is_set()
                traffic.send(connection, now, at_work, ending=ending)
                self.sent = traffic.outbox.sent
                if traffic.shadow_waits:
                    self.wake()
            self.acknowledged_seq = traffic.outbox.cursor
            traffic.save(now)
            self._lose_patience(connection, traffic, now)
            if connection.turn(self._wake.out, self._wait_s(traffic, now)):
                self._wake.drain()
                traffic.outbox.look()

    def _give_way(self, outbox: Outbox) -> Callable[[], bool]:
        """A backlog rests while a part is in work, but for no longer than parts take.

        Returns what the rows that go now are to ask: nothing, where the station is at work still.
        """
        end = time.monotonic() + REST_MAX_S
        while outbox.rests(self.at_work):
            if self._stopping.is_set() or time.monotonic() > end:
                return idle
            time.sleep(REST_TURN_S)
        return self.at_work

    def _part(self, connection: Connection, traffic: Traffic) -> None:
        """End one connection, with goodbye where nothing is left to say."""
        if connection.lost is not None:
            # the usual sign of a client of the same name: a broker ends the older one
            hint = f"; another client may be called {self._client_id}" if connection.ready else ""
            self._patience.say(connection.lost + hint)
            connection.drop()
        elif connection.ready and self._board.is_out():
            connection.leave()
        else:
            connection.drop()
        # acknowledgements that came in its last moment
        self._settle(connection, traffic, time.monotonic())
        traffic.restart()
        self.connected = False

    def _greet(self, connection: Connection) -> None:
        self._versions.accepted(connection)
        self.connected = True
        self.reconnects = self._versions.connections - 1
        self._patience.greet(connection.protocol)
        if connection.protocol == "3.1.1" and not self.reconnects:
            log.warning("broker %s: %s", self._patience.broker, REFUSALS_UNSEEN)

    def _settle(self, connection: Connection, traffic: Traffic, now: float) -> None:
        traffic.settle(connection, now)
        self.acknowledged = traffic.acknowledged

    def _over(self, outbox: Outbox) -> bool:
        """Whether stop was asked for and nothing is left to wait for."""
        if not self._stopping.is_set():
            return False
        return time.monotonic() >= self._stop_at or outbox.delivered_all()

    def _lose_patience(self, connection: Connection, traffic: Traffic, now: float) -> None:
        """A broker that is there but does not answer is as good as gone."""
        oldest = traffic.oldest_sent_at() or now
        if now - oldest > self._settings.acknowledge_timeout_s:
            connection.lost = f"no acknowledgement within {now - oldest:.0f} s"

    def _wait_s(self, traffic: Traffic, now: float) -> float:
        times = [now + TURN_S]
        if self._stopping.is_set() and self._stop_at > now:
            times.append(self._stop_at)
        due = traffic.due()
        if due is not None:
            times.append(due)
        return min(times) - now

    def _pause(self, failures: int, traffic: Traffic) -> None:
        """Not in step with other stations; meanwhile the state still says who lags how far."""
        delay_s = self._patience.delay_s(failures)
        end = time.monotonic() + delay_s
        while (left_s := end - time.monotonic()) > 0.0:
            self._wake.wait(min(left_s, TURN_S))
            if self._stopping.is_set():
                # the drain is short: try more often, but do not spin
                time.sleep(max(0.0, min(delay_s, 0.25, self._stop_at - time.monotonic())))
                return
            traffic.save(time.monotonic())
