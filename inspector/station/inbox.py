"""Events asked for from outside, taken by the station between two parts: one answer to each."""

import threading
from dataclasses import dataclass
from queue import Empty, Full, Queue

from inspector.contract.command import Outcome, Picture
from inspector.station.cycle import Job
from inspector.station.state import Event

ORDERS_MAX = 8


@dataclass(frozen=True, slots=True)
class Answer:
    outcome: Outcome
    reason: str
    picture: Picture | None = None


class Order:
    """An event asked for; PREPARE_RECIPE brings the job to prepare, if none is newer by then.

    Either the station takes it or who asked gives up, never both: an order nobody waits for any
    more is not followed.
    """

    def __init__(self, event: Event, cause: str, job: Job | None = None) -> None:
        self.event = event
        self.cause = cause
        self.job = job
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._taken = False
        self._answer: Answer | None = None

    def take(self) -> bool:
        """The station begins to follow it. False where it is not wanted any more."""
        with self._lock:
            if self._answer is not None:
                return False
            self._taken = True
            return True

    def answer(self, outcome: Outcome, reason: str) -> None:
        with self._lock:
            self._answer = self._answer or Answer(outcome, reason)
        self._answered.set()

    def wait(self, timeout_s: float, finish_s: float) -> Answer:
        """What became of it: not followed unless begun within `timeout_s`, which is then final.

        One that was begun has `finish_s` more.
        """
        if not self._answered.wait(timeout_s):
            with self._lock:
                if not self._taken:
                    self._answer = Answer("refused", f"not taken within {timeout_s:g} s: given up")
            self._answered.wait(finish_s if self._taken else 0.0)
        with self._lock:
            if self._answer is None:
                words = f"not finished within {timeout_s + finish_s:g} s: it still may be"
                return Answer("failed", words)
            return self._answer


class Inbox:
    """Any thread puts, the station takes. Bounded: who comes too often is refused at once."""

    def __init__(self) -> None:
        self._orders: Queue[Order] = Queue(maxsize=ORDERS_MAX)
        self._closed = False

    def put(self, order: Order) -> bool:
        """False where too many wait already."""
        if self._closed:
            order.answer("refused", "the station has ended")
            return False
        try:
            self._orders.put_nowait(order)
        except Full:
            order.answer("refused", f"{ORDERS_MAX} orders wait already")
            return False
        return True

    def take(self, timeout_s: float) -> Order | None:
        """The next that is still wanted, waiting for one at most `timeout_s`; 0: not at all."""
        try:
            order = self._orders.get(block=timeout_s > 0, timeout=timeout_s or None)
        except Empty:
            return None
        return order if order.take() else None

    def close(self) -> None:
        """The station ends: whoever waits is told so."""
        self._closed = True
        while True:
            try:
                self._orders.get_nowait().answer("refused", "the station is ending")
            except Empty:
                return
