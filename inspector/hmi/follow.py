"""One station as the pages follow it: a subscriber as any other, and its way to the command door.

A thread a station. What comes is bounded and only noted in `Known`; a command is signed, sent, and
sent again with the same nonce until its one reply is there.
"""

import logging
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from inspector.contract.command import REPLY_BYTES_MAX, Command, Reply
from inspector.contract.errors import DeviceError, InspectorError
from inspector.contract.foreign import foreign_json
from inspector.contract.signed import SignedCommand
from inspector.contract.topics import Place as Topics
from inspector.delivery.commander import SEND_AGAIN_S, read_reply
from inspector.delivery.connection import Connection
from inspector.delivery.inbound import Inbound, Message
from inspector.delivery.keys import Signer
from inspector.delivery.patience import Patience
from inspector.delivery.rejoin import rejoin
from inspector.delivery.versions import Versions
from inspector.delivery.wake import Wake
from inspector.hmi.alarm_log import AlarmLog
from inspector.hmi.history import is_there, newest
from inspector.hmi.known import POINTS_MAX, Known
from inspector.hmi.settings import Place

log = logging.getLogger(__name__)

TURN_S = 0.5
PAUSE_MAX_S = 5.0
QUEUE_MAX = 2_000
ASKING_MAX = 16


@dataclass(slots=True)
class _Asking:
    """A command under way."""

    command: Command
    envelope: SignedCommand
    sent_at: float = float("-inf")
    reply: Reply | None = None
    answered: threading.Event = field(default_factory=threading.Event)


class Follower:
    def __init__(self, place: Place, alarms: AlarmLog, stale_after_s: float) -> None:
        """Raises ConfigError where the key cannot be used."""
        self.place = place
        self._alarms = alarms
        self._stale_after_s = stale_after_s
        self._absent_to = float("-inf")
        self.known = Known(place.name)
        self._topics = Topics.of(place.topic_root, place.name)
        self._commands = place.commands
        self._signer: Signer | None = None
        topics = [
            self._topics.state, self._topics.alarm, self._topics.heartbeat, self._topics.result,
        ]  # fmt: skip
        if self._commands is not None:
            self._signer = Signer(self._commands.sender, self._commands.key_file, place.topic_root)
            topics.append(self._topics.reply(self._commands.sender))
        self._inbound = Inbound(topics, queue_max=QUEUE_MAX, payload_max=REPLY_BYTES_MAX)
        self._client_id = f"inspector-hmi-{place.name}-{secrets.token_hex(4)}"
        self._stumbled: set[str] = set()
        self._asking: deque[_Asking] = deque()
        self._asking_lock = threading.Lock()
        self._wake = Wake()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow-{place.name}", daemon=True)

    @property
    def commands(self) -> bool:
        """Whether anything can be asked of the station."""
        return self._signer is not None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def ask(self, command: Command, wait_s: float | None = None) -> Reply:
        """wait_s: for the reply; left out, as hmi.toml has it.

        Raises DeviceError where no reply comes, or too many commands are under way.
        """
        if self._signer is None or self._commands is None:
            raise DeviceError(f"station {self.place.name}: hmi.toml has no [commands]")
        envelope = self._signer.seal(command, self.place.name, self._commands.lifetime_s)
        asking = _Asking(command, envelope)
        with self._asking_lock:
            if len(self._asking) >= ASKING_MAX:
                raise DeviceError(f"station {self.place.name}: {ASKING_MAX} commands wait already")
            self._asking.append(asking)
        self._wake()
        wait_s = wait_s or self._commands.wait_s
        answered = asking.answered.wait(wait_s)
        with self._asking_lock:
            self._asking.remove(asking)
        if not answered or asking.reply is None:
            raise DeviceError(
                f"no reply came within {wait_s:g} s: does the station run, and does "
                "it know our key? It may still follow the command"
            )
        return asking.reply

    def _run(self) -> None:
        versions, patience = Versions(self.place.mqtt.protocol), Patience(self.place.mqtt)
        self._remember()
        rejoin(
            self.place.mqtt,
            lambda connection: self._serve_whole(connection, versions, patience),
            self._stopping,
            client_id=self._client_id,
            inbound=self._inbound,
            versions=versions,
            patience=patience,
            pause_max_s=PAUSE_MAX_S,
        )
        self._wake.close()

    def _remember(self) -> None:
        """What came before we listened, where the journal is on this machine."""
        path = self.place.journal
        try:
            if path is not None and is_there(path):
                for each in newest(path, POINTS_MAX):
                    self.known.result(each)
        except InspectorError as error:
            log.warning("station %s: %s", self.place.name, error)

    def _serve_whole(self, connection: Connection, versions: Versions, patience: Patience) -> None:
        """A fault of ours ends the connection, not the thread: the next one begins anew."""
        try:
            self._serve(connection, versions, patience)
        except Exception:  # noqa: BLE001 - said whole in the log
            self._stumble("a fault of these pages, which connect anew")
            self.known.connection(up=False, words="a fault of these pages: see their log")
            connection.drop()

    def _serve(self, connection: Connection, versions: Versions, patience: Patience) -> None:
        greeted = False
        greeted_at = looked_at = 0.0
        while connection.lost is None and not self._stopping.is_set():
            if self._inbound.listening and not greeted:
                greeted, greeted_at = True, time.monotonic()
                versions.accepted(connection)
                patience.greet(connection.protocol)
                self.known.connection(up=True)
            while self._inbound.received:
                self._take_or_count(self._inbound.received.popleft())
            now = time.monotonic()
            if greeted and now - looked_at < 2.0 * TURN_S:
                self._watch(greeted_at)  # not where we ourselves were held up: beats wait unread
            looked_at = now
            if greeted:
                self._send(connection)
            connection.acknowledged.clear()
            if connection.turn(self._wake.out, TURN_S):
                self._wake.drain()
        if connection.lost is None:
            connection.leave()
            return
        self.known.connection(up=False, words=connection.lost)
        self._alarms.watched(self.place.name, "broker", connection.lost)
        patience.say(f"station {self.place.name}: {connection.lost}")
        connection.drop()

    def _watch(self, greeted_at: float) -> None:
        """Whether the station is heard goes into the alarms."""
        now, age_s = time.monotonic(), self.known.age_s()
        if age_s is None:
            if self.known.station_state() == "OFFLINE":
                self._absent_to = now
                self._alarms.watched(self.place.name, "offline", self.known.cause())
                return
            age_s = now - max(greeted_at, self._absent_to)
            if age_s <= self._stale_after_s:
                return  # too early to say: its first heartbeat is on its way
        self._alarms.watched(self.place.name, "silent" if age_s > self._stale_after_s else None)

    def _send(self, connection: Connection) -> None:
        now = time.monotonic()
        with self._asking_lock:
            due = [
                each
                for each in self._asking
                if each.reply is None and now - each.sent_at > SEND_AGAIN_S
            ]
        for each in due:
            each.sent_at = now
            topic = self._topics.command(each.envelope.sender)
            connection.publish(topic, each.envelope.to_json(), retain=False)

    def _take_or_count(self, message: Message) -> None:
        """What comes is somebody else's: what of it we did not foresee costs that message alone."""
        try:
            self._take(message)
        except Exception:  # noqa: BLE001 - said whole in the log
            self.known.unreadable += 1
            self._stumble(f"a message on {message.topic} is left out, and so are others like it")

    def _stumble(self, words: str) -> None:
        if words not in self._stumbled:
            self._stumbled.add(words)
            log.exception("station %s: %s", self.place.name, words)

    def _take(self, message: Message) -> None:
        topics = self._topics
        if message.topic == topics.heartbeat:
            if not message.retain:  # a kept one tells of nobody's life
                self.known.beat(message.received_at)
            return
        if self._commands and message.topic == topics.reply(self._commands.sender):
            self._take_reply(message.payload)
            return
        found = _read(message.payload, self.place.name)
        if found is None:
            self.known.unreadable += 1
        elif message.topic == topics.state:
            self.known.state(found)
        elif message.topic == topics.alarm:
            self.known.alarm(found)
            self._alarms.heard(self.place.name, found)
        elif message.topic == topics.result:
            self.known.result(found)

    def _take_reply(self, payload: bytes) -> None:
        with self._asking_lock:
            asking = list(self._asking)
        for each in asking:
            reply = read_reply(payload, each.command)
            if reply is not None:
                each.reply = reply
                each.answered.set()


def _read(payload: bytes, station: str) -> dict[str, Any] | None:
    try:
        found = foreign_json(payload)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("station") != station:
        return None
    return found
