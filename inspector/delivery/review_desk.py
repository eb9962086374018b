"""Which parts people should look at, and what they say of them.

The one way to reviews, for the page and for the command line: `queue`, `put`, `undo`. It reads
journal, archive and shadow record beside the station that writes them, and changes none of them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AwareDatetime, Field, ValidationError

from inspector.contract.bundle import read_bundle
from inspector.contract.errors import ConfigError, RecordError
from inspector.contract.result import EvaluationName, part_called, row_of
from inspector.contract.review import Box, Kept, Review, Said, Undo
from inspector.contract.strict import Strict
from inspector.delivery.disagreements import read_disagreements
from inspector.delivery.kept import SUFFIX
from inspector.delivery.reader import JournalReader
from inspector.delivery.review_policy import Interest, Policy, interest_of, wants_second
from inspector.delivery.reviews import ReviewStore

PAGE_ROWS = 500
PICTURE_BYTES_MAX = 64_000_000
_SIDES = ("x", "y", "width", "height")


class Places(NamedTuple):
    """Where a station keeps what is reviewed."""

    journal: Path
    archive: Path
    shadow: Path | None = None
    """Folder of the shadow's disagreements; None: no second bundle."""
    disk_free_min_mb: int = 500
    """With less than this free on the store's disk, no review is kept."""
    bundles: Path | None = None
    """What judged the parts: their classes. None: only those that people have named."""


class Item(Strict):
    """A part to look at. What others said of it is left out: a second opinion is its own."""

    interest: Interest | None
    """None: nobody asked for it, it was named."""
    station: str
    boot: str
    seq: int
    part: str | None = None
    result_id: str
    bundle: str
    evaluation: EvaluationName
    cause: str | None = None
    reason: str
    label: str | None = None
    score: float | None = None
    novelty: float | None = None
    captured_at: AwareDatetime | None = None
    regions: Annotated[int, Field(ge=1)]
    region: Box | None
    areas: tuple[Box, ...]
    picture: Path
    opinions: int
    """How many people have said something, those who took it back left out."""


class Candidate(NamedTuple):
    """A part to look at, and who has spoken of it."""

    item: Item
    by: frozenset[str]


class Classes(NamedTuple):
    """Of the bundle, in its order, and those that people have named beside."""

    good: tuple[str, ...]
    defects: tuple[str, ...]
    named: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.good, *self.defects, *self.named)


class ReviewDesk:
    """One station's parts and reviews. Any thread may use it."""

    def __init__(self, places: Places, store: Path) -> None:
        """Raises ConfigError, RecordError where the store cannot be used."""
        self._places = places
        self.store = ReviewStore(store, places.disk_free_min_mb)
        self.spoilt: list[str] = []
        """Rows that the newest search had to leave out, in words."""

    def queue(self, policy: Policy, *, by: str | None = None, limit: int = 100) -> list[Item]:
        """Parts to look at: first those nobody has reviewed, then second opinions; newest first.

        by: who looks; a part of which this person has spoken is left out. A part without a picture
        is left out: there is nothing to look at. So is a row that a disk has spoilt; `spoilt` says
        of it. Raises RecordError.
        """
        first: list[Item] = []
        second: list[Item] = []
        for item, speakers in self.candidates(policy, self.store.all()):
            if by not in speakers:
                (second if speakers else first).append(item)
            if len(first) >= limit:
                break
        return [*first, *second][:limit]

    def candidates(self, policy: Policy, reviews: Iterable[Kept]) -> Iterator[Candidate]:
        """Parts to look at, newest first, whoever looks. reviews: all of the store's.

        Raises RecordError.
        """
        said: dict[str, list[Review]] = {}
        for kept in reviews:
            if kept.undone is None:
                said.setdefault(kept.review.result_id, []).append(kept.review)
        disagreed = self._disagreed()
        for row in self._newest(policy.look_back):
            opinions = said.get(str(row.get("result_id")), [])
            if len(opinions) >= 1 + wants_second(row, opinions, policy):
                continue
            interest = interest_of(row, policy, disagreed)
            if interest is None and not opinions:
                continue
            try:
                item = self._item(row, interest, len(opinions))
            except RecordError as error:
                self.spoilt.append(f"{error}: left out")
                continue
            if item is not None:
                yield Candidate(item, frozenset(each.by for each in opinions))

    def at(self, seq: int, result_id: str) -> Item | None:
        """The part of this row; None where it is another's, or there is no picture to look at.

        Raises RecordError.
        """
        with JournalReader(self._places.journal) as reader:
            payload = reader.row(seq) if seq <= reader.settled_seq() else None
        row = self._read(seq, payload) if payload is not None else {}
        if row.get("result_id") != result_id:
            return None
        opinions = [each for each in self.store.of(result_id) if each.undone is None]
        return self._item(row, None, len(opinions))

    def classes(self, bundle: str) -> Classes:
        """What a part that this bundle judged may be called. Raises BundleError, RecordError."""
        good: tuple[str, ...] = ()
        defects: tuple[str, ...] = ()
        folder = self._places.bundles / bundle if self._places.bundles else None
        if folder is not None and folder.is_dir():
            manifest = read_bundle(folder).manifest
            good = manifest.good
            defects = tuple(each for each in manifest.labels if each not in good)
        said = {each.review.label for each in self.store.all() if each.undone is None}
        named = {each for each in said if each is not None} - {*good, *defects}
        return Classes(good, defects, tuple(sorted(named)))

    def find(self, named: str) -> Item:
        """The part of this result_id, or the only one the line calls so. Raises ConfigError."""
        rows = [
            row
            for row in self._newest(None, holding=named)
            if named in (row.get("result_id"), part_called(row))
        ]
        exact = [row for row in rows if row.get("result_id") == named] or rows
        if not exact:
            raise ConfigError(f"{self._places.journal}: has no result and no part {named!r}")
        if len(exact) > 1:
            some = ", ".join(row["result_id"] for row in exact[:3])
            raise ConfigError(f"{len(exact)} results are of a part {named!r}: name one: {some} ...")
        opinions = [each for each in self.store.of(exact[0]["result_id"]) if each.undone is None]
        item = self._item(exact[0], None, len(opinions))
        if item is None:
            raise ConfigError(
                f"{exact[0]['result_id']}: was not judged, or its picture is not kept "
                f"(archive.keep, keep_ok_share, size_max_mb): nobody can say what it shows"
            )
        return item

    def put(self, item: Item, said: Said, *, opinions: int | None = None) -> Kept:
        """Keep what a person said of a part. Raises StateError, RecordError as the store."""
        try:
            with item.picture.open("rb") as file:
                picture = file.read(PICTURE_BYTES_MAX)
        except OSError as error:
            raise RecordError(f"{item.picture}: {error.strerror}") from error
        facts = item.model_dump(include=set(Review.model_fields) - {"label"})
        review = Review(
            **facts,
            **said.model_dump(),
            image_sha256=hashlib.sha256(picture).hexdigest(),
            at=datetime.now(UTC),
        )
        return self.store.put(review, picture, opinions=opinions)

    def undo(self, number: int, by: str, why: str = "") -> Kept:
        """Take a review back. Raises StateError where there is none, or it was already."""
        return self.store.undo(Undo(review=number, by=by, at=datetime.now(UTC), why=why))

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _newest(self, count: int | None, holding: str = "") -> Iterator[dict[str, Any]]:
        """Settled rows, the newest first, with these letters in them: most need no parsing then.

        One that a disk has spoilt is left out, and in `spoilt`. Raises RecordError.
        """
        self.spoilt = spoilt = []
        letters = json.dumps(holding, ensure_ascii=False)[1:-1].encode()
        with JournalReader(self._places.journal) as reader:
            end = reader.settled_seq()
            lowest = max(0, end - count) if count is not None else (reader.first_seq() or 1) - 1
            while end > lowest:
                start = max(lowest, end - PAGE_ROWS)
                for seq, payload in reversed(reader.after(start, end - start)):
                    if letters not in payload:
                        continue
                    try:
                        yield self._read(seq, payload)
                    except RecordError as error:
                        spoilt.append(f"{error}: left out")
                end = start

    def _read(self, seq: int, payload: bytes) -> dict[str, Any]:
        row = row_of(payload)
        if row is None:
            words = f"journal {self._places.journal}: row {seq} is no result: a disk has spoilt it"
            raise RecordError(words)
        return row

    def _disagreed(self) -> frozenset[str]:
        if self._places.shadow is None:
            return frozenset()
        return frozenset(each.result_id for each in read_disagreements(self._places.shadow))

    def _item(self, row: dict[str, Any], interest: Interest | None, opinions: int) -> Item | None:
        """None where there is no picture of it, or nothing in it was judged.

        Raises RecordError for a row that is no result.
        """
        picture = self._picture(str(row.get("image") or row.get("result_id")))
        if picture is None or not row.get("regions"):
            return None
        facts = {name: row.get(name) for name in Item.model_fields if name in row}
        facts |= {"part": (row.get("part") or {}).get("id"), "interest": interest}
        try:
            areas = tuple(tuple(each[side] for side in _SIDES) for each in row["regions"])
            facts["regions"], facts["areas"] = len(areas), areas
            facts["region"] = areas[0] if len(areas) == 1 else None
            return Item.model_validate({**facts, "picture": picture, "opinions": opinions})
        except (ValidationError, TypeError, KeyError) as error:
            why = " ".join(str(error).split())
            words = f"journal {self._places.journal}: row {row.get('seq')} is no result: {why}"
            raise RecordError(words) from None

    def _picture(self, name: str) -> Path | None:
        if set(name) & set("/\\\0"):  # as the archive's names; a row is not to lead out of it
            return None
        folders = [self._places.archive, self._places.shadow]
        paths = (folder / f"{name}{SUFFIX}" for folder in folders if folder is not None)
        return next((path for path in paths if path.is_file() and not path.is_symlink()), None)
