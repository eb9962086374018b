"""Which of the messages on a command topic are commands: decided before anything is followed.

The rule, in this order. Whoever has not proved to hold a key gets no answer, only a count, so that
the door tells nobody anything and cannot be made to send:
  retained, unreadable, of an unknown sender, on another's topic, not signed by its key: dropped.
Signed, but nothing to follow, is refused: a reply and a count, but no row in the audit, since
anybody who has seen it once can send it again:
  a nonce used for another command; for another station, or perhaps (version 1 says no topic root);
  not yet, too long or no longer valid.
A command seen before gets its reply again. All others are remembered, then followed, once.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from inspector.contract.command import Command, parse_command
from inspector.contract.errors import CommandError
from inspector.contract.signed import SignedCommand, read_signed
from inspector.contract.strict import Name, Strict
from inspector.contract.topics import Place
from inspector.delivery.inbound import Message
from inspector.delivery.keys import CommandKey, KeySettings
from inspector.delivery.ledger import Known, Ledger

CORRELATION_BYTES_MAX = 256


class CommandDoorSettings(Strict):
    """Commands over the broker: who may send them, and how old they may be."""

    keys: Annotated[tuple[KeySettings, ...], Field(min_length=1, max_length=32)]
    lifetime_max_s: Annotated[float, Field(gt=0.0, le=3_600.0)] = 60.0
    """A sender may not make a command valid for longer."""
    clock_skew_s: Annotated[float, Field(ge=0.0, le=300.0)] = 2.0
    """How far apart the clocks of sender and station may be."""
    per_s: Annotated[int, Field(ge=1, le=10_000)] = 50
    """Messages looked at in a second, in small bursts: more wait, some are dropped and counted."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """New, signed, in time: to be remembered, then followed."""

    envelope: SignedCommand
    key: CommandKey
    command: Command | None
    """None where the signed text is no command: that is its answer."""


@dataclass(frozen=True, slots=True)
class Again:
    """Seen before."""

    envelope: SignedCommand
    command: Command | None
    known: Known


@dataclass(frozen=True, slots=True)
class Refused:
    envelope: SignedCommand
    command: Command | None
    reason: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """Not answered. The reason is one of a few, for a count."""

    reason: str


@dataclass(frozen=True, slots=True)
class Address:
    """Where one reply goes."""

    topic: str
    correlation: bytes | None


Decision = Admitted | Again | Refused | Dropped


class Gate:
    """One thread uses it."""

    def __init__(
        self,
        settings: CommandDoorSettings,
        keys: Iterable[CommandKey],
        station: Name,
        place: Place,
        ledger: Ledger,
    ) -> None:
        self._lifetime_max_ms = round(1_000 * settings.lifetime_max_s)
        self._skew_ms = round(1_000 * settings.clock_skew_s)
        self._keys = {key.name: key for key in keys}
        self._station = station
        self._place = place
        self._ledger = ledger

    def topics(self) -> list[str]:
        return [self._place.command(name) for name in self._keys]

    def now_ms(self) -> int:
        """The time that commands are held against."""
        return time.time_ns() // 1_000_000

    def address(self, envelope: SignedCommand, message: Message) -> Address:
        """The sender's own reply topic, or one below it that it asked for: never another's."""
        topic = self._place.reply(envelope.sender)
        wanted = message.response_topic
        if wanted and wanted.startswith(f"{topic}/") and not set(wanted) & set("+#\0"):
            topic = wanted
        correlation = message.correlation
        if correlation is not None and len(correlation) > CORRELATION_BYTES_MAX:
            correlation = None
        return Address(topic, correlation)

    def decide(self, message: Message) -> Decision:
        """Raises RecordError where it cannot be known whether it came before."""
        if message.retain:
            return Dropped("retained")
        try:
            envelope = read_signed(message.payload)
        except CommandError:
            return Dropped("unreadable")
        key = self._keys.get(envelope.sender)
        if key is None:
            return Dropped("unknown_sender")
        if message.topic != self._place.command(envelope.sender):
            return Dropped("wrong_topic")
        if not key.verifies(envelope.signed_text(), bytes.fromhex(envelope.signature)):
            return Dropped("forged")
        return self._of_signed(envelope, key)

    def _of_signed(self, envelope: SignedCommand, key: CommandKey) -> Decision:
        command = _command(envelope)
        known = self._ledger.known(envelope)
        if known is not None and known.same:
            return Again(envelope, command, known)
        if known is not None:
            reason = "its nonce was used for another command"
        else:
            reason = self._elsewhere(envelope, key) or self._untimely(envelope, self.now_ms())
        if reason:
            return Refused(envelope, command, reason)
        return Admitted(envelope, key, command)

    def _elsewhere(self, envelope: SignedCommand, key: CommandKey) -> str:
        """Why this station may not be the one it is for; "" where nothing speaks against it."""
        if envelope.schema_version < key.schema_min:
            return (
                "its envelope has schema 1, whose signature does not say for which topic_root: "
                "sign schema 2 (inspector schema envelope); until that sender can, the station's "
                f"settings may have schema_min = 1 in its [[commands.keys]], {key.name}"
            )
        meant, here = envelope.station, self._station
        if envelope.topic_root is not None:
            meant, here = f"{envelope.topic_root}/{meant}", self._place.path
        return "" if meant == here else f"it is for station {meant}, this is {here}"

    def _untimely(self, envelope: SignedCommand, now: int) -> str:
        """Why this one is not to be followed now; "" where nothing speaks against it."""
        late_s = (now - envelope.expires_ms) / 1_000
        if now > envelope.expires_ms + self._skew_ms:
            return f"it has expired {late_s:.1f} s ago, by this station's clock"
        if envelope.issued_ms > now + self._skew_ms:
            early_s = (envelope.issued_ms - now) / 1_000
            return f"it was issued {early_s:.1f} s from now, by this station's clock"
        if envelope.expires_ms - envelope.issued_ms > self._lifetime_max_ms:
            return f"it is valid for longer than lifetime_max_s, {self._lifetime_max_ms / 1_000:g}"
        return ""


def _command(envelope: SignedCommand) -> Command | None:
    try:
        return parse_command(envelope.command.encode())
    except CommandError:
        return None
