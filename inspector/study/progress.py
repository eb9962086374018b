"""How far a long study is: a line that is drawn over itself, on a terminal only."""

import sys
import time

WIDTH = 30
EVERY_S = 0.2


class Progress:
    """Says nothing where stderr is no terminal: a log has no use for it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shows = sys.stderr.isatty()
        self._of = self._done = self._begun_with = 0
        self._began_at = self._said_at = 0.0

    def begin(self, of: int, done: int = 0) -> None:
        """done: of a run before this one."""
        self._of, self._done, self._begun_with = of, done, done
        self._began_at = time.monotonic()

    def step(self) -> None:
        self._done += 1
        now = time.monotonic()
        if self._shows and now - self._said_at >= EVERY_S:
            self._said_at = now
            self._draw(now)

    def end(self) -> None:
        if self._shows and self._of:
            self._draw(time.monotonic())
            sys.stderr.write("\n")

    def _draw(self, now: float) -> None:
        full = WIDTH * self._done // max(1, self._of)
        each_s = (now - self._began_at) / max(1, self._done - self._begun_with)
        left_s = round(each_s * (self._of - self._done))
        said = f"{self._what} [{'#' * full:{WIDTH}}] {self._done}/{self._of}, {left_s} s left  "
        sys.stderr.write(f"\r{said}")
        sys.stderr.flush()
