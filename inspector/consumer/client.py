"""`inspector subscribe`: every result of some stations into one store, proven to be all of them.

One thread. What is acknowledged to a station was committed to the store before. The broker need
keep nothing for us: what we miss while we or it are away is asked for again.
"""

import logging
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from inspector.consumer.ledger import Row
from inspector.consumer.settings import SubscribeSettings
from inspector.consumer.sinks import Sink, open_sink
from inspector.consumer.station import Followed
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import PACKET_BYTES_MAX, Inbound
from inspector.delivery.patience import Patience
from inspector.delivery.versions import Versions

log = logging.getLogger(__name__)

TURN_S = 0.25
LEAVE_S = 2.0
STEADY_S = 10.0
INBOUND_MAX = 10_000

COMPLETE, GAPS, DIFFERING, TOO_FEW = 0, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Report:
    code: int
    lines: tuple[str, ...]


class Subscriber:
    def __init__(
        self, settings: SubscribeSettings, *, expect: int | None, stop: Callable[[], bool]
    ) -> None:
        """expect: end once so many rows were stored. stop: asked a few times a second.

        Raises ConfigError, RecordError where the store cannot be used.
        """
        self._settings = settings
        self._expect = expect
        self._stop = stop
        self._sink: Sink = open_sink(settings.sink)
        self._followed = {
            name: Followed(
                settings, name, self._sink.last(name), partial(self._sink.stored_as, name)
            )
            for name in settings.stations
        }
        self._by_topic = {
            topic: each for each in self._followed.values() for topic in each.topics()
        }
        self._inbound = Inbound(
            list(self._by_topic), queue_max=INBOUND_MAX, payload_max=PACKET_BYTES_MAX
        )
        self._patience = Patience(settings.mqtt)
        self._versions = Versions(settings.mqtt.protocol)
        self._unstored: list[Row] = []
        self._unstored_since = 0.0
        self._stored = 0
        # turn() wants something to be woken by; nobody else is here to do so
        self._wake, self._wake_out = socket.socketpair()

    def run(self) -> Report:
        """Until told to stop, or until enough was stored. Raises RecordError, ConfigError."""
        failures = 0
        with closing(self._sink), self._wake, self._wake_out:
            while not self._over():
                connection = Connection(
                    self._settings.mqtt,
                    self._versions.next(self._settings.mqtt),
                    client_id=self._settings.client_id,
                    inbound=self._inbound,
                )
                opened_at = time.monotonic()
                connection.open()
                self._serve(connection)
                failures = 0 if time.monotonic() - opened_at > STEADY_S else failures + 1
                if self._versions.ended(connection) and not self._over():
                    self._pause(failures)
        return self._report()

    def _serve(self, connection: Connection) -> None:
        greeted = False
        for each in self._followed.values():
            each.restart(time.monotonic())
        try:
            while connection.lost is None and not self._over():
                now = time.monotonic()
                if self._inbound.listening and not greeted:
                    greeted = True
                    self._versions.accepted(connection)
                    self._patience.greet(connection.protocol)
                self._take(now)
                if self._due(now):
                    self._store()
                if greeted:
                    self._speak(connection, now)
                connection.acknowledged.clear()  # what is lost is said again on the next one
                connection.turn(self._wake, self._wait_s(now))
            self._take(time.monotonic())
            self._store()
            if connection.lost is None:
                self._leave(connection)
            else:
                called = self._settings.client_id
                hint = f"; another client may be called {called}" if connection.ready else ""
                self._patience.say(f"{connection.lost}{hint}")
        finally:
            connection.drop()

    def _take(self, now: float) -> None:
        while self._inbound.received:
            message = self._inbound.received.popleft()
            station = self._by_topic.get(message.topic)
            if station is None or not message.payload:
                continue
            ready = station.take(message.topic, message.payload, now, retained=message.retain)
            if ready and not self._unstored:
                self._unstored_since = now
            self._unstored += ready
            if len(self._unstored) >= self._settings.store_rows:
                self._store()

    def _due(self, now: float) -> bool:
        return bool(self._unstored) and (
            now - self._unstored_since >= self._settings.store_s or self._enough()
        )

    def _store(self) -> None:
        """After this they may be acknowledged, not before."""
        if not self._unstored:
            return
        for row in self._unstored:
            self._sink.write(row)
        self._sink.commit()
        self._stored += len(self._unstored)
        for row in self._unstored:
            self._followed[row.station].stored = {"seq": row.seq, "result_id": row.result_id}
        self._unstored.clear()

    def _speak(self, connection: Connection, now: float) -> None:
        for each in self._followed.values():
            for said in (each.acknowledgement(), each.request(now)):
                if said is not None and connection.lost is None:
                    connection.publish(*said, retain=False)

    def _leave(self, connection: Connection) -> None:
        """The last acknowledgements have reached the broker, or it takes too long."""
        end = time.monotonic() + LEAVE_S
        said = [each.acknowledgement() for each in self._followed.values()]
        connection.acknowledged.clear()
        waiting = {connection.publish(*each, retain=False) for each in said if each is not None}
        while waiting and connection.lost is None and time.monotonic() < end:
            connection.turn(self._wake, TURN_S)
            while connection.acknowledged:
                waiting.discard(connection.acknowledged.popleft().message)
        connection.leave()

    def _wait_s(self, now: float) -> float:
        if not self._unstored:
            return TURN_S
        return max(0.0, min(TURN_S, self._unstored_since + self._settings.store_s - now))

    def _enough(self) -> bool:
        return self._expect is not None and self._stored + len(self._unstored) >= self._expect

    def _over(self) -> bool:
        """One station with another journal ends nothing for those beside it."""
        contradicted = all(each.contradicted for each in self._followed.values())
        enough = self._expect is not None and self._stored >= self._expect
        return contradicted or enough or self._stop()

    def _pause(self, failures: int) -> None:
        end = time.monotonic() + self._patience.delay_s(failures)
        while time.monotonic() < end and not self._over():
            time.sleep(min(TURN_S, max(0.0, end - time.monotonic())))

    def _report(self) -> Report:
        lines, gaps, differing, silent = [], False, False, False
        now = time.monotonic()
        for each in self._followed.values():
            ledger, missing = each.ledger, each.lacking(now)
            at = each.stored["seq"] if each.stored else 0
            lines.append(
                f"station {each.name}: {ledger.rows} results stored, up to {at}; "
                f"{each.replayed} sent again on {each.requests} requests; "
                f"{ledger.duplicates} duplicates dropped; {len(ledger.gaps)} gaps"
            )
            lines += [f"  GAP: {gap.first} to {gap.last} are gone" for gap in ledger.gaps]
            lines += [f"  DIFFERS: {words}" for words in ledger.differing]
            if missing is not None:
                lines.append(f"  MISSING: {missing.first} and on have not come yet")
            if each.contradicted:
                lines.append(
                    f"  REFUSED: {each.contradicted}. If its journal was begun anew, begin anew "
                    f"here too: move the store away, keep it. If another line's station "
                    f"{each.name} is stored here: a store of its own for each, rows are told "
                    f"apart by station and number"
                )
            if not each.heard:
                lines.append("  SILENT: nothing was heard of it")
            if each.unreadable:
                lines.append(f"  UNREADABLE: {each.unreadable} messages")
            if each.odd:
                lines.append(
                    f"  ODD: {each.odd} results hold what a column cannot: it is empty there, the "
                    f"payload has it"
                )
            gaps |= bool(ledger.gaps) or missing is not None or each.unreadable > 0
            differing |= bool(ledger.differing) or each.contradicted is not None
            silent |= not each.heard
        code = DIFFERING if differing else GAPS if gaps else COMPLETE
        if code == COMPLETE and self._expect is not None and self._stored < self._expect:
            lines.append(f"{self._stored} results, {self._expect} were expected")
            code = TOO_FEW
        if code == COMPLETE and silent:
            code = TOO_FEW
        return Report(code, tuple(lines))
