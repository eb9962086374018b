"""From a command to its one reply: what to ask of the station, and what became of that."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection
from queue import Empty, Queue
from typing import Protocol

from inspector.contract.audit import AuditEntry
from inspector.contract.command import (
    ACTIONS,
    Action,
    Command,
    Outcome,
    Picture,
    Reply,
    parse_command,
)
from inspector.contract.errors import CommandError, InspectorError
from inspector.contract.foreign import REASON_MAX
from inspector.contract.revision import RecipeChange
from inspector.station.cycle import Job
from inspector.station.inbox import Answer, Order
from inspector.station.loop import Station
from inspector.station.state import Event, State

log = logging.getLogger(__name__)
audit = logging.getLogger("inspector.audit")

TAKE_S = 10.0  # longer than any part may take
FINISH_S = 20.0  # a camera that is opened waits for its first try
LOAD_S = 90.0  # a bundle is verified and tested, and waits for the gap between two parts

EVENTS: dict[Action, Event] = {
    "start": Event.START_CONTINUOUS,
    "single": Event.START_SINGLE,
    "stop": Event.STOP,
    "reset": Event.RESET,
    "halt": Event.HALT,
}


class Loader(Protocol):
    """Loads another bundle on a thread of its own and has the station take it."""

    def offer(self, bundle_id: str, by: str, done: Callable[[bool, str], None]) -> bool:
        """False where too many requests wait; else `done` is told what became of it, once."""

    def rollback(self, by: str, done: Callable[[bool, str], None]) -> bool:
        """As `offer`, for the bundle that served before."""

    def revise(self, change: RecipeChange, by: str, done: Callable[[bool, str], None]) -> bool:
        """As `offer`, for another recipe with the bundle that serves."""


class Audit(Protocol):
    """Keeps a row of every command, for good. Any thread may add one."""

    def entry(self, **words: object) -> AuditEntry:
        """A row of now."""

    def add(self, entry: AuditEntry) -> str:
        """Where it stands. Raises RecordError."""


class Commands:
    """Every door hands its commands here; any thread may."""

    def __init__(
        self,
        station: Station,
        prepare: Callable[[Callable[[Job], bool]], Job],
        loader: Loader,
        audit: Audit,
        picture: Callable[[str], Picture | str],
        trigger: Callable[[str | None], Answer] | None = None,
    ) -> None:
        """prepare: reads recipe and bundle anew, and asks what it is given whether the station
        begins with them; no bundle is exchanged meanwhile. Raises ConfigError, BundleError.

        picture: the kept one of a result_id, or why there is none.

        trigger: has a part inspected and waits for its verdict; None where others trigger parts.
        """
        self._station = station
        self._trigger = trigger
        self._prepare = prepare
        self._loader = loader
        self._audit = audit
        self._picture = picture
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def answer(
        self,
        message: bytes,
        sender: str,
        permitted: Collection[Action] = ACTIONS,
        nonce: str | None = None,
    ) -> Reply:
        """Read one message, follow it, reply. `sender` is who it came from, for the audit.

        permitted: what this sender may ask for. nonce: of its envelope, for the audit.
        """
        try:
            command = parse_command(message)
        except CommandError as error:
            return self._reply(None, "unread", sender, Answer("refused", str(error)), nonce)
        if command.action in permitted:
            answer = self._tried(command, sender)
        else:
            answer = Answer("refused", f"{sender} may not {command.action}")
        return self._reply(command.id, command.action, sender, answer, nonce)

    def decline(self, id_: str | None, reason: str, outcome: Outcome = "refused") -> Reply:
        """The reply to what was not followed at all."""
        with self._lock:
            self._counts["unread", outcome] += 1
        return self._say(id_, Answer(outcome, reason))

    def with_picture(self, reply: Reply, result_id: str) -> Reply:
        """A reply that was kept without its picture, with it where there still is one."""
        if reply.outcome != "done":
            return reply
        found = self._picture(result_id)
        if isinstance(found, str):
            words = f"{reply.reason}: it was sent, and is gone now: {found}"
            return reply.model_copy(update={"reason": words[:REASON_MAX]})
        return reply.model_copy(update={"picture": found})

    def figures(self) -> dict[tuple[str, str], int]:
        """Commands answered, by action and outcome; any thread may ask."""
        with self._lock:
            return dict(self._counts)

    def _tried(self, command: Command, sender: str) -> Answer:
        """A hole in the program costs this command its effect, not every part its verdict."""
        try:
            return self._follow(command, sender)
        except Exception as error:
            log.exception("command %s (%s) by %s", command.action, command.id, sender)
            words = f"the program failed at it, its log says where: {type(error).__name__}"
            return Answer("failed", words)

    def _follow(self, command: Command, sender: str) -> Answer:
        cause = f"{command.action} by {sender}"
        if command.action == "status":
            return Answer("done", "this is what it does")
        if command.action == "select":
            return self._select(cause)
        if command.action == "trigger":
            if self._trigger is None:
                words = 'parts are triggered otherwise: write trigger = { kind = "command" }'
                return Answer("refused", words)
            return self._trigger(command.part)
        if command.result is not None:
            return self._show(command.result)
        if command.action in ("reload", "rollback", "recipe"):
            return self._load(command, sender)
        return self._ask(Order(EVENTS[command.action], cause))

    def _show(self, result_id: str) -> Answer:
        found = self._picture(result_id)
        if isinstance(found, str):
            return Answer("refused", found)
        scaled = "" if found.scale == 1.0 else f", made smaller: {found.scale:.2f} of its size"
        return Answer("done", f"the picture of {result_id}{scaled}", found)

    def _load(self, command: Command, sender: str) -> Answer:
        """The named bundle, the one before, or another recipe."""
        told: Queue[Answer] = Queue()

        def done(taken: bool, words: str) -> None:  # noqa: FBT001 - as the loader calls it
            told.put(Answer("done" if taken else "refused", words))

        if command.recipe is not None:
            waits = self._loader.revise(command.recipe, f"{sender}, {command.id}", done)
        elif command.bundle is not None:
            waits = self._loader.offer(command.bundle, sender, done)
        else:
            waits = self._loader.rollback(sender, done)
        if not waits:
            return Answer("refused", "too many bundles wait to be loaded already")
        try:
            return told.get(timeout=LOAD_S)
        except Empty:
            return Answer("failed", f"not loaded within {LOAD_S:g} s: it still may be")

    def _select(self, cause: str) -> Answer:
        """Automatic mode, and the recipe that stands in its file now."""
        answers: list[Answer] = []

        def take(job: Job) -> bool:
            answers.append(self._begin(job, cause))
            return answers[0].outcome != "refused"  # one that failed may have it

        try:
            self._prepare(take)
        except InspectorError as error:
            return Answer("refused", str(error))
        return answers[0]

    def _begin(self, job: Job, cause: str) -> Answer:
        if self._station.pulse.state is State.PREOPERATIONAL:
            answer = self._ask(Order(Event.SELECT_AUTOMATIC, cause))
            if answer.outcome != "done":
                return answer
        return self._ask(Order(Event.PREPARE_RECIPE, cause, job))

    def _ask(self, order: Order) -> Answer:
        self._station.offer(order)
        return order.wait(TAKE_S, FINISH_S)

    def _reply(
        self, id_: str | None, action: str, sender: str, answer: Answer, nonce: str | None
    ) -> Reply:
        with self._lock:
            self._counts[action, answer.outcome] += 1
        entry = self._audit.entry(
            event="answered",
            sender=sender,
            action=action,
            id=id_,
            nonce=nonce,
            outcome=answer.outcome,
            reason=answer.reason[:REASON_MAX],
        )
        try:
            # asking changes nothing: a watchdog that asks here every second must not fill a disk
            asks = action == "status" and nonce is None
            at = "none" if asks else self._audit.add(entry)
        except InspectorError as error:  # a HALT is followed and answered with a full disk too
            log.error("a command stands in no audit: %s", error)
            at = "none"
        words = "command %s (%s) by %s: %s: %s (audit %s)"
        audit.info(words, action, id_, sender, answer.outcome, answer.reason, at)
        return self._say(id_, answer)

    def _say(self, id_: str | None, answer: Answer) -> Reply:
        state = self._station.snapshot
        pulse = self._station.pulse
        return Reply(
            id=id_,
            station=state.station,
            boot=state.boot,
            outcome=answer.outcome,
            reason=answer.reason[:REASON_MAX],
            state=pulse.state.value,
            cause=pulse.cause,
            withheld=pulse.withheld,
            picture=answer.picture,
        )
