"""The command door over a real mosquitto: who may do what, once, with one answer and one row."""

import hashlib
import hmac
import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from inspector.contract.audit import AuditEntry
from inspector.contract.command import Action, Command, Outcome, Reply
from inspector.contract.errors import ConfigError, RecordError
from inspector.contract.signed import SignedCommand, signed_text
from inspector.contract.topics import Place
from inspector.delivery.broker import MqttSettings
from inspector.delivery.commands import MqttDoor
from inspector.delivery.consumers import Identity
from inspector.delivery.gate import CommandDoorSettings
from inspector.delivery.keys import KeySettings, Signer, read_key
from inspector.delivery.lanes import WAITING_MAX
from inspector.delivery.ledger import (
    KEEP_MS,
    NONCES_MAX,
    REMEMBERED,
    Ledger,
    ledger_path,
    read_audit,
)
from tests.brokers import Mosquitto
from tests.certificates import require_openssl
from tests.support import until

ROOT = "plant/line"
PLACE = Place.of(ROOT, "cell")
ACTIONS: frozenset[Action] = frozenset({"status", "start", "halt", "reload"})


def make_ed25519(folder: Path, name: str) -> tuple[Path, Path]:
    """As the README says: openssl makes them."""
    require_openssl()
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    for words in (
        ["genpkey", "-algorithm", "ed25519", "-out", private],
        ["pkey", "-in", private, "-pubout", "-out", public],
    ):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    private.chmod(0o600)
    return private, public


def make_hmac(folder: Path, name: str) -> tuple[Path, Path]:
    path = folder / f"{name}.hmac"
    done = subprocess.run(["openssl", "rand", "-hex", "32"], check=True, capture_output=True)
    path.write_bytes(done.stdout)
    path.chmod(0o600)
    return path, path


class Follower:
    """The station's side of the door: remembers what it was asked to do, and when to wait."""

    def __init__(self, ledger: Ledger) -> None:
        self.effects: list[tuple[str, str, str]] = []
        self.hold = threading.Event()
        self.hold.set()
        self._ledger = ledger

    def with_picture(self, reply: Reply, result_id: str) -> Reply:
        return reply.model_copy(update={"reason": f"{reply.reason}: no picture of {result_id}"})

    def answer(
        self, message: bytes, sender: str, permitted: Collection[Action], nonce: str | None
    ) -> Reply:
        assert nonce is not None
        command = Command.model_validate_json(message)
        if command.action == "reload":
            assert self.hold.wait(20.0)
        if command.action not in permitted:
            return self.decline(command.id, f"{sender} may not {command.action}")
        self.effects.append((sender, command.action, command.id))
        return self._say(command.id, "done", "as asked")

    def decline(self, id_: str | None, reason: str, outcome: Outcome = "refused") -> Reply:
        return self._say(id_, outcome, reason)

    def _say(self, id_: str | None, outcome: Outcome, reason: str) -> Reply:
        return Reply(
            id=id_,
            station="cell",
            boot="b",
            outcome=outcome,
            reason=reason,
            state="READY",
            cause="",
            withheld=None,
        )


class Sender:
    """Signs and publishes, and hears every reply topic."""

    def __init__(self, port: int, signers: dict[str, Signer]) -> None:
        self.signers = signers
        self.messages: list[paho.MQTTMessage] = []
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _c, _d, message: self.messages.append(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(10.0)

    def seal(self, name: str, action: Action = "status", **words: Any) -> SignedCommand:
        lifetime_s = words.pop("lifetime_s", 20.0)
        station = words.pop("station", "cell")
        command = Command(schema=1, id=words.pop("id", "c"), action=action, **words)
        return self.signers[name].seal(command, station, lifetime_s)

    def publish(
        self,
        message: SignedCommand | bytes,
        *,
        topic: str = PLACE.command("ed"),
        retain: bool = False,
        **properties: Any,
    ) -> None:
        payload = message if isinstance(message, bytes) else message.to_json()
        extra = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's
        for name, value in properties.items():
            setattr(extra, name, value)
        self._client.publish(topic, payload, 1, retain, properties=extra).wait_for_publish(5.0)

    def flood(self, payload: bytes, topic: str) -> None:
        self._client.publish(topic, payload, 0)

    def replies(self, topic: str = PLACE.reply("ed")) -> list[dict[str, Any]]:
        return [json.loads(each.payload) for each in self.messages if each.topic == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class World:
    """A broker, keys, and a door that can be closed and opened again."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.journal = folder / "journal.db"
        self._port = broker.port
        ed, shared = make_ed25519(folder, "ed"), make_hmac(folder, "shared")
        self.settings = CommandDoorSettings(
            keys=(
                KeySettings(name="ed", file=ed[1], actions=ACTIONS),
                KeySettings(name="shared", file=shared[1], actions=frozenset({"status"})),
            ),
            per_s=1_000,
        )
        signers = {"ed": Signer("ed", ed[0], ROOT), "shared": Signer("shared", shared[0], ROOT)}
        self.sender = Sender(broker.port, signers)
        self.place = PLACE
        self.boots = 0
        self.open()

    def open(self, protocol: Literal["auto", "3.1.1"] = "auto") -> None:
        self.boots += 1
        self.ledger = Ledger(self.journal, f"boot-{self.boots}")
        self.follower = Follower(self.ledger)
        self.door = MqttDoor(
            MqttSettings(host="127.0.0.1", port=self._port, protocol=protocol),
            self.settings,
            place=self.place,
            who=Identity("cell", f"boot-{self.boots}"),
            answers=self.follower,
            ledger=self.ledger,
        )
        self.door.start()
        assert until(lambda: self.door.connected)

    def close(self) -> None:
        self.follower.hold.set()
        self.door.stop()
        self.ledger.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Mosquitto(tmp_path).start() as broker:
        made = World(tmp_path, broker)
        yield made
        made.close()
        made.sender.close()


@pytest.mark.parametrize("name", ["ed", "shared"])
def test_a_signed_command_has_one_effect_and_one_reply(world: World, name: str) -> None:
    command = world.sender.seal(name, id="first")
    world.sender.publish(command, topic=PLACE.command(name))
    assert until(lambda: len(world.sender.replies(PLACE.reply(name))) == 1)
    (reply,) = world.sender.replies(PLACE.reply(name))
    assert (reply["id"], reply["outcome"]) == ("first", "done")
    assert world.follower.effects == [(name, "status", "first")]
    assert not world.door.dropped()


def by_hand(world: World, schema: int) -> bytes:
    """The README's recipe, by openssl: lines, joined by line feeds."""
    secret = (world.journal.parent / "shared.hmac").read_text().strip()
    now = time.time_ns() // 1_000_000
    inner = '{"schema": 1, "id": "by-hand", "action": "status"}'
    root = [ROOT] if schema == 2 else []
    place = [f"inspector-command-{schema}", "shared", *root, "cell"]
    lines = [*place, "n" * 16, str(now), str(now + 50_000), inner]
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{secret}", "-r"],
        input="\n".join(lines).encode(),
        capture_output=True,
        check=True,
    )
    envelope = {
        "schema": schema,
        "sender": "shared",
        **({"topic_root": ROOT} if root else {}),
        "station": "cell",
        "nonce": "n" * 16,
        "issued_ms": now,
        "expires_ms": now + 50_000,
        "command": inner,
        "signature": done.stdout.split()[0].decode(),
    }
    return json.dumps(envelope).encode()


def test_what_is_signed_can_be_made_by_any_program(world: World) -> None:
    world.sender.publish(by_hand(world, 2), topic=PLACE.command("shared"))
    assert until(lambda: world.follower.effects == [("shared", "status", "by-hand")])


def test_a_signature_that_binds_no_topic_root_is_taken_only_where_the_settings_say_so(
    world: World,
) -> None:
    old = by_hand(world, 1)
    world.sender.publish(old, topic=PLACE.command("shared"))
    assert until(lambda: len(world.sender.replies(PLACE.reply("shared"))) == 1)
    (refused,) = world.sender.replies(PLACE.reply("shared"))
    assert (refused["id"], refused["outcome"]) == ("by-hand", "refused")
    assert "schema_min = 1 in its [[commands.keys]], shared" in refused["reason"]
    assert (world.follower.effects, world.ledger.rows) == ([], 0)
    world.close()
    ed, shared = world.settings.keys
    keys = (ed, shared.model_copy(update={"schema_min": 1}))
    world.settings = world.settings.model_copy(update={"keys": keys})
    world.open()
    world.sender.publish(old, topic=PLACE.command("shared"))
    assert until(lambda: world.follower.effects == [("shared", "status", "by-hand")])


@pytest.mark.parametrize("name", ["ed", "shared"])
def test_a_command_has_no_effect_at_a_station_of_the_same_name_on_another_line(
    world: World, name: str
) -> None:
    """Both know the sender's key; somebody carries the command from one topic to the other."""
    other = Place.of("plant/line-2", "cell")
    world.close()
    here, world.place = world.place, other
    world.open()
    command = world.sender.seal(name, id="carried", lifetime_s=50.0)
    world.sender.publish(command, topic=other.command(name))
    assert until(lambda: len(world.sender.replies(other.reply(name))) == 1)
    (refused,) = world.sender.replies(other.reply(name))
    assert refused["outcome"] == "refused"
    assert refused["reason"] == "it is for station plant/line/cell, this is plant/line-2/cell"
    assert (world.follower.effects, world.ledger.rows) == ([], 0)
    world.close()
    world.place = here
    world.open()
    world.sender.publish(command, topic=here.command(name))
    assert until(lambda: world.follower.effects == [(name, "status", "carried")])


def test_sent_again_it_gets_the_same_reply_and_no_second_effect_also_after_a_restart(
    world: World,
) -> None:
    command = world.sender.seal("ed", "start", id="once")
    for count in (1, 2, 3):
        world.sender.publish(command)
        assert until(lambda n=count: len(world.sender.replies()) == n)  # type: ignore[misc]
    assert len(world.follower.effects) == 1
    world.close()
    world.open()
    world.sender.publish(command)
    assert until(lambda: len(world.sender.replies()) == 4)
    assert world.follower.effects == []
    assert len({json.dumps(reply) for reply in world.sender.replies()}) == 1


def test_one_that_was_being_followed_when_the_process_ended_is_never_followed_again(
    world: World,
) -> None:
    command = world.sender.seal("ed", "start", id="cut")
    assert world.ledger.begin(command, "start", time.time_ns() // 1_000_000) is None
    world.close()
    world.open()
    for count in (1, 2):
        world.sender.publish(command)
        assert until(lambda n=count: len(world.sender.replies()) == n)  # type: ignore[misc]
    assert world.follower.effects == []
    first, second = world.sender.replies()
    assert first == second
    assert first["outcome"] == "failed"
    assert "the program ended while it was followed" in first["reason"]
    assert first["id"] == "cut"


def test_a_flood_on_one_senders_topic_keeps_no_other_out(world: World) -> None:
    world.close()
    world.settings = world.settings.model_copy(update={"per_s": 20})
    world.open()
    for _ in range(2_000):
        world.sender.flood(b"junk", PLACE.command("ed"))
    world.sender.publish(world.sender.seal("shared"), topic=PLACE.command("shared"))
    assert until(lambda: len(world.sender.replies(PLACE.reply("shared"))) == 1, 5.0)
    dropped = world.door.dropped()
    assert dropped["overflowed"] > 1_000
    assert dropped["unreadable"] < 500, "no more were looked at than may be"


def test_mqtt_3_1_1_is_enough(world: World) -> None:
    world.close()
    world.open("3.1.1")
    for count in (1, 2):
        world.sender.publish(world.sender.seal("ed", id=f"c-{count}"), ResponseTopic="no/matter")
        assert until(lambda n=count: len(world.sender.replies()) == n)  # type: ignore[misc]
    assert len(world.follower.effects) == 2


def forged(command: SignedCommand, **changes: Any) -> SignedCommand:
    return command.model_copy(update=changes)


def test_who_holds_no_key_gets_no_answer_and_is_counted(world: World) -> None:
    good = world.sender.seal("ed")
    stranger = Signer("stranger", world.journal.parent / "ed.key", ROOT).seal(
        Command(schema=1, id="x", action="status"), "cell", 9.0
    )
    ours = world.sender.seal("shared")
    text = good.signed_text()
    same = ("ed", ROOT, "cell")
    assert signed_text(*same, "x", 1, 2, "a") != signed_text(*same, "x\n1", 2, 3, "a")
    assert signed_text("ed", None, ROOT, "cell", 1, 2, "a") != signed_text(*same, "1", 2, 3, "a")
    with_public = forged(good, nonce="p" * 20)
    public = (world.journal.parent / "ed.pub").read_bytes()
    confused = hmac.digest(public, with_public.signed_text(), hashlib.sha256).hex()
    for message in (
        forged(good, nonce="another-nonce-of-mine"),
        good.model_copy(update={"command": good.command.replace("status", "halt")}),
        forged(good, station="other"),
        forged(good, topic_root="plant/other"),
        forged(good, schema_version=1, topic_root=None),
        forged(good, expires_ms=good.expires_ms + 1),
        forged(good, signature="0" * 128),
        forged(good, signature=ours.signature),
        forged(with_public, signature=confused),
    ):
        world.sender.publish(message)
    world.sender.publish(stranger)
    world.sender.publish(ours)  # of another sender, on this one's topic
    unsigned = json.loads(good.to_json())
    del unsigned["signature"]
    for junk in (b"", b"{", json.dumps(unsigned).encode(), b'{"schema":1,"action":"halt"}', text):
        world.sender.publish(junk)
    world.sender.publish(bytes(70_000))
    world.sender.publish(good, retain=True)
    wanted = {
        "forged": 9,
        "unknown_sender": 1,
        "wrong_topic": 1,
        "unreadable": 5,
        "retained": 1,
        "oversized": 1,
    }
    assert until(lambda: world.door.dropped() == wanted), world.door.dropped()
    world.sender.publish(world.sender.seal("ed", id="last"))
    assert until(lambda: len(world.sender.replies()) == 1)
    assert [effect[2] for effect in world.follower.effects] == ["last"]
    told = [each.topic for each in world.sender.messages if "/reply/" in each.topic]
    assert told == [PLACE.reply("ed")]


def test_a_retained_command_waits_for_nobody(world: World) -> None:
    world.close()
    world.sender.publish(world.sender.seal("ed", "start"), retain=True)
    world.open()
    assert until(lambda: world.door.dropped() == {"retained": 1})
    assert not world.follower.effects
    world.sender.publish(b"", retain=True)


@pytest.mark.parametrize(
    ("words", "shift_ms", "says"),
    [
        ({"station": "other"}, 0, "it is for station plant/line/other, this is plant/line/cell"),
        ({"lifetime_s": 90.0}, 0, "valid for longer than lifetime_max_s, 60"),
        ({"lifetime_s": 5.0}, 10_000, "it has expired 5.0 s ago"),
        ({}, -10_000, "it was issued 10.0 s from now"),
    ],
)
def test_what_is_signed_but_not_for_now_and_here_is_refused_in_words(
    world: World,
    words: dict[str, Any],
    shift_ms: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = world.sender.seal("ed", "start", **words)
    now = command.issued_ms + shift_ms
    monkeypatch.setattr(world.door._gate, "now_ms", lambda: now)
    for count in (1, 2):
        world.sender.publish(command)
        assert until(lambda n=count: len(world.sender.replies()) == n)  # type: ignore[misc]
    assert says in world.sender.replies()[0]["reason"]
    assert {reply["outcome"] for reply in world.sender.replies()} == {"refused"}
    assert world.follower.effects == []
    assert world.ledger.rows == 0, "anybody can send it again: it must not fill the disk"


def test_a_nonce_is_for_one_command_and_an_action_for_who_may(world: World) -> None:
    first = world.sender.seal("ed", "start", id="a")
    world.sender.publish(first)
    second = world.sender.seal("ed", "halt", id="b")
    again = forged(second, nonce=first.nonce)
    signature = world.sender.signers["ed"]._sign(again.signed_text()).hex()
    world.sender.publish(forged(again, signature=signature))
    world.sender.publish(world.sender.seal("shared", "halt", id="c"), topic=PLACE.command("shared"))
    assert until(lambda: len(world.sender.replies()) == 2)
    assert until(lambda: len(world.sender.replies(PLACE.reply("shared"))) == 1)
    reasons = {each["id"]: each["reason"] for each in world.sender.replies()}
    assert reasons["b"] == "its nonce was used for another command"
    (refused,) = world.sender.replies(PLACE.reply("shared"))
    assert (refused["outcome"], refused["reason"]) == ("refused", "shared may not halt")
    assert [effect[2] for effect in world.follower.effects] == ["a"]


def test_a_response_topic_is_followed_below_the_senders_own_and_nowhere_else(
    world: World,
) -> None:
    own = PLACE.reply("ed")
    wanted = {
        "below": (f"{own}/tool-7", f"{own}/tool-7"),
        "own": (own, own),
        "other": (PLACE.reply("shared"), own),
        "result": (PLACE.result, own),
        "outside": ("elsewhere/reply", own),
    }
    for id_, (asked, _) in wanted.items():
        correlation = b"" if id_ == "outside" else id_.encode()
        world.sender.publish(
            world.sender.seal("ed", id=id_), ResponseTopic=asked, CorrelationData=correlation
        )
    assert until(lambda: len([m for m in world.sender.messages if "/reply/" in m.topic]) == 5)
    came = {
        json.loads(m.payload)["id"]: (m.topic, m.properties.CorrelationData)  # type: ignore[union-attr]
        for m in world.sender.messages
        if "/reply/" in m.topic
    }
    assert {id_: topic for id_, (topic, _) in came.items()} == {
        id_: answered for id_, (_, answered) in wanted.items()
    }
    assert came["below"][1] == b"below"


def test_a_bundle_that_loads_keeps_no_halt_waiting_and_too_many_are_told(world: World) -> None:
    world.follower.hold.clear()
    slow = [world.sender.seal("ed", "reload", id=f"r{i}", bundle="b") for i in range(12)]
    world.sender.publish(slow[0])
    world.sender.publish(slow[0])
    assert until(lambda: world.door.dropped() == {"under_way": 1})
    for command in slow[1:]:
        world.sender.publish(command)
    world.sender.publish(world.sender.seal("ed", "halt", id="halt"))
    assert until(lambda: ("ed", "halt", "halt") in world.follower.effects)
    refused = [each for each in world.sender.replies() if each["outcome"] == "refused"]
    assert len(refused) == 12 - 1 - WAITING_MAX
    assert all("commands wait already: send it again" in each["reason"] for each in refused)
    world.follower.hold.set()
    for command in slow:  # now those refused have room, and the others are known
        world.sender.publish(command)
        assert until(lambda c=command: _done(world, c))  # type: ignore[misc]
    loaded = [effect[2] for effect in world.follower.effects if effect[1] == "reload"]
    assert sorted(loaded) == sorted(f"r{i}" for i in range(12)), "each once"


def _done(world: World, command: SignedCommand) -> bool:
    name = json.loads(command.command)["id"]
    return any(r["id"] == name and r["outcome"] == "done" for r in world.sender.replies())


def test_the_door_comes_back_with_the_broker(tmp_path: Path) -> None:
    with Mosquitto(tmp_path).start() as broker:
        world = World(tmp_path, broker)
        world.sender.close()
        broker.kill()
        assert until(lambda: not world.door.connected)
        broker.start()
        assert until(lambda: world.door.connected)
        sender = Sender(broker.port, world.sender.signers)
        sender.publish(sender.seal("ed"))
        assert until(lambda: len(sender.replies()) == 1)
        sender.close()
        world.close()


# --- what is remembered ---


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer("ed", make_ed25519(tmp_path, "ed")[0], ROOT)


def seal(signer: Signer, lifetime_s: float = 1.0) -> SignedCommand:
    return signer.seal(Command(schema=1, id="c", action="status"), "cell", lifetime_s)


def remember(journal: Path, nonces: int, expires_ms: int) -> None:
    with sqlite3.connect(ledger_path(journal)) as db:
        rows = ((f"nonce-{i}", expires_ms) for i in range(nonces))
        db.executemany("INSERT INTO command VALUES ('ed', ?, ?, x'', '', NULL)", rows)


def test_a_clock_that_was_ahead_shuts_no_sender_out_once_it_is_right(
    tmp_path: Path, signer: Signer
) -> None:
    ledger = Ledger(tmp_path / "journal.db", "boot")
    ahead_ms = 2 * 3_600_000  # as a PC's that is kept in local time
    early, late = (
        each.model_copy(update={"expires_ms": each.expires_ms + ahead_ms + after})
        for each, after in ((seal(signer), 0), (seal(signer), 2 * KEEP_MS))
    )
    for each in (early, late):
        assert ledger.begin(each, "status", each.expires_ms) is None
    right = seal(signer)
    assert ledger.begin(right, "halt", right.issued_ms) is None
    again = ledger.known(early)
    assert again is not None, "and none of that time has an effect a second time"
    assert again.same
    ledger.close()


def test_what_was_forgotten_is_refused_whatever_the_clock_says(
    tmp_path: Path, signer: Signer
) -> None:
    ledger = Ledger(tmp_path / "journal.db", "boot")
    old, new = seal(signer), seal(signer, 30.0)
    now = old.issued_ms
    assert ledger.begin(old, "status", now) is None
    remember(tmp_path / "journal.db", REMEMBERED, old.expires_ms + 1)
    later = old.expires_ms + KEEP_MS + 1
    assert ledger.begin(new, "status", later) is None
    assert ledger.known(old) is None, "it was forgotten"
    why = ledger.begin(old, "status", now)  # the clock was set back
    assert why is not None
    assert "forgotten already" in why
    ledger.close()


def test_what_is_remembered_of_a_sender_is_bounded(tmp_path: Path, signer: Signer) -> None:
    ledger = Ledger(tmp_path / "journal.db", "boot")
    ledger.close()
    remember(tmp_path / "journal.db", NONCES_MAX, 2**52)
    ledger = Ledger(tmp_path / "journal.db", "boot")
    command = seal(signer)
    why = ledger.begin(command, "status", command.issued_ms)
    assert why is not None
    assert f"{NONCES_MAX} commands of ed" in why
    assert ledger.known(command) is None
    other = command.model_copy(update={"sender": "other"})
    assert ledger.begin(other, "status", command.issued_ms) is None
    ledger.close()


def make_audit(journal: Path, rows: int = 5) -> str:
    ledger = Ledger(journal, "boot")
    at = ""
    for i in range(rows):
        at = ledger.add(ledger.entry(event="answered", sender=f"s{i}", action="halt"))
    ledger.close()
    return at


def read(journal: Path, head: str | None = None) -> list[AuditEntry]:
    return [entry for _, entry, _ in read_audit(journal, head)]


def test_the_audit_is_only_added_to_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    make_audit(journal)
    head = make_audit(journal)
    assert [entry.sender for entry in read(journal, head)] == [f"s{i}" for i in range(5)] * 2
    with sqlite3.connect(ledger_path(journal)) as db:
        for change in ("UPDATE audit SET entry = '{}'", "DELETE FROM audit WHERE seq = 10"):
            with pytest.raises(sqlite3.IntegrityError, match="only added to"):
                db.execute(change)


Change = Callable[[sqlite3.Connection], object]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda db: db.execute("UPDATE audit SET entry = replace(entry, 's2', 'x')"), "row 3 is"),
        (lambda db: db.execute("DELETE FROM audit WHERE seq = 2"), "row 2 is missing"),
        (lambda db: db.execute("DELETE FROM audit WHERE seq = 1"), "row 1 is missing"),
        (lambda db: db.execute("DELETE FROM audit WHERE seq = 5"), "ends at 4, before 5:"),
        (lambda db: db.execute("UPDATE audit SET hash = x'00' WHERE seq = 5"), "row 5 is"),
    ],
)
def test_a_row_changed_or_taken_out_is_found(tmp_path: Path, change: Change, says: str) -> None:
    journal = tmp_path / "journal.db"
    head = make_audit(journal)
    with sqlite3.connect(ledger_path(journal)) as db:
        db.execute("DROP TRIGGER audit_unchanged")
        db.execute("DROP TRIGGER audit_whole")
        change(db)
    with pytest.raises(RecordError, match=says):
        read(journal, head)


def test_a_whole_new_chain_is_found_by_what_the_log_told(tmp_path: Path) -> None:
    head = make_audit(tmp_path / "journal.db")
    make_audit(tmp_path / "other.db")
    assert len(read(tmp_path / "other.db")) == 5
    with pytest.raises(RecordError, match="row 5 is not as it was written"):
        read(tmp_path / "other.db", head)


def test_keys_that_cannot_be_used_are_refused_in_words(tmp_path: Path) -> None:
    def says(text: str, mode: int = 0o600) -> str:
        path = tmp_path / "key"
        path.write_text(text, encoding="ascii")
        path.chmod(mode)
        with pytest.raises(ConfigError) as error:
            read_key(KeySettings(name="x", file=path, actions=frozenset({"status"})))
        return str(error.value)

    assert "fewer than 64" in says("ab" * 31)
    assert "neither PEM nor" in says("not hexadecimal")
    assert "others may read it" in says("ab" * 32, 0o640)
    assert "others may write it" in says("ab" * 32, 0o622)
    assert "no public key in PEM" in says("-----BEGIN NOTHING-----\n")
    private, public = make_ed25519(tmp_path, "pair")
    public.chmod(0o666)
    with pytest.raises(ConfigError, match="others may write it"):
        read_key(KeySettings(name="x", file=public, actions=frozenset({"status"})))
    private.chmod(0o644)
    with pytest.raises(ConfigError, match="others may read it"):
        Signer("x", private, ROOT)
