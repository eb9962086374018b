"""The queue of parts to look at, as several people at several panels share it.

What is shown and what is kept is the review desk's, the same as on the command line; here is only
who looks at what just now, so that no two people are shown one part at once, and what was found
when the journal was last looked through.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

from pydantic import Field

from inspector.contract.errors import InspectorError, RecordError
from inspector.contract.review import Kept
from inspector.contract.strict import Name, Strict
from inspector.delivery.review_desk import Candidate, Classes, Item, Places, ReviewDesk
from inspector.delivery.review_policy import read_policy
from inspector.hmi.settings import STATIONS_MAX, Place

HELD_S = 90.0
"""How long a part that was handed out is nobody else's; each question of its holder renews it."""
REFRESH_S = 3.0
SCAN_SHARE = 0.05
"""Of one core, at most, goes into looking through the journal again."""
QUEUE_MAX = 1_000
"""Candidates of a station that are known at a time; more are "or more"."""
HANDED_MAX = 20
MINE_MAX = 20

Holder = Annotated[str, Field(min_length=8, max_length=64)]
"""A tab of a browser: one account may be at two panels."""


class Next(Strict):
    """What a tab asks for."""

    stations: Annotated[tuple[Name, ...], Field(max_length=STATIONS_MAX)] = ()
    """Empty: all."""
    holder: Holder
    have: Annotated[tuple[Name, ...], Field(max_length=HANDED_MAX)] = ()
    """result_ids it has already: held on for it."""
    skip: Annotated[tuple[Name, ...], Field(max_length=500)] = ()
    count: Annotated[int, Field(ge=0, le=HANDED_MAX)] = 6
    since: Annotated[float, Field(ge=0.0, le=1e11)] = 0.0
    """When the person's day began, in seconds since 1970."""
    leave: bool = False
    """The tab is closed: what it held is anybody's."""


@dataclass(slots=True)
class _Looked:
    """What was found when the journal was last looked through."""

    candidates: dict[str, Candidate]
    kept: list[Kept]
    spoilt: list[str]
    again_at: float
    classes: dict[str, Classes] = field(default_factory=dict)


class Queue:
    """One station's. Any thread may use it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.RLock()
        self._desk: ReviewDesk | None = None
        self._looked: _Looked | None = None

    def missing(self) -> str | None:
        """Why there is nothing to look at, in a word; None: there may be."""
        if self._place.journal is None or not self._place.journal.exists():
            return "no_journal"
        if self._place.archive is None:
            return "no_archive"
        return "no_reviews" if self._place.reviews is None else None

    def desk(self) -> ReviewDesk:
        """Raises ConfigError, RecordError."""
        with self._lock:
            if self._desk is None:
                place = self._place
                if place.journal is None or place.archive is None or place.reviews is None:
                    raise RecordError(f"station {place.name}: its reviews are not on this machine")
                free = place.disk_free_min_mb
                places = Places(place.journal, place.archive, place.shadow, free, place.bundles)
                self._desk = ReviewDesk(places, place.reviews)
            return self._desk

    def look(self) -> _Looked:
        """Raises ConfigError, RecordError."""
        with self._lock:
            if self._looked is None or time.monotonic() >= self._looked.again_at:
                desk, began = self.desk(), time.monotonic()
                policy = read_policy(desk.store.path)
                kept = desk.store.all()
                found = islice(desk.candidates(policy, kept), QUEUE_MAX)
                candidates = {each.item.result_id: each for each in found}
                now = time.monotonic()
                again_at = now + max(REFRESH_S, (now - began) / SCAN_SHARE)
                self._looked = _Looked(candidates, kept, desk.spoilt, again_at)
            return self._looked

    def classes(self, bundle: str) -> Classes:
        """Raises BundleError, RecordError."""
        looked = self.look()
        with self._lock:
            if bundle not in looked.classes:
                looked.classes[bundle] = self.desk().classes(bundle)
            return looked.classes[bundle]

    def said(self, kept: Kept) -> None:
        """This part is off the list, until the journal is looked through again."""
        with self._lock:
            if self._looked is not None:
                self._looked.candidates.pop(kept.review.result_id, None)
                self._looked.kept.append(kept)
                self._looked.classes.clear()

    def forget(self) -> None:
        with self._lock:
            self._looked = None


class Queues:
    """Every station's, and who holds which part. Any thread may use it."""

    def __init__(self, places: dict[str, Place]) -> None:
        self.of = {name: Queue(place) for name, place in places.items()}
        self._lock = threading.Lock()
        self._held: dict[str, tuple[str, float]] = {}

    def next(self, who: str, asked: Next) -> dict[str, Any]:
        """Parts for this tab, and how things stand."""
        troubles: dict[str, dict[str, str]] = {}
        first: list[Candidate] = []
        second: list[Candidate] = []
        kept: list[Kept] = []
        more = False
        for name in asked.stations or tuple(self.of):
            queue = self.of.get(name)
            try:
                missing = "no_station" if queue is None else queue.missing()
                if queue is None or missing:
                    troubles[name] = {"word": missing or "", "detail": ""}
                    continue
                looked = queue.look()
            except InspectorError as error:
                troubles[name] = {"word": "not_stored", "detail": str(error)[:500]}
                continue
            if looked.spoilt:
                troubles[name] = {"word": "spoilt_rows", "detail": "; ".join(looked.spoilt)[:500]}
            kept += looked.kept
            more = more or len(looked.candidates) >= QUEUE_MAX
            for each in list(looked.candidates.values()):
                if who not in each.by and each.item.result_id not in asked.skip:
                    (second if each.by else first).append(each)
        newest = [*_newest_first(first), *_newest_first(second)]
        handed, elsewhere = self._hand_out(newest, asked)
        left = Counter("second" if each.by else (each.item.interest or "") for each in newest)
        return {
            "items": [self.shown(each.item, second=bool(each.by)) for each in handed],
            "left": left, "more": more, "elsewhere": elsewhere, "troubles": troubles,
            **_done(kept, who, asked.since),
        }  # fmt: skip

    def leave(self, holder: str) -> None:
        with self._lock:
            self._held = {key: value for key, value in self._held.items() if value[0] != holder}

    def hold(self, result_id: str, holder: str) -> None:
        with self._lock:
            self._held[result_id] = holder, time.monotonic() + HELD_S

    def release(self, result_id: str) -> None:
        """It was judged: a second opinion is anybody's."""
        with self._lock:
            self._held.pop(result_id, None)

    def shown(self, item: Item, *, second: bool) -> dict[str, Any]:
        """What a person sees of a part; of what others said of it, nothing."""
        words = item.model_dump(mode="json", exclude={"picture", "region", "areas"})
        try:
            classes = self.of[item.station].classes(item.bundle)._asdict()
        except InspectorError as error:
            classes = {"good": [], "defects": [], "named": [], "trouble": str(error)[:300]}
        return {**words, "second": second, "classes": classes}

    def _hand_out(self, newest: list[Candidate], asked: Next) -> tuple[list[Candidate], int]:
        """The next ones, held for this tab from now on; and how many others hold."""
        now = time.monotonic()
        handed: list[Candidate] = []
        with self._lock:
            self._held = {key: value for key, value in self._held.items() if value[1] > now}
            for result_id in asked.have:
                if self._held.get(result_id, (asked.holder, 0.0))[0] == asked.holder:
                    self._held[result_id] = asked.holder, now + HELD_S
            elsewhere = 0
            for each in newest:
                holder, _ = self._held.get(each.item.result_id, (asked.holder, 0.0))
                if holder != asked.holder:
                    elsewhere += 1
                elif (
                    each.item.result_id not in asked.have
                    and len(handed) < asked.count
                    and each.item.picture.is_file()  # since: the archive deletes its oldest
                ):
                    handed.append(each)
                    self._held[each.item.result_id] = asked.holder, now + HELD_S
        return handed, elsewhere


def _newest_first(candidates: list[Candidate]) -> list[Candidate]:
    old = datetime.fromtimestamp(0, UTC)
    return sorted(candidates, key=lambda each: each.item.captured_at or old, reverse=True)


def _done(kept: list[Kept], who: str, since: float) -> dict[str, Any]:
    """What was reviewed since then, and this person's last ones: they may be taken back."""
    today = [each for each in kept if each.undone is None and each.review.at.timestamp() >= since]
    mine = sorted(
        (each for each in today if each.review.by == who), key=lambda each: each.review.at
    )
    last = [
        {
            "number": each.id,
            **each.review.model_dump(
                mode="json", include={"station", "seq", "result_id", "part", "label", "at"}
            ),
        }
        for each in mine[-MINE_MAX:]
    ]
    return {"today": {"mine": len(mine), "all": len(today)}, "mine": last}
