"""Messages at the command door that got no answer: counted, and summed up in log and audit."""

import logging
from collections import Counter

from inspector.contract.errors import RecordError
from inspector.delivery.fair import Fair
from inspector.delivery.inbound import Inbound
from inspector.delivery.ledger import Ledger

log = logging.getLogger(__name__)

SUM_UP_S = 600.0
"""So often at most a row of the audit: a flood must not fill a disk."""


class Drops:
    """One thread writes; any may look at `counts`."""

    def __init__(self, inbound: Inbound, waiting: Fair, ledger: Ledger) -> None:
        self._inbound = inbound
        self._waiting = waiting
        self._ledger = ledger
        self._counts: Counter[str] = Counter()
        self._summed_up: Counter[str] = Counter()
        self._due_at = 0.0

    def add(self, reason: str) -> None:
        self._counts[reason] += 1

    def counts(self) -> dict[str, int]:
        here = dict(self._counts)
        here["overflowed"] = self._inbound.overflowed + self._waiting.overflowed
        here["oversized"] = self._inbound.oversized + self._inbound.unreadable
        return {reason: count for reason, count in sorted(here.items()) if count}

    def sum_up(self, now: float, *, at_once: bool = False) -> None:
        """One row for everything since the last; the first at once, then now and then."""
        if now < self._due_at and not at_once:
            return
        counts = Counter(self.counts())
        fresh = counts - self._summed_up
        if not fresh:
            return
        self._due_at = now + SUM_UP_S
        words = ", ".join(f"{reason} {count}" for reason, count in sorted(fresh.items()))
        log.warning("commands: messages that got no answer: %s", words)
        try:
            self._ledger.add(self._ledger.entry(event="dropped", sender="", reason=words))
        except RecordError as error:
            log.error("commands: what was dropped stands in no audit: %s", error)
            return
        self._summed_up = counts
