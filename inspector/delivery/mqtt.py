"""The courier: from the journal to the broker, at QoS 1, until acknowledged. One thread.

A new row wakes it; the broker away, the rows wait in the journal and the station does not
notice. Near the journal's limit it does: then nothing passes any more, and nothing is lost.
"""

import logging
import random
import socket
import threading
import time
from collections import deque
from contextlib import ExitStack, suppress
from pathlib import Path

from inspector.contract.topics import Place
from inspector.delivery.board import Board
from inspector.delivery.broker import MqttSettings
from inspector.delivery.connection import Connection
from inspector.delivery.cursors import Cursors
from inspector.delivery.outbox import Outbox
from inspector.delivery.reader import JournalReader
from inspector.delivery.release import Released
from inspector.delivery.versions import Versions

__all__ = ["Courier", "MqttSettings"]

log = logging.getLogger(__name__)

TURN_S = 1.0
FAREWELL_S = 1.0  # for the last state, after the drain
STEADY_S = 10.0  # a connection that held this long was a good one
SAY_AGAIN_S = 60.0
SHADOW_MAX = 100


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
    ) -> None:
        self._settings = settings
        self._journal_path = journal.resolve()
        self._released = released
        self._topics = place
        self._shadow: deque[bytes] = deque(maxlen=SHADOW_MAX)
        self._will = will
        self._board = Board(place.heartbeat)
        place_name = place.result.rpartition("/")[0].replace("/", "-")
        self._client_id = settings.client_id or f"inspector-{place_name}"
        self._thread: threading.Thread | None = None
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._stopping = threading.Event()
        self._stop_at = 0.0
        self._all_delivered = False
        # from here on the courier's thread writes; others may read the figures
        self._versions = Versions(settings.protocol)
        self._said = ("", 0.0)
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
            opened.callback(self._close_wake)
            rows = opened.enter_context(JournalReader(self._journal_path))
            cursors = opened.enter_context(Cursors(self._journal_path))
            outbox = Outbox(rows, cursors, self._released, self._topics.result)
            self.acknowledged_seq = outbox.cursor
            opened.pop_all()
        self._thread = threading.Thread(
            target=self._run, args=(outbox,), name="courier", daemon=True
        )
        self._thread.start()

    def alive(self) -> bool:
        """False before start, after stop, and when the thread has died of our own fault."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """There is a new row. Never blocks."""
        with suppress(OSError):  # full: it is awake already; closed: it has ended
            self._wake_in.send(b"\0")

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
            self._close_wake()
        return self._all_delivered

    def _run(self, outbox: Outbox) -> None:
        failures = 0
        try:
            while not self._over(outbox):
                connection = self._connect()
                opened_at = time.monotonic()
                taken_before = self.acknowledged
                self._serve(connection, outbox)
                self._part(connection, outbox)
                good = time.monotonic() - opened_at > STEADY_S
                failures = 0 if good or self.acknowledged > taken_before else failures + 1
                if self._versions.ended(connection) and not self._over(outbox):
                    self._pause(failures)
            self._all_delivered = outbox.delivered_all()
        finally:
            outbox.save(time.monotonic(), at_once=True)
            outbox.close()

    def _connect(self) -> Connection:
        protocol, answer_timeout_s = self._versions.next(self._settings)
        connection = Connection(
            self._settings,
            protocol,
            client_id=self._client_id,
            will_topic=self._topics.state,
            will=self._will,
            answer_timeout_s=answer_timeout_s,
        )
        connection.open()
        return connection

    def _serve(self, connection: Connection, outbox: Outbox) -> None:
        """Until the connection is lost, or all is done that stop asked for."""
        farewell_by: float | None = None
        while connection.lost is None:
            now = time.monotonic()
            self._settle(connection, outbox, now)
            if connection.ready and not self.connected:
                self._greet(connection)
            if self._over(outbox):
                if farewell_by is None:
                    farewell_by = now + FAREWELL_S
                if not connection.ready or now > farewell_by or self._board.is_out():
                    return
                self._send_board(connection, outbox, now)
            elif connection.ready:
                if not self._stopping.is_set():  # then the state comes last
                    self._send_board(connection, outbox, now)
                    self._send_shadow(connection, outbox)
                outbox.send(connection, connection.in_flight_max - self._board.in_flight, now)
                self.sent = outbox.sent
            self.acknowledged_seq = outbox.cursor
            outbox.save(now)
            self._lose_patience(connection, outbox, now)
            if connection.turn(self._wake_out, self._wait_s(outbox, now)):
                self._drain_wake()
                outbox.look()

    def _part(self, connection: Connection, outbox: Outbox) -> None:
        """End one connection, with goodbye where nothing is left to say."""
        if connection.lost is not None:
            # the usual sign of a client of the same name: a broker ends the older one
            hint = f"; another client may be called {self._client_id}" if connection.ready else ""
            self._say(connection.lost + hint)
            connection.drop()
        elif connection.ready and self._board.is_out():
            connection.leave()
        else:
            connection.drop()
        # acknowledgements that came in its last moment
        self._settle(connection, outbox, time.monotonic())
        outbox.restart()
        self._board.restart()
        self.connected = False

    def _greet(self, connection: Connection) -> None:
        self._versions.accepted(connection)
        self.connected = True
        self.reconnects = self._versions.connections - 1
        self._said = ("", 0.0)
        log.info("connected to %s, MQTT %s", self._broker(), connection.protocol)

    def _settle(self, connection: Connection, outbox: Outbox, now: float) -> None:
        while connection.acknowledged:
            answer = connection.acknowledged.popleft()
            if self._board.settle(answer):
                if answer.refusal is not None:
                    self._say(f"the state was refused: {answer.refusal}")
            elif outbox.settle(answer, now):
                self.acknowledged += 1

    def _send_board(self, connection: Connection, outbox: Outbox, now: float) -> None:
        self._board.send(connection, connection.in_flight_max - outbox.in_flight, now)

    def _send_shadow(self, connection: Connection, outbox: Outbox) -> None:
        """One a turn: results come first. Nobody waits for its acknowledgement."""
        if self._shadow and outbox.in_flight + self._board.in_flight < connection.in_flight_max:
            connection.publish(self._topics.shadow, self._shadow.popleft(), retain=False)
            if self._shadow:
                self.wake()

    def _over(self, outbox: Outbox) -> bool:
        """Whether stop was asked for and nothing is left to wait for."""
        if not self._stopping.is_set():
            return False
        return time.monotonic() >= self._stop_at or outbox.delivered_all()

    def _lose_patience(self, connection: Connection, outbox: Outbox, now: float) -> None:
        """A broker that is there but does not answer is as good as gone."""
        times = [outbox.oldest_sent_at(), self._board.oldest_sent_at()]
        oldest = min((at for at in times if at is not None), default=now)
        if now - oldest > self._settings.acknowledge_timeout_s:
            connection.lost = f"no acknowledgement within {now - oldest:.0f} s"

    def _wait_s(self, outbox: Outbox, now: float) -> float:
        times = [now + TURN_S]
        if self._stopping.is_set() and self._stop_at > now:
            times.append(self._stop_at)
        due = outbox.due()
        if due is not None:
            times.append(due)
        return min(times) - now

    def _close_wake(self) -> None:
        self._wake_in.close()
        self._wake_out.close()

    def _drain_wake(self) -> None:
        with suppress(BlockingIOError):
            while len(self._wake_out.recv(4_096)) == 4_096:
                pass

    def _pause(self, failures: int) -> None:
        """Wait longer each time, up to a limit, and not in step with other stations."""
        longest_s = self._settings.backoff_max_s
        delay_s = min(longest_s, self._settings.backoff_min_s * 2.0 ** min(failures, 20))
        delay_s *= random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        if self._stopping.wait(delay_s):
            # the drain is short: try more often, but do not spin
            time.sleep(max(0.0, min(delay_s, 0.25, self._stop_at - time.monotonic())))

    def _say(self, words: str) -> None:
        """Log a trouble once, and again only now and then."""
        before, at = self._said
        now = time.monotonic()
        if words != before or now - at > SAY_AGAIN_S:
            log.warning("broker %s: %s", self._broker(), words)
            self._said = (words, now)

    def _broker(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"
