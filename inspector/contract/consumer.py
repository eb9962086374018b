"""What a registered consumer says to a station and hears from it, schema version 1.

A consumer acknowledges what it has stored for good, and asks for rows it has missed. A row is
named by its seq and result_id: an acknowledgement of another station's row, or of a journal
that was put away since, names a row that is not there.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from inspector.contract.foreign import REASON_MAX, read_message
from inspector.contract.result import InspectionResult
from inspector.contract.strict import Name, Strict

_BEFORE_ROW = b',"result":'
_ITS_SEQ = re.compile(rb',"seq":([1-9][0-9]{0,18})')

Seq = Annotated[int, Field(ge=1, le=2**62, strict=True)]
"""A row's number in the journal: the same over all boots."""
ResultId = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Acknowledgement(Strict):
    """Everything up to this row is stored for good: the station may delete it after its time."""

    schema_version: Literal[1] = Field(alias="schema")
    station: Name
    seq: Seq
    result_id: ResultId
    """Of the row with that seq."""

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


class ReplayRequest(Strict):
    """Send these rows again, to me alone. A newer request takes the place of the one before."""

    schema_version: Literal[1] = Field(alias="schema")
    station: Name
    id: Name
    """The consumer's name for it; rows and reply repeat it."""
    first: Seq = Field(alias="from")
    last: Seq = Field(alias="to")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first > self.last:
            raise ValueError("from must not be above to")
        return self

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


class ReplayedResult(Strict):
    """A row sent again because this consumer asked for it: it is no news of the line."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    station: Name
    consumer: Name
    replay: Name
    """The request's id."""
    seq: Seq
    result: InspectionResult
    """As it was sent at first, byte for byte; its own `schema` says how to read it."""


class ConsumerReply(Strict):
    """To a replay when it has ended, and to whatever was refused. What goes well says nothing:
    the state shows how far each consumer has acknowledged."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    station: Name
    boot: str
    consumer: Name
    about: Literal["ack", "replay"]
    id: Name | None
    """The replay request's; null for an acknowledgement, or what could not be read."""
    outcome: Literal["done", "refused", "failed"]
    """refused: nothing was sent. failed: the rest of the rows could not be."""
    reason: Annotated[str, StringConstraints(max_length=REASON_MAX)]
    first: Seq | None
    """The oldest row the journal still has; null where it has none. For a replay that failed, the
    oldest from the request's `from` on: behind `from` where that row itself is gone."""
    last: Annotated[int, Field(ge=0)]
    """The newest row that was sent on `result`; later ones come by themselves."""
    acknowledged: Annotated[int, Field(ge=0)]
    """Up to which row this consumer has acknowledged."""

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


def read_acknowledgement(data: bytes) -> Acknowledgement:
    """Raises CommandError in words."""
    return read_message(data, Acknowledgement, "ack")


def read_request(data: bytes) -> ReplayRequest:
    """Raises CommandError in words."""
    return read_message(data, ReplayRequest, "replay")


def replayed(station: Name, consumer: Name, replay: Name, seq: int, row: bytes) -> bytes:
    """A ReplayedResult around a row as it is: it may be of an older schema than ours."""
    head = f'{{"schema":1,"station":"{station}","consumer":"{consumer}","replay":"{replay}"'
    return f'{head},"seq":{seq}'.encode() + _BEFORE_ROW + row + b"}"


def row_within(payload: bytes) -> bytes:
    """The row as it was, out of a ReplayedResult. Read and written again it may have other bytes
    (1e-05 for 0.00001). Raises ValueError where it is none."""
    head, found, rest = payload.partition(_BEFORE_ROW)  # no name before it can hold a quote
    if not found or not rest.endswith(b"}") or not head.startswith(b"{"):
        raise ValueError("not a replayed result")
    return rest[:-1]


def seq_before(payload: bytes) -> int | None:
    """Which row a ReplayedResult is about, whatever the row itself holds; None where it is none."""
    head, _, _ = payload.partition(_BEFORE_ROW)
    found = _ITS_SEQ.search(head)
    return int(found[1]) if found else None
