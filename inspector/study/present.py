"""A person shows known parts to a running station, one after another, as often as the plan asks.

The order is drawn anew for each round, so that a drift in time is not taken for a difference
between parts. The person is not told the verdict: a presentation is repeated because the wrong part
lay there, not because the verdict was unwelcome, and how often that happened is in the report.
"""

import os
import random
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from inspector.contract.command import Reply
from inspector.contract.errors import ConfigError
from inspector.contract.result import part_called
from inspector.contract.strict import Strict
from inspector.examine import Filter, last_settled, rows
from inspector.study.kept import Lines
from inspector.study.seen import one_setting

LOOK_S = 0.1
RESULT_S = 30.0
"""After Enter; a part may take the 5 s of the longest deadline, and a row a moment to settle."""
Way = Literal["ask", "look", "wait"]
WAYS: dict[str, Way] = {
    "command": "ask",
    "interval": "look",
    "continuous": "look",
    "mqtt": "wait",
    "part_present": "wait",
}
"""By the station's trigger. ask: we trigger. look: the station looks by itself, and the first
result of a picture taken after Enter is the part's. wait: the line triggers, and the next result
is the part's."""
ASKED = {
    "ask": "put {part} in place, then press Enter",
    "look": "put {part} in place, keep it there, then press Enter",
    "wait": "let {part} come",
}
REPEAT, END = "r", "q"


class Plan(Strict):
    """What a folder's study was begun with."""

    study: Literal["repeatability"] = "repeatability"
    station: str
    trigger: str
    parts: tuple[tuple[str, str], ...]
    """Part and label."""
    presentations: int
    seed: int

    def order(self) -> list[str]:
        """Part by part, each round in an order of its own."""
        chance = random.Random(self.seed)  # noqa: S311 - an order, no secret
        names = [part for part, _ in self.parts]
        return [
            part for _ in range(self.presentations) for part in chance.sample(names, len(names))
        ]


class Person(Protocol):
    def said(self, timeout_s: float) -> str | None:
        """A line, without its end; None where none came in time. Raises EOFError at the end."""


class Keyboard:
    """Lines of stdin, without waiting longer than asked."""

    def __init__(self) -> None:
        self._handle = sys.stdin.fileno()
        self._waiting = b""

    def said(self, timeout_s: float) -> str | None:
        end = time.monotonic() + timeout_s
        while b"\n" not in self._waiting:
            left_s = max(0.0, end - time.monotonic())
            if not select.select([self._handle], [], [], left_s)[0]:
                return None
            more = os.read(self._handle, 4096)
            if not more:
                raise EOFError
            self._waiting += more
        line, _, self._waiting = self._waiting.partition(b"\n")
        return line.decode(errors="replace").strip()


class Stopped(Exception):  # noqa: N818 - no error: the study goes on another time
    """The person has had enough for now."""


class Taken(NamedTuple):
    """What was presented so far, in order."""

    results: list[tuple[str, Mapping[str, Any]]]
    """Part, and the station's result."""
    taken_back: int


def taken(lines: Iterable[Mapping[str, Any]]) -> Taken:
    """From what was kept."""
    results: list[tuple[str, Mapping[str, Any]]] = []
    back = 0
    for line in lines:
        if line.get("taken_back"):
            results.pop()
            back += 1
        else:
            results.append((line["part"], line["result"]))
    return Taken(results, back)


class Session:
    """One sitting of a study."""

    def __init__(
        self,
        plan: Plan,
        lines: Lines,
        *,
        journal: Path,
        trigger: Callable[[str], Reply],
        person: Person,
        say: Callable[[str], None],
    ) -> None:
        """trigger: asks the station to look at the part of this name. Raises ConfigError."""
        if plan.trigger not in WAYS:
            raise ConfigError(f"trigger.kind {plan.trigger!r}: nobody can present parts to it")
        self._plan = plan
        self._way = WAYS[plan.trigger]
        self._lines = lines
        self._journal = journal
        self._trigger = trigger
        self._person = person
        self._say = say
        self._names = frozenset(part for part, _ in plan.parts)

    def run(self) -> Taken:
        """All that is left. Raises Stopped, ConfigError where the station was changed meanwhile."""
        found = taken(self._lines.found)
        order = self._plan.order()
        back = found.taken_back
        self._say(f"Enter: it is there. {REPEAT} Enter: it was the wrong part, once more. "
                  f"{END} Enter: go on another time")  # fmt: skip
        while len(found.results) < len(order):
            at = len(found.results)
            part = order[at]
            result = self._present(part, f"[{at + 1}/{len(order)}]")
            if result is None:
                if found.results:
                    self._lines.add({"taken_back": True})
                    part, _ = found.results.pop()
                    back += 1
                    self._say(f"the last presentation of {part} is taken back")
                continue
            self._require_alike([*(each for _, each in found.results[:1]), result])
            self._lines.add({"part": part, "result": result})
            found.results.append((part, result))
            self._say(f"  row {result['seq']} taken")
        return Taken(found.results, back)

    def _require_alike(self, results: Sequence[Mapping[str, Any]]) -> None:
        one_setting(results, "a study is of one station as it is: begin anew in another folder")

    def _present(self, part: str, where: str) -> dict[str, Any] | None:
        """The part's result; None where the person takes the last one back. Raises Stopped."""
        while True:
            self._say(f"{where} {ASKED[self._way].format(part=part)}")
            after = last_settled(self._journal)
            if self._way == "wait":
                return self._await(part, after, None, float("inf"))
            if self._listen(None):
                return None
            since = datetime.now(UTC)
            if self._way == "ask":
                reply = self._trigger(part)
                if reply.outcome != "done":
                    self._say(f"  {reply.outcome}: {reply.reason}")
                    continue
            found = self._await(part, after, since, RESULT_S)
            if found is not None:
                return found
            self._say(f"  no result came within {RESULT_S:g} s: is the station executing?")

    def _listen(self, timeout_s: float | None) -> bool:
        """Whether the last one is to be taken back. None: until something is said."""
        try:
            said = self._person.said(86_400.0 if timeout_s is None else timeout_s)
        except EOFError:
            if timeout_s is None:
                raise Stopped from None
            time.sleep(timeout_s)  # nobody is there, but the line goes on
            return False
        if said == END:
            raise Stopped
        return said == REPEAT

    def _await(
        self, part: str, after: int, since: datetime | None, patience_s: float
    ) -> dict[str, Any] | None:
        """The part's result among the rows behind `after`."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            for seq, _, result in rows(self._journal, Filter(), after):
                after = seq
                if self._is_of(part, result, since):
                    return result
            if self._way != "wait":
                time.sleep(LOOK_S)
            elif self._listen(LOOK_S):
                return None
        return None

    def _is_of(self, part: str, result: Mapping[str, Any], since: datetime | None) -> bool:
        named = part_called(result)
        if self._way == "ask":
            return bool(named == part)
        if result.get("cause") == "trigger":
            return False  # refused: nobody looked at the part
        if self._way == "wait":
            if named in self._names and named != part:
                self._say(f"  row {result['seq']} is of {named}: not counted, {part} is wanted")
                return False
            return True
        at = result["captured_at"]
        return at is not None and since is not None and datetime.fromisoformat(at) > since


def by_part(
    plan: Plan, results: Iterable[tuple[str, Mapping[str, Any]]]
) -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
    """(part, label, results) of each part that was presented at least once."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for part, result in results:
        found.setdefault(part, []).append(result)
    for part, label in plan.parts:
        if part in found:
            yield part, label, found[part]
