"""Which results of one station have come, which are missing, which came twice: no network, no disk.

Rows leave in order of their numbers, each once. One that comes too early waits for those before
it, and what is missing is asked for again.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

WAITING_MAX = 20_000
REMEMBERED_MAX = 20_000  # of these it is checked that a second copy is the same
ASK_MAX = 10_000  # rows a request: what one replay brings must find room to wait
ASKED_IN_VAIN_MAX = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One result as it was sent."""

    station: str
    seq: int
    result_id: str
    payload: bytes
    result: dict[str, Any]
    """The same, read; of whatever schema version the station wrote."""

    @property
    def digest(self) -> bytes:
        return hashlib.blake2b(self.payload, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows that nobody has any more; both ends belong to it."""

    first: int
    last: int


class Ledger:
    def __init__(self, last: int | None) -> None:
        """last: the row that is stored already; None: nothing is, the oldest there is is first."""
        self.next = (last or 0) + 1
        """The number that is stored next."""
        self._begun = last is not None
        self._waiting: dict[int, Row] = {}
        self._known: OrderedDict[int, tuple[str, bytes]] = OrderedDict()
        self._ids: dict[str, int] = {}
        self._asked_in_vain = 0
        self.known_last = self.next - 1
        """The highest number the station has spoken of."""
        self.rows = 0
        self.duplicates = 0
        """Came again, and the same as before as far as that is remembered."""
        self.differing: list[str] = []
        """One number or result_id with two contents: in words, the first few."""
        self.gaps: list[Gap] = []

    def take(self, row: Row) -> list[Row]:
        """The rows that may be stored now, in order."""
        self.known_last = max(self.known_last, row.seq)
        if row.seq in self._known:
            self._compare(row)
            return []
        if row.seq < self.next:
            self.duplicates += 1  # longer ago than is remembered
            return []
        if row.seq != self.next and len(self._waiting) >= WAITING_MAX:
            return []  # it is missing, and will be asked for
        self._remember(row)
        self._waiting[row.seq] = row
        return self._in_order()

    def told(self, last: int) -> None:
        """The station says that it has rows up to this one."""
        self.known_last = max(self.known_last, last)

    def corrected(self, last: int) -> None:
        """The station has sent rows up to this one only, whatever it has said before."""
        self.known_last = max(last, self.next - 1, *self._waiting)

    def missing(self) -> Gap | None:
        """What to ask for: rows that others behind them, or the station's word, show to exist."""
        if self.known_last < self.next or self.next in self._waiting:
            return None
        before = min(self._waiting, default=self.known_last + 1)
        return Gap(self.next, min(before - 1, self.next + ASK_MAX - 1))

    @property
    def out_of_order(self) -> bool:
        """A later row has come: what is missing is not merely on its way."""
        return bool(self._waiting)

    def asked_in_vain(self) -> list[Row]:
        """A replay ended well and the next row has not come; after some times it is given up."""
        self._asked_in_vain += 1
        if self._asked_in_vain < ASKED_IN_VAIN_MAX:
            return []
        return self.gone(self.next + 1)

    def gone(self, first: int | None) -> list[Row]:
        """Rows before `first` are no longer there (None: none is); what may be stored now."""
        there = self.known_last + 1 if first is None else first
        if there > self.next:
            if self._begun:
                self.gaps.append(Gap(self.next, there - 1))
            self.next = there
        self._waiting = {seq: row for seq, row in self._waiting.items() if seq >= self.next}
        return self._in_order()

    def _in_order(self) -> list[Row]:
        ready = []
        while (row := self._waiting.pop(self.next, None)) is not None:
            ready.append(row)
            self.next += 1
        if ready:
            self._begun = True
            self._asked_in_vain = 0
            self.rows += len(ready)
        return ready

    def _compare(self, row: Row) -> None:
        before = self._known[row.seq]
        if before == (row.result_id, row.digest):
            self.duplicates += 1
        else:
            self._differs(f"row {row.seq}: result {before[0]}, then {row.result_id}, not the same")

    def _remember(self, row: Row) -> None:
        other = self._ids.get(row.result_id)
        if other is not None:
            self._differs(f"result {row.result_id}: as row {other}, then as row {row.seq}")
        self._known[row.seq] = (row.result_id, row.digest)
        self._ids[row.result_id] = row.seq
        if len(self._known) > REMEMBERED_MAX + WAITING_MAX:
            _, (result_id, _) = self._known.popitem(last=False)
            self._ids.pop(result_id, None)

    def _differs(self, words: str) -> None:
        if len(self.differing) < 10:
            self.differing.append(words)
