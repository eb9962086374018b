"""The one stream of events: the newest of every station, to each browser at its own pace.

Nothing is queued for anybody: each turn takes what has changed since that browser's last, so a slow
one misses what was in between and never lags behind.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from inspector.hmi.known import Known

TURN_S = 0.2
TICK_S = 0.5
CHECK_S = 5.0
STREAMS_MAX = 64
ACCOUNT_MAX = 16
SESSION_MAX = 4
"""A browser with shared workers needs one, whatever number of tabs it has."""


@dataclass(eq=False, slots=True)
class Seat:
    """Of one stream: by whose session, of which account."""

    session: str
    account: str
    given_away: bool = False


class Streams:
    """How many there are, and that they end with the process. The event loop's thread uses it."""

    def __init__(self, stations: Mapping[str, Known]) -> None:
        self._stations = stations
        self._seats: list[Seat] = []
        self.closing = False

    @property
    def open(self) -> int:
        return len(self._seats)

    @contextmanager
    def seated(self, seat: Seat) -> Iterator[None]:
        """As long as the stream lasts. A session with too many gives away its own oldest.

        What was given away ends, and its tab comes back after half a second by giving away another:
        without shared workers a fifth visible tab takes turns with the four, none of which is
        without news for longer than 1.2 s (Chromium). Raises HTTPException where no seat is left
        for the account, or for anybody.
        """
        mine = [each for each in self._seats if each.session == seat.session]
        of_account = sum(each.account == seat.account for each in self._seats)
        full = of_account >= ACCOUNT_MAX or self.open >= STREAMS_MAX
        if len(mine) >= SESSION_MAX or (mine and full):
            mine[0].given_away = True
            self._seats.remove(mine[0])
        elif full:
            raise HTTPException(429, "too_many")
        self._seats.append(seat)
        try:
            yield
        finally:
            if not seat.given_away:
                self._seats.remove(seat)

    async def events(self, seat: Seat, still_in: Callable[[], bool]) -> AsyncIterator[str]:
        """still_in: asked every few seconds whether the session goes on."""
        seen = dict.fromkeys(self._stations, -1)
        last = dict.fromkeys(self._stations, 0)
        sent_at = checked_at = 0.0
        while not self.closing and not seat.given_away:
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
