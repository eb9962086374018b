"""Registered consumers as the courier's thread serves them: acknowledgements and replays.

What comes from a consumer is somebody else's message: read strictly, refused in words, counted.
Only what the journal can confirm moves a cursor.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from inspector.contract.channels import REPLY_EXPIRY_S
from inspector.contract.consumer import (
    Acknowledgement,
    ConsumerReply,
    ReplayRequest,
    read_acknowledgement,
    read_request,
)
from inspector.contract.errors import CommandError, RecordError
from inspector.contract.foreign import REASON_MAX
from inspector.contract.result import row_of
from inspector.contract.status import ConsumerStatus
from inspector.contract.strict import Name
from inspector.contract.topics import ConsumerPlace, Place
from inspector.delivery import connection as wire
from inspector.delivery.cursors import Cursors
from inspector.delivery.pace import Pace
from inspector.delivery.reader import JournalReader
from inspector.delivery.replay import Replay
from inspector.delivery.retention import ConsumerSettings

log = logging.getLogger(__name__)

REPLIES_MAX = 100
BURST_S = 0.1
SAVE_EVERY_S = 0.25
SAVE_AGAIN_S = 5.0  # after the disk refused
LOOK_EVERY_S = 1.0
SAY_EVERY = 1_000  # refusals of one consumer: the first is logged, then each thousandth


@dataclass(slots=True)
class _Consumer:
    name: Name
    place: ConsumerPlace
    pace: Pace
    acknowledged: int
    saved: int
    refused: int = 0
    replayed: int = 0
    replay: Replay | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose messages these are."""

    station: Name
    boot: str


class Consumers:
    """Used by the courier's thread alone; `status` is replaced as a whole, so any thread may look.

    told: up to which row anybody may have seen results.
    """

    def __init__(
        self,
        settings: Sequence[ConsumerSettings],
        *,
        who: Identity,
        place: Place,
        rows: JournalReader,
        cursors: Cursors,
        told: Callable[[], int],
    ) -> None:
        self._who = who
        self._rows = rows
        self._cursors = cursors
        self._told = told
        self._all: list[_Consumer] = []
        for each in settings:
            at = cursors.register(each.name)
            topics = place.consumer(each.name)
            self._all.append(_Consumer(each.name, topics, Pace(each.replay_per_s, BURST_S), at, at))
        self._by_topic = {
            topic: each for each in self._all for topic in (each.place.ack, each.place.replay)
        }
        self._replies: deque[tuple[str, bytes]] = deque(maxlen=REPLIES_MAX)
        self._save_at = 0.0
        self._save_failed = False
        self._look_at = 0.0
        self.status: tuple[ConsumerStatus, ...] = ()
        self.look(0.0)

    def topics(self) -> list[str]:
        """What to subscribe to."""
        return list(self._by_topic)

    @property
    def in_flight(self) -> int:
        return sum(each.replay.in_flight for each in self._all if each.replay)

    def take(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """A message came on one of `topics`."""
        consumer = self._by_topic.get(topic)
        if consumer is None:
            return
        about: Literal["ack", "replay"] = "ack" if topic == consumer.place.ack else "replay"
        request: ReplayRequest | None = None
        try:
            if retained:
                raise CommandError("it was retained: nobody knows when it was meant")
            if about == "ack":
                self._acknowledge(consumer, read_acknowledgement(payload))
            else:
                request = read_request(payload)
                self._begin(consumer, request)
        except CommandError as error:
            consumer.refused += 1
            if consumer.refused % SAY_EVERY == 1:
                log.warning("consumer %s: %s refused: %s", consumer.name, about, error)
            self._reply(consumer, about, request, "refused", str(error))

    def send(self, connection: wire.Connection, room: int, now: float) -> None:
        """Replies, and rows asked for, at most `room` messages to be acknowledged."""
        # who is told that the journal is another one must hear it before that one's rows
        self._send_replies(connection)
        for each in self._all:
            if each.replay is None:
                continue
            sent, ended = each.replay.send(connection, self._rows, room, now)
            room -= sent
            each.replayed += sent
            if ended is not None:
                self._end(each, *ended)
        self._send_replies(connection)

    def settle(self, answer: wire.Acknowledgement) -> bool:
        """Take the broker's answer; whether it was about one of these."""
        for each in self._all:
            if each.replay is not None and each.replay.settle(answer.message):
                if answer.refusal is not None:
                    self._end(each, "failed", f"the broker refuses its rows: {answer.refusal}")
                return True
        return False

    def restart(self) -> None:
        """The connection is lost: replays go on with the next one."""
        for each in self._all:
            if each.replay is not None:
                each.replay.restart()

    def oldest_sent_at(self) -> float | None:
        times = [each.replay.oldest_sent_at() for each in self._all if each.replay]
        return min((at for at in times if at is not None), default=None)

    def due(self) -> float | None:
        """When there is something to do without the network."""
        # one that waits for the broker is woken by the broker
        under_way = [each.replay for each in self._all if each.replay and not each.replay.in_flight]
        times = [replay.pace.next_at() for replay in under_way]
        if any(each.saved != each.acknowledged for each in self._all):
            times.append(self._save_at)
        return min(times, default=None)

    def save(self, now: float, *, at_once: bool = False) -> None:
        """Persist the cursors, at most a few times a second. A power cut may forget the last:
        more is kept than needed, until the consumer's next acknowledgement."""
        changed = [each for each in self._all if each.saved != each.acknowledged]
        if not changed or (now < self._save_at and not at_once):
            return
        try:
            for each in changed:
                self._cursors.advance(each.name, each.acknowledged)
                each.saved = each.acknowledged
        except RecordError as error:
            if not self._save_failed:
                log.warning("%s; more rows are kept for consumers than needed", error)
            self._save_failed = True
            self._save_at = now + SAVE_AGAIN_S
            return
        self._save_failed = False
        self._save_at = now + SAVE_EVERY_S

    def look(self, now: float) -> None:
        """Bring `status` up to date, once a second."""
        if now < self._look_at or not self._all:
            return
        self._look_at = now + LOOK_EVERY_S
        last = self._rows.last_seq()
        first = self._rows.first_seq() or last + 1
        self.status = tuple(
            ConsumerStatus(
                name=each.name,
                acknowledged=each.acknowledged,
                lag=max(0, last - each.acknowledged),
                oldest_unacknowledged_s=self._rows.waits_s(each.acknowledged),
                lost=max(0, first - 1 - each.acknowledged),
                refused=each.refused,
                replayed=each.replayed,
            )
            for each in self._all
        )

    def _send_replies(self, connection: wire.Connection) -> None:
        while self._replies and connection.lost is None:
            topic, payload = self._replies.popleft()
            # nobody waits for its answer
            connection.publish(topic, payload, retain=False, expiry_s=REPLY_EXPIRY_S)

    def _acknowledge(self, consumer: _Consumer, ack: Acknowledgement) -> None:
        """Raises CommandError where the journal does not confirm what is acknowledged."""
        self._require_station(ack.station)
        if ack.seq > self._told():
            raise CommandError(f"row {ack.seq} was not sent yet, the last was {self._told()}")
        row = self._rows.row(ack.seq)
        if row is None:
            if ack.seq <= consumer.acknowledged:
                return  # one that was on its way for long: it changes nothing
            raise CommandError(f"row {ack.seq} is not in this journal")
        result = row_of(row)
        if result is None:
            return  # a disk has spoilt it: the next one acknowledged says whose they are
        if result.get("result_id") != ack.result_id:
            raise CommandError(f"row {ack.seq} has another result_id: is it of this journal?")
        consumer.acknowledged = max(consumer.acknowledged, ack.seq)

    def _begin(self, consumer: _Consumer, request: ReplayRequest) -> None:
        """Raises CommandError where not every row asked for can be sent."""
        self._require_station(request.station)
        first, told = self._rows.first_seq(), self._told()
        there = "there is none" if first is None else f"there are {first} to {told}"
        if first is None or request.first < first:
            raise CommandError(f"rows from {request.first} on are no longer there: {there}")
        if request.last > told:
            raise CommandError(
                f"rows up to {request.last} were not sent yet and come by themselves: {there}"
            )
        if consumer.replay is not None and consumer.replay.request.id != request.id:
            words = f"request {request.id} took its place"
            self._reply(consumer, "replay", consumer.replay.request, "failed", words)
        consumer.replay = Replay(
            request, self._who.station, consumer.name, consumer.place.replayed, consumer.pace
        )
        log.info("consumer %s: results %d to %d again", consumer.name, request.first, request.last)

    def _end(self, consumer: _Consumer, outcome: Literal["done", "failed"], reason: str) -> None:
        if consumer.replay is not None:
            request = consumer.replay.request
            since = request.first if outcome == "failed" else 0
            self._reply(consumer, "replay", request, outcome, reason, since)
            consumer.replay = None

    def _require_station(self, station: Name) -> None:
        if station != self._who.station:
            raise CommandError(f"it is for station {station}, this is {self._who.station}")

    def _reply(
        self,
        consumer: _Consumer,
        about: Literal["ack", "replay"],
        request: ReplayRequest | None,
        outcome: Literal["done", "refused", "failed"],
        reason: str,
        since: int = 0,
    ) -> None:
        """since: the oldest row from this one on is told; a hole is stepped over by it."""
        reply = ConsumerReply(
            station=self._who.station,
            boot=self._who.boot,
            consumer=consumer.name,
            about=about,
            id=request.id if request else None,
            outcome=outcome,
            reason=reason[:REASON_MAX],
            first=self._rows.first_seq(since),
            last=self._told(),
            acknowledged=consumer.acknowledged,
        )
        self._replies.append((consumer.place.reply, reply.to_json()))
