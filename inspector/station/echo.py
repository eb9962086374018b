"""What the line's controller owes for the verdicts it was told, and what it said instead.

An echo that is missing, a rejected part nobody saw leave the belt, and above all a controller that
acted on another verdict than was told: each is a fault, found on the line's thread and raised on
the station's, which never waits for an echo.
"""

import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from inspector.contract.status import EchoRefusal, EchoStatus
from inspector.contract.strict import Strict
from inspector.station.ports import Part
from inspector.station.signal import Heard
from inspector.station.spread import Buckets, spread

TOLD_MAX = 4_096
"""So many verdicts back a wrong echo is known as one. Below the 65536 of a Modbus word."""
TIMED_MAX = 1_000

log = logging.getLogger(__name__)


class Asked(Strict):
    """What the controller must say; left out: nothing. What it does not say in time is ERROR."""

    echo_max_ms: Annotated[int, Field(ge=20, le=10_000)] | None = None
    """From telling a verdict to its echo: which part the controller acted on, and how."""
    eject_max_ms: Annotated[int, Field(ge=20, le=60_000)] | None = None
    """From telling a reject to the word that a sensor saw the part leave the belt."""

    @property
    def asks(self) -> bool:
        return self.echo_max_ms is not None or self.eject_max_ms is not None


NOTHING_ASKED = Asked()


@dataclass(slots=True)
class _Told:
    part: Part
    passes: bool
    told_at: float
    echo_by: float | None
    """Until when it is owed; None: it is not, or came."""
    eject_by: float | None
    echoed: bool = False
    ejected: bool = False

    @property
    def words(self) -> str:
        part = self.part
        name = f" ({part.part_id})" if part.part_id else ""
        return f"part {part.sequence}{name}, told {_verdict(passes=self.passes)}"

    def is_of(self, heard: Heard) -> bool:
        """Where the controller names part or trigger, it must mean this one."""
        named = ((heard.part_id, self.part.part_id), (heard.trigger_id, self.part.trigger_id))
        return all(theirs is None or theirs == ours for theirs, ours in named)


class Echoes:
    """Guarded by who holds it."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.fault: str | None = None
        """The first that was found and not yet taken."""
        self.latencies: Mapping[str, Buckets] = {"echo": Buckets()} if self.asks else {}
        self._told: OrderedDict[int, _Told] = OrderedDict()
        self._owing: OrderedDict[int, _Told] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._refused: Counter[EchoRefusal] = Counter()
        self._echo_ms: deque[float] = deque(maxlen=TIMED_MAX)

    @property
    def asks(self) -> bool:
        return self._asked.asks

    @property
    def owed(self) -> bool:
        return bool(self._owing)

    @property
    def status(self) -> EchoStatus | None:
        if not self.asks:
            return None
        return EchoStatus(
            **self._counts, refused=dict(self._refused), echo_ms=spread(self._echo_ms)
        )

    def told(self, part: Part, *, passes: bool, since: float, now: float) -> None:
        """The line has a verdict; it was told from `since` to `now`."""
        if not self.asks:
            return
        told = _Told(
            part,
            passes,
            since,
            echo_by=_by(now, self._asked.echo_max_ms),
            eject_by=None if passes else _by(now, self._asked.eject_max_ms),
        )
        self._told[part.sequence] = told
        self._owes(told)
        if len(self._told) > TOLD_MAX:
            _, oldest = self._told.popitem(last=False)
            if self._owing.pop(oldest.part.sequence, None) is not None:
                self._find("missing", f"no word about {oldest.words}, {TOLD_MAX} verdicts ago")

    def take(self, heard: Heard | EchoRefusal) -> None:
        """One thing that the controller said."""
        if isinstance(heard, str):
            self._refuse(heard)
            return
        told = self._told.get(heard.sequence)
        acted = _verdict(passes=heard.passed)
        if told is None and heard.passed:
            self._find("mismatches", f"it passed part {heard.sequence}, of which nothing was told")
        elif told is None:
            self._refuse("unasked")  # it rejects by itself what it has no verdict of
        elif told.passes is not heard.passed:
            self._settle(told)
            self._find("mismatches", f"it acted on {acted} for {told.words}")
        elif not told.is_of(heard):
            self._find(
                "mismatches",
                f"it acted on {acted} for {heard.part_id or heard.trigger_id}, of {told.words}",
            )
        elif heard.ejected:
            self._ejected(told, heard)
        else:
            self._echoed(told, heard)

    def overdue(self, now: float) -> None:
        """What was owed until now has not come: to be asked after all was taken."""
        late = [
            told
            for told in self._owing.values()
            if min(_or_never(told.echo_by), _or_never(told.eject_by)) <= now
        ]
        for told in late:
            if _or_never(told.echo_by) <= now:
                self._find("missing", f"no echo within {self._asked.echo_max_ms} ms: {told.words}")
            else:
                most = self._asked.eject_max_ms
                self._find("not_ejected", f"not seen to leave within {most} ms: {told.words}")
            self._settle(told)

    def forget(self) -> None:
        """A person is needed already: nothing more is owed, and wrong echoes are still known."""
        for told in list(self._owing.values()):
            self._settle(told)

    def _echoed(self, told: _Told, heard: Heard) -> None:
        if told.echoed:
            return
        took_ms = max(0.0, 1_000 * (heard.at - told.told_at))
        told.echoed, told.echo_by = True, None
        self._counts["echoes"] += 1
        self._echo_ms.append(took_ms)
        self.latencies["echo"].add(took_ms)
        self._owes(told)

    def _ejected(self, told: _Told, heard: Heard) -> None:
        """Who has seen it leave has acted on the verdict."""
        self._echoed(told, heard)
        if not told.ejected:
            told.ejected, told.eject_by = True, None
            self._counts["ejected"] += 1
            self._owes(told)

    def _owes(self, told: _Told) -> None:
        if told.echo_by is None and told.eject_by is None:
            self._owing.pop(told.part.sequence, None)
        else:
            self._owing[told.part.sequence] = told

    def _settle(self, told: _Told) -> None:
        told.echo_by = told.eject_by = None
        self._owes(told)

    def _refuse(self, why: EchoRefusal) -> None:
        self._refused[why] += 1

    def _find(self, what: str, words: str) -> None:
        self._counts[what] += 1
        if self.fault is None:
            self.fault = f"line controller: {words}"
            log.error("%s", self.fault)


def _by(now: float, most_ms: int | None) -> float | None:
    return None if most_ms is None else now + most_ms / 1000


def _or_never(by: float | None) -> float:
    return float("inf") if by is None else by


def _verdict(*, passes: bool) -> str:
    return "pass" if passes else "reject"
