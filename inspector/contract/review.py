"""What people say of parts, schema version 1: a label for a picture, and that one is taken back.

A review carries what the station had said and the hash of the very picture that was looked at:
the journal's row and the archive's picture go with their retention, a person's word does not.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal
from unicodedata import normalize

from pydantic import AwareDatetime, Field, StringConstraints, field_serializer

from inspector.contract.result import PART_ID_MAX, EvaluationName, utc_text
from inspector.contract.strict import Name, Score, Sha256, Strict

Label = Annotated[
    str, StringConstraints(pattern=r"^\w([\w .-]*[\w.-])?$", min_length=1, max_length=64)
]
"""A class as data sets name it; it becomes a word of a manifest, never a path."""

Who = Annotated[str, StringConstraints(pattern=r"^\w[\w .@-]*$", min_length=1, max_length=64)]
Why = Annotated[str, StringConstraints(max_length=500)]

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels of the picture."""

Standing = Literal["agreed", "conflict", "unclear", "open"]


def class_said(label: str) -> str:
    """What a class is called whatever its capitals and spaces: two of them are one to people."""
    return " ".join(normalize("NFKC", label).casefold().split())


class Said(Strict):
    """A person's word on a part, before it is kept."""

    label: Label | None
    """A good class or a defect; null: it cannot be told from the picture."""
    severity: Score | None = None
    """How grave the defect is, where the plant rates them."""
    by: Who
    why: Why = ""


class Review(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    station: Name
    boot: str
    seq: Annotated[int, Field(ge=1)]
    """The row of the station's journal."""
    part: str | None = Field(max_length=PART_ID_MAX)
    """What the line calls the part."""
    result_id: Name
    """It names files where reviews are collected, from other machines too: never a path."""
    bundle: str
    """What judged the part."""
    evaluation: EvaluationName
    """As it was judged."""
    cause: str | None
    score: Score | None
    novelty: Annotated[float, Field(ge=0.0)] | None
    captured_at: AwareDatetime | None
    regions: Annotated[int, Field(ge=1)]
    """How many of the picture were judged."""
    region: Box | None
    """The one that was judged, where it was one."""
    areas: tuple[Box, ...] | None = None
    """All that were judged; null: kept by a program that did not say."""
    image_sha256: Sha256
    """Of the picture's bytes, as the person saw it and the store keeps it."""
    label: Label | None
    severity: Score | None
    by: Who
    at: AwareDatetime
    opinion: Annotated[int, Field(ge=1)] = 1
    """1 the first, 2 the second ...; counted by the store, those taken back left out."""
    why: Why = ""

    @field_serializer("captured_at", "at")
    def _milliseconds(self, value: datetime | None) -> str | None:
        return None if value is None else utc_text(value)

    def judged(self) -> tuple[Box, ...] | None:
        """All that were judged of the picture; None where that is not known."""
        if self.areas is not None:
            return self.areas
        return (self.region,) if self.region is not None else None


class Undo(Strict):
    """A review is taken back. It stays in the store, and says so."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    review: Annotated[int, Field(ge=1)]
    """Its number in the store."""
    by: Who
    at: AwareDatetime
    why: Why = ""

    @field_serializer("at")
    def _milliseconds(self, value: datetime) -> str:
        return utc_text(value)


class Kept(Strict):
    """A review with its number in the store, and whether it was taken back."""

    id: Annotated[int, Field(ge=1)]
    review: Review
    undone: Undo | None = None


def standing_of(reviews: Iterable[Review]) -> tuple[Standing, Label | None]:
    """What the reviews of one part come to, those taken back left out by the caller.

    Who cannot tell has no vote against one who can. The label is None unless they agree.
    """
    mine = list(reviews)
    labels = {each.label for each in mine} - {None}
    if len(labels) > 1:
        return "conflict", None
    if labels:
        return "agreed", labels.pop()
    return ("unclear" if mine else "open"), None
