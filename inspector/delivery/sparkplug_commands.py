"""What hosts write to the device: read strictly, and handed to the station's command door.

One command at a time, on a thread of its own, since a station answers between two parts. What
became of it goes back as metrics; what is refused is counted and said.
"""

import json
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue

from inspector.contract.command import Reply
from inspector.contract.errors import CommandError
from inspector.delivery.sparkplug_metrics import controls
from inspector.delivery.sparkplug_payload import DataType, Written, read_written
from inspector.delivery.sparkplug_settings import Control

log = logging.getLogger(__name__)

WAITING_MAX = 8
STOP_S = 1.0
SAY_FIRST, SAY_EVERY = 20, 100  # refusals: the first are logged, then each hundredth

Answer = Callable[[bytes, str], Reply]
"""The command door: one message and who sent it, one reply."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of the last command, and how many there were."""

    action: str | None = None
    outcome: str | None = None
    reason: str | None = None
    done: int = 0
    refused: int = 0


class DeviceCommands:
    """`take` is the edge node's thread's; `last` is replaced as a whole, so any may look."""

    def __init__(self, allowed: Sequence[Control], sender: str, told: Callable[[], None]) -> None:
        """sender: who is said to have asked, in the audit. told: called when `last` is new."""
        self.controls = controls(allowed)
        self.last = Outcome()
        self._by_name = {of.name: name for name, of in self.controls.items()}
        self._by_alias = {of.alias: name for name, of in self.controls.items()}
        self._sender = sender
        self._told = told
        self._lock = threading.Lock()
        self._waiting: Queue[tuple[Control, str | None] | None] = Queue(maxsize=WAITING_MAX)
        self._thread: threading.Thread | None = None

    def start(self, answer: Answer) -> None:
        self._thread = threading.Thread(
            target=self._run, args=(answer,), name="sparkplug-commands", daemon=True
        )
        self._thread.start()

    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """What waits is not followed any more; what is in work ends with the process."""
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(STOP_S)

    def take(self, payload: bytes, *, retained: bool) -> None:
        """A DCMD came. All that it writes is followed, or nothing where part is not understood."""
        try:
            if retained:
                raise CommandError("it was retained: nobody knows when it was meant")
            wanted = [self._wanted(each) for each in read_written(payload)]
        except CommandError as error:
            self._note("unread", "refused", str(error))
            return
        for name, part in wanted:
            try:
                self._waiting.put_nowait((name, part))
            except Full:
                self._note(name, "refused", f"{WAITING_MAX} commands wait already")

    def _wanted(self, written: Written) -> tuple[Control, str | None]:
        """Raises CommandError where it is no control of ours, or asks for nothing."""
        name = (
            self._by_name.get(written.name) if written.name else self._by_alias.get(written.alias)
        )
        called = written.name or f"alias {written.alias}"
        if name is None:
            raise CommandError(f"{called[:100]!r} may not be written: {', '.join(self._by_name)}")
        if self.controls[name].datatype is DataType.STRING:
            if not isinstance(written.value, str):
                raise CommandError(f"{called}: write the part's id, as text")
            return name, written.value or None
        if written.value is not True:
            raise CommandError(f"{called}: only true can be written")
        return name, None

    def _run(self, answer: Answer) -> None:
        while (wanted := self._waiting.get()) is not None:
            name, part = wanted
            command = {"schema": 1, "id": f"sparkplug-{secrets.token_hex(6)}", "action": name}
            if name == "trigger":
                command["schema"] = 2  # the one that knows triggers
                if part is not None:
                    command["part"] = part
            reply = answer(json.dumps(command).encode(), self._sender)
            self._note(name, reply.outcome, reply.reason)

    def _note(self, action: str, outcome: str, reason: str) -> None:
        with self._lock:
            done = self.last.done + (outcome == "done")
            refused = self.last.refused + (outcome != "done")
            self.last = Outcome(action, outcome, reason, done, refused)
        if outcome != "done" and (refused <= SAY_FIRST or refused % SAY_EVERY == 0):
            log.warning("sparkplug: %s was %s: %s", action, outcome, reason)
        self._told()
