"""Which results of one station have come, which are missing, which came twice: no network, no disk.

Rows leave in order of their numbers, each once. One that comes too early waits for those before
it, and what is missing is asked for again.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

WAITING_MAX = 20_000
REMEMBERED_MAX = 20_000  # of these it is checked that a second copy is the same
ASK_MAX = 10_000  # rows a request: what one replay brings must find room to wait
ASKED_IN_VAIN_MAX = 5

StoredAs = Callable[[str], int | None]
"""The row that a result_id is stored as, as far as the store can be asked."""


@dataclass(frozen=True, slots=True)
class Row:
    """One result as it was sent."""

    station: str
    seq: int
    result_id: str
    payload: bytes
    cells: dict[str, Any]
    """Of the same, whatever schema version it is: one value a column, that any store takes."""
    odd: dict[str, Any] = field(default_factory=dict)
    """What stood in place of the cells left empty, since their columns cannot hold it."""

    @property
    def digest(self) -> bytes:
        return hashlib.blake2b(self.payload, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows that nobody has any more; both ends belong to it."""

    first: int
    last: int


class Ledger:
    def __init__(self, last: int | None, stored_as: StoredAs = lambda _: None) -> None:
        """last: the row that is stored already; None: nothing is, the oldest there is is first."""
        self.next = (last or 0) + 1
        """The number that is stored next."""
        self._begun = last is not None
        self._waiting: dict[int, Row] = {}
        self._known: OrderedDict[int, tuple[str, bytes]] = OrderedDict()
        self._ids: dict[str, int] = {}
        self._stored_as = stored_as
        self._asked_in_vain = 0
        self._unreadable: set[int] = set()
        self.known_last = self.next - 1
        """The highest number the station has spoken of."""
        self.rows = 0
        self.duplicates = 0
        """Came again, and the same as before as far as that is remembered."""
        self.differing: list[str] = []
        """One number or result_id with two contents: in words, the first few."""
        self.gaps: list[Gap] = []

    def take(self, row: Row) -> list[Row]:
        """The rows that may be stored now, in order. Raises what `stored_as` does."""
        self.known_last = max(self.known_last, row.seq)
        if row.seq in self._known:
            self._compare(row)
            return []
        if row.seq < self.next:
            self.duplicates += 1  # longer ago than is remembered
            return []
        if row.seq != self.next and len(self._waiting) >= WAITING_MAX:
            return []  # it is missing, and will be asked for
        other = self._ids.get(row.result_id)
        if other is None:
            other = self._stored_as(row.result_id)
        if other not in (None, row.seq):  # not stored either: whose name it is has been stored
            self._differs(f"result {row.result_id}: as row {other}, then as row {row.seq}")
            return []
        self._remember(row)
        self._waiting[row.seq] = row
        return self._in_order()

    def told(self, last: int) -> None:
        """The station says that it has rows up to this one."""
        self.known_last = max(self.known_last, last)

    def corrected(self, last: int) -> None:
        """The station has sent rows up to this one only, whatever it has said before; a later one
        was not its own, or comes again."""
        for seq in [seq for seq in self._waiting if seq > last]:
            self._forget(seq, self._waiting.pop(seq).result_id)
        self.known_last = max(last, self.next - 1)

    def missing(self) -> Gap | None:
        """What to ask for: rows that others behind them, or the station's word, show to exist."""
        if self.known_last < self.next or self.next in self._waiting:
            return None
        before = min(self._waiting, default=self.known_last + 1)
        return Gap(self.next, min(before - 1, self.next + ASK_MAX - 1))

    def unreadable(self, seq: int | None) -> None:
        """A replay has brought this row, which cannot be read: given up with the one before it."""
        if seq is None or not self.next <= seq < self.next + ASK_MAX:
            return
        if len(self._unreadable) >= ASK_MAX:
            self._unreadable = {seq for seq in self._unreadable if seq >= self.next}
        self._unreadable.add(seq)

    @property
    def out_of_order(self) -> bool:
        """A later row has come: what is missing is not merely on its way."""
        return bool(self._waiting)

    def asked_in_vain(self) -> list[Row]:
        """A replay ended well and the next row has not come; after some times it is given up."""
        self._asked_in_vain += 1
        if self._asked_in_vain < ASKED_IN_VAIN_MAX:
            return []
        self._begun = True  # the station had it
        first = self.next + 1
        while first in self._unreadable and first not in self._waiting:
            first += 1
        return self.gone(first)

    def gone(self, first: int | None) -> list[Row]:
        """Rows before `first` are no longer there (None: none is); what may be stored now.

        Those that have come before they went are stored too: nobody else has them any more.
        """
        there = self.known_last + 1 if first is None else first
        ready = []
        while self.next < there:
            before = min(there, min(self._waiting, default=there))
            if self._begun and before > self.next:
                self.gaps.append(Gap(self.next, before - 1))
            self.next = before
            ready += self._in_order()
        return ready + self._in_order()

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
        self._known[row.seq] = (row.result_id, row.digest)
        self._ids[row.result_id] = row.seq
        if len(self._known) > REMEMBERED_MAX + WAITING_MAX:
            seq, (result_id, _) = next(iter(self._known.items()))
            self._forget(seq, result_id)

    def _forget(self, seq: int, result_id: str) -> None:
        self._known.pop(seq, None)
        self._ids.pop(result_id, None)

    def _differs(self, words: str) -> None:
        if len(self.differing) < 10 and words not in self.differing:
            self.differing.append(words)
