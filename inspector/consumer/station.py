"""One station as a consumer follows it: what came, what to ask for, what to acknowledge."""

import logging
import secrets

from inspector.consumer.heard import Told, read_reply, read_row, read_state
from inspector.consumer.ledger import Gap, Ledger, Row, StoredAs
from inspector.consumer.settings import SubscribeSettings
from inspector.consumer.sinks import Position
from inspector.contract.consumer import (
    Acknowledgement,
    ConsumerReply,
    ReplayRequest,
    row_within,
    seq_before,
)
from inspector.contract.strict import Name
from inspector.contract.topics import Place

log = logging.getLogger(__name__)

SHOWN_MAX = 200
SAY_EVERY = 1_000  # messages that cannot be read: the first of a kind, then each thousandth


class Followed:
    def __init__(
        self,
        settings: SubscribeSettings,
        station: Name,
        last: Position | None,
        stored_as: StoredAs = lambda _: None,
    ) -> None:
        self.name = station
        self._settings = settings
        self._place = Place.of(settings.topic_root, station)
        self._mine = self._place.consumer(settings.consumer)
        self.ledger = Ledger(last["seq"] if last else None, stored_as)
        self.stored = last
        self._acknowledged: Position | None = None
        self._asked: ReplayRequest | None = None
        self._asked_at = 0.0
        self._moved_at = float("-inf")
        self._registered: bool | None = None
        self.unreadable = 0
        """Messages that were none, or no result that could be named: not taken."""
        self._refused: set[tuple[str, type[Exception]]] = set()
        self.odd = 0
        """Results stored with a cell left empty, since its column cannot hold what they say."""
        self._odd_columns: set[str] = set()
        self.replayed = 0
        self.requests = 0
        self.contradicted: str | None = None
        """The station's journal does not hold what is stored here: it is another one, which counts
        from 1 again. Its rows would pass for old ones: none is taken or acknowledged any more."""
        self._told_first: Position | None = None
        """Acknowledged first since the station may have become another one."""
        self._doubted: Position | None = None
        """A row stored here that the journal must show before more is taken from it."""
        self._doubted_boot: str | None = None
        self._settled_boot: str | None = None
        """The boot that is not doubted again: a boot has one journal."""
        self.heard = False
        """The station has said anything at all, or its broker for it."""

    def topics(self) -> list[str]:
        return [self._place.result, self._place.state, self._mine.replayed, self._mine.reply]

    def restart(self, now: float) -> None:
        """A new connection: the station may not have heard what was said on the last one, and
        may be about to send what is missing."""
        self._acknowledged = None
        self._asked = None
        self._doubted = None
        self._moved_at = now
        if self.contradicted:
            self._say_contradicted()

    def take(self, topic: str, payload: bytes, now: float, *, retained: bool = False) -> list[Row]:
        """A message on one of `topics`; the rows that may be stored now."""
        self.heard = True
        if self.contradicted:
            return []
        self.replayed += topic == self._mine.replayed
        try:
            said = self._read(topic, payload, retained=retained)
        except Exception as error:  # noqa: BLE001 - what nobody thought of costs this message alone
            # a result that was refused stays missing: asked for again, and a gap if in vain
            self._refuse(topic, payload, error)
            if topic == self._mine.replayed:
                self.ledger.unreadable(seq_before(payload))
            return []
        # from here on nothing is caught: a row that left the ledger is stored, or all begins anew
        gaps = len(self.ledger.gaps)
        match said:
            case Row():
                ready = self._take_row(said, now)
            case ConsumerReply():
                ready = self._take_reply(said, now)
            case Told():
                ready = self._take_state(said)
        for row in ready:
            self._note_odd(row)
        for gap in self.ledger.gaps[gaps:]:
            log.error("station %s: GAP: %d to %d are gone", self.name, gap.first, gap.last)
        return ready

    def _read(self, topic: str, payload: bytes, *, retained: bool) -> Row | ConsumerReply | Told:
        """Changes nothing: whatever is raised here has cost one message. Raises ValueError."""
        if topic == self._place.state:
            return read_state(payload)
        if retained:  # no station does that, and it would come again at each connection
            raise ValueError("it was retained")
        if topic == self._mine.reply:
            return read_reply(payload)
        if topic == self._mine.replayed:
            payload = row_within(payload)
        return read_row(payload, self.name)

    def _refuse(self, topic: str, payload: bytes, error: Exception) -> None:
        self.unreadable += 1
        kind = (topic, type(error))
        if kind in self._refused and self.unreadable % SAY_EVERY:
            return
        self._refused.add(kind)
        log.warning(
            "station %s: a message on %s cannot be read (%d so far): %s; it begins %r",
            self.name,
            topic,
            self.unreadable,
            str(error)[:SHOWN_MAX],
            payload[:SHOWN_MAX],
            exc_info=None if isinstance(error, ValueError) else error,
        )

    def _take_row(self, row: Row, now: float) -> list[Row]:
        if self._doubted is not None:
            self._compare(self._doubted, row)
            return []
        before = self.ledger.next
        ready = self.ledger.take(row)
        if self.ledger.next != before:
            self._moved_at = now
        return ready

    def _note_odd(self, row: Row) -> None:
        if not row.odd:
            return
        self.odd += 1
        new = row.odd.keys() - self._odd_columns
        if new:
            self._odd_columns |= new
            log.warning(
                "station %s: row %d holds what the table's columns do not take (%s): empty there, "
                "the payload has it",
                self.name,
                row.seq,
                ", ".join(sorted(new)),
            )

    def request(self, now: float) -> tuple[str, bytes] | None:
        """What to ask the station for now."""
        if self._asked is not None:
            quiet_since = max(self._asked_at, self._moved_at)
            if now - quiet_since < self._settings.ask_again_s:
                return None
        missing = None if self.contradicted else self._wanted(now)
        if missing is None:
            self._asked = None
            return None
        self._asked, self._asked_at = self._replay(missing), now
        self.requests += 1
        return self._mine.replay, self._asked.to_json()

    def acknowledgement(self) -> tuple[str, bytes] | None:
        """What the station may be told to be stored, once."""
        if self.contradicted or self.stored is None or self.stored == self._acknowledged:
            return None
        if self._acknowledged is None:
            self._told_first = self.stored
        self._acknowledged = self.stored
        words = {"schema": 1, "station": self.name, **self.stored}
        return self._mine.ack, Acknowledgement.model_validate(words).to_json()

    def lacking(self, now: float) -> Gap | None:
        """Rows known to exist that should have come; what may be on its way is not meant."""
        missing = self.ledger.missing()
        if missing is None or self.ledger.out_of_order:
            return missing
        return missing if now - self._moved_at >= self._settings.late_after_s else None

    def _wanted(self, now: float) -> Gap | None:
        """The row that tells whose journal it is, else what is missing."""
        if self._doubted is None:
            return self.lacking(now)
        return Gap(self._doubted["seq"], self._doubted["seq"])

    def _contradict(self, why: str) -> None:
        self.contradicted = why
        self._say_contradicted()

    def _say_contradicted(self) -> None:
        log.error("station %s is followed no more: %s", self.name, self.contradicted)

    def _replay(self, missing: Gap) -> ReplayRequest:
        name = f"{self.requests + 1}-{secrets.token_hex(4)}"
        rows = {"from": missing.first, "to": missing.last}
        words = {"schema": 1, "station": self.name, "id": name, **rows}
        return ReplayRequest.model_validate(words)

    def _take_state(self, told: Told) -> list[Row]:
        self.ledger.told(told.seq)
        if told.state == "OFFLINE":
            return []  # the last will names nobody
        at = told.acknowledged(self._settings.consumer)
        if at is not None and self.stored and at < self.stored["seq"]:
            self._acknowledged = None  # it was away when it was told, or killed before it noted it
        registered = at is not None
        if registered is not self._registered and not registered:
            log.warning(
                "station %s does not know consumer %s: nothing is kept or sent again for it; "
                "name it under [[consumers]] in its settings",
                self.name,
                self._settings.consumer,
            )
        self._registered = registered
        return []

    def _take_reply(self, reply: ConsumerReply, now: float) -> list[Row]:
        if reply.about == "ack":
            self._doubt(reply)
            return []
        if self._asked is None or reply.id != self._asked.id:
            return []
        if self._doubted is not None:
            self._judge(self._doubted, reply)
            return []
        asked, self._asked = self._asked, None
        if reply.outcome == "done":
            return self.ledger.asked_in_vain() if self.ledger.next == asked.first else []
        log.info("station %s: %s", self.name, reply.reason)
        self._moved_at = now  # not again at once
        self.ledger.corrected(reply.last)
        if reply.first is None or reply.first > asked.first:
            return self.ledger.gone(reply.first)
        return []

    def _doubt(self, reply: ConsumerReply) -> None:
        """Whoever may write on our topic can have an acknowledgement refused, and the reply does
        not say which. So a row that is stored is asked for: the journal has it as it is here, or
        is another one. What comes before that is known is not taken, and asked for again."""
        told, first = self._acknowledged, self._told_first
        if told is None or first is None:
            return  # ours is sent again, and refused again if it is ours
        if self._doubted is not None or reply.boot == self._settled_boot:
            return
        log.warning("station %s refused an acknowledgement: %s", self.name, reply.reason)
        there = reply.first is not None and reply.first <= first["seq"]
        self._doubted = first if there else told
        self._doubted_boot = reply.boot
        self._asked = None

    def _compare(self, doubted: Position, row: Row) -> None:
        self.ledger.told(row.seq)
        if row.seq != doubted["seq"]:
            return
        if row.result_id == doubted["result_id"]:
            self._trust()
        else:
            self._contradict(
                f"row {row.seq} is result {row.result_id} there and {doubted['result_id']} here"
            )

    def _judge(self, doubted: Position, reply: ConsumerReply) -> None:
        """The row has not come."""
        at = doubted["seq"]
        if reply.outcome != "refused":
            return  # it is asked for again in time
        if reply.last < at:
            self._contradict(f"row {at} was not sent yet, the last was {reply.last}")
        elif reply.first is None and reply.acknowledged < at:
            self._contradict(f"row {at} is not in its journal, nor any other")
        else:
            log.info("station %s: row %d was let go there: it goes on", self.name, at)
            self._settle()

    def _trust(self) -> None:
        log.warning(
            "station %s: its journal holds what is stored here, so that was not ours: who else "
            "may write on %s?",
            self.name,
            self._mine.ack,
        )
        self._settle()

    def _settle(self) -> None:
        self._settled_boot = self._doubted_boot
        self._doubted = None
        self._asked = None
