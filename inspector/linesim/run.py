"""`inspector line-sim`: the line's controller, one part after the other, on one thread.

It follows the rules that a controller must (linesim/gate.py) and errs where its plan says so.
"""

import heapq
import itertools
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from inspector.contract.trigger import TriggerMessage
from inspector.linesim.gate import Shown, verdict_of
from inspector.linesim.link import Link
from inspector.linesim.plan import Dice, Fate, Plan
from inspector.linesim.summary import Summary

CYCLE_S = 0.002
"""As a PLC's."""
READY_S = 30.0
QUIET_S = 0.3
SETTLE_S = 3.0
"""How long the end waits for what is still on its way."""


class View(Protocol):
    """What the controller sees of the station's signal, and how it answers."""

    names_parts: bool
    news: deque[Shown]
    """Everything that was shown, as it came."""

    def look(self) -> Shown: ...

    def echo(self, shown: Shown, *, passed: bool, ejected: bool) -> None: ...


@dataclass(slots=True)
class _Part:
    number: int
    name: str
    fate: Fate
    not_of: int
    """The sequence at its own trigger."""
    began: float
    shown: Shown | None = None
    passes: bool | None = None


class LineSim:
    def __init__(
        self,
        plan: Plan,
        link: Link,
        view: View,
        *,
        triggers: bool,
        say: Callable[[str], None],
        stop: Callable[[], bool],
        linger_s: float = 0.0,
    ) -> None:
        """triggers: it brings the parts; else they come by themselves, and it follows.

        linger_s: how long after the last part the station may find that something is owed.
        """
        self._linger_s = linger_s
        self._plan, self._link, self._view = plan, link, view
        self._triggers, self._say, self._stop = triggers, say, stop
        self._dice = Dice(plan)
        self._run = f"sim-{secrets.token_hex(3)}"  # a station remembers ids
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._unproven: dict[str, bool] = {}
        """Verdicts by trigger id, whose rows have not come yet."""
        self._at_gate: str | None = None
        """Its row may come before its verdict."""
        self._last: _Part | None = None
        self.summary = Summary()

    def run(self) -> None:
        """Until its parts are through, it is stopped, or the station is in ERROR.

        Raises DeviceError where the broker is gone.
        """
        if not self._ready():
            return
        turn = time.monotonic()
        while not self._over():
            fate = self._dice.throw()
            if self._triggers:
                self._wait(turn + fate.delay_s)
            if not self._over():
                self._bring(fate)
            turn = max(turn + 1.0 / self._plan.rate, time.monotonic())
        self._settle()

    def _ready(self) -> bool:
        self._say("waiting for the station to be ready")
        end = time.monotonic() + READY_S
        while not self._may_begin():
            if self._stop() or time.monotonic() > end:
                said = self._link.state
                why = said.get("withheld") or said.get("cause") or "nothing was heard of it"
                shown = self._view.look()
                if said and not shown.ready:
                    why = f"{why}; it shows no ready"
                self.summary.not_ready = str(why)
                return False
            self._turn(CYCLE_S)
        return True

    def _may_begin(self) -> bool:
        shown = self._view.look()
        return shown.alive and shown.ready and self._link.state.get("withheld") is None

    def _bring(self, fate: Fate) -> None:
        number = self.summary.parts + 1
        self._contradicted()
        if self._triggers or self._last is None:
            self._view.news.clear()
        name = f"{self._run}-{number}"
        before = self._view.look().sequence
        if not self._triggers and self._last is not None:
            before = self._last.shown.sequence if self._last.shown else before
        part = _Part(number, name, fate, before, time.monotonic())
        if self._triggers:
            self._announce(part)
            self._look_for(part, part.began + self._plan.own_s)
        else:
            self._look_for(part, float("inf"))
            if part.shown is None and self._over():
                return
        self.summary.parts += 1
        self._act(part)
        self._at_gate = None
        self._last = part

    def _announce(self, part: _Part) -> None:
        fate, summary = part.fate, self.summary
        if fate.lost:
            summary.lost += 1
            return
        message = TriggerMessage(
            id=part.name,
            part_id=part.name.upper(),
            deadline_ms=self._plan.deadline_ms,
            sent_at=datetime.now(UTC),
        ).to_json()
        self._at_gate = part.name
        summary.triggers += 1
        summary.late += fate.late
        summary.duplicates += fate.duplicate
        for _ in range(1 + fate.duplicate):
            if fate.late:
                self._later(self._plan.late_ms, lambda: self._link.trigger(message))
            else:
                self._link.trigger(message)

    def _look_for(self, part: _Part, end: float) -> None:
        """Its verdict, as long as its own time is not over."""
        trigger = part.name if self._triggers and self._view.names_parts else None
        while time.monotonic() <= end and not self._stop():
            while self._view.news:
                shown = self._view.news.popleft()
                if not self._triggers and end == float("inf") and shown.sequence != part.not_of:
                    part.began, end = shown.at, shown.at + self._plan.own_s
                passes = verdict_of(shown, not_of=part.not_of, trigger=trigger)
                if passes is not None:
                    part.shown, part.passes = shown, passes
                    return
            if self._faults():
                return
            self._turn(CYCLE_S)

    def _act(self, part: _Part) -> None:
        """Open the gate or not, say so, or err."""
        fate, summary, shown = part.fate, self.summary, part.shown
        if shown is None or part.passes is None:
            expected = fate.lost or fate.late
            summary.by_itself += expected
            summary.unanswered += not expected
            self._tell(part, "no verdict: rejected")
            return
        passes = part.passes
        summary.passed += passes
        summary.rejected += not passes
        took_ms = 1_000 * (shown.at - part.began)
        summary.times_ms.append(took_ms)
        if self._triggers:
            self._unproven[part.name] = passes
        if fate.lose_echo:
            summary.echoes_lost += 1
        else:
            summary.echoes += not fate.wrong_echo
            summary.echoes_wrong += fate.wrong_echo
            self._view.echo(shown, passed=passes is not fate.wrong_echo, ejected=False)
        if not passes and fate.lose_eject:
            summary.not_ejected += 1
        elif not passes and not fate.wrong_echo:
            self._later(self._plan.eject_ms, lambda: self._leaves(shown))
        self._tell(part, f"{'pass' if passes else 'reject':<7}{took_ms:8.1f} ms")

    def _leaves(self, shown: Shown) -> None:
        self.summary.ejected += 1
        self._view.echo(shown, passed=False, ejected=True)

    def _tell(self, part: _Part, what: str) -> None:
        fate = part.fate
        errs = {
            "trigger late": fate.late,
            "trigger twice": fate.duplicate,
            "trigger lost": fate.lost,
            "echo lost": fate.lose_echo and part.passes is not None,
            "echo wrong": fate.wrong_echo and not fate.lose_echo and part.passes is not None,
            "not seen to leave": fate.lose_eject and part.passes is False,
        }
        notes = ", ".join(name for name, applies in errs.items() if applies)
        sequence = part.shown.sequence if part.shown else "-"
        self._say(f"{part.number:>6} {part.name:<16} seq {sequence:<6} {what}  {notes}".rstrip())

    def _compare(self) -> None:
        """What was shown with what is recorded."""
        results = self._link.results
        for trigger in [each for each in results if each != self._at_gate]:
            recorded, seen = results.pop(trigger), self._unproven.pop(trigger, None)
            if seen is None:
                continue
            self.summary.compared += 1
            if seen is not recorded:
                shown, kept = (("reject", "pass")[passes] for passes in (seen, recorded))
                self._mismatch(f"{trigger}: {shown} was shown, {kept} is recorded")

    # --- time passes ---

    def _later(self, wait_ms: int, do: Callable[[], None]) -> None:
        at = time.monotonic() + wait_ms / 1000
        heapq.heappush(self._due, (at, next(self._numbers), do))

    def _turn(self, most_s: float) -> None:
        self._link.turn(max(0.0, min(CYCLE_S, most_s)))
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        self._compare()

    def _wait(self, until: float) -> None:
        while not self._over() and (rest_s := until - time.monotonic()) > 0.0:
            self._turn(rest_s)

    def _settle(self) -> None:
        """Parts are still on their way to the sensor, rows to us, and echoes to the station."""
        end = max([time.monotonic(), *(at for at, _, _ in self._due)])
        end += self._linger_s + SETTLE_S
        owes = self._triggers and self.summary.echoes_lost + self.summary.not_ejected > 0
        quiet = time.monotonic() + (self._linger_s if owes else 0.0) + QUIET_S
        while time.monotonic() < end and not self._faults():
            if not (self._due or self._unproven) and time.monotonic() > quiet:
                break
            self._turn(CYCLE_S)
        while time.monotonic() < end and self._faults() and not self._in_error():
            self._turn(CYCLE_S)
        self._contradicted()
        if self._unproven and self.summary.fault is None:
            self._say(f"{len(self._unproven)} rows have not come")
        if any(self._unproven.values()) and self.summary.fault is None:
            self._mismatch("a part passed, and no row of it came")

    def _contradicted(self) -> None:
        """Whether something else was shown of the last part after it was acted on."""
        last = self._last
        if last is None or last.shown is None:
            return
        for shown in self._view.news:
            passes = verdict_of(shown, not_of=None)
            if shown.sequence == last.shown.sequence and passes not in (None, last.passes):
                self._mismatch(f"{last.name}: another verdict was shown of it later")
                return

    def _mismatch(self, words: str) -> None:
        self.summary.mismatches += 1
        self._say(f"MISMATCH {words}")

    def _faults(self) -> bool:
        if self.summary.fault is None and self._view.look().fault:
            self.summary.fault = "the station shows fault"
        if self.summary.fault is not None and self._in_error():
            self.summary.fault = str(self._link.state["cause"])
        return self.summary.fault is not None

    def _in_error(self) -> bool:
        return self._link.state.get("state") == "ERROR"

    def _over(self) -> bool:
        done = self._plan.parts is not None and self.summary.parts >= self._plan.parts
        return done or self._stop() or self._faults()
