"""The command door over the broker: a connection and threads of its own.

One thread listens, decides (`gate`) and sends replies; others follow (`lanes`). Nothing here is the
courier's or the station's: whoever floods this door slows this door.
"""

import logging
import threading
import time
from collections import deque

from inspector.contract.channels import REPLY_EXPIRY_S
from inspector.contract.command import Command
from inspector.contract.errors import RecordError
from inspector.contract.signed import SignedCommand
from inspector.contract.topics import Place
from inspector.delivery.broker import MqttSettings
from inspector.delivery.connection import Connection
from inspector.delivery.consumers import Identity
from inspector.delivery.drops import Drops
from inspector.delivery.fair import Fair
from inspector.delivery.gate import (
    Address,
    Admitted,
    Again,
    CommandDoorSettings,
    Dropped,
    Gate,
    Refused,
)
from inspector.delivery.inbound import Inbound, Message
from inspector.delivery.keys import read_key
from inspector.delivery.lanes import WAITING_MAX, Answers, Lanes, ShowAgain
from inspector.delivery.ledger import Ledger
from inspector.delivery.pace import Pace
from inspector.delivery.patience import Patience
from inspector.delivery.rejoin import rejoin
from inspector.delivery.versions import Versions
from inspector.delivery.wake import Wake

log = logging.getLogger(__name__)

REPLIES_MAX = 100
EACH_MAX = 64
"""A sender's messages waiting to be looked at: one more is dropped, to be sent again. A broker
does not hold them back: mosquitto 2.0.11 sent 207 where it was told to send 32 at most."""
TURN_S = 1.0
BURST_S = 0.1
STOP_S = 3.0


class MqttDoor:
    """Commands from the broker, one reply to each."""

    def __init__(
        self,
        mqtt: MqttSettings,
        settings: CommandDoorSettings,
        *,
        place: Place,
        who: Identity,
        answers: Answers,
        ledger: Ledger,
    ) -> None:
        """Raises ConfigError where a key cannot be used."""
        keys = [read_key(each) for each in settings.keys]
        self._mqtt = mqtt
        self._answers = answers
        self._ledger = ledger
        self._gate = Gate(settings, keys, who.station, place, ledger)
        self._inbound = Inbound(self._gate.topics())
        self._waiting = Fair(self._gate.topics(), EACH_MAX)
        self._pace = Pace(settings.per_s, BURST_S)
        self._versions = Versions(mqtt.protocol)
        self._patience = Patience(mqtt)
        self._client_id = f"{mqtt.name_of(place.path)}-commands"
        self._lanes = Lanes(answers, ledger, self._offer)
        self._replies: deque[tuple[Address, bytes]] = deque()
        self._in_flight: set[int] = set()
        self._drops = Drops(self._inbound, self._waiting, ledger)
        self._wake = Wake()
        self._stopping = threading.Event()
        self.connected = False
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)

    def start(self) -> None:
        self._lanes.start()
        self._thread.start()

    def alive(self) -> bool:
        return self._lanes.alive() and self._thread.is_alive()

    def dropped(self) -> dict[str, int]:
        """Messages that got no answer, by reason. Any thread may ask."""
        return self._drops.counts()

    def stop(self) -> None:
        """What is being followed is not waited for: it is answered when it is sent again."""
        self._stopping.set()
        self._wake()
        self._lanes.stop()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        if not self._thread.is_alive():
            self._wake.close()

    def _run(self) -> None:
        rejoin(
            self._mqtt,
            self._serve,
            self._stopping,
            client_id=self._client_id,
            inbound=self._inbound,
            versions=self._versions,
            patience=self._patience,
        )
        self._drops.sum_up(time.monotonic(), at_once=True)

    def _serve(self, connection: Connection) -> None:
        while connection.lost is None and not self._stopping.is_set():
            now = time.monotonic()
            if self._inbound.listening and not self.connected:
                self._versions.accepted(connection)
                self.connected = True
                log.info("commands are taken from %s", self._patience.broker)
            while self._inbound.received:
                self._waiting.put(self._inbound.received.popleft())
            while self._has_room(now) and (message := self._waiting.take()) is not None:
                self._pace.take()
                self._take(message)
            self._send(connection)
            self._drops.sum_up(now)
            timeout_s = TURN_S
            if self._waiting and len(self._replies) < REPLIES_MAX:
                timeout_s = max(0.0, self._pace.next_at() - time.monotonic())
            if connection.turn(self._wake.out, timeout_s):
                self._wake.drain()
        self._part(connection)

    def _has_room(self, now: float) -> bool:
        """For one message more, and its reply, which must not be lost on the way out."""
        return len(self._replies) < REPLIES_MAX and bool(self._pace.allows(now))

    def _part(self, connection: Connection) -> None:
        if connection.lost is not None:
            self._patience.say(f"commands: {connection.lost}")
            connection.drop()
        else:
            connection.leave()
        self._in_flight.clear()
        self._inbound.received.clear()
        self._waiting.clear()
        self.connected = False

    def _take(self, message: Message) -> None:
        try:
            decision = self._gate.decide(message)
        except RecordError as error:
            self._drops.add("not_stored")
            self._patience.say(f"commands: {error}")
            return
        match decision:
            case Dropped(reason):
                self._drops.add(reason)
            case Refused(envelope, command, reason):
                self._decline(envelope, command, message, reason)
            case Again(envelope, command, known):
                if known.reply is not None and command and command.action == "image":
                    self._show_again(ShowAgain(command, known.reply), envelope, message)
                elif known.reply is not None:
                    self._offer(self._gate.address(envelope, message), known.reply)
                elif known.ended:
                    self._answer_ended(envelope, command, message)
                else:
                    self._drops.add("under_way")  # its reply will come
            case Admitted():
                self._admit(decision, message)

    def _admit(self, admitted: Admitted, message: Message) -> None:
        """Remember it before anybody follows it: also where we are killed in between."""
        envelope, command = admitted.envelope, admitted.command
        action = command.action if command else None
        if self._lanes.full(action):
            words = f"{WAITING_MAX} commands wait already: send it again"
            self._decline(envelope, command, message, words)
            return
        try:
            unfit = self._ledger.begin(envelope, action, self._gate.now_ms())
        except RecordError as error:
            unfit = f"it cannot be recorded, so it is not followed: {error}"
        if unfit:
            self._decline(envelope, command, message, unfit)
        else:
            self._lanes.put(admitted, self._gate.address(envelope, message))

    def _show_again(self, again: ShowAgain, envelope: SignedCommand, message: Message) -> None:
        if self._lanes.full(again.command.action):
            self._drops.add("under_way")  # it is sent again until its reply is there
        else:
            self._lanes.put(again, self._gate.address(envelope, message))

    def _answer_ended(
        self, envelope: SignedCommand, command: Command | None, message: Message
    ) -> None:
        words = "the program ended while it was followed: ask for the status"
        reply = self._answers.decline(command.id if command else None, words, "failed")
        self._lanes.remember(envelope, reply)
        self._offer(self._gate.address(envelope, message), reply.to_json())

    def _decline(
        self, envelope: SignedCommand, command: Command | None, message: Message, reason: str
    ) -> None:
        reply = self._answers.decline(command.id if command else None, reason)
        self._offer(self._gate.address(envelope, message), reply.to_json())

    def _offer(self, address: Address, reply: bytes) -> None:
        self._replies.append((address, reply))
        self._wake()

    def _send(self, connection: Connection) -> None:
        while connection.acknowledged:
            self._in_flight.discard(connection.acknowledged.popleft().message)
        while self._replies and self.connected and connection.lost is None:
            if len(self._in_flight) >= connection.in_flight_max:
                return
            address, reply = self._replies.popleft()
            self._lanes.sent(reply)
            self._in_flight.add(
                connection.publish(
                    address.topic,
                    reply,
                    retain=False,
                    correlation=address.correlation,
                    expiry_s=REPLY_EXPIRY_S,
                )
            )
