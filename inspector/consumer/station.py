"""One station as a consumer follows it: what came, what to ask for, what to acknowledge."""

import json
import logging
import secrets
from typing import Any

from inspector.consumer.ledger import Gap, Ledger, Row
from inspector.consumer.settings import SubscribeSettings
from inspector.consumer.sinks import Position
from inspector.contract.consumer import (
    Acknowledgement,
    ConsumerReply,
    ReplayRequest,
    row_within,
)
from inspector.contract.strict import Name
from inspector.contract.topics import Place

log = logging.getLogger(__name__)


class Followed:
    def __init__(self, settings: SubscribeSettings, station: Name, last: Position | None) -> None:
        self.name = station
        self._settings = settings
        self._place = Place.of(settings.topic_root, station)
        self._mine = self._place.consumer(settings.consumer)
        self.ledger = Ledger(last["seq"] if last else None)
        self.stored = last
        self._acknowledged: Position | None = None
        self._asked: ReplayRequest | None = None
        self._asked_at = 0.0
        self._moved_at = float("-inf")
        self._registered: bool | None = None
        self.unreadable = 0
        self.replayed = 0
        self.requests = 0
        self.contradicted: str | None = None
        """The station's journal does not hold what is stored here: it is another one."""
        self.heard = False
        """The station has said anything at all, or its broker for it."""

    def topics(self) -> list[str]:
        return [self._place.result, self._place.state, self._mine.replayed, self._mine.reply]

    def restart(self, now: float) -> None:
        """A new connection: the station may not have heard what was said on the last one, and
        may be about to send what is missing."""
        self._acknowledged = None
        self._asked = None
        self._moved_at = now

    def take(self, topic: str, payload: bytes, now: float) -> list[Row]:
        """A message on one of `topics`; the rows that may be stored now."""
        self.heard = True
        try:
            message: dict[str, Any] = json.loads(payload)
            if topic == self._place.state:
                self._take_state(message)
                return []
            if topic == self._mine.reply:
                return self._take_reply(ConsumerReply.model_validate_json(payload), now)
            if topic == self._mine.replayed:
                self.replayed += 1
                payload = row_within(payload)
                message = json.loads(payload)
            row = Row(self.name, int(message["seq"]), str(message["result_id"]), payload, message)
            if message["station"] != self.name or row.seq < 1:
                raise ValueError("a result of another station")
        except (ValueError, KeyError, TypeError) as error:  # pydantic's is a ValueError
            self.unreadable += 1
            if self.unreadable == 1:
                log.warning(
                    "station %s: a message on %s cannot be read: %s", self.name, topic, error
                )
            return []
        before = self.ledger.next
        ready = self.ledger.take(row)
        if self.ledger.next != before:
            self._moved_at = now
        return ready

    def request(self, now: float) -> tuple[str, bytes] | None:
        """What to ask the station for now."""
        if self._asked is not None:
            quiet_since = max(self._asked_at, self._moved_at)
            if now - quiet_since < self._settings.ask_again_s:
                return None
        missing = self.lacking(now)
        if missing is None:
            self._asked = None
            return None
        self._asked, self._asked_at = self._replay(missing), now
        self.requests += 1
        return self._mine.replay, self._asked.to_json()

    def acknowledgement(self) -> tuple[str, bytes] | None:
        """What the station may be told to be stored, once."""
        if self.stored is None or self.stored == self._acknowledged:
            return None
        self._acknowledged = self.stored
        words = {"schema": 1, "station": self.name, **self.stored}
        return self._mine.ack, Acknowledgement.model_validate(words).to_json()

    def lacking(self, now: float) -> Gap | None:
        """Rows known to exist that should have come; what may be on its way is not meant."""
        missing = self.ledger.missing()
        if missing is None or self.ledger.out_of_order:
            return missing
        return missing if now - self._moved_at >= self._settings.late_after_s else None

    def _replay(self, missing: Gap) -> ReplayRequest:
        words = {
            "schema": 1,
            "station": self.name,
            "id": f"{self.requests + 1}-{secrets.token_hex(4)}",
            "from": missing.first,
            "to": missing.last,
        }
        return ReplayRequest.model_validate(words)

    def _take_state(self, message: dict[str, Any]) -> None:
        self.ledger.told(int(message["seq"]))
        at = {each["name"]: each["acknowledged"] for each in message.get("consumers", ())}
        if message["state"] == "OFFLINE":
            return  # the last will names nobody
        registered = self._settings.consumer in at
        if registered and self.stored and at[self._settings.consumer] < self.stored["seq"]:
            self._acknowledged = None  # it was away when it was told, or killed before it noted it
        if registered is not self._registered and not registered:
            log.warning(
                "station %s does not know consumer %s: nothing is kept or sent again for it; "
                "name it under [[consumers]] in its settings",
                self.name,
                self._settings.consumer,
            )
        self._registered = registered

    def _take_reply(self, reply: ConsumerReply, now: float) -> list[Row]:
        if reply.about == "ack":
            at = self.stored["seq"] if self.stored else 0
            if reply.first is None or reply.first <= at:  # else the row was let go meanwhile
                self.contradicted = reply.reason
            return []
        if self._asked is None or reply.id != self._asked.id:
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
