"""The one stream of events: the newest of every station, to each browser at its own pace.

Nothing is queued for anybody: each turn takes what has changed since that browser's last, so a slow
one misses what was in between and never lags behind.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import contextmanager

from starlette.concurrency import run_in_threadpool

from inspector.hmi.known import Known

TURN_S = 0.2
TICK_S = 0.5
CHECK_S = 5.0
STREAMS_MAX = 64


class Streams:
    """How many there are, and that they end with the process. The event loop's thread uses it."""

    def __init__(self, stations: Mapping[str, Known]) -> None:
        self._stations = stations
        self.open = 0
        self.opened = 0
        self.closing = False

    @property
    def full(self) -> bool:
        return self.open >= STREAMS_MAX

    async def events(self, still_in: Callable[[], bool]) -> AsyncIterator[str]:
        """still_in: asked every few seconds whether the session goes on."""
        with self._counted():
            seen = dict.fromkeys(self._stations, -1)
            last = dict.fromkeys(self._stations, 0)
            sent_at = checked_at = 0.0
            while not self.closing:
                now = time.monotonic()
                if now - checked_at >= CHECK_S:
                    checked_at = now
                    if not await run_in_threadpool(still_in):
                        yield "event: ended\ndata: {}\n\n"
                        return
                news = self._news(seen, last)
                if news or now - sent_at >= TICK_S:
                    sent_at = now
                    yield self._event(news)
                await asyncio.sleep(TURN_S)

    def _news(self, seen: dict[str, int], last: dict[str, int]) -> list[str]:
        found = []
        for name, known in self._stations.items():
            version, text = known.snapshot()
            if version == seen[name]:
                continue
            seen[name] = version
            points = known.points_after(last[name])
            if points:
                last[name] = points[-1][0]
            found.append(f'{json.dumps(name)}:{{"known":{text},"points":{json.dumps(points)}}}')
        return found

    def _event(self, news: list[str]) -> str:
        ages = {name: known.age_s() for name, known in self._stations.items()}
        rounded = {name: None if age is None else round(age, 2) for name, age in ages.items()}
        return f'data: {{"ages":{json.dumps(rounded)},"stations":{{{",".join(news)}}}}}\n\n'

    @contextmanager
    def _counted(self):  # type: ignore[no-untyped-def] # a generator of nothing
        self.open += 1
        self.opened += 1
        try:
            yield
        finally:
            self.open -= 1
