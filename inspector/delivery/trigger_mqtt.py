"""Triggers over MQTT: the line says that a part is there. Accepted once, or refused and counted.

One accepted trigger, exactly one verdict. What comes while a part is in work is recorded as
UNDEFINED, since a later picture may show another part; beyond `waiting_max` of these it is missed.
And where it comes before that part's picture is there, that part is UNDEFINED too.
"""

import json
import logging
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from inspector.contract.errors import CommandError
from inspector.contract.image import Image
from inspector.contract.result import InspectionResult
from inspector.contract.status import TriggerRefusal, TriggerStatus
from inspector.contract.strict import Strict
from inspector.contract.trigger import TriggerMessage, parse_trigger
from inspector.delivery.broker import MqttSettings
from inspector.delivery.inbound import Inbound, Message
from inspector.delivery.listening import Listening
from inspector.delivery.reader import JournalReader
from inspector.station.ports import Part

REMEMBERED_MAX = 4_096
"""So many ids back a trigger is known as one that came before."""
IDS_READ, BYTES_READ = 2_000, 32_000_000  # of the journal, at the start
ROWS_AT_ONCE = 50  # a row of a thousand tiles is large
SAY_EVERY_S = 10.0

log = logging.getLogger(__name__)


class MqttTriggerSettings(Strict):
    """Messages on ROOT/STATION/trigger, from the broker of [mqtt]."""

    kind: Literal["mqtt"] = "mqtt"
    waiting_max: Annotated[int, Field(ge=1, le=64)] = 8
    """Triggers that came while a part was in work, each to be recorded; one more is missed."""
    wait_max_ms: Annotated[int, Field(ge=1, le=5_000)] = 100
    """A trigger that waited longer for the station is UNDEFINED: another part may be there."""
    age_max_ms: Annotated[int, Field(ge=1, le=60_000)] = 1_000
    """One whose `sent_at` lies farther back, or ahead, is refused. Both clocks must agree."""
    sent_at_required: bool = False
    """Without it, one that the network held up is not told from a new one."""


def ids_recorded(journal: Path) -> list[str]:
    """The triggers whose verdicts the journal holds, oldest first: they had theirs, also where the
    station was killed since. Of the last IDS_READ rows, and fewer where these are large.

    A row that a disk has spoilt costs its own id, and is said. Raises RecordError, ConfigError
    where the journal is not readable.
    """
    if not journal.exists():
        return []
    found: list[str] = []
    read_bytes = 0
    with JournalReader(journal) as reader:
        end = reader.last_seq()
        first = max(0, end - IDS_READ)
        while end > first and read_bytes < BYTES_READ:
            start = max(first, end - ROWS_AT_ONCE)
            rows = reader.after(start, end - start)
            read_bytes += sum(len(payload) for _, payload in rows)
            ids = [_id_in(payload, f"journal {journal}: row {seq}") for seq, payload in rows]
            found[:0] = filter(None, ids)
            end = start
    return found


def _id_in(payload: bytes, where: str) -> str | None:
    """Of the trigger that a row of the journal is the verdict of."""
    try:
        trigger = json.loads(payload).get("trigger")
        return str(trigger["id"]) if trigger and trigger["id"] else None
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        log.warning("%s is no result: %r: its trigger would be taken a second time", where, error)
        return None


@dataclass(frozen=True, slots=True)
class _Waiting:
    message: TriggerMessage
    received_at: float


class MqttTrigger:
    """ports.Trigger. The station's thread takes, a listening thread accepts and refuses."""

    def __init__(
        self,
        settings: MqttTriggerSettings,
        mqtt: MqttSettings,
        *,
        topic: str,
        client_id: str,
        seen: Iterable[str] = (),
    ) -> None:
        """seen: ids of triggers that had their verdict before this start."""
        self._settings = settings
        self._inbound = Inbound([topic])
        self._listening = Listening(
            mqtt, client_id=client_id, name="trigger", inbound=self._inbound, take=self._take
        )
        self._came = threading.Condition()
        # guarded by the condition
        self._seen = OrderedDict.fromkeys(seen)
        self._waiting: deque[_Waiting] = deque()
        self._refused: Counter[TriggerRefusal] = Counter()
        self._missed = 0
        self._missed_at = float("-inf")
        self._executes = False
        # the station's thread
        self._sequence = 0
        self._worked = (float("-inf"), float("-inf"), 0)
        """From when until when which part was in work."""
        # the listening thread
        self._said_at = float("-inf")
        self._unsaid = 0

    def start(self) -> None:
        self._listening.start()

    def alive(self) -> bool:
        return self._listening.alive()

    def stop(self) -> None:
        self._listening.stop()

    @property
    def missed(self) -> int:
        # what the connection's own queue could not hold, nobody has read
        return self._missed + self._inbound.overflowed

    @property
    def trouble(self) -> str | None:
        return self._listening.trouble

    @property
    def status(self) -> TriggerStatus:
        with self._came:
            refused = {why: count for why, count in self._refused.items() if count}
        if self._inbound.oversized:
            refused["oversized"] = self._inbound.oversized
        return TriggerStatus(kind="mqtt", trouble=self.trouble, refused=refused)

    def restart(self) -> None:
        with self._came:
            self._executes = True

    def pause(self) -> None:
        with self._came:
            self._executes = False
            self._refused["not_executing"] += len(self._waiting)
            self._waiting.clear()

    def wait(self, timeout_s: float) -> Part | None:
        with self._came:
            if not self._came.wait_for(lambda: self._waiting, timeout_s):
                return None
            waiting = self._waiting.popleft()
            refused = self._too_late(waiting.received_at)
        self._sequence += 1
        if refused is None:
            self._worked = (waiting.received_at, float("inf"), self._sequence)
        return Part(
            self._sequence,
            waiting.message.part_id,
            waiting.received_at,
            trigger_id=waiting.message.id,
            deadline_ms=waiting.message.deadline_ms,
            refused=refused,
        )

    def overtaken(self, part: Part, by: float, picture: Image) -> str | None:  # noqa: ARG002
        """The first that waits: it came after the part, and before any that is missed.

        Refused ones do not count. A duplicate is no part, a stale one tells of one that passed
        some time ago, and none is refused as not_executing while a part is in work.
        """
        with self._came:
            first = self._waiting[0] if self._waiting else None
        return f"trigger {first.message.id}" if first and first.received_at <= by else None

    def done(self, part: Part, result: InspectionResult | None) -> None:  # noqa: ARG002 - recorded or not
        if part.refused is None:
            self._worked = (self._worked[0], time.monotonic(), part.sequence)

    def end(self) -> int:
        with self._came:
            self._executes = False
            return len(self._waiting)

    def _too_late(self, received_at: float) -> str | None:
        """Why a picture taken now might show another part than the one that was announced.

        Under the condition.
        """
        if not self._executes:  # only what waits at the end is handed out then
            return "it waited when the station ended"
        since, until, sequence = self._worked
        if since < received_at <= until:
            return f"it came while part {sequence} was in work"
        waited_ms = 1_000 * (time.monotonic() - received_at)
        if waited_ms > self._settings.wait_max_ms:
            most = self._settings.wait_max_ms
            return f"it waited {waited_ms:.0f} ms for the station, wait_max_ms is {most}"
        if self._waiting or self._missed_at > received_at:
            return "another part came while it waited for the station"
        return None

    # --- the listening thread ---

    def _take(self, message: Message) -> None:
        if message.retain:
            self._refuse("retained", "it was kept by the broker")
            return
        try:
            trigger = parse_trigger(message.payload)
        except CommandError as error:
            self._refuse("malformed", str(error))
            return
        stale = self._stale(trigger)
        words = trigger.id if stale is None else f"{trigger.id}: {stale}"
        with self._came:
            if trigger.id in self._seen:  # however late: a broker sends again after a lost link
                refusal: TriggerRefusal | None = "duplicate"
            elif stale is not None:
                refusal = "stale"
            elif not self._executes:
                refusal = "not_executing"
            else:
                refusal = None
                self._seen[trigger.id] = None
                if len(self._seen) > REMEMBERED_MAX:
                    self._seen.popitem(last=False)
                if len(self._waiting) < self._settings.waiting_max:
                    self._waiting.append(_Waiting(trigger, message.received_at))
                    self._came.notify_all()
                    return
                self._missed += 1
                self._missed_at = message.received_at
        if refusal is None:
            self._say(f"{trigger.id} is missed: {self._settings.waiting_max} wait already")
        else:
            self._refuse(refusal, words)

    def _stale(self, trigger: TriggerMessage) -> str | None:
        if trigger.sent_at is None:
            return "it has no sent_at" if self._settings.sent_at_required else None
        age_ms = 1_000 * (datetime.now(UTC) - trigger.sent_at).total_seconds()
        if abs(age_ms) > self._settings.age_max_ms:
            return (
                f"its sent_at lies {age_ms:.0f} ms back, age_max_ms is {self._settings.age_max_ms}"
            )
        return None

    def _refuse(self, why: TriggerRefusal, words: str) -> None:
        with self._came:
            self._refused[why] += 1
        self._say(f"refused as {why}: {words}")

    def _say(self, text: str) -> None:
        """Not once a message: whoever floods us would fill the disk with our log."""
        now = time.monotonic()
        if now - self._said_at < SAY_EVERY_S:
            self._unsaid += 1
            return
        before = f" (and {self._unsaid} before it)" if self._unsaid else ""
        log.warning("trigger: %s%s", text, before)
        self._said_at, self._unsaid = now, 0
