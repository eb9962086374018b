"""A person, or a program of this machine, says that a part is there, and waits for its verdict."""

import threading
import time
from typing import Literal

from inspector.contract.image import Image
from inspector.contract.result import InspectionResult
from inspector.contract.status import TriggerStatus
from inspector.contract.strict import Strict
from inspector.station.inbox import Answer
from inspector.station.ports import Part

TAKE_S = 2.0
JUDGE_S = 10.0  # longer than any part may take


class CommandTriggerSettings(Strict):
    """`inspector command STATION.TOML trigger [--part ID]`."""

    kind: Literal["command"] = "command"


class _Asked:
    def __init__(self, part_id: str | None) -> None:
        self.part_id = part_id
        self.sequence = 0
        """The part's, once the station has taken it."""
        self.answer: Answer | None = None


class CommandTrigger:
    """ports.Trigger. One is asked for at a time: the next is refused until that has its verdict."""

    missed = 0
    trouble = None
    status = TriggerStatus(kind="command")

    def __init__(self, settings: CommandTriggerSettings) -> None:  # noqa: ARG002 - as all triggers
        self._changed = threading.Condition()
        self._asked: _Asked | None = None
        self._executes = False
        self._sequence = 0

    def ask(self, part_id: str | None) -> Answer:
        """Have a part inspected, and wait for what becomes of it. Any thread may."""
        asked = _Asked(part_id)
        with self._changed:
            if not self._executes:
                return Answer("refused", "the station does not execute: select, then start")
            if self._asked is not None:
                return Answer("refused", "another part is in work")
            self._asked = asked
            self._changed.notify_all()
            taken = self._changed.wait_for(
                lambda: asked.sequence > 0 or asked.answer is not None, TAKE_S
            )
            if taken:
                self._changed.wait_for(lambda: asked.answer is not None, JUDGE_S)
            if self._asked is asked:
                self._asked = None
            if asked.answer is not None:
                return asked.answer
            if taken:
                words = f"part {asked.sequence} has no verdict after {JUDGE_S:g} s"
                return Answer("failed", words)
            return Answer("refused", f"not taken within {TAKE_S:g} s: given up")

    def restart(self) -> None:
        with self._changed:
            self._executes = True

    def pause(self) -> None:
        with self._changed:
            self._executes = False
            if self._asked is not None and self._asked.sequence == 0:
                self._asked.answer = Answer("refused", "the station has stopped")
                self._asked = None
                self._changed.notify_all()

    def wait(self, timeout_s: float) -> Part | None:
        with self._changed:
            self._changed.wait_for(self._is_asked, timeout_s)
            if not self._is_asked() or self._asked is None:
                return None
            self._sequence += 1
            self._asked.sequence = self._sequence
            self._changed.notify_all()
            return Part(self._sequence, self._asked.part_id, time.monotonic(), asked=True)

    def overtaken(self, part: Part, by: float, picture: Image) -> str | None:  # noqa: ARG002
        """Who asks for a second one is refused."""
        return None

    def done(self, part: Part, result: InspectionResult | None) -> None:
        with self._changed:
            if self._asked is None or self._asked.sequence != part.sequence:
                return
            if result is None:
                words = f"part {part.sequence} was not recorded: it is rejected"
                self._asked.answer = Answer("failed", words)
            else:
                named = f" ({result.part.id})" if result.part.id else ""
                words = f"seq {result.seq}{named}: {result.evaluation}: {result.reason}"
                self._asked.answer = Answer("done", words)
            self._asked = None
            self._changed.notify_all()

    def end(self) -> int:
        self.pause()  # who asked is answered: nothing was accepted before it was taken
        return 0

    def _is_asked(self) -> bool:
        return self._asked is not None and self._asked.sequence == 0
