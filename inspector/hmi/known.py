"""What is known of a station: the newest of each message, and a bounded piece of its past.

Everything in it came from outside. It is read leniently (a station of another version must not
leave the page empty) and kept as it came; the page shows it as text and nothing else. Whoever notes
it has read it by contract/foreign.py.
"""

import json
import math
import threading
import time
from collections import deque
from typing import Any

POINTS_MAX = 600
REGIONS_MAX = 256
TEXT_MAX = 2_000
KEPT = ("seq", "result_id", "part", "captured_at", "image")
"""Of the last part with a picture: enough to show that one."""

Point = tuple[int, float | None, str, float | None, float | None]
"""seq, score, evaluation, review_at, reject_at."""


class Known:
    """The follower's thread writes, any other reads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._changed = 0
        self._text: tuple[int, str] = (-1, "")
        self._connected = False
        self._trouble = "not connected yet"
        self._state: dict[str, Any] | None = None
        self._alarm: dict[str, Any] | None = None
        self._last: dict[str, Any] | None = None
        self._last_rejected: dict[str, Any] | None = None
        self._last_kept: dict[str, Any] | None = None
        self._beat_at: float | None = None
        self._points: deque[Point] = deque(maxlen=POINTS_MAX)
        self.unreadable = 0

    def connection(self, *, up: bool, words: str = "") -> None:
        with self._lock:
            if (up, words) != (self._connected, self._trouble):
                self._connected, self._trouble = up, words
                self._changed += 1

    def beat(self, received_at: float) -> None:
        """received_at: time.monotonic()."""
        with self._lock:
            self._beat_at = received_at

    def state(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._state = message
            self._changed += 1
            if message.get("state") == "OFFLINE":
                self._beat_at = None

    def alarm(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._alarm = message
            self._changed += 1

    def result(self, message: dict[str, Any]) -> None:
        seq = message.get("seq")
        if not isinstance(seq, int):
            return
        with self._lock:
            if self._points and seq <= self._points[-1][0] and self._same_boot(message):
                return  # came twice
            self._points.append(_point(seq, message))
            self._last = _short(message)
            if message.get("evaluation") != "OK":
                self._last_rejected = self._last
            if message.get("image"):
                self._last_kept = {name: message.get(name) for name in KEPT}
            self._changed += 1

    def age_s(self) -> float | None:
        """Since the last heartbeat came; None where none has, or the station has ended."""
        with self._lock:
            return None if self._beat_at is None else time.monotonic() - self._beat_at

    def station_state(self) -> str | None:
        with self._lock:
            return None if self._state is None else _word(self._state.get("state"))

    def cause(self) -> str:
        """Why it is in its state, in its own words."""
        with self._lock:
            return "" if self._state is None else _word(self._state.get("cause"))

    def snapshot(self) -> tuple[int, str]:
        """Which version it is, and all but the points as JSON; made once for all who look."""
        with self._lock:
            if self._text[0] != self._changed:
                words = {
                    "connected": self._connected, "trouble": self._trouble, "state": self._state,
                    "alarm": self._alarm, "last": self._last, "rejected": self._last_rejected,
                    "kept": self._last_kept,
                }  # fmt: skip
                self._text = self._changed, self._written(words)
            return self._text

    def _written(self, words: dict[str, Any]) -> str:
        """One event carries every station: what no browser could read must not be in it."""
        try:
            return json.dumps(words, allow_nan=False)
        except (ValueError, RecursionError):
            self.unreadable += 1
            said = ("state", "alarm", "last", "rejected", "kept")
            return json.dumps(words | dict.fromkeys(said))

    def points_after(self, seq: int) -> list[Point]:
        """Of newer rows; all of them where the journal was begun anew since."""
        with self._lock:
            if self._points and self._points[-1][0] < seq:
                return list(self._points)
            found = []
            for point in reversed(self._points):
                if point[0] <= seq:
                    break
                found.append(point)
        return found[::-1]

    def message(self) -> dict[str, Any] | None:
        """The state as it came."""
        with self._lock:
            return self._state

    def _same_boot(self, message: dict[str, Any]) -> bool:
        return self._last is None or self._last.get("boot") == message.get("boot")


def _word(value: object) -> str:
    return value[:TEXT_MAX] if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    try:
        found = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:  # an integer of hundreds of digits
        return None
    return found if math.isfinite(found) else None


def _point(seq: int, message: dict[str, Any]) -> Point:
    found = message.get("limits")
    limits = found if isinstance(found, dict) else {}
    return (
        seq,
        _number(message.get("score")),
        _word(message.get("evaluation"))[:20],
        _number(limits.get("review_at")),
        _number(limits.get("reject_at")),
    )


def _short(message: dict[str, Any]) -> dict[str, Any]:
    """A part cut into a thousand regions is shown by its first ones; the history has them all."""
    regions = message.get("regions")
    if isinstance(regions, list) and len(regions) > REGIONS_MAX:
        return {**message, "regions": regions[:REGIONS_MAX]}
    return message
