"""Commands as nobody should send them, to a running station, over a real mosquitto.

    python -m tests.benchmarks.commands --messages 10000

Signed ones sent five times over, in another order; forged, retained, expired, for another station,
by a key that may not, by nobody, unreadable. Each asks for a single part, so that the journal's
rows are the effects, counted by who knows nothing of commands. Every message has a correlation of
its own: which were answered is known one by one, and the station's counts must explain the others.
Then the station is killed and started anew, and every good one comes once more.
"""

import argparse
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from prometheus_client.parser import text_string_to_metric_families

from inspector.contract.command import Action, Command, Reply
from inspector.contract.topics import Place
from inspector.delivery.keys import Signer
from inspector.delivery.ledger import read_audit
from inspector.delivery.reader import JournalReader
from inspector.supervise.door import ask
from tests.brokers import Mosquitto
from tests.support import free_port, make_bundle, start_station, until, write_station

PLACE = Place.of("plant/line", "test")
COPIES = 5
DROPPED = {
    "forged": "forged",
    "retained": "retained",
    "unsigned": "unreadable",
    "garbage": "unreadable",
    "nobody": "unknown_sender",
}
"""Kinds that get no answer, and what the station calls that."""
REFUSED = ("expired", "elsewhere", "may_not")


@dataclass
class Sent:
    """One message: which kind, and of which command it is a copy."""

    kind: str
    name: str
    payload: bytes
    retain: bool = False
    topic: str = PLACE.command("foreman")


@dataclass
class Outcome:
    """What became of an attack."""

    sent: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, int] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    effects: int = 0
    """Parts in the journal."""
    done: int = 0
    """Commands that were told so."""
    begun_twice: int = 0
    different_replies: int = 0
    effects_after_restart: int = 0
    answered_after_restart: int = 0
    good: int = 0
    took_s: float = 0.0

    def faults(self) -> list[str]:
        """What should not be; empty where every promise was kept."""
        missed = self.dropped.get("overflowed", 0)  # of whatever kind they were
        found = [f"{kind}: answered" for kind in DROPPED if self.answered[kind]]
        found += [
            f"{kind}: {self.answered[kind]} of {self.sent[kind]} answered, {missed} overflowed"
            for kind in REFUSED
            if not self.sent[kind] - missed <= self.answered[kind] <= self.sent[kind]
        ]
        for reason in set(DROPPED.values()):
            count = sum(self.sent[kind] for kind, why in DROPPED.items() if why == reason)
            if not count - missed <= self.dropped.get(reason, 0) <= count:
                found.append(f"{reason}: {self.dropped.get(reason, 0)} dropped, {count} sent")
        if self.sent.total() != self.answered.total() + sum(self.dropped.values()):
            found.append("neither answered nor counted as dropped: some")
        found += [
            f"{what}: {getattr(self, what)}"
            for what in ("begun_twice", "different_replies", "effects_after_restart")
            if getattr(self, what)
        ]
        if self.effects != self.done:
            found.append(f"{self.effects} parts for {self.done} commands done")
        if self.answered_after_restart != self.good:
            found.append(f"{self.answered_after_restart} of {self.good} known after the restart")
        return found


class Attacker:
    """Publishes, and notes the reply to each message."""

    def __init__(self, port: int) -> None:
        self.replies: dict[int, Reply] = {}
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.max_queued_messages_set(0)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._note
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(f"{PLACE.replies}/#", 1)
        if not self._subscribed.wait(10.0):
            raise TimeoutError("no subscription")

    def publish(self, number: int, sent: Sent) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's
        properties.CorrelationData = b"%d" % number
        self._client.publish(sent.topic, sent.payload, 1, sent.retain, properties=properties)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _note(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:  # noqa: ARG002
        number = int(message.properties.CorrelationData)  # type: ignore[union-attr]
        if number in self.replies:
            raise AssertionError(f"message {number} was answered twice")
        self.replies[number] = Reply.model_validate_json(message.payload)


def make_key(folder: Path, name: str) -> Path:
    path = folder / f"{name}.hmac"
    path.write_bytes(random.randbytes(32).hex().encode())  # noqa: S311 - of a test
    path.chmod(0o600)
    return path


def plan(folder: Path, messages: int, seed: int) -> list[Sent]:
    """Half of them good ones and their copies, the rest of every other kind, shuffled."""
    foreman, guest, nobody = (
        Signer(name, folder / f"{name}.hmac", "plant/line")
        for name in ("foreman", "guest", "nobody")
    )
    found: list[Sent] = []

    def seal(kind: str, signer: Signer, lifetime_s: float = 3_000.0, station: str = "test") -> Sent:
        name = f"{kind}-{len(found)}"
        command = Command(schema=1, id=name, action="single")
        return Sent(kind, name, signer.seal(command, station, lifetime_s).to_json())

    for _ in range(messages // 2 // COPIES):
        found += [seal("good", foreman)] * COPIES
    kinds = (
        "forged",
        "retained",
        "expired",
        "elsewhere",
        "may_not",
        "nobody",
        "unsigned",
        "garbage",
    )
    for number in range(messages - len(found)):
        kind = kinds[number % len(kinds)]
        if kind == "elsewhere":
            sent = seal(kind, foreman, station="other")
        elif kind == "expired":
            sent = seal(kind, foreman, lifetime_s=0.001)
        elif kind == "may_not":
            sent = seal(kind, guest)
            sent.topic = PLACE.command("guest")
        else:
            sent = seal(kind, nobody if kind == "nobody" else foreman)
        if kind == "forged":
            sent.payload = sent.payload.replace(b'"nonce":"', b'"nonce":"f')
        if kind == "unsigned":
            sent.payload = sent.payload.partition(b',"signature"')[0] + b"}"
        if kind == "garbage":
            sent.payload = sent.payload[: number % 97]
        sent.retain = kind == "retained"
        found.append(sent)
    random.Random(seed).shuffle(found)  # noqa: S311 - to be repeated
    return found


def attack(folder: Path, messages: int, seed: int = 1, per_s: float = 400.0) -> Outcome:
    """Raises where the station does not do its part at all."""
    for name in ("foreman", "guest", "nobody"):
        make_key(folder, name)
    with Mosquitto(folder).start() as broker:
        bundle = make_bundle(folder / "bundles")
        path = write_station(
            folder,
            bundle,
            mqtt={"port": broker.port},
            camera={"loop": True},
            metrics={"port": free_port()},
            autostart=False,
            archive={"keep": "none"},
        )
        path.write_text(
            path.read_text(encoding="utf-8")
            + "\n[commands]\nlifetime_max_s = 3600\nclock_skew_s = 0\nper_s = 5000\n"
            + _key("foreman", "single")
            + _key("guest", "status"),
            encoding="utf-8",
        )
        attacker = Attacker(broker.port)
        outcome, sent = Outcome(), plan(folder, messages, seed)
        with _station(path, taken_from=1) as port:
            began = time.monotonic()
            _publish(attacker, sent, 0, per_s)
            _settle(attacker, sent, port)
            outcome.took_s = time.monotonic() - began
            outcome.dropped = _dropped(port)
            _count(outcome, sent, attacker)
            outcome.effects = _rows(path)
        once = list({each.name: each for each in sent if each.kind == "good"}.values())
        with _station(path, taken_from=2) as port:
            first = dict(attacker.replies)
            _publish(attacker, once, len(sent), min(per_s, 400.0))
            until(lambda: len(attacker.replies) == len(first) + len(once), timeout_s=120.0)
            _count_again(outcome, sent, once, attacker)
            outcome.effects_after_restart += _rows(path) - outcome.effects
        attacker.close()
    begun = Counter(
        (entry.sender, entry.nonce)
        for _, entry, _ in read_audit(folder / "journal.db")
        if entry.event == "begun"
    )
    outcome.begun_twice = sum(count > 1 for count in begun.values())
    return outcome


def _key(name: str, action: Action) -> str:
    return f'[[commands.keys]]\nname = "{name}"\nfile = "{name}.hmac"\nactions = ["{action}"]\n'


@contextmanager
def _station(path: Path, *, taken_from: int) -> Iterator[int]:
    """A running station that is READY; killed at the end, so that nothing is tidied up."""
    station: subprocess.Popen[bytes] = start_station(path)
    log = path.parent / "station.log"
    try:
        ready = until(lambda: log.read_text().count("commands are taken") == taken_from, 60.0)
        if not ready:
            raise TimeoutError(log.read_text())
        ask(path.parent, Command(schema=1, id="select", action="select"))
        text = path.read_text(encoding="utf-8")
        yield int(text.partition("[metrics]")[2].partition("port = ")[2].split()[0])
    finally:
        station.kill()
        station.wait()


def _publish(attacker: Attacker, sent: list[Sent], first: int, per_s: float) -> None:
    began = time.monotonic()
    for number, each in enumerate(sent):
        attacker.publish(first + number, each)
        time.sleep(max(0.0, began + (number + 1) / per_s - time.monotonic()))


def _settle(attacker: Attacker, sent: list[Sent], port: int) -> None:
    """Until every message was answered or dropped; gives up where nothing moves any more."""
    seen, moved_at = -1, time.monotonic()
    while time.monotonic() - moved_at < 15.0:
        now = len(attacker.replies) + sum(_dropped(port).values())
        if now == len(sent):
            return
        if now != seen:
            seen, moved_at = now, time.monotonic()
        time.sleep(0.2)


def _dropped(port: int) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10.0) as page:
        text = page.read().decode()
    return {
        sample.labels["reason"]: int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "inspector_commands_dropped_total"
    }


def _rows(path: Path) -> int:
    with JournalReader(path.parent / "journal.db") as reader:
        return reader.last_seq()


def _lasting(reply: Reply) -> bool:
    """Not one of those that ask to send it again, which are not remembered."""
    return "send it again" not in reply.reason


def _count(outcome: Outcome, sent: list[Sent], attacker: Attacker) -> None:
    lasting: dict[str, set[str]] = defaultdict(set)
    for number, each in enumerate(sent):
        outcome.sent[each.kind] += 1
        reply = attacker.replies.get(number)
        if reply is None:
            continue
        outcome.answered[each.kind] += 1
        outcome.outcomes[f"{each.kind} {reply.outcome}"] += 1
        if _lasting(reply) and each.kind == "good":
            lasting[each.name].add(reply.model_dump_json())
    outcome.different_replies = sum(len(replies) > 1 for replies in lasting.values())
    outcome.done = sum('"outcome":"done"' in min(replies) for replies in lasting.values())


def _count_again(outcome: Outcome, sent: list[Sent], once: list[Sent], attacker: Attacker) -> None:
    """After the restart: what was answered for good is answered the same."""
    before: dict[str, Reply] = {}
    for number, each in enumerate(sent):
        reply = attacker.replies.get(number)
        if reply is not None and _lasting(reply):
            before[each.name] = reply
    for number, each in enumerate(once, len(sent)):
        reply = attacker.replies.get(number)
        if each.name not in before:  # never taken up: it is new now, and may have its effect
            outcome.effects_after_restart -= reply is not None and reply.outcome == "done"
            continue
        outcome.good += 1
        outcome.answered_after_restart += reply is not None
        outcome.different_replies += reply is not None and reply != before[each.name]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-s", type=float, default=400.0, help="messages sent in a second")
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        outcome = attack(Path(folder), args.messages, args.seed, args.per_s)
    lines = (
        f"sent {outcome.sent.total()} in {outcome.took_s:.1f} s: {dict(outcome.sent)}",
        f"answered {outcome.answered.total()}: {dict(outcome.outcomes)}",
        f"no answer: {outcome.dropped}",
        f"parts {outcome.effects} for {outcome.done} commands done, begun twice "
        f"{outcome.begun_twice}, different replies {outcome.different_replies}",
        f"killed, started anew, {outcome.good} sent again: {outcome.answered_after_restart} got "
        f"the same reply, {outcome.effects_after_restart} parts more",
        *(f"FAULT {each}" for each in outcome.faults()),
    )
    print("\n".join(lines))  # noqa: T201
    return 1 if outcome.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
