"""The threads that follow commands from the broker: two lanes, so that HALT waits for nothing slow,
and commands of one kind keep their order."""

import logging
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from queue import Full, Queue
from typing import Protocol

from inspector.contract.command import Action, Command, Outcome, Reply
from inspector.contract.errors import RecordError
from inspector.contract.signed import SignedCommand
from inspector.delivery.gate import Address, Admitted
from inspector.delivery.ledger import Ledger

log = logging.getLogger(__name__)

SLOW: frozenset[Action | None] = frozenset({"reload", "rollback", "recipe", "image"})
WAITING_MAX = 8
LARGE_BYTES = 65_536


class Answers(Protocol):
    """Follows commands; any thread may ask."""

    def answer(
        self, message: bytes, sender: str, permitted: Collection[Action], nonce: str | None
    ) -> Reply:
        """Follow one, and keep a row of it."""

    def decline(self, id_: str | None, reason: str, outcome: Outcome = "refused") -> Reply:
        """The reply to what is not followed."""

    def with_picture(self, reply: Reply, result_id: str) -> Reply:
        """A reply that was kept without its picture, with it where there still is one."""


@dataclass(frozen=True, slots=True)
class ShowAgain:
    """A reply that has a picture and was lost on its way."""

    command: Command
    reply: bytes
    """As it was kept: without the picture, so that many of them fill no disk."""


Work = Admitted | ShowAgain


class Lanes:
    def __init__(
        self, answers: Answers, ledger: Ledger, offer: Callable[[Address, bytes], None]
    ) -> None:
        """offer: takes a reply to be sent."""
        self._answers = answers
        self._ledger = ledger
        self._offer = offer
        self._queues: dict[bool, Queue[tuple[Work, Address] | None]] = {
            slow: Queue(WAITING_MAX) for slow in (False, True)
        }
        # one large picture waits to be sent: a broker that is slow must not fill the memory
        self._large_left = threading.Event()
        self._large_left.set()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, args=(lane,), name="follower", daemon=True)
            for lane in self._queues.values()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """What is being followed is not waited for."""
        self._stopping.set()
        self._large_left.set()
        for lane in self._queues.values():
            with suppress(Full):
                lane.put_nowait(None)

    def full(self, action: Action | None) -> bool:
        return self._queues[action in SLOW].full()

    def put(self, work: Work, address: Address) -> None:
        """Where it was not full. One thread puts."""
        self._queues[work.command is not None and work.command.action in SLOW].put((work, address))

    def sent(self, reply: bytes) -> None:
        """This reply waits no longer."""
        if len(reply) > LARGE_BYTES:
            self._large_left.set()

    def remember(self, envelope: SignedCommand, reply: Reply) -> None:
        """What it gets from now on, however often it comes."""
        kept = reply.model_copy(update={"picture": None})
        try:
            self._ledger.finish(envelope, kept.to_json())
        except RecordError as error:
            log.error("commands: a reply is not stored: %s", error)

    def _follow(self, lane: Queue[tuple[Work, Address] | None]) -> None:
        while (each := lane.get()) is not None:
            work, address = each
            if work.command is not None and work.command.action == "image":
                self._large_left.wait()
                if self._stopping.is_set():
                    return  # it is answered when it is sent again
            reply = self._reply(work).to_json()
            if len(reply) > LARGE_BYTES:
                self._large_left.clear()
            self._offer(address, reply)

    def _reply(self, work: Work) -> Reply:
        try:
            reply = self._answer(work)
        except Exception as error:
            # without its lanes the station ends: what one request finds is its own loss
            id_ = work.command.id if work.command else None
            log.exception("commands: %s", id_)
            words = f"the program failed at it, its log says where: {type(error).__name__}"
            reply = self._answers.decline(id_, words, "failed")
        if isinstance(work, Admitted):
            self.remember(work.envelope, reply)
        return reply

    def _answer(self, work: Work) -> Reply:
        if isinstance(work, ShowAgain):
            kept = Reply.model_validate_json(work.reply)
            return self._answers.with_picture(kept, work.command.result or "")
        envelope = work.envelope
        return self._answers.answer(
            envelope.command.encode(), envelope.sender, work.key.actions, envelope.nonce
        )
